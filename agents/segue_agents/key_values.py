"""Files of key=value lines, as Kafka's own tools have them; # begins a comment."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from segue.errors import ConfigError


def read_key_values(path: Path, setting: str, known: Collection[str] = ()) -> dict[str, str]:
    """Raises ConfigError. Nothing of a line is ever part of an error: it may be a password.

    `setting`: what names the file, for the error. `known`: the keys there are; empty: any.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{setting} {path} cannot be read: {why}.", "Check the path.") from error
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, equals, value = text.partition("=")
        if known and (not equals or key.strip() not in known):
            raise ConfigError(f"{path}:{number} is no key=value line with a known key.", f"Keys: {', '.join(known)}.")
        if not equals:
            raise ConfigError(f"{path}:{number} is no key=value line.", "Write it as in security.protocol=SASL_SSL.")
        found[key.strip()] = value.strip()
    return found
