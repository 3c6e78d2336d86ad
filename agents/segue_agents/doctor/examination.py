"""The facts, gathered: each look on a thread of its own, as soon as what it needs is there, all within one deadline.

A look that fails, or is not done by then, is an Unknown; whatever needs it is one too, told already. So a Kafka that does
not answer leaves the disk and the rules to be looked at, and a registry that hangs leaves everything else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import replace
from typing import Any, Final

from segue.errors import SegueError
from segue_agents.doctor.facts import Facts, Look, Partition, Thresholds, Unknown
from segue_agents.settings import Settings

WITHIN_S: Final = 10.0
TOO_LATE: Final = Unknown("no answer in time", "Look again; if it stays so, see the broker's log and the way there.")
_RIGHTS: Final = "Give the principal the right to describe it: segue acls"


def examine(
    settings: Settings,
    thresholds: Thresholds | None = None,
    *,
    write: bool = False,
    within_s: float = WITHIN_S,
    no_broker: SegueError | None = None,
) -> Facts:
    """Looks at everything, for at most `within_s`. `write`: measure the broker's clock, which makes a topic and deletes it.

    `no_broker`: why there is no address to ask at all. Never raises.
    """
    limits = thresholds or Thresholds()
    from segue_agents.doctor.looks import clock, contracts, machine, records

    looks = _Looks(within_s)
    looks.begin("versions", machine.versions)
    looks.begin("disk", lambda: machine.disk(settings))
    looks.begin("sources", lambda: contracts.sources(settings))
    looks.begin("ids", lambda: contracts.ids(settings))
    looks.begin("plan", lambda: contracts.plan(settings))
    looks.begin("rules", contracts.rules, "plan")
    if settings.registry != "none":
        looks.begin("registry", lambda: contracts.registry(settings))
    _begin_kafka(looks, settings, limits, no_broker)
    looks.begin("samples", lambda sources, first: records.sample(settings, sources, first), "sources", "first")
    needs = ("plan", "samples", *(("registry",) if settings.registry != "none" else ()))
    looks.begin("schemas", lambda plan, samples, *_: contracts.schemas(settings, plan, samples), *needs)
    if write:
        looks.begin("skew_ms", lambda _cluster: clock.measure_skew(settings), "cluster")
    found = looks.end()
    for inner in ("plan", "kafka"):
        found.pop(inner)
    if isinstance(found["sources"], Unknown):
        found["sources"] = replace(found["sources"], told=True)  # by the check of that name
    return Facts(settings, limits, **found)


def _begin_kafka(looks: _Looks, settings: Settings, limits: Thresholds, no_broker: SegueError | None) -> None:
    from segue_agents.doctor.checks.flow import held_up
    from segue_agents.doctor.looks import records
    from segue_agents.doctor.looks.kafka import Kafka

    def connect() -> Kafka:
        if no_broker is not None:
            raise no_broker
        return Kafka(settings)

    def look_again(kafka: Kafka, topics: Any, first: Look) -> Look:
        time.sleep(max(0.0, first.at_s + limits.looks_apart_s - time.monotonic()))
        return kafka.look(topics)

    def open_since(first: Look, second: Look) -> dict[Partition, int]:
        return records.first_of(settings, held_up(first, second))

    looks.begin("kafka", connect)
    looks.begin("cluster", Kafka.cluster, "kafka")
    looks.begin("apis", lambda kafka, _cluster: kafka.apis(), "kafka", "cluster")
    looks.begin("broker_config", lambda kafka, _cluster: kafka.broker_config(), "kafka", "cluster")
    looks.begin("topics", lambda kafka, _cluster, sources: kafka.topics(sources), "kafka", "cluster", "sources")
    looks.begin("group", lambda kafka, _cluster: kafka.group(), "kafka", "cluster")
    looks.begin(
        "topic_configs",
        lambda kafka, topics: kafka.topic_configs([n for n, t in topics.items() if t.exists]),
        "kafka",
        "topics",
    )
    looks.begin("first", Kafka.look, "kafka", "topics")
    looks.begin("second", look_again, "kafka", "topics", "first")
    looks.begin("open_since_ms", open_since, "first", "second")


class _Looks:
    """Name -> what comes of it."""

    def __init__(self, within_s: float) -> None:
        self._until = time.monotonic() + within_s
        self._found: dict[str, Future[Any]] = {}

    def begin(self, name: str, function: Callable[..., Any], *needs: str) -> None:
        """Calls the function with what came of those it needs, on a daemon: one that hangs holds up nobody's exit."""
        result: Future[Any] = Future()
        waits_for = [self._found[need] for need in needs]
        self._found[name] = result

        def run() -> None:
            values = [f.result() for f in waits_for]
            unknown = next((v for v in values if isinstance(v, Unknown)), None)
            if unknown is not None:
                result.set_result(Unknown(unknown.why, unknown.fix, unknown.unreachable, told=True))
                return
            result.set_result(_tried(function, values))

        threading.Thread(target=run, name=f"doctor {name}", daemon=True).start()

    def end(self) -> dict[str, Any]:
        """All, at the deadline at the latest."""
        found = {}
        for name, result in self._found.items():
            try:
                found[name] = result.result(max(0.0, self._until - time.monotonic()))
            except Late:
                found[name] = TOO_LATE
        return found


def _tried(function: Callable[..., Any], values: list[Any]) -> Any:
    try:
        return function(*values)
    except ConnectionError as error:
        return Unknown(str(error), unreachable=True, told=True)
    except SegueError as error:
        return Unknown(error.what.partition("\n")[0], error.to_do)  # of a rule: where it is, without the line underlined
    except Exception as error:  # noqa: BLE001 (whatever it is, the other looks go on)
        kafka_says = getattr(error.args[0], "str", None) if error.args else None
        said = kafka_says() if callable(kafka_says) else f"{type(error).__name__}: {error}"
        return Unknown(said, _RIGHTS if "authoriz" in said.lower() else "")
