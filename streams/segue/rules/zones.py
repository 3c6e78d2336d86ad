"""The names of time zones: those of the tzdata package, the same on every machine."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def zone_names() -> frozenset[str]:
    """IANA names such as 'Europe/Paris' and 'UTC'."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
