"""docker-compose.yml, as Docker would read it, and what it promises."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.files import COMPOSE, ROOT, compose, seconds

from segue_agents.settings import Settings
from segue_agents.worker.watchdog import Watchdog

SERVICES: dict[str, dict[str, Any]] = compose({})["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "segue:local"]
LASTING = [name for name, service in SERVICES.items() if service.get("restart") == "unless-stopped"]
WITHOUT_HEALTH = {"init", "shop", "watch"}
"""one ends by itself, the others serve nothing that could be asked"""


def has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False, timeout=20).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="there is no `docker compose` here")
def test_docker_compose_takes_it() -> None:
    """The client itself reads the file, all profiles on, and finds nothing wrong."""
    said = subprocess.run(
        ["docker", "compose", "-f", COMPOSE, "--profile", "*", "config", "--quiet"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (said.returncode, said.stderr.strip()) == (0, "")


def test_the_default_is_small() -> None:
    """Without a profile: Kafka, registry, init, worker, shop; the others are asked for."""
    assert {n for n, s in SERVICES.items() if "profiles" not in s} == {"kafka", "registry", "init", "worker", "shop"}
    assert {p for s in SERVICES.values() for p in s.get("profiles", ())} == {"observability", "ui", "watch"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_bounded_and_shut_in(name: str) -> None:
    """Each has a health check, a memory limit, a bounded log, no new privileges, and ports of this machine alone."""
    service = SERVICES[name]
    if name in WITHOUT_HEALTH:
        assert service["healthcheck"] == {"disable": True}
    else:
        health = service["healthcheck"]
        assert health["test"][0] == "CMD", "in exec form: no shell whose absence would look like illness"
        assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= set(health)
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "${" not in service["image"] and service["image"].rpartition(":")[2] not in ("", "latest")


@pytest.mark.parametrize("name", OURS)
def test_ours_write_nowhere_but_where_they_must(name: str) -> None:
    """A root that cannot be written, no capabilities; volumes alone are writable."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_given_time_to_end(name: str) -> None:
    """Each has a grace period of its own choice; the worker's is at least what its watchdog may take."""
    grace_s = seconds(SERVICES[name]["stop_grace_period"])
    assert grace_s >= 10
    if name == "worker":
        assert grace_s >= longest_drain_s()


def longest_drain_s() -> float:
    """The watchdog drops the work after its limit, and ends the process after as long again."""
    settings = Settings()
    watchdog = Watchdog(settings.commit_interval_ms, settings.transaction_timeout_ms, settings.max_poll_interval_ms)
    return 2 * watchdog.limit_s


def test_who_waits_for_whom_can_be() -> None:
    """Nobody waits for a service without a health check to be healthy, or for one that lasts to have ended."""
    for service in SERVICES.values():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert other not in WITHOUT_HEALTH
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert other not in LASTING
            assert "profiles" not in SERVICES[other] or SERVICES[other]["profiles"] == service["profiles"]


def test_what_is_mounted_is_there() -> None:
    """Every folder and file of the repository that a container is given exists, and is only read; volumes are named."""
    named = compose({})["volumes"]
    missing = []
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert rest.endswith(":ro")
                missing += [source] if not (ROOT / source).exists() else []
            else:
                assert source in named
    assert missing == []


def test_prometheus_and_grafana_find_what_is_mounted() -> None:
    """The rules that prometheus.yml names are below its folder; the provider reads dashboards where they are mounted; the
    worker is scraped at its port."""
    mounts = {s.partition(":")[0]: s.split(":")[1] for n in ("prometheus", "grafana") for s in SERVICES[n]["volumes"]}
    prometheus = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    folder = Path(mounts["./monitoring/prometheus.yml"]).parent
    assert {str((folder / pattern).parent) for pattern in prometheus["rule_files"]} == {mounts["./monitoring/rules"]}
    (job,) = prometheus["scrape_configs"]
    assert {(name, c["port"]) for c in job["dns_sd_configs"] for name in c["names"]} == {("worker", 9464)}
    provisioning = ROOT / "monitoring" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load(next((provisioning / "dashboards").glob("*.y*ml")).read_text())["providers"]
    assert provider["options"]["path"] == mounts["./monitoring/grafana/dashboards"]
    (source,) = yaml.safe_load(next((provisioning / "datasources").glob("*.y*ml")).read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_secrets_are_files_that_git_does_not_see(tmp_path: Path) -> None:
    """The script makes every secret that is named, once, and none of them can be committed."""
    files = [Path(secret["file"]) for secret in compose({})["secrets"].values()]
    script = tmp_path / "deploy" / "compose-secrets.sh"
    script.parent.mkdir()
    shutil.copyfile(ROOT / "deploy" / "compose-secrets.sh", script)
    for _ in range(2):
        subprocess.run(["/bin/sh", script], check=True, timeout=20, cwd="/")
        made = {file: (tmp_path / file).read_text() for file in files}
    subprocess.run(["/bin/sh", script], check=True, timeout=20, cwd="/")
    assert made == {file: (tmp_path / file).read_text() for file in files}
    assert all(len(secret) == 64 for secret in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert all((tmp_path / file).stat().st_mode & 0o777 == 0o644 for file in files), "other users read them in containers"
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode != 128:  # no git, no checkout
        assert ignored.stdout.split() == [str(file) for file in files]
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(compose({})["secrets"])


def test_addresses_are_those_of_services() -> None:
    """Every kafka:PORT and registry:PORT in it is a listener, or a port, of that service."""
    listeners = SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    for service in SERVICES.values():
        words = [str(v) for v in service.get("environment", {}).values()]
        words += [str(word) for word in service.get("command", ())]
        for word in words:
            if word.startswith("kafka:"):
                assert f"INTERNAL://:{word.partition(':')[2]}" in listeners
            if word.startswith("http://registry:"):
                port = SERVICES["registry"]["environment"]["QUARKUS_HTTP_PORT"]
                assert word == f"http://registry:{port}/apis/ccompat/v7"
