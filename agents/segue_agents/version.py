"""What runs."""

from __future__ import annotations

from importlib import metadata


def installed_version() -> str:
    """The distribution's version, or `unknown` in a checkout that is on the path and not installed."""
    try:
        return metadata.version("segue")
    except metadata.PackageNotFoundError:
        return "unknown"
