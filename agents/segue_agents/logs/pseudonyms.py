"""How a person is named in logs and errors: a keyed hash, the same for the same person, told to nobody without the key.

A plain hash would not do: whoever has a list of ids or addresses can hash them all and compare.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

SECRET_FILE: Final = "log-secret"
DIGITS: Final = 16
"""hexadecimal, 64 bits: of ten million persons no two are likely to have the same"""


class _Key:
    """The one in use. Until it is known a random one, so that nothing is ever hashed without."""

    value: bytes = secrets.token_bytes(32)


def use_secret(secret: str) -> None:
    """From now on, in this process."""
    _Key.value = secret.encode()


def pseudonym(person: bytes) -> str:
    """`person-3fa91c02d4e7b815`: HMAC-SHA256 of the id under the app's secret, cut to 64 bits."""
    return f"person-{hmac.digest(_Key.value, person, 'sha256').hex()[:DIGITS]}"


def stored_secret(folder: Path) -> str:
    """The secret kept in a folder, made there when there is none; processes and threads agree on one. Raises OSError."""
    file = folder / SECRET_FILE
    with suppress(FileNotFoundError):
        return file.read_text(encoding="ascii")
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{SECRET_FILE}.{secrets.token_hex(8)}"  # of this call alone
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was quicker
            os.link(made, file)
    finally:
        made.unlink()
    return file.read_text(encoding="ascii")
