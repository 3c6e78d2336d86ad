"""Checked rules -> shared leaves, bits, the layout of a person's state, and what it all costs."""

from segue.plan.layout import Kind, Plan, SourceInputs, compile_plan
from segue.plan.report import SegmentReport, report
from segue.plan.stored import Layout, Succession, layout_of, succession_of

__all__ = [
    "Kind",
    "Layout",
    "Plan",
    "SegmentReport",
    "SourceInputs",
    "Succession",
    "compile_plan",
    "layout_of",
    "report",
    "succession_of",
]
