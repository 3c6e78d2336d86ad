"""What is made once for all runs: rules, plans, engines, settings. Windows of seconds, so that a run takes a minute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from tests.simulator.decoder import Decoder
from tests.simulator.store import Folder

import segue_schemas
from segue.catalog import Catalog
from segue.engine import Engine
from segue.plan import Plan, compile_plan
from segue.rules import parse_rules
from segue_agents.codecs.changes import ChangeEncoder
from segue_agents.settings import Settings

PARTITIONS: Final = 2
APP: Final = "sim"
OUTPUT: Final = "changes"
FOLDER: Final = Folder("/simulated")
CLOCK_DELAY_MS: Final = 1_000
START_MS: Final = 1_790_000_000_000

_SITE: Final = """\
segment: behavior_keen
when: count(product_viewed) >= 2 in the last 6 seconds
---
segment: behavior_abandoned
enter: product_added then no order_completed within 8 seconds
exit: order_completed, or 20 seconds after entering
"""
_EMAIL: Final = """\
---
segment: behavior_reader
when: did email_opened in the last 8 seconds and count(product_viewed) >= 1 in the last 8 seconds
"""
EVENTS: Final = {
    "site": ("Product Viewed", "Product Viewed", "Product Added", "Order Completed", "page"),
    "email": ("Email Opened", "Email Delivered"),
}


@dataclass(frozen=True)
class Scene:
    """An app: its sources, its rules, its clock."""

    plan: Plan
    engine: Engine
    encoder: ChangeEncoder
    settings: Settings
    decoders: dict[str, Decoder]
    """by topic"""

    @property
    def topics(self) -> list[str]:
        """The inputs', in the order of the sources."""
        return list(self.decoders)


@cache
def scene(
    sources: tuple[str, ...], clock: Literal["ticks", "none"], protocol: Literal["classic", "consumer"]
) -> Scene:
    """One of the eight."""
    declared: list[dict[str, Any]] = [d for d in segue_schemas.load_declarations() if d["source"] in sources]
    catalog = Catalog.from_declarations(declared)
    rules = _SITE + (_EMAIL if "email" in sources else "")
    plan = compile_plan(parse_rules([("rules.yaml", rules)], catalog), catalog)
    settings = Settings(
        app_id=APP, output_topic=OUTPUT, clock=clock, clock_delay_ms=CLOCK_DELAY_MS,
        commit_interval_ms=2_000, idle_commit_interval_ms=700, transaction_timeout_ms=12_000, session_timeout_ms=3_000,
        group_protocol=protocol, batch_rows=8, max_persons=3,
    )
    decoders = {source.topic: Decoder(i, plan) for i, source in enumerate(catalog.sources)}
    return Scene(plan, Engine(plan), ChangeEncoder(plan, 1), settings, decoders)
