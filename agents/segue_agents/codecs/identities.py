"""What duplicates are known by, where a source deduplicates: digests of the id and the value of records a rule reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.catalog import Source
from segue.engine.duplicates import digest
from segue.records import Int64s
from segue_agents.codecs.fitting import Path
from segue_agents.codecs.framing import Frame
from segue_agents.codecs.projection import Column


def id_path_of(source: Source) -> Path | None:
    """Where the id lies in a record; None if the source does not deduplicate."""
    return None if source.deduplicate_ms is None or source.id is None else (source.id,)


def ids_of(
    column: Column, relevant: Int64s, name: str, frame: Frame, symbols: Sequence[str]
) -> tuple[Int64s, list[bytes]]:
    """(the rows that have an id, its digest per row). Others are rejected. Whole numbers are taken as text."""
    ids = column.values(relevant, frame, symbols)
    missing = [i for i, found in enumerate(ids) if found is None or found == ""]
    for i in missing:
        said = "is missing" if ids[i] is None else "is empty"
        frame.reject(int(relevant[i]), "no_id", f"The id in {name!r} {said}, and its source deduplicates.")
    if missing:
        relevant = np.delete(relevant, missing)
        ids = [found for found in ids if found is not None and found != ""]
    return relevant, [digest(str(found).encode()) for found in ids]


def bodies_of(values: Sequence[bytes | None], relevant: Int64s) -> list[bytes]:
    """Digests of the whole values of the rows, header included."""
    return [digest(values[row] or b"") for row in relevant.tolist()]
