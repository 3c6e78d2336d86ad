"""The dashboards, as rows of panels: `python -m monitoring.dashboards` writes them to monitoring/grafana/dashboards.

A panel for each question somebody asks at night, from left to right and from top to bottom: do people get their segments in
time, if not where does it stand, and why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from monitoring.panels import Dashboard, Panel, Query, Row, Variable, as_json

FOLDER: Final = Path(__file__).parent / "grafana" / "dashboards"


def quantile(q: float, histogram: str, by: str = "le") -> str:
    """Of a histogram, over all workers."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({histogram}_bucket[$__rate_interval])))"


def quantiles(histogram: str) -> tuple[Query, ...]:
    """The middle, and what one in a hundred exceeds."""
    return Query(quantile(0.5, histogram), "p50"), Query(quantile(0.99, histogram), "p99")


def rate(counter: str, by: str, selector: str = "") -> str:
    """A second, over all workers."""
    return f"sum by ({by}) (rate({counter}{selector}[$__rate_interval]))"


AGE: Final = 'time() - max by (partition) (segue_heartbeat_timestamp_seconds{stage="committed"})'
ONE: Final = '{partition=~"$partition"}'
SEGMENT: Final = '{segment=~"$segment"}'

# fmt: off
OVERVIEW: Final = Dashboard(
    "overview", "Segue / Overview", "Do people enter and leave their segments in time, and if not, where does it stand?",
    (
        Row("Now", (
            Panel("Slow events", "percentunit", (Query(
                '1 - sum(rate(segue_event_to_segment_latency_seconds_bucket{le="2.0"}[5m]))'
                " / sum(rate(segue_event_to_segment_latency_seconds_count[5m]))"),), "stat", 0.01,
                "Share of the events of the last 5 minutes that took more than 2 s to the commit; 1 % is allowed."),
            Panel("Oldest heartbeat", "s", (Query(f"max({AGE})"),), "stat", 60,
                  "Age of the newest tick committed, of the partition where it is oldest. Up to 12 s is well."),
            Panel("Workers", "short", (
                Query("sum(segue_ready)", "ready"), Query("sum(segue_producer_up)", "with a producer")), "stat"),
            Panel("Partitions at work", "short", (Query("sum(segue_partitions_assigned)"),), "stat"),
            Panel("Partitions stopped", "short", (Query("count(segue_partition_stopped == 1) or vector(0)"),), "stat", 1),
            Panel("Longest open transaction", "s", (Query("max(segue_open_transaction_seconds)"),), "stat", 60),
        ), height=4),
        Row("Segments", (
            Panel("Event to segment", "s", quantiles("segue_event_to_segment_latency_seconds"), red_above=2),
            Panel("Changes", "ops", (Query(rate("segue_segment_changes_total", "transition"), "{{transition}}"),)),
            Panel("Due to done, of timers", "s", quantiles("segue_timer_delay_seconds"), red_above=30),
        )),
        Row("Events", (
            Panel("Consumed", "ops", (Query(rate("segue_events_consumed_total", "topic"), "{{topic}}"),), stacked=True),
            Panel("Behind", "s", (Query("max by (topic) (segue_consumer_lag_seconds)", "{{topic}}"),), red_above=60),
            Panel("Refused", "ops", (Query(rate("segue_events_rejected_total", "reason"), "{{reason}}"),)),
            Panel("Late", "ops", (Query(rate("segue_events_late_total", "outcome"), "{{outcome}}"),)),
        )),
        Row("Kafka", (
            Panel("Commit", "s", quantiles("segue_commit_duration_seconds")),
            Panel("Commits, and lost ones", "ops", (
                Query("sum(rate(segue_commits_total[$__rate_interval]))", "commits"),
                Query(rate("segue_rebuilds_total", "stage"), "lost: {{stage}}"),
                Query(rate("segue_producer_recycled_total", "reason"), "producer replaced: {{reason}}"))),
            Panel("Rebalances", "short", (Query(
                "sum by (kind) (increase(segue_rebalances_total[$__rate_interval]))", "{{kind}}"),)),
            Panel("Registry", "short", (
                Query("sum by (kind) (increase(segue_registry_errors_total[$__rate_interval]))", "{{kind}}"),
                Query("sum(segue_registry_schemas_pending)", "ids asked for"))),
        )),
        Row("Processes", (
            Panel("Memory", "bytes", (Query("process_resident_memory_bytes and on (job, instance) segue_build_info",
                                            "{{instance}}"),)),
            Panel("Cores used", "short", (Query(
                "rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) segue_build_info",
                "{{instance}}"),)),
            Panel("Disk free", "percentunit", (Query(
                "segue_state_disk_free_bytes / segue_state_disk_size_bytes", "{{instance}}"),)),
            Panel("What runs", "short", (
                Query("segue_build_info * on (job, instance) group_left (version) segue_rules_info"),), "table",
                says="`version` is that of the rules."),
        )),
    ),
)

