"""The dashboards: committed as generated, of metrics that are there, and in Grafana's own shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models
from monitoring.dashboards import DASHBOARDS, FOLDER, written
from monitoring.panels import NoSuchMetricError, Panel, Query, Row, as_json, expressions, metric_of, metrics_in, selected

from segue_agents.metrics import METRICS

PROVISIONING: Final = FOLDER.parent / "provisioning"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_committed_as_generated(dashboard: Any) -> None:
    """`python -m monitoring.dashboards` changes nothing."""
    assert (FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8") == written(dashboard)


def test_there_is_no_other_file() -> None:
    """A dashboard that is no longer made is deleted."""
    assert {file.name for file in FOLDER.iterdir()} == {f"{dashboard.name}.json" for dashboard in DASHBOARDS}


def test_every_metric_is_on_a_dashboard() -> None:
    """What is worth counting is worth showing."""
    shown = {m.name for d in DASHBOARDS for _, expr in expressions(as_json(d)) for m in metrics_in(expr)}
    assert shown == {m.name for m in METRICS}


@pytest.mark.parametrize("series", ["segue_lag", "segue_event_to_segment_latency_seconds", "segue_commits_total_sum"])
def test_a_metric_that_is_not_there_is_refused(series: str) -> None:
    """Unknown; a histogram by its bare name, which no page has; a counter as if it were a histogram."""
    panel = Panel("x", "s", (Query(f"max({series})"),))
    with pytest.raises(NoSuchMetricError, match=series):
        as_json(DASHBOARDS[0]._replace(rows=(Row("x", (panel,)),)))


def test_selectors_of_job_and_instance_are_put_in() -> None:
    """With and without a selector of its own; series that are not ours are left alone."""
    asked = 'max(segue_ready) / sum(segue_store_full{partition="1"}) + up'
    assert selected(asked) == (
        'max(segue_ready{job=~"$job", instance=~"$instance"}) / '
        'sum(segue_store_full{partition="1", job=~"$job", instance=~"$instance"}) + up'
    )
    assert metric_of("segue_commit_duration_seconds_bucket").name == "commit_duration_seconds"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_grafana_knows_every_key(file: Path) -> None:
    """Read into the models that Grafana generates from its own schema and written out again, nothing is lost or changed.

    They drop what they do not know, so a misspelt key would be missing; an unknown type of panel has plain dicts inside.
    """
    register_default_plugins()
    ours = json.loads(file.read_text(encoding="utf-8"))
    model = models.Dashboard.from_json(ours)
    assert lost(ours, json.loads(JSONEncoder(sort_keys=True).encode(model))) == []
    for panel in model.panels or []:
        assert isinstance(panel, models.RowPanel) or not isinstance(panel.options, dict), panel.type_val


def test_a_misspelt_key_is_seen() -> None:
    """What the test above rests on."""
    register_default_plugins()
    ours = as_json(DASHBOARDS[0])
    panel = next(p for p in ours["panels"] if p["type"] == "timeseries")
    panel["options"]["legnd"] = panel["fieldConfig"]["defaults"]["custom"]["lineWdth"] = panel["targets"][0]["exprr"] = 1
    back = json.loads(JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(ours)))
    assert {where.rpartition("/")[2] for where in lost(ours, back)} == {"legnd", "lineWdth", "exprr"}


def lost(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where the second does not say what the first says."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            gone
            for key, value in ours.items()
            for gone in ([f"{where}/{key}"] if key not in theirs else lost(value, theirs[key], f"{where}/{key}"))
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [gone for i, pair in enumerate(zip(ours, theirs, strict=True)) for gone in lost(*pair, f"{where}/{i}")]
    return [] if ours == theirs else [where]


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    """Within a dashboard; and each is inside the grid."""
    for dashboard in DASHBOARDS:
        panels = as_json(dashboard)["panels"]
        assert len({p["id"] for p in panels}) == len({p["title"] for p in panels if p["type"] != "row"}) + len(
            dashboard.rows
        )
        taken = set[tuple[int, int]]()
        for at in (p["gridPos"] for p in panels):
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken and at["x"] + at["w"] <= 24
            taken |= cells


def test_provisioning_names_one_datasource_and_the_folder() -> None:
    """Grafana's file format, version 1; the folder is where docker-compose.yml puts the dashboards."""
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "segue.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "segue.yaml").read_text())["providers"]
    assert (provider["type"], provider["options"]) == ("file", {"path": "/var/lib/grafana/dashboards"})
