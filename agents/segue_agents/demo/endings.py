"""How a command that runs until it is stopped is stopped: ^C, SIGTERM and a closed terminal are the same to it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """A SIGTERM or a closed terminal ends the demo as ^C does: in good order. ^C too, where a shell had it ignored."""
    with _handled_by(_interrupt):
        yield


@contextlib.contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """A ^C meanwhile counts when it is over: a client of librdkafka that is being made turns it into a TypeError."""
    came: list[int] = []
    with _handled_by(lambda number, _frame: came.append(number)):
        yield
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = [signal.signal(number, handler) for number in _ENDINGS]
    try:
        yield
    finally:
        for number, previous in zip(_ENDINGS, before, strict=True):
            signal.signal(number, previous)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