PARTITIONS: Final = Dashboard(
    "partitions", "Segue / Partitions", "Where it stands: one line a partition.",
    (
        Row("Progress", (
            Panel("Heartbeat", "s", (
                Query('time() - max by (partition, stage) (segue_heartbeat_timestamp_seconds{partition=~"$partition"})',
                      "{{partition}} {{stage}}"),), red_above=60,
                says="Age of the newest tick at each stage: written, read, applied, committed. The first one that is old is "
                "behind what stands."),
            Panel("Time behind the clock", "s", (
                Query(f"max by (partition) (segue_watermark_delay_seconds{ONE})", "{{partition}}"),), red_above=120),
            Panel("Speed of time", "short", (
                Query(f"max by (partition) (deriv(segue_engine_time_seconds{ONE}[$__rate_interval]))", "{{partition}}"),),
                says="1 is well, more is catching up, 0 stands."),
            Panel("Oldest record that waits", "s", (
                Query(f"max by (partition, topic) (segue_consumer_lag_seconds{ONE})", "{{partition}} {{topic}}"),),
                red_above=60),
            Panel("Records that wait", "short", (
                Query(f"max by (partition, topic) (segue_consumer_lag_records{ONE})", "{{partition}} {{topic}}"),)),
        )),
        Row("What holds it up", (
            Panel("Stopped by the breaker", "bool", (
                Query(f"max by (partition, reason) (segue_partition_stopped{ONE}) or vector(0)",
                      "{{partition}} {{reason}}"),),
                "state-timeline", 1),
            Panel("Open transactions", "s", (
                Query(f"max by (partition, topic) (segue_open_transaction_seconds{ONE})", "{{partition}} {{topic}}"),),
                red_above=60),
            Panel("No room on the disk", "bool", (
                Query(f"max by (partition) (segue_store_full{ONE}) or vector(0)", "{{partition}}"),), "state-timeline", 1),
            Panel("Restored", "percentunit", (
                Query(f"min by (partition) (segue_restore_progress_ratio{ONE})", "{{partition}}"),)),
        )),
        Row("Records", (
            Panel("Consumed", "ops", (
                Query(rate("segue_records_total", "partition", '{partition=~"$partition", outcome="consumed"}'),
                      "{{partition}}"),), stacked=True),
            Panel("What became of them", "ops", (
                Query(rate("segue_records_total", "outcome", '{partition=~"$partition", outcome!="consumed"}'),
                      "{{outcome}}"),)),
            Panel("Time an event takes", "s", quantiles("segue_event_processing_duration_seconds")),
        )),
        Row("Timers", (
            Panel("Timers that wait", "short", (
                Query(f"sum by (partition) (segue_timers_pending{ONE})", "{{partition}}"),), stacked=True),
            Panel("First timer overdue", "s", (
                Query(f"max by (partition) (segue_timer_lateness_seconds{ONE})", "{{partition}}"),), red_above=60),
            Panel("Fired", "ops", (Query("sum(rate(segue_timers_fired_total[$__rate_interval]))", "persons"),)),
        )),
        Row("State", (
            Panel("Persons", "short", (
                Query(f"sum by (partition) (segue_state_keys{ONE})", "{{partition}}"),), stacked=True),
            Panel("Persons in memory", "short", (
                Query(f"sum by (partition) (segue_state_memory_keys{ONE})", "{{partition}}"),), stacked=True),
            Panel("States in memory", "bytes", (
                Query(f"sum by (partition) (segue_state_memory_bytes{ONE})", "{{partition}}"),), stacked=True),
            Panel("Stores on disk", "bytes", (
                Query(f"sum by (partition) (segue_state_bytes{ONE})", "{{partition}}"),), stacked=True),
        )),
        Row("Restores", (
            Panel("Records still to read", "short", (
                Query(f"max by (partition) (segue_state_recovery_remaining_records{ONE})", "{{partition}}"),)),
            Panel("Restore", "s", quantiles("segue_state_recovery_duration_seconds")),
            Panel("Rebalance", "s", quantiles("segue_rebalance_duration_seconds")),
            Panel("Written to the changelog", "ops", (
                Query("sum(rate(segue_changelog_writes_total[$__rate_interval]))", "records"),)),
        )),
    ),
    (Variable("partition", "segue_state_keys"),),
)

