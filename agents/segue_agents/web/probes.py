"""A `Status` judged: is the worker alive, ready, started.

Alive means that a restart would not help. So it knows nothing of Kafka: while that is away, a restarted worker is no
better off. Ready means that the worker does all it has to. A partition which the breaker has stopped, or which waits for
room on its disk, is said and changes nothing: its neighbours are worked off, a new process would come to the same point,
and an unready pod would hold up the very rollout that brings the remedy, and the draining of nodes. Alerts are for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from segue_agents.status import Status


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    says: str = ""
    """why not; or, of one that is ok, what ought to be known all the same"""

    @property
    def line(self) -> str:
        """As Kubernetes' own health pages have it."""
        mark, word = ("[+]", "ok") if self.ok else ("[-]", "failed")
        return f"{mark}{self.name} {word}" + (f": {self.says}" if self.says else "")


def alive(status: Status) -> list[Check]:
    """The loop turns, the watchdog watches, and nothing is stuck that it should have ended."""
    pulse = status.pulse
    return [
        _within("loop", pulse.loop_s, pulse.loop_limit_s, "the event loop has stood still"),
        _within("watchdog", pulse.watchdog_s, pulse.watchdog_limit_s, "nobody has looked after the worker"),
        _within("poll", pulse.polled_s, pulse.polled_limit_s, "Kafka's consumer has not been polled"),
        _within("commit", pulse.waiting_s, pulse.waiting_limit_s, "a commit has not come to its end"),
        Check("agent", status.failure is None, f"it has failed with {status.failure}" if status.failure else ""),
    ]


def ready(status: Status) -> list[Check]:
    """Partitions are assigned and their states are back, there is a producer, and commits come through."""
    waiting_s, commits = status.commits.waiting_s, status.commits
    late = waiting_s is not None and waiting_s > commits.expected_within_s
    return [
        Check("loop", status.pulse.loop_s <= status.pulse.loop_limit_s, _since(status.pulse.loop_s)),
        _going_on(status),
        Check("session", status.joined, "" if status.joined else "the consumer group has not said which partitions are "
              "this worker's"),
        Check("producer", status.producer_open, "" if status.producer_open else "there is no producer that the broker "
              "has accepted"),
        _assigned(status),
        Check("state", not status.restoring, _restoring(status)),
        Check("commit", not late, f"something has waited {waiting_s:.0f} s to be committed" if late and waiting_s else ""),
        Check("stopped", True, _stopped(status)),
        Check("disk", True, _waits_for_disk(status)),
    ]  # fmt: skip


def is_ready(status: Status) -> bool:
    """What /readyz and the metric `segue_ready` say."""
    return all(check.ok for check in ready(status))


def started(status: Status) -> list[Check]:
    """All states have been back once; later restores are for `ready`."""
    if status.was_restored:
        return [Check("restore", True)]
    if not status.joined:
        return [Check("restore", False, "0 %: no partitions are assigned yet")]
    return [Check("restore", False, _restoring(status))]


PROBES: Final[Mapping[str, Callable[[Status], list[Check]]]] = {
    "/livez": alive, "/healthz": alive, "/readyz": ready, "/startupz": started,
}  # fmt: skip


def report(name: str, checks: list[Check], excluded: Iterable[str], verbose: bool) -> tuple[bool, str]:
    """Whether it is passed, and the body: `ok` alone if there is nothing to say, else a line a check.

    `excluded`: names of checks that are not to count. One that does not exist is said, and lets nothing pass.
    """
    names, known = set(excluded), {check.name for check in checks}
    passed = all(check.ok or check.name in names for check in checks)
    if passed and not verbose and not names - known:
        return True, "ok\n"
    lines = [f"[+]{check.name} excluded: ok" if check.name in names else check.line for check in checks]
    lines += [f"warn: there is no check {_plain(name)!r} to exclude" for name in sorted(names - known)[:5]]
    return passed, "\n".join([*lines, f"{name} check {'passed' if passed else 'failed'}"]) + "\n"


def _plain(name: str) -> str:
    return "".join(c for c in name if c.isascii() and c.isprintable())[:40]


def _within(name: str, seconds: float | None, limit_s: float, what: str) -> Check:
    if seconds is None or seconds <= limit_s:
        return Check(name, True)
    return Check(name, False, f"{what} for {seconds:.0f} s, at most {limit_s:.0f} s are well")


def _since(loop_s: float) -> str:
    return f"the event loop has stood still for {loop_s:.0f} s" if loop_s > 1 else ""


def _going_on(status: Status) -> Check:
    going = status.state not in ("stopping", "failed")
    return Check("running", going, "" if going else f"the worker is {status.state}")


def _assigned(status: Status) -> Check:
    # none is no fault: more workers than partitions, and the rest stand by
    says = "" if status.partitions else "none; the worker stands by" if status.joined else "none yet"
    return Check("partitions", status.joined, says)


def _restoring(status: Status) -> str:
    left = status.restoring
    if not left:
        return ""
    percent = 100 * sum(p.restored_ratio for p in status.partitions) / len(status.partitions)
    each = ", ".join(f"partition {p.partition} {100 * p.restored_ratio:.0f} %" for p in left[:10])
    more = f" and {len(left) - 10} more" if len(left) > 10 else ""
    return f"{percent:.0f} %: {len(left)} of {len(status.partitions)} partitions are being restored ({each}{more})"


def _stopped(status: Status) -> str:
    stopped = [p for p in status.partitions if p.state == "stopped"]
    if not stopped:
        return ""
    which = ", ".join(f"{p.partition} ({p.stopped.reason})" for p in stopped if p.stopped is not None)
    return f"the breaker has stopped partition {which}; a restart alone does not help, see /status"


def _waits_for_disk(status: Status) -> str:
    waiting = [str(p.partition) for p in status.partitions if p.state == "waits_for_disk"]
    return f"partition {', '.join(waiting)} waits for room on the disk" if waiting else ""
