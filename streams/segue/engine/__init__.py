"""Batches in, changes out: the merger, the generated step, timers, late events."""

from __future__ import annotations

from segue.engine.compile import Program
from segue.engine.identity import change_id, id_middle, id_of
from segue.engine.merge import Merger
from segue.engine.partition import PartitionState
from segue.plan.layout import Plan


class Engine:
    """A compiled plan. Partitions share its program and nothing else."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.program = Program(plan)

    @property
    def source(self) -> str:
        """The generated step, to be read."""
        return self.program.source

    def partition(self, index: int) -> PartitionState:
        """An empty partition."""
        return PartitionState(self.program, index)


__all__ = ["Engine", "Merger", "PartitionState", "Program", "change_id", "id_middle", "id_of"]
