"""Each reason in words: what it means, and what to do about it."""

from __future__ import annotations

from typing import Final, NamedTuple


class Words(NamedTuple):
    """Of one reason."""

    means: str
    to_do: str


REASONS: Final = {
    "undecodable": Words(
        "The bytes are no value of the schema they name, or not Avro in Confluent's framing.",
        "Look at the producer: does it write Avro with the schema's id before it? To retry helps only once the schema "
        "that is declared is the one it was written with.",
    ),
    "unknown_schema": Words(
        "The schema id at the head of the value is not among those the source declares; with a registry, not there.",
        "Declare the schema (ids.yaml and the source's declaration) and restart the workers, or register it; then retry.",
    ),
    "wrong_subject": Words(
        "The registry knows the schema, but under the subjects of other topics: a record for another topic, perhaps.",
        "Look at the producer: does it write to the right topic? If so register the schema under this topic's subject "
        "(<topic>-value), then retry.",
    ),
    "incompatible_schema": Words(
        "The record's schema is not safe to decode with, or lacks what rules read, or has it in another type.",
        "Compare the writer's schema with the source's declaration: give the field its type back, a default or an alias "
        "there, restart the workers, then retry.",
    ),
    "no_person": Words(
        "The record has no key, an empty one, one that is not UTF-8, or one with a zero byte: nobody's event.",
        "Let the producer key its records by the person. To retry does not help: the key stays as it is.",
    ),
    "key_mismatch": Words(
        "The record's key is one person, its body names another: it may be in the wrong partition.",
        "Let the producer key its records by the person. To retry does not help: the key stays as it is.",
    ),
    "no_time": Words(
        "The event's time is missing, or before 1970.",
        "Let the producer write the time. To retry helps only when the source's declaration named the wrong field.",
    ),
    "time_unit": Words(
        "The event's time counts seconds, micro- or nanoseconds instead of milliseconds.",
        "Let the producer write milliseconds, or say its unit in the schema (timestamp-micros). To retry does not help: "
        "the time stays as it is.",
    ),
    "no_id": Words(
        "The event has no id, or none that can be one, and its source deduplicates by it.",
        "Let the producer give each event an id. To retry does not help: the bytes stay as they are.",
    ),
    "id_conflict": Words(
        "An event with the same id and other contents was there before, within the window of deduplication.",
        "Let the producer use an id once. To retry helps only once the window has passed.",
    ),
    "too_late": Words(
        "The event came later than the lateness its source allows, after its time had been settled.",
        "Raise the source's lateness if such events are to count. To retry does not help: by then it is later still.",
    ),
    "in_the_future": Words(
        "The event's time is ahead of the clock by more than is believed.",
        "Correct the clock of the producer or of the worker's machine; retry once the time has come.",
    ),
    "too_large": Words(
        "The value, its key, a string or a number that a rule reads, or an array is larger than is allowed.",
        "Let the producer write less. To retry does not help: the limits are not settings.",
    ),
    "not_finite": Words(
        "A number that a rule reads is infinite, or none (NaN).",
        "Let the producer write null where it has no number. To retry does not help: the value stays as it is.",
    ),
    "gap": Words(
        "Records were gone before they were read, and somebody accepted that: see `segue gaps`.",
        "Nothing: this is the record of it, and cannot be retried.",
    ),
    "retried": Words("These letters were sent again.", "Nothing: by this mark none of them is sent twice."),
    "": Words("The record has none of the headers that a worker writes.", "Find out who writes to this topic."),
}


def words(reason: str) -> Words:
    """Of a reason; of one that this version does not know, its name."""
    return REASONS.get(reason) or Words(f"Refused as {reason}, which this version does not know.",
                                        "Use the version that the workers run.")
