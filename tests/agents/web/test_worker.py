"""A real worker asked over its port: while it restores, runs, hangs, stands by and stops."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from confluent_kafka import Producer
from tests.agents.worker.conftest import App, wait_until

from segue_agents.web.address import read_addresses

TOKEN = "a-token-that-is-long-enough"
CANARY = "canary-anna@example.com"
HANGS_AND_RESTORES_SLOWLY = """
import os, time, segue_agents.status
from segue.engine import PartitionState
from segue_agents.state.recovery import Recovery
segue_agents.status.LOOP_LIMIT_S = 1.0
recover, step = Recovery.recover, PartitionState.step
def slowly(self, index, *rest):
    self.progress(index, 0.25, 300)
    while os.path.exists({folder!r} + "/restores") and not self.cancelled.is_set():
        time.sleep(0.05)
    return recover(self, index, *rest)
def hanging(self, batch):
    while os.path.exists({folder!r} + "/hangs"):
        time.sleep(0.05)
    return step(self, batch)
Recovery.recover, PartitionState.step = slowly, hanging
"""


@pytest.fixture
def app(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[App]:
    made = App(broker, topic_prefix, tmp_path)
    yield made
    for worker in made.workers.values():
        worker.kill()
        worker.wait(10)


def ask(app: App, path: str, slot: str = "0", accept: str = "*/*", token: str | None = TOKEN) -> tuple[int, str]:
    """0: nobody answers."""
    addresses = read_addresses(app.settings.data_dir, app.settings.app_id)
    if slot not in addresses:
        return 0, ""
    request = urllib.request.Request(addresses[slot].url + path, headers={"Accept": accept})
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (URLError, ConnectionError):
        return 0, ""


def command(app: App, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SEGUE_WEB")} | {"SEGUE_WEB_TOKEN": token}
    run = [sys.executable, "-m", "segue_agents.cli", "status", "--data-dir", str(app.settings.data_dir),
           "--app-id", app.settings.app_id, *arguments]  # fmt: skip
    return subprocess.run(run, capture_output=True, text=True, timeout=60, env=environ, check=False)


def rubbish(app: App, records: int, partition: int) -> None:
    producer = Producer({"bootstrap.servers": app.settings.bootstrap})
    for _ in range(records):
        producer.produce(f"{app.prefix}site-events", CANARY.encode(), CANARY.encode(), partition=partition)
    producer.flush(10)


def test_a_worker_says_how_it_stands(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its restore, a stopped partition, an event loop that hangs, its end; and never a person's id."""
    token = app.folder / "token"
    token.write_text(TOKEN)
    monkeypatch.setenv("SEGUE_WEB_TOKEN_FILE", str(token))
    restores, hangs = app.folder / "restores", app.folder / "hangs"
    restores.touch()
    app.publish(200)
    app.send("Product Viewed", CANARY, app._now_ms)
    app.publisher.close()
    rubbish(app, 200, partition=0)
    app.start(plant=HANGS_AND_RESTORES_SLOWLY.format(folder=str(app.folder)), breaker_consecutive=100)

    wait_until(lambda: "25 %" in ask(app, "/startupz")[1], "the restore's progress")
    code, body = ask(app, "/startupz", token=None)
    assert code == 503
    assert body.startswith("[-]restore failed: 25 %: 2 of 2 partitions are being restored (partition 0 25 %, partition 1 ")
    assert ask(app, "/livez", token=None) == (200, "ok\n")
    assert "[-]state failed: 25 %" in ask(app, "/readyz", token=None)[1]
    assert json.loads(ask(app, "/status.json")[1])["state"] == "restoring"
    restores.unlink()

    wait_until(lambda: ask(app, "/readyz")[0] == 200, "ready")
    assert ask(app, "/startupz", token=None) == (200, "ok\n")
    wait_until(lambda: "the breaker has stopped partition 0 (undecodable)" in ask(app, "/readyz?verbose")[1], "the breaker")
    assert ask(app, "/readyz")[0] == 200
    wait_until(app.changes, "changes")
    status_is_right(app)
    looked_at_from_the_terminal(app)

    hangs.touch()
    app.publish(50)  # of enough persons for both partitions
    wait_until(lambda: ask(app, "/livez")[0] == 503, "the loop hangs")
    assert re.search(r"\[-\]loop failed: the event loop has stood still for \d+ s", ask(app, "/livez", token=None)[1])
    assert ask(app, "/readyz")[0] == 503
    hangs.unlink()
    wait_until(lambda: ask(app, "/livez") == (200, "ok\n"), "the loop turns")

    assert CANARY not in "".join(ask(app, path, accept=kind)[1] for path in ("/status", "/metrics", "/readyz?verbose")
                                 for kind in ("text/html", "*/*"))  # fmt: skip
    assert app.end() == 0
    assert read_addresses(app.settings.data_dir, app.settings.app_id) == {}
    assert command(app).returncode == 3
    assert TOKEN not in app.log().read_text()


