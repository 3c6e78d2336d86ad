"""The hot path is as light as it was: bytecodes and C calls an event, whatever else the machine is doing.

The numbers are in weight.json; `python -m bench.weight --renew` writes them anew. One may when the path has become
lighter, or when it had to become heavier and the commit says why; never to make a red test green.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from bench.weight import judged, kept, weigh

from segue_agents.codecs.columns import ColumnDecoder


def test_the_hot_path_weighs_what_it_did() -> None:
    """Within a tenth, in both directions."""
    numbers = kept()
    if numbers is None:
        pytest.skip("no numbers are kept for this Python: its bytecodes are others")
    said = judged(weigh(), numbers)
    assert not said, "\n".join(said)


def test_a_heavier_hot_path_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more look at each record, in Python, is more than a tenth."""
    before, decode = kept() or weigh(), ColumnDecoder.decode

    def looking(self: ColumnDecoder, messages: Sequence[Any], *rest: Any) -> Any:
        for message in messages:
            assert message.offset() >= 0 and message.value() is not None and message.key() is not None
        return decode(self, messages, *rest)

    monkeypatch.setattr(ColumnDecoder, "decode", looking)
    after = weigh()
    assert any("heavier" in said for said in judged(after, before))
    assert any("lighter" in said for said in judged(before, after))


def test_weighing_twice_says_the_same() -> None:
    """But for what depends on the order of a set."""
    first, second = weigh(), weigh()
    assert second["all"] == pytest.approx(first["all"], rel=0.01)
