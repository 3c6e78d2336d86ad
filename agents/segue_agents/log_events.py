"""Every event that is logged, and every key it may have: the list that docs/operate/logs.md is printed from.

An event's name is what alerts and searches hold on to, so it changes as an interface does. `level` is the highest it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from segue_agents.state.standing import TABLE

Level = Literal["debug", "info", "warning", "error", "critical"]


class LogEvent(NamedTuple):
    """One of them."""

    name: str
    level: Level
    keys: tuple[str, ...]
    """beside `ts`, `level` and `event`"""
    means: str


KEYS: Final[Mapping[str, str]] = {
    "ts": "when, ISO-8601, UTC",
    "level": "debug, info, warning, error, critical",
    "event": "what happened: a name of the list below",
    "again_in_s": "seconds until the next try",
    "app_id": "the app",
    "at": "where a first start begins to read",
    "begins": "the changelog's first offset",
    "changelog_offset": "where a store stands in the changelog",
    "detail": "what a schema lacks",
    "do": "what to do about it",
    "end": "the changelog's end",
    "ends": "the changelog's end",
    "error": "what went wrong, in words",
    "exception": "a traceback without variables, and without texts that may quote an event",
    "exit_code": "the process's",
    "failed": "whether the worker ended by a failure",
    "failures": "how often something failed before",
    "file": "a file",
    "folder": "a folder",
    "free_share": "of the disk, 0 to 1",
    "how": "how a partition's state came back: go, replay, wipe, set_aside",
    "id": "a schema's",
    "ids_pending": "schema ids nobody has answered for yet",
    "kept": "whether what was in hand was committed",
    "kind": "of trouble: unauthorized, server, timeout, connection, wrong_answer",
    "layout": "the tag of the rules' layout, as in segue_build_info",
    "library": "the logger of the library that speaks",
    "max_message_bytes": "what a topic takes",
    "new_leaves": "conditions that begin empty under the new rules",
    "offset": "of a record in its partition",
    "offsets": "how many are missing between two checkpoints",
    "owner": "of whom a store is",
    "partition": "its index, the same in all topics of the app",
    "partitions": "indexes; at a start and for new topics their number",
    "percent": "of a restore",
    "persons": "how many",
    "pid": "of the process",
    "property": "a property of librdkafka",
    "reason": "why records were refused, as in the dead letters",
    "records": "how many",
    "rule_version": "of a segment's rule",
    "said": "how many persons the checkpoint says",
    "says": "a library's or another system's own words",
    "seconds": "how long it took, or has lasted",
    "segment": "its name",
    "segments": "how many",
    "set_aside": "where a store was moved to",
    "slot": "of the worker",
    "source": "a source of events",
    "stage": "of a commit",
    "stored": "the checkpoint found in a store",
    "subjects": "of the registry",
    "thread": "its name",
    "topic": "of Kafka",
    "topics": "of Kafka",
    "verdict": "of the watchdog",
    "web": "the address of the metrics page",
    "why": "a reason, in a word or a sentence",
}
"""every key there is -> what it holds"""

EVENTS: Final = (
    LogEvent("worker_starts", "info", ("app_id", "partitions", "pid", "web"),
             "The topics are ready and the worker is made."),
    LogEvent("rules_loaded", "info", ("segments", "layout"), "The rules it runs."),
    LogEvent("segment_loaded", "debug", ("segment", "rule_version"), "One of them; at log_level=debug."),
    LogEvent("session_started", "info", ("slot", "topics"), "It asks to join the group."),
    LogEvent("first_start", "info", ("at",), "Nothing was ever committed: reading begins where start_at says."),
    LogEvent("partitions_assigned", "info", ("partitions",), "It has these now, and restores them."),
    LogEvent("partitions_revoked", "info", ("partitions", "kept"),
             "They go to another worker; what was in hand is committed."),
    LogEvent("partitions_lost", "warning", ("partitions",),
             "The group took them without asking; what was in hand is dropped."),
    LogEvent("restoring", "info", ("partition", "percent", "seconds"), "A restore that takes long, every few seconds."),
    LogEvent("partition_ready", "info", ("partition", "how", "persons", "seconds"),
             "Its state is back; events are worked off."),
    LogEvent("rules_changed", "info", ("partition", "new_leaves"),
             "Its state was written under other rules, and is carried over."),
    LogEvent("worker_stopped", "info", ("failed",), "The last line of a worker that was not killed."),
    LogEvent("worker_failed", "error", ("error", "do", "exit_code", "exception"),
             "Why it ended. With `exception`: a bug, report it."),
    LogEvent("uncaught", "critical", ("thread", "exception"), "A thread died of a bug: report it."),
    LogEvent("topics_created", "info", ("topics", "partitions"), "Topics that were not there."),
    LogEvent("kafka_property_risky", "warning", ("property", "says"), "A property was given that may cost something."),
    LogEvent("log_secret_not_kept", "warning", ("folder", "error", "do"),
             "Persons are named by a secret of this process alone."),
    LogEvent("library_says", "critical", ("library", "says", "exception"),
             "librdkafka, Faust, asyncio, Python: in their own words."),
    LogEvent("kafka_unreachable", "warning", ("error",), "Kafka was there and is not: tried again, longer each time."),
    LogEvent("reading_interrupted", "warning", ("error", "says"), "An error of the consumer; a new session begins."),
    LogEvent("partition_overtaken", "warning", ("partition",),
             "Another worker's transaction came first: a new session begins."),
    LogEvent("transaction_open", "warning", ("topic", "partition", "offset", "seconds", "do"),
             "A producer's transaction holds up what is behind it."),
    LogEvent("transaction_repeats", "warning", ("stage", "error"), "A call of the commit is repeated."),
    LogEvent("transaction_not_aborted", "warning", ("error",), "The next producer's start ends it instead."),
    LogEvent("producer_not_opened", "warning", ("error",), "A producer did not come up: tried again."),
    LogEvent("producer_recycled", "warning", ("why",), "A commit held; its producer was replaced to be sure."),
    LogEvent("rebuild", "warning", ("stage", "error"),
             "A commit was lost; everything since the last one is worked off again."),
    LogEvent("offsets_not_committed", "warning", ("error",), "At least once only: events since then may count twice."),
    LogEvent("tick_not_written", "warning", ("partition", "error"), "Time stood still for one interval."),
    LogEvent("watchdog", "error", ("verdict", "why"), "Nothing gets done: a new session, or the end with code 75."),
    LogEvent("source_failed_while_stopping", "error", ("exception",), "A bug on the way out: report it. Nothing is lost."),
    LogEvent("partition_stopped", "error", ("topic", "partition", "offset", "reason", "error", "do"),
             "Too many of its records are refused: it stands still."),
    LogEvent("store_full", "error", ("partition", "folder", "error", "do"), "The disk has no room: the partition waits."),
    LogEvent("store_has_room", "info", ("partition",), "It has again."),
    LogEvent("little_room", "warning", ("folder", "free_share"), "The disk is nearly full."),
    LogEvent("states_limited", "warning", ("topic", "max_message_bytes", "do"),
             "The changelog takes smaller states than it should."),
    LogEvent("changelog_not_checked", "warning", ("topic", "error", "do"),
             "Whether the changelog loses states is not known."),
    LogEvent("transaction_torn", "warning", ("partition", "records"),
             "A dead worker's half transaction was left out of a restore."),
    LogEvent("states_without_checkpoint", "warning", ("partition", "records"), "At least once: likewise."),
    LogEvent("checkpoint_does_not_follow", "warning", ("partition", "offsets"), "Checkpoints are missing in the changelog."),
    LogEvent("persons_differ", "warning", ("partition", "persons", "said"),
             "At least once: a store's count is not its checkpoint's."),
    LogEvent("schema_fetched", "info", ("id", "subjects"), "The registry told of a schema."),
    LogEvent("schema_missing", "warning", ("id", "detail"),
             "It has none of that id, or one of no use; records of it are dead letters."),
    LogEvent("schema_refused", "warning", ("id", "source", "detail"), "The writer's schema does not fit the source's."),
    LogEvent("schema_gone", "warning", ("id", "says"), "The registry forgot a schema; the kept one is used."),
    LogEvent("schema_id_used_twice", "error", ("id",), "The registry was set up anew: the worker ends."),
    LogEvent("schema_not_kept", "warning", ("file", "error"), "A schema could not be written to disk."),
    LogEvent("kept_schema_removed", "warning", ("file", "error"), "A schema on disk was damaged; it is fetched again."),
    LogEvent("registry_unavailable", "warning", ("kind", "says", "ids_pending", "again_in_s"), "Records with new ids wait."),
    LogEvent("registry_answers_again", "info", ("failures",), "It does."),
    *(
        LogEvent(standing.event, "warning",
                 ("partition", "changelog_offset", "end", "set_aside", "owner", "stored", "begins", "ends", "error"),
                 f"What a start finds of a store: {standing.when}. Then it is {standing.way.value}.")
        for standing in TABLE
    ),
)  # fmt: skip