SEGMENTS: Final = Dashboard(
    "segments", "Segue / Segments", "How large the segments are, how they move, and whether they are to be believed.",
    (
        Row("Members", (
            Panel("Members", "short", (Query(f"sum by (segment) (segue_segment_members{SEGMENT})", "{{segment}}"),)),
            Panel("Entered", "ops", (
                Query(rate("segue_segment_changes_total", "segment", '{segment=~"$segment", transition="entered"}'),
                      "{{segment}}"),)),
            Panel("Exited", "ops", (
                Query(rate("segue_segment_changes_total", "segment", '{segment=~"$segment", transition="exited"}'),
                      "{{segment}}"),)),
        ), height=9),
        Row("Freshness", (
            Panel("Since the newest event", "s", (
                Query(f"time() - max by (segment) (segue_segment_last_event_timestamp_seconds{SEGMENT})", "{{segment}}"),)),
            Panel("Silent", "bool", (
                Query('min by (segment) (segue_segment_stale{segment=~"$segment", reason="silent"})', "{{segment}}"),),
                "state-timeline", 1),
            Panel("Behind", "bool", (
                Query('max by (segment) (segue_segment_stale{segment=~"$segment", reason="behind"})', "{{segment}}"),),
                "state-timeline", 1),
            Panel("Not yet exact after a change of rules", "bool", (
                Query(f"max by (segment) (segue_segment_backfill_pending{SEGMENT}) or vector(0)", "{{segment}}"),),
                "state-timeline", 1),
        )),
        Row("What they are made from", (
            Panel("Since the newest event of a topic", "s", (
                Query("time() - max by (topic) (segue_source_last_event_timestamp_seconds)", "{{topic}}"),)),
            Panel("Rules", "short", (Query(f"max by (segment, version) (segue_segment_info{SEGMENT})"),), "table"),
            Panel("Given up, to stay bounded", "short", (
                Query("sum(increase(segue_events_settled_early_total[$__rate_interval]))", "events settled early"),
                Query("sum(increase(segue_window_values_dropped_total[$__rate_interval]))", "values of windows"),
                Query("sum(increase(segue_ids_forgotten_total[$__rate_interval]))", "ids"),
                Query("sum by (metric) (increase(segue_labels_capped_total[$__rate_interval]))",
                      "label sets of {{metric}}"))),
        )),
    ),
    (Variable("segment", "segue_segment_members"),),
)

DEAD_LETTERS: Final = Dashboard(
    "dead-letters", "Segue / Dead letters",
    "What takes no part in the segments, and why. `segue dead-letters ls` has the rest.",
    (
        Row("Refused", (
            Panel("By reason", "ops", (Query(rate("segue_events_rejected_total", "reason"), "{{reason}}"),), stacked=True),
            Panel("By topic", "ops", (Query(rate("segue_events_rejected_total", "topic"), "{{topic}}"),), stacked=True),
            Panel("Share of all records", "percentunit", (
                Query("sum by (topic) (rate(segue_events_rejected_total[$__rate_interval]))"
                      " / sum by (topic) (rate(segue_events_consumed_total[$__rate_interval]))", "{{topic}}"),)),
        )),
        Row("Since the workers started", (
            Panel("By topic and reason", "short", (
                Query("sum by (topic, reason) (segue_events_rejected_total)"),), "table"),
            Panel("Stopped by the breaker", "bool", (
                Query("max by (partition, reason) (segue_partition_stopped) or vector(0)", "{{partition}} {{reason}}"),),
                "state-timeline", 1),
        )),
        Row("Late and doubled", (
            Panel("Late", "ops", (Query(rate("segue_events_late_total", "topic, outcome"), "{{topic}} {{outcome}}"),)),
            Panel("Told again", "ops", (Query(rate("segue_events_duplicate_total", "topic"), "{{topic}}"),)),
            Panel("Stores set aside, transactions torn", "short", (
                Query("sum(increase(segue_stores_set_aside_total[$__rate_interval]))", "stores set aside"),
                Query("sum(increase(segue_transactions_torn_total[$__rate_interval]))", "transactions torn"))),
        )),
    ),
)
# fmt: on

DASHBOARDS: Final = (OVERVIEW, PARTITIONS, SEGMENTS, DEAD_LETTERS)


def written(dashboard: Dashboard) -> str:
    """The file's contents."""
    return json.dumps(as_json(dashboard), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(written(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
