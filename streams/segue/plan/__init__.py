"""Checked rules -> shared leaves, bits, the layout of a person's state, and what it all costs."""

from segue.plan.layout import Kind, Plan, SourceInputs, compile_plan
from segue.plan.report import SegmentReport, report

__all__ = ["Kind", "Plan", "SegmentReport", "SourceInputs", "compile_plan", "report"]
