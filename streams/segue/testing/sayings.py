"""What the words behind a line's time say.

    ada Product Viewed product_id=p1 price=9.5         an event, as the producer or a rule calls it
    ada is plan=trial age=30                           what becomes known about a person
    ada scores purchase 0.9
    ada consents to email_marketing                    ada withdraws email_marketing
    ada enters S [because of E | time] [until TIME | until further notice]       ada exits S ...
    ada is in S                                        ada is not in S
    nobody changes

All mistakes of a line are collected; a line with one says nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from segue.catalog import Catalog, snake_case
from segue.records import NEVER, Value
from segue.testing.cases import Arrives, Changes, Event, IsIn, Lateness, Quiet, Why
from segue.testing.events import value_of
from segue.testing.times import FORMS, Calendar
from segue.testing.words import Mistake, Word, about, did_you_mean

Says = Arrives | Changes | IsIn | Quiet


class Speaker:
    """Knows the events, the fields and the segments there are."""

    def __init__(self, catalog: Catalog, segments: Collection[str] | None) -> None:
        self._catalog = catalog
        self._segments = segments

    def says(
        self, line: list[Word], time_ms: int, calendar: Calendar, lateness: Lateness, mistakes: list[Mistake]
    ) -> Says | None:
        """A line's words from the person on. None if `mistakes` has got one that leaves nothing to say."""
        try:
            if [w.text for w in line[:2]] == ["nobody", "changes"]:
                _nothing_more(line, 2)
                return Quiet()
            return self._of_a_person(line, time_ms, calendar, lateness, mistakes)
        except Mistake as mistake:
            mistakes.append(mistake)
            return None

    def known_segment(self, word: Word) -> str:
        """Raises Mistake for a segment that is not there."""
        if self._segments is not None and word.value not in self._segments:
            raise word.mistake(f"unknown segment {word.value!r}", did_you_mean(word.value, self._segments, "Segments"))
        return word.value

    def _of_a_person(
        self, line: list[Word], time_ms: int, calendar: Calendar, lateness: Lateness, mistakes: list[Mistake]
    ) -> Says:
        who, rest = line[0], line[1:]
        if not rest or rest[0].pair():
            raise self._no_person(line)
        person = who.value
        if not person:
            raise who.mistake("a person has no name", "Write whose event it is.")
        verb = rest[0].text
        if verb in ("enters", "exits"):
            return self._changes(person, rest, time_ms, calendar)
        if verb == "is" and len(rest) > 1 and rest[1].text in ("in", "not"):
            return self._is_in(person, rest)
        profile = self._catalog.profile
        if verb == "is":
            if not profile.trait_events:
                raise rest[0].mistake("no source states traits", "Declare them under 'traits:' of a source.")
            name, pairs = profile.trait_events[0], rest[1:]
            if not pairs:
                raise rest[0].mistake("what is known of the person?", "Write plan=trial, or 'in' and a segment.")
            return self._event(person, name, pairs, time_ms, lateness, mistakes, profile.traits)
        if verb == "scores":
            return self._scores(person, rest, time_ms, lateness, mistakes)
        if verb in ("consents", "withdraws"):
            return self._consents(person, rest, time_ms, lateness, mistakes)
        n = next((i for i, word in enumerate(rest) if word.pair()), len(rest))
        return self._event(person, self._event_name(rest[:n], line), rest[n:], time_ms, lateness, mistakes)

    # --- events

    def _event_name(self, several: list[Word], line: list[Word] | None = None) -> str:
        """The snake_case name of an event in any of its spellings."""
        written = " ".join(w.value for w in several)
        name = snake_case(written)
        if self._catalog.source_indexes(name):
            return name
        if line is not None and self._catalog.source_indexes(snake_case(f"{line[0].value} {written}")):
            raise self._no_person(line)
        declared = [raw for source in self._catalog.sources for raw in source.events]
        raise about(several, f"unknown event {written!r}", did_you_mean(written, declared, "Events"))

    def _event(
        self, person: str, name: str, pairs: list[Word], time_ms: int, lateness: Lateness, mistakes: list[Mistake],
        allowed: Collection[str] | None = None,
    ) -> Arrives:  # fmt: skip
        """`allowed`: the fields that may be named; None: all the event has."""
        index = self._catalog.source_indexes(name)[0]
        source = self._catalog.sources[index]
        fields: dict[str, Value] = {}
        for word in pairs:
            try:
                key, value = self._pair(word, source.fields, allowed)
                if key in fields:
                    raise word.mistake(f"{key!r} stands here twice", "Keep one of them.")
                fields[key] = value_of(source, source.fields[key], value)
            except Mistake as mistake:
                mistakes.append(mistake)
        raw = next(raw for raw, snake in source.events.items() if snake == name)
        return Arrives(Event(person, index, raw, time_ms, fields), lateness)

    def _pair(self, word: Word, fields: Collection[str], allowed: Collection[str] | None) -> tuple[str, Word]:
        pair = word.pair()
        if pair is None or not pair[0].text or not pair[1].text:
            raise word.mistake(f"{word.text!r} is no field with its value", "Write price=9.5, no blanks around the '='.")
        key = pair[0]
        if key.text not in (fields if allowed is None else allowed):
            kind = "Fields" if allowed is None else "Traits"
            known = fields if allowed is None else allowed
            raise key.mistake(f"unknown {kind[:-1].lower()} {key.text!r}", did_you_mean(key.text, known, kind))
        return key.text, pair[1]

    def _scores(self, person: str, rest: list[Word], time_ms: int, lateness: Lateness, mistakes: list[Mistake]) -> Arrives:
        profile = self._catalog.profile
        if profile.score_event is None:
            raise rest[0].mistake("no source states scores", "Declare them under 'scores:' of a source.")
        if len(rest) != 3:
            raise about(rest, "a score is its name and a number", "Write: scores purchase 0.9")
        pairs = [Word(f"{field}={word.text}", word.start - len(field) - 1)
                 for field, word in ((profile.score_name, rest[1]), (profile.score, rest[2]))]  # fmt: skip
        return self._event(person, profile.score_event, pairs, time_ms, lateness, mistakes)

    def _consents(self, person: str, rest: list[Word], time_ms: int, lateness: Lateness, mistakes: list[Mistake]) -> Arrives:
        profile = self._catalog.profile
        if profile.consent_event is None:
            raise rest[0].mistake("no source states consents", "Declare them under 'consents:' of a source.")
        granted = rest[0].text == "consents"
        purpose = rest[1:]
        if granted and purpose and purpose[0].text == "to":
            purpose = purpose[1:]
        if len(purpose) != 1:
            raise about(rest, "a consent has one purpose", "Write: consents to email_marketing; withdraws email_marketing")
        word = purpose[0]
        pairs = [Word(f"{profile.consent_purpose}={word.text}", word.start - len(profile.consent_purpose) - 1),
                 Word(f"{profile.consent_granted}={str(granted).lower()}", word.start)]  # fmt: skip
        return self._event(person, profile.consent_event, pairs, time_ms, lateness, mistakes)

    def _no_person(self, line: list[Word]) -> Mistake:
        return about(line, "who is it?", "Behind the time stands the person, then what happens: ada Product Viewed")

    # --- expectations

    def _is_in(self, person: str, rest: list[Word]) -> IsIn:
        inside = rest[1].text == "in"
        n = 2 if inside else 3
        if len(rest) <= n or (not inside and rest[2].text != "in"):
            raise about(rest, "in which segment?", "Write: is in hot_lead, or: is not in hot_lead")
        _nothing_more(rest, n + 1)
        return IsIn(person, self.known_segment(rest[n]), inside)

    def _changes(self, person: str, rest: list[Word], time_ms: int, calendar: Calendar) -> Changes:
        if len(rest) < 2:
            raise rest[0].mistake("which segment?", f"Write: {rest[0].text} hot_lead")
        segment, tail = self.known_segment(rest[1]), rest[2:]
        why: Why | None = None
        event, until = "", None
        if tail and tail[0].text == "because":
            n = next((i for i, w in enumerate(tail) if w.text == "until"), len(tail))
            why, event = self._reason(tail[:n])
            tail = tail[n:]
        if tail and tail[0].text == "until":
            until, tail = _until(tail, time_ms, calendar)
        if tail:
            raise about(tail, "this says nothing here", "Write: because of Order Completed, because of time, until 11:00")
        return Changes(person, segment, rest[0].text == "enters", why, event, until)

    def _reason(self, tail: list[Word]) -> tuple[Why, str]:
        """`because of ...`."""
        several = tail[2:]
        if len(tail) < 3 or tail[1].text != "of":
            raise about(tail, "because of what?", "Write: because of Order Completed, or: because of time")
        if [w.text for w in several] == ["time"]:
            return "time", ""
        if several[0].text in ("a", "an") and len(several) > 1:
            several = several[1:]
        if several[0].text == "late" and len(several) > 1:
            return "late event", self._event_name(several[1:])
        return "event", self._event_name(several)


def _until(tail: list[Word], time_ms: int, calendar: Calendar) -> tuple[int, list[Word]]:
    """(ms, the words behind it) of `until ...`."""
    if [w.text for w in tail[1:3]] == ["further", "notice"]:
        return NEVER, tail[3:]
    found = calendar.read(tail, 1, time_ms) if len(tail) > 1 else None
    if found is None:
        raise about(tail, "until when?", f"Write 'until further notice' or a time: {FORMS}.")
    until_ms, i = found
    if until_ms <= time_ms:
        raise about(tail[:i], "this is not after the change itself", "Write the day with it, as in: until day 8 10:00")
    return until_ms, tail[i:]


def _nothing_more(line: list[Word], n: int) -> None:
    if len(line) > n:
        raise about(line[n:], "this says nothing here", "Delete it; a remark begins with #.")
