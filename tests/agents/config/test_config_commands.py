"""`segue config show`, `check` and `pseudonym`: the real command, in a process of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

from segue_agents.logs import pseudonyms
from segue_agents.settings import table

SECRET = "hunter2-hunter2-hunter2"


def segue(folder: Path, *arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SEGUE_")}
    return subprocess.run(
        [sys.executable, "-m", "segue_agents.cli", *arguments],
        capture_output=True, text=True, check=False, cwd=folder, timeout=60, env=clean | environment, input=given,
    )  # fmt: skip


def test_show_tells_every_setting_and_its_origin_and_no_secret(tmp_path: Path) -> None:
    """As a table and as JSON; librdkafka's properties below."""
    (tmp_path / "segue.toml").write_text(f'app_id = "shop"\nkafka.sasl.password = "{SECRET}"\nkafka.client.rack = "a"\n')
    environment = {"SEGUE_LOG_SECRET": SECRET, "SEGUE_REGISTRY_USER_INFO": f"me:{SECRET}"}
    table_ = segue(tmp_path, "config", "show", "--partitions", "7", **environment)
    assert table_.returncode == 0, table_.stderr
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in table_.stdout.splitlines()}
    assert lines["app_id"] == ["shop", "segue.toml"]
    assert lines["partitions"] == ["7", "flag --partitions"]
    assert lines["log_secret"] == ["***", "SEGUE_LOG_SECRET"]
    assert lines["kafka.sasl.password"] == ["***", "segue.toml"]
    assert lines["kafka.client.rack"] == ["a", "segue.toml"]
    assert lines["commit_interval_ms"] == ["1000", "default"]

    as_json = segue(tmp_path, "config", "show", "--json", **environment)
    shown = json.loads(as_json.stdout)
    assert list(shown["settings"]) == [row.name for row in table()]
    assert shown["settings"]["commit_interval_ms"] == {"value": 1000, "unit": "ms", "origin": "default"}
    assert shown["kafka"]["sasl.password"] == {"value": "***", "origin": "segue.toml"}
    assert "hunter2" not in table_.stdout + table_.stderr + as_json.stdout + as_json.stderr


def test_check_says_everything_at_once_and_exits_2(tmp_path: Path) -> None:
    """Or that all is right; risks are no problems."""
    wrong = segue(tmp_path, "config", "check", "--partitions", "0", SEGUE_APPID="x", SEGUE_KAFKA_ACKS="0")
    assert wrong.returncode == 2
    for one in ("Did you mean SEGUE_APP_ID?", "partitions is 0", "acks (SEGUE_KAFKA_ACKS) is refused"):
        assert one in wrong.stderr
    as_json = segue(tmp_path, "config", "check", "--json", "--partitions", "0", SEGUE_APPID="x")
    assert as_json.returncode == 2
    assert len(json.loads(as_json.stdout)["problems"]) == 2

    risky = segue(tmp_path, "config", "check", "--json", SEGUE_KAFKA_DEBUG="broker")
    assert (risky.returncode, json.loads(risky.stdout)["problems"]) == (0, [])
    assert [w["property"] for w in json.loads(risky.stdout)["warnings"]] == ["debug"]

    clients = segue(tmp_path, "config", "check", SEGUE_KAFKA_SECURITY_PROTOCOL="SSL", SEGUE_KAFKA_SSL_KEY_PEM=SECRET,
                    SEGUE_REGISTRY="https://registry", SEGUE_REGISTRY_CONFIG="gone.properties")  # fmt: skip
    assert clients.returncode == 2
    assert "ssl.key.pem" in clients.stderr
    assert "registry_config gone.properties cannot be read" in clients.stderr
    assert "hunter2" not in clients.stderr


def test_a_secret_has_no_flag(tmp_path: Path) -> None:
    """A command line is read by everybody on the machine."""
    said = segue(tmp_path, "run", "--log-secret", SECRET)
    assert said.returncode == 2
    assert "No such option" in said.stderr


def test_a_bug_in_a_command_quotes_nobody(tmp_path: Path) -> None:
    """Where it is, not about whom."""
    (tmp_path / "rules.yaml").write_text("segment: behavior_b\nwhen: did page\n")
    code = (
        "import segue_agents.cli as cli, segue_agents.replay as replay\n"
        "def fails(*_, **__): raise KeyError('ada@example.org')\n"
        "replay.replay_changes = fails\ncli.main(['replay', '-', '--rules', 'rules.yaml'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60, input=""
    )
    assert done.returncode == 1
    assert "in fails\nKeyError: (its text is left out" in done.stderr, done.stderr
    assert "ada@example.org" not in done.stderr


def test_a_person_is_found_in_the_logs_by_the_apps_secret(tmp_path: Path) -> None:
    """From the settings, else from where the worker left it; the id may come from standard input."""
    assert "no worker of the app" in segue(tmp_path, "config", "pseudonym", "ada").stderr
    given = segue(tmp_path, "config", "pseudonym", "ada", SEGUE_LOG_SECRET=SECRET).stdout
    piped = segue(tmp_path, "config", "pseudonym", "-", given="ada\n", SEGUE_LOG_SECRET=SECRET).stdout
    pseudonyms.use_secret(SECRET)
    assert given == piped == pseudonyms.pseudonym(b"ada") + "\n"
    kept = pseudonyms.stored_secret(tmp_path / ".segue" / "segue")
    pseudonyms.use_secret(kept)
    assert segue(tmp_path, "config", "pseudonym", "ada").stdout == pseudonyms.pseudonym(b"ada") + "\n"


def test_workers_of_a_machine_agree_on_one_secret(tmp_path: Path) -> None:
    """Made once, however many ask at once, and readable by its owner alone."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(pseudonyms.stored_secret(tmp_path / "app"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(found[0]) == 64
    assert [f.name for f in (tmp_path / "app").iterdir()] == [pseudonyms.SECRET_FILE]
    assert stat.S_IMODE((tmp_path / "app" / pseudonyms.SECRET_FILE).stat().st_mode) == 0o600


def test_a_pseudonym_needs_its_secret() -> None:
    """Another secret, another name; the same, the same; never the id's own hash."""
    names = []
    for secret in (SECRET, "another", SECRET):
        pseudonyms.use_secret(secret)
        names.append(pseudonyms.pseudonym(b"ada"))
    assert names[0] == names[2] != names[1]
    assert names[0].startswith("person-")
    assert len(names[0]) == len("person-") + pseudonyms.DIGITS
