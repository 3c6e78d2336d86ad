"""Grafana's JSON from rows of panels. A panel can only name metrics that a worker has: any other name is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from segue_agents.metrics import METRICS, Metric

SELECTOR: Final = 'job=~"$job", instance=~"$instance"'
"""put into every selector of ours: the variables at the head of each dashboard"""
WIDTH: Final = 24
"""of Grafana's grid"""
SCHEMA_VERSION: Final = 38
SERIES: Final = re.compile(r"(?<![:\w])segue_[a-z0-9_]+\b(?!:)(?:\{([^}]*)\})?")
"""a series of a worker with its selector; what rules record has colons"""
_OF_HISTOGRAM: Final = re.compile(r"_(?:bucket|sum|count)$")
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["timeseries", "stat", "table", "state-timeline"]


class Query(NamedTuple):
    """One line of a panel."""

    expr: str
    """PromQL; the selector of job and instance is added"""
    legend: str = ""
    """may hold {{label}}"""


class Panel(NamedTuple):
    """One panel of a row; the rows share out the width."""

    title: str
    unit: str
    """Grafana's name of it: s, short, bytes, ops (a second), percentunit, bool"""
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    red_above: float | None = None
    """where it begins to be bad"""
    says: str = ""
    """before what the metrics' own list says"""
    stacked: bool = False


class Row(NamedTuple):
    """Panels side by side under a heading."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 8


class Variable(NamedTuple):
    """One more choice at the head of a dashboard, from a metric's label."""

    name: str
    metric: str


class Dashboard(NamedTuple):
    """One file."""

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


class NoSuchMetricError(Exception):
    """A panel names a metric that is not in the list."""


def metric_of(series: str) -> Metric:
    """The metric of the list that a series' name (`segue_x_bucket`) belongs to. Raises NoSuchMetricError."""
    for metric in METRICS:
        name = f"segue_{metric.name}"
        if series == name and metric.type != "histogram":
            return metric
        if metric.type == "histogram" and _OF_HISTOGRAM.search(series) and _OF_HISTOGRAM.sub("", series) == name:
            return metric
    raise NoSuchMetricError(f"{series} is not a series of any metric in segue_agents.metrics")


def metrics_in(expr: str) -> list[Metric]:
    """The metrics that an expression reads, in its order. Raises NoSuchMetricError."""
    return [metric_of(found[0].partition("{")[0]) for found in SERIES.finditer(expr)]


def selected(expr: str) -> str:
    """The expression for the jobs and instances that were chosen."""
    return SERIES.sub(lambda m: f"{m[0].partition('{')[0]}{{{', '.join(filter(None, (m[1], SELECTOR)))}}}", expr)


def as_json(dashboard: Dashboard) -> dict[str, Any]:
    """What Grafana takes."""
    panels, at = [], 0
    for row in dashboard.rows:
        panels.append({"type": "row", "title": row.title, "collapsed": False, "panels": [],
                       "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": at}})  # fmt: skip
        panels += _side_by_side(row, at + 1)
        at += 1 + row.height
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "uid": f"segue-{dashboard.name}", "title": dashboard.title, "description": dashboard.says, "tags": ["segue"],
        "schemaVersion": SCHEMA_VERSION, "editable": True, "timezone": "browser", "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"}, "graphTooltip": 1,
        "links": [{"title": "Segue", "type": "dashboards", "tags": ["segue"], "asDropdown": True, "includeVars": True,
                   "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
        "templating": {"list": [_datasource(), *_choices(dashboard.variables)]},
        "panels": panels,
    }  # fmt: skip


def expressions(made: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(panel's title, PromQL) of a dashboard's JSON."""
    for panel in made["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def _side_by_side(row: Row, top: int) -> list[dict[str, Any]]:
    width = WIDTH // len(row.panels)
    return [_panel(panel, {"h": row.height, "w": width, "x": i * width, "y": top}) for i, panel in enumerate(row.panels)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    instant = panel.kind in ("stat", "table")
    targets = []
    for ref, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = {"refId": ref, "expr": selected(query.expr), "legendFormat": query.legend or "__auto",
                  "datasource": _DATASOURCE, "instant": instant, "range": not instant}  # fmt: skip
        targets.append(target | ({"format": "table"} if panel.kind == "table" else {}))
    return {
        "type": panel.kind, "title": panel.title, "description": _description(panel), "datasource": _DATASOURCE,
        "gridPos": place, "targets": targets, "options": _options(panel),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
    } | ({"transformations": [_WITHOUT_TIME]} if panel.kind == "table" else {})  # fmt: skip


_WITHOUT_TIME: Final = {"id": "organize", "options": {"excludeByName": {"Time": True}}}


def _description(panel: Panel) -> str:
    seen = dict.fromkeys(m for q in panel.queries for m in metrics_in(q.expr))
    return "\n\n".join(filter(None, (panel.says, *(f"`segue_{m.name}`: {m.help}" for m in seen))))


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    made: dict[str, Any] = {
        "unit": panel.unit, "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }  # fmt: skip
    if panel.kind == "timeseries":
        made["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if panel.stacked else 8, "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.red_above is None else "dashed"},
        }  # fmt: skip
    return made


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background",
                "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto"}  # fmt: skip
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}} | (
        {"showValue": "never", "rowHeight": 0.9, "mergeValues": True} if panel.kind == "state-timeline" else {}
    )


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0,
            "multi": False, "includeAll": False}  # fmt: skip


def _choices(more: Sequence[Variable]) -> Iterator[dict[str, Any]]:
    asked = [("job", "segue_build_info"), ("instance", 'segue_build_info{job=~"$job"}')]
    for variable in more:
        metric_of(variable.metric)
        asked.append((variable.name, f'{variable.metric}{{job=~"$job"}}'))
    for name, of in asked:
        yield {"name": name, "label": name.capitalize(), "type": "query", "datasource": _DATASOURCE,
               "query": f"label_values({of}, {name})", "refresh": 2, "sort": 3, "hide": 0,
               "multi": True, "includeAll": True, "allValue": ".+",
               "current": {"text": "All", "value": "$__all", "selected": True}}  # fmt: skip
