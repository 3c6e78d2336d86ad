"""Every bound has a name here, with its unit and its reason. Docs list them from this file."""

from __future__ import annotations

from typing import Final

RULE_FILE_BYTES: Final = 64 * 1024
"""a rule file; beyond it is generated text that belongs elsewhere"""
CASE_FILE_BYTES: Final = 1 << 20
"""a case file; nobody reads a longer one"""
RULE_DEPTH: Final = 16
"""nesting of one condition; keeps every recursive pass far from Python's limit"""
RULE_NODES: Final = 500
"""nodes of one condition"""
SEGMENTS: Final = 10_000
"""segments of one rule set"""
DURATION_MS: Final = 5 * 366 * 86_400_000
"""the longest window"""
COUNT: Final = 1_000
"""the largest n of `count(...) op n`: a person keeps that many times"""
GROUP_INPUTS: Final = 12
"""truths that segments worked out together read at most: what they say is remembered for each combination"""
GROUP_TABLES_BYTES: Final = 32 << 20
"""all of what is so remembered; a table that is full begins anew"""
SETS_REMEMBERED: Final = 10_000
"""sets of thresholds over one stream of which is remembered which can change next; beyond it that begins anew"""
FEATURE_VALUES: Final = 1_000
"""the largest n of `keep: last n`"""
LOG_EVENTS: Final = 2_000
"""events a person keeps to fold late ones in; beyond it the oldest are settled before their lateness is over"""
MIGRATED_AT_ONCE: Final = 5_000
"""states written under other rules that one step reads besides its own, so that a change of rules neither fills the
memory nor makes a transaction too large; a person of a batch is asked with the batch"""
IDS_REMEMBERED: Final = 2_000
"""ids a person keeps per source that deduplicates; beyond it the oldest are forgotten, a copy of theirs counts again"""
WHEEL_SHIFT: Final = 14
"""timers are kept in buckets of 2**14 ms (16 s): measured 0.17 us a pop against 1.36 us for a heap"""
WHEEL_SPAN_SHIFT: Final = 6
"""timers that are far are kept by spans of 2**6 buckets (17 min), as bytes"""
WHEEL_NEAR_SPANS: Final = 4
"""spans after the present one whose timers are kept person by person already, as most are within the hour ..."""
WHEEL_NEAR_ENTRIES: Final = 200_000
"""... unless those of earlier spans are as many as this"""
STRING_BYTES: Final = 32 * 1024
"""a string field of an event"""
NUMBER: Final = 1e300
"""a number of an event, either side of zero; so no sum of fewer than a hundred million of them leaves what a double can
hold, and its exact form stays a few parts long"""
EVENT_BYTES: Final = 256 * 1024
"""an event; a larger one goes to the dead letters as too_large"""
EVENT_VALUES: Final = 100_000
"""values in the arrays and maps of an event, all told; a record of more goes to the dead letters as too_large, so that
none takes longer than a fraction of a second"""
SCHEMA_NODES: Final = 2_000
"""types of a writer's schema with every name written out; each costs every batch some 20 us"""
STATE_BYTES: Final = 16 << 20
"""a person's state, as a record of the changelog; the topic is created for it, as Kafka takes 1 MB by default"""
BREAKER_WINDOW_RECORDS: Final = 10_000
"""newest records of a topic's partition over which the breaker's ratio is taken; fewer give no ratio"""
DEAD_LETTER_BYTES: Final = 768 * 1024
"""a dead letter's value; with headers it stays below the 1 MB a Kafka topic takes by default, since a dead letter that
cannot be written would stop its partition for ever"""
DEAD_LETTER_KEY_BYTES: Final = 64 * 1024
"""likewise its key, and the record's own headers together"""
WRITER_SCHEMA_BYTES: Final = 1 << 20
"""a schema registry's answer"""
WRITER_SCHEMAS: Final = 1_000
"""schemas of a registry that a worker keeps; producers may register them, so that their number is not ours to trust"""
MAX_FUTURE_MS: Final = 5 * 60_000
"""how far an event may be ahead of the clock"""
WINDOW_VALUES: Final = 1_000
"""entries kept of a window whose answer needs them all (sum, avg, min, max, distinct, first, `between ... ago`);
beyond it the oldest go, and it is said: a metric, a flag in explain"""
PATTERN_KEYS: Final = 1_000
"""values of `with the same f` that a person can have open at a time; beyond it the oldest are forgotten"""
