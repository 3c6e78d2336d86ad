"""Sends letters back to the topics they came from, each once.

Everything a run sends is written in transactions of one transactional id per app, and each of them holds, beside the
records, a *mark* in the dead-letter topic that names their letters. So a letter is marked if and only if it was sent. A
run first takes the id, which ends whatever an earlier or a parallel run had open, then reads all marks there are, and
sends what is chosen and not marked. However it was chosen, alone, by its reason or with all others, the mark is the same.

Marks live in the topic of their letters, in the same partition and behind them, so they go later than these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Final

from segue.errors import ConfigError, Unreachable
from segue_agents.commit.committer import TransactionLost, Transactions
from segue_agents.dead_letters.letter import RETRIED_FROM, Headers, Letter, Place, mark_headers
from segue_agents.dead_letters.reading import read_letters, read_retried
from segue_agents.outside import Outside
from segue_agents.settings import Settings
from segue_agents.topics import dead_letters_topic, input_topics
from segue_agents.transport.asking import partition_counts
from segue_agents.transport.clients import changelog_config, transactional_config
from segue_agents.transport.opening import open_consumer

LETTERS_AT_ONCE: Final = 1_000
BYTES_AT_ONCE: Final = 16 << 20
"""of one transaction"""
_AGAIN: Final = "See the broker's log, and run the same command again: no letter is sent twice."
BY_KEY: Final = -1
"""the partition that the partitioner chooses"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: those at `places`, else those of `reason`, else all."""

    places: frozenset[Place] = frozenset()
    reason: str = ""

    def takes(self, letter: Letter) -> bool:
        """Whether it is meant."""
        if self.places:
            return letter.place in self.places
        return letter.is_record and (not self.reason or letter.reason == self.reason)


@dataclass(slots=True)
class Outcome:
    """What a run did, or with `dry_run` would have done."""

    sent: dict[str, int] = field(default_factory=dict)
    """topic -> letters"""
    already: int = 0
    """chosen ones that an earlier run had sent"""


@dataclass(slots=True)
class _Chunk:
    """What goes out in one transaction."""

    letters: list[Letter] = field(default_factory=list)
    size: int = 0

    def add(self, letter: Letter) -> bool:
        """Whether it is full now."""
        self.letters.append(letter)
        self.size += len(letter.value or b"") + len(letter.key or b"")
        return len(self.letters) >= LETTERS_AT_ONCE or self.size >= BYTES_AT_ONCE


def retry(settings: Settings, choice: Choice, *, dry_run: bool = False,
          progress: Callable[[int], None] = lambda _sent: None) -> Outcome:
    """Sends what is chosen and was not sent before; `progress` is told the number after each transaction.

    Raises ConfigError, before anything is sent, for places without a letter that can be; ConfigError for a letter from a
    topic that is none of the sources; Unreachable. After any of them the same call goes on where this one ended.
    """
    outcome, chunk = Outcome(), _Chunk()
    if choice.places:
        _check_places(settings, choice.places)
    topics = set(input_topics(settings))
    with _sender(settings, dry_run) as send:
        retried = read_retried(settings)
        for letter in read_letters(settings):
            if not choice.takes(letter):
                continue
            if letter.place.offset in retried.get(letter.place.partition, ()):
                outcome.already += 1
                continue
            if letter.topic not in topics:
                raise ConfigError(f"The dead letter {letter.place} is from the topic {letter.topic!r}, which is none of "
                                  f"the sources ({', '.join(sorted(topics))}).",
                                  "Name the app's own declarations with --sources, or choose others.")
            outcome.sent[letter.topic] = outcome.sent.get(letter.topic, 0) + 1
            if chunk.add(letter):
                send(chunk.letters)
                progress(sum(outcome.sent.values()))
                chunk = _Chunk()
        if chunk.letters:
            send(chunk.letters)
    return outcome


def retried_headers(letter: Letter, topic: str) -> list[tuple[str, bytes | None]]:
    """The record's own, and where its letter lies; what an earlier retry had added is replaced."""
    own: Headers = tuple(header for header in letter.headers if header[0] != RETRIED_FROM)
    return [*own, (RETRIED_FROM, f"{topic} {letter.place}".encode())]


def _check_places(settings: Settings, places: frozenset[Place]) -> None:
    found = {letter.place: letter for letter in read_letters(settings) if letter.place in places}
    for place in sorted(places):
        letter = found.get(place)
        if letter is None:
            raise ConfigError(f"There is no dead letter at {place} in {dead_letters_topic(settings.app_id)}.",
                              "`segue dead-letters ls --each` names those that there are.")
        if not letter.is_record:
            raise ConfigError(f"What is at {place} is a note ({letter.reason or 'not ours'}) and no record that was "
                              "refused: there is nothing to send.", "Choose others; `segue dead-letters show` says more.")


@contextmanager
def _sender(settings: Settings, dry_run: bool) -> Iterator[Callable[[list[Letter]], None]]:
    """What sends letters in one transaction; nothing with `dry_run`."""
    if dry_run:
        yield lambda _letters: None
        return
    config = transactional_config(settings, "dead-letters-retry")
    transactions = Transactions({**config, "partitioner": "murmur2_random"}, Outside())  # as the producers'
    topic = dead_letters_topic(settings.app_id)
    with closing(open_consumer(changelog_config(settings, "read_committed"))) as consumer:
        partitions = partition_counts(consumer, settings.bootstrap)
        group = consumer.consumer_group_metadata()

        def send(letters: list[Letter]) -> None:
            marks: dict[int, list[int]] = {}
            for letter in letters:
                to = letter.partition if letter.key is None else BY_KEY
                if letter.topic not in partitions or to >= partitions[letter.topic]:
                    raise ConfigError(f"The dead letter {letter.place} is from {letter.topic} partition {letter.partition}, "
                                      "which is not there any more.", "Choose others.")
                transactions.produce(letter.topic, to, letter.key, letter.value,
                                     retried_headers(letter, topic))  # type: ignore[arg-type]
                marks.setdefault(letter.place.partition, []).append(letter.place.offset)
            for partition, offsets in marks.items():
                transactions.produce(topic, partition, None, None, mark_headers(offsets))
            transactions.commit([], group)

        try:
            transactions.open()
            yield send
        except TransactionLost as lost:
            raise Unreachable(f"The retry stopped: {lost.what}", _AGAIN) from lost
        finally:
            transactions.drop()
