"""deploy/kubernetes: objects that fit each other, the image and the settings. No cluster is asked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.files import KUBERNETES, dockerfile, image_environment, kubernetes_objects
from tests.deploy.test_compose import longest_drain_s

from segue_agents.key_values import read_key_values
from segue_agents.rule_files import load_plan

OBJECTS = {loaded["kind"]: loaded for _, loaded in kubernetes_objects()}
SPEC: dict[str, Any] = OBJECTS["StatefulSet"]["spec"]
POD: dict[str, Any] = SPEC["template"]["spec"]
WORKER: dict[str, Any] = POD["containers"][0]
LABELS = SPEC["template"]["metadata"]["labels"]
SECRET = OBJECTS["Secret"]["stringData"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
def test_kustomize_puts_them_together() -> None:
    """`kubectl kustomize` builds the folder: every object once, in the namespace, the image with a registry and a tag."""
    said = subprocess.run(["kubectl", "kustomize", KUBERNETES], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    built = [loaded for loaded in yaml.safe_load_all(said.stdout) if loaded]
    assert sorted(o["kind"] for o in built) == [
        "ConfigMap", "ConfigMap", "Namespace", "PodDisruptionBudget", "Service", "StatefulSet",
    ]  # fmt: skip
    assert {o["metadata"].get("namespace") for o in built if o["kind"] != "Namespace"} == {"segue"}
    (pod,) = (o["spec"]["template"]["spec"] for o in built if o["kind"] == "StatefulSet")
    assert pod["containers"][0]["image"] == "registry.example.com/segue:0.1.0"
    named = {o["metadata"]["name"] for o in built if o["kind"] == "ConfigMap"}
    used = {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
    assert used | {f["configMapRef"]["name"] for f in pod["containers"][0]["envFrom"]} == named, "a change restarts the pods"


def test_they_select_the_pods() -> None:
    """Service, budget and monitor choose by labels that the pods have."""
    selectors = [SPEC["selector"]["matchLabels"], OBJECTS["Service"]["spec"]["selector"]]
    selectors += [OBJECTS[kind]["spec"]["selector"]["matchLabels"] for kind in ("PodDisruptionBudget", "PodMonitor")]
    assert all(selector.items() <= LABELS.items() for selector in selectors)
    assert SPEC["serviceName"] == OBJECTS["Service"]["metadata"]["name"]


def test_ports_and_probes_meet() -> None:
    """One port, by its name, everywhere; the three probes ask the three pages."""
    (port,) = WORKER["ports"]
    settings = dict(line.split("=", 1) for line in (KUBERNETES / "segue.env").read_text().splitlines() if "=" in line)
    assert str(port["containerPort"]) == settings["SEGUE_WEB_PORT"] == image_environment()["SEGUE_WEB_PORT"]
    (service_port,) = OBJECTS["Service"]["spec"]["ports"]
    (endpoint,) = OBJECTS["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert {service_port["targetPort"], endpoint["port"]} == {port["name"]}
    asked = {kind: WORKER[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {kind: get["path"] for kind, get in asked.items()} == {
        "startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz",
    }  # fmt: skip
    assert {get["port"] for get in asked.values()} == {port["name"]}


def test_a_pod_has_the_time_to_end() -> None:
    """The longest drain fits into the grace period."""
    assert POD["terminationGracePeriodSeconds"] >= longest_drain_s()


def test_a_pod_is_shut_in_as_the_restricted_standard_wants() -> None:
    """The namespace enforces it, so a pod that is not would not start."""
    assert OBJECTS["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    context, own = POD["securityContext"], WORKER["securityContext"]
    user = next(i.says for i in dockerfile()[-1] if i.name == "USER")
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert context["runAsNonRoot"] is True and context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert POD["automountServiceAccountToken"] is False


def test_a_slot_is_the_pods_and_so_is_its_disk() -> None:
    """The name of a StatefulSet's pod stays over restarts, as its disk does; the state is on that disk."""
    env = {e["name"]: e for e in WORKER["env"]}
    assert env["SEGUE_SLOT"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    mounts = {m["name"]: m["mountPath"] for m in WORKER["volumeMounts"]}
    (claim,) = SPEC["volumeClaimTemplates"]
    assert mounts[claim["metadata"]["name"]] == env["SEGUE_DATA_DIR"]["value"]
    assert mounts["rules"] == env["SEGUE_RULES"]["value"]
    assert set(mounts) == {v["name"] for v in POD["volumes"]} | {claim["metadata"]["name"]}


def test_every_secret_file_that_is_named_is_in_the_secret() -> None:
    """What variables, and the files themselves, point at is a key of the example, and none has a value."""
    folder = next(m["mountPath"] for m in WORKER["volumeMounts"] if m["name"] == "secrets")
    named = [e["value"] for e in WORKER["env"] if str(e.get("value", "")).startswith(folder)]
    named += [word for text in SECRET.values() for word in text.replace("=", " ").split() if word.startswith(folder)]
    assert {Path(path).name for path in named} == set(SECRET)
    (volume,) = (v for v in POD["volumes"] if v["name"] == "secrets")
    assert volume["secret"]["secretName"] == OBJECTS["Secret"]["metadata"]["name"]
    assert all("REPLACE" in text for text in SECRET.values())


@pytest.mark.parametrize("name", [name for name in SECRET if name.endswith(".properties")])
def test_a_secret_of_properties_can_be_read(name: str, tmp_path: Path) -> None:
    """By what reads it in a worker."""
    (tmp_path / name).write_text(SECRET[name])
    assert len(read_key_values(tmp_path / name, name)) >= 2


def test_rules_are_read_where_a_config_map_lies(tmp_path: Path) -> None:
    """The kubelet lays a ConfigMap as links over a hidden folder that it swaps; each rule is read once."""
    versioned = tmp_path / "..2026_11_28"
    shutil.copytree(KUBERNETES / "rules", versioned)
    (tmp_path / "..data").symlink_to(versioned.name)
    for rule in versioned.iterdir():
        (tmp_path / rule.name).symlink_to(Path("..data") / rule.name)
    assert [segment.name for segment in load_plan(tmp_path).segments] == ["behavior_high_intent"]