def status_is_right(app: App) -> None:
    """The document of a worker whose partition 0 is stopped, against what is known."""
    wait_until(lambda: json.loads(ask(app, "/status.json")[1])["partitions"][1]["lag_records"], "lag, told each second")
    found = json.loads(ask(app, "/status.json")[1])
    assert (found["app_id"], found["slot"], found["state"], found["ready"]) == (app.settings.app_id, "0", "running", True)
    assert found["pid"] == app.workers["0"].pid
    stopped, runs = found["partitions"]
    assert (stopped["state"], runs["state"]) == ("stopped", "running")
    assert stopped["stopped"]["topic"] == f"{app.prefix}site-events"
    assert stopped["stopped"]["reason"] == "undecodable"
    assert runs["persons"] > 0
    assert runs["engine_time_ms"] > 0
    assert set(runs["lag_records"]) <= {s.topic for s in app.catalog.sources}
    assert found["commits"]["last_ms"] >= runs["last_commit_ms"] > found["started_ms"]
    assert found["commits"]["count"] >= 1
    assert found["rules"]["segments"] == {"behavior_keen": 1, "behavior_abandoned": 1}
    (file,) = found["rules"]["files"]
    assert file["segments"] == ["behavior_keen", "behavior_abandoned"]
    assert found["settings"]["web_token_file"] == "set"
    assert any(line["event"] == "partition_stopped" for line in found["recent"])
    assert ask(app, "/status", token=None)[0] == ask(app, "/status.json", token="x" * 30)[0] == 401
    assert ask(app, "/graph")[0] == ask(app, "/router")[0] == 404
    assert "stopped" in ask(app, "/status", accept="text/html")[1]


def looked_at_from_the_terminal(app: App) -> None:
    """`segue status`: 1 for a stopped partition, and says which; JSON; refused without the token."""
    shown = command(app)
    assert shown.returncode == 1
    assert "slot 0: running, ready" in shown.stdout
    assert re.search(r"^  0 +stopped ", shown.stdout, re.MULTILINE)
    assert "Not well: slot 0" in shown.stderr
    (line,) = command(app, "--json").stdout.splitlines()
    assert json.loads(line)["partitions"][0]["state"] == "stopped"
    refused = command(app, token="another-token-of-some-length")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--token-file" in refused.stderr


def test_a_worker_too_many_stands_by_and_is_ready(app: App) -> None:
    """Two partitions, three workers: all are ready, none is alone without knowing."""
    for slot in "012":
        app.start(slot)
    wait_until(lambda: all(ask(app, "/readyz", slot)[0] == 200 for slot in "012"), "all ready")

    def shared() -> list[int]:
        return sorted(len(json.loads(ask(app, "/status.json", slot)[1])["partitions"]) for slot in "012")

    wait_until(lambda: shared() == [0, 1, 1], "one partition each, and one without")
    wait_until(lambda: all(ask(app, "/readyz", slot)[0] == 200 for slot in "012"), "all ready")
    assert any("stands by" in ask(app, "/readyz?verbose", slot)[1] for slot in "012")


def test_a_port_open_to_others_without_a_secret_is_refused_before_kafka_is_asked(app: App) -> None:
    """Exit code 2, and what to do, though there is no Kafka where it is said to be."""
    app.start(bootstrap="127.0.0.1:1", web_host="0.0.0.0")
    assert app.exit_code() == 2
    assert app.said("other machines could read the status page")
    assert app.said("web_auth=closed")
