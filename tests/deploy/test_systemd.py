"""deploy/systemd/segue@.service, by systemd itself where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.files import UNIT, seconds
from tests.deploy.test_compose import longest_drain_s

from segue_agents.commit.reactions import RESTART_EXIT_CODE

TEXT = UNIT.read_text(encoding="utf-8")
EXPOSURE_AT_MOST = 2.0
"""of `systemd-analyze security`; a service that says nothing has 9.6"""


def value(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", TEXT, re.MULTILINE)
    return str(found)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_it(tmp_path: Path) -> None:
    """It finds nothing wrong, and little that could be shut and is not."""
    program = tmp_path / "segue"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("segue@.service", "segue@0.service"):
        (tmp_path / name).write_text(TEXT.replace("/opt/segue/bin/segue", str(program)))
    unit = str(tmp_path / "segue@0.service")
    verify = ["systemd-analyze", "verify", "--man=no", unit]
    said = subprocess.run(verify, capture_output=True, text=True, check=False, timeout=60)
    assert (said.returncode, said.stderr) == (0, "")
    judged = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True,
                            text=True, check=False, timeout=60)  # fmt: skip
    exposure = re.search(r"exposure level for \S+: (\d+\.\d)", judged.stdout)
    assert exposure is not None, judged.stdout + judged.stderr
    assert float(exposure[1]) <= EXPOSURE_AT_MOST, judged.stdout


def test_it_is_started_again_when_that_can_help() -> None:
    """After a failure, but not after wrong settings (2) or a state that is not to be trusted (4); 75 asks for it."""
    assert value("Restart") == "on-failure"
    kept = set(map(int, value("RestartPreventExitStatus").split()))
    assert kept == {2, 4}
    assert RESTART_EXIT_CODE not in kept


def test_it_is_given_the_time_to_end() -> None:
    """The longest drain fits."""
    assert float(value("TimeoutStopSec")) >= longest_drain_s()


def test_the_instance_is_the_slot_and_the_port() -> None:
    """Two instances of a machine share neither."""
    environment = " ".join(re.findall(r"^Environment=(.*)$", TEXT, re.MULTILINE))
    assert "SEGUE_SLOT=%i" in environment and "SEGUE_WEB_PORT=946%i" in environment
    assert "SEGUE_DATA_DIR=%S/" + value("StateDirectory") in environment
    assert seconds(value("RestartSec") + "s") > 0
