"""The demo, whole: a real Kafka, a real worker, and what is left of them afterwards."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GONE_WITHIN_S = 25


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "segue_agents.cli", "demo", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder), "TZ": "UTC", "NO_COLOR": "1"}, start_new_session=True,
    )  # fmt: skip


def wait_until_open(demo: subprocess.Popen[str]) -> str:
    assert demo.stderr is not None
    said = ""
    for line in demo.stderr:
        said += line
        if "^C ends" in line:
            return said
    pytest.fail(f"the demo ended before the shop opened:\n{said}")


def still_running(folder: Path) -> list[str]:
    """Command lines of processes that have anything to do with the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def assert_nothing_left(folder: Path) -> None:
    until = time.monotonic() + GONE_WITHIN_S
    while (left := still_running(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def test_a_cart_is_abandoned_within_seconds_and_told_in_words(tmp_path: Path) -> None:
    """The whole promise: changes in words, progress and the metrics' address, what to try next, nothing left behind."""
    demo = start(tmp_path, "--seconds", "14")
    out, log = demo.communicate(timeout=100)
    assert demo.returncode == 0, log
    lines = out.splitlines()
    carts = [line for line in lines if "ada    entered  behavior_cart_abandon" in line]
    assert len(carts) == 1, out
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d  ada    entered  behavior_cart_abandon  30 min after her last cart change; "
        r"ends \d\d:\d\d on [A-Z][a-z]{2} \d+ if nothing happens; abandoned cart: trail-shoe",
        carts[0],
    )
    assert all(re.match(r"\d\d:\d\d:\d\d  [a-z]+ +(entered|exited ) +[a-z_]+ +\S", line) for line in lines), out
    assert "starting Kafka" in log
    assert re.search(r"metrics at http://127\.0\.0\.1:\d+/metrics", log)
    assert "segue watch" in log
    assert "correct" not in out, "an event of the shop was late"
    assert list(tmp_path.iterdir()) == []
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["^C", "terminated", "hung up"])
def test_an_interrupted_demo_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    """^C, a kill or a closed terminal end worker and Kafka in good order and say what to try next."""
    demo = start(tmp_path)
    wait_until_open(demo)
    assert len(still_running(tmp_path)) >= 2
    demo.send_signal(number)
    _, log = demo.communicate(timeout=40)
    assert demo.returncode == 0, log
    assert "Next:" in log
    assert_nothing_left(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="Kafka's end with its parent's is the kernel's doing on Linux only")
def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """kill -9 gives no chance to clean up: worker and Kafka end by themselves."""
    demo = start(tmp_path)
    wait_until_open(demo)
    demo.kill()
    demo.communicate(timeout=10)
    assert_nothing_left(tmp_path)


def test_a_wrong_rule_is_said_before_anything_is_started(tmp_path: Path) -> None:
    """--rules with a mistake: the rule's error, exit 2, no Kafka."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("segment: behavior_x\nwhen: did nothing_known ever\n")
    demo = start(tmp_path, "--rules", str(wrong))
    _, log = demo.communicate(timeout=30)
    assert demo.returncode == 2
    assert "unknown event" in log
    assert "starting Kafka" not in log
