"""The id under which a worker writes its changes where there is a registry: the registry's own.

Asked for at each start, so that a consumer finds what the bytes name. A registry that is away is no reason not to start:
the id is kept on disk. It is registered by `segue schema register`, in a pipeline that may be refused; a worker that
registered what it happens to hold would let a wrong build change the contract.
"""

from __future__ import annotations

from typing import Final

import structlog

from segue.errors import StateError, Unreachable
from segue_agents.codecs.registry import Refused, Registry, Unavailable
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside

TRIES: Final = 5
FIRST_PAUSE_S: Final = 0.5
"""doubles: some 8 s in all, and then a supervisor's restarts go on"""
_log = structlog.get_logger(__name__)


def written_schema_id(registry: Registry, folder: SchemaFolder, subject: str, schema: str, metrics: Metrics,
                      outside: Outside, *, register: bool) -> int:
    """The id of the schema (its text) under the subject. `register`: if it is not there, it is registered.

    Raises Unreachable: the registry does not answer and nothing is kept, or it does not have the schema. StateError: it
    refuses to take it.
    """
    kept = folder.written_id(subject, schema)
    try:
        found = _asked(registry, subject, schema, metrics, outside, tries=TRIES if kept is None else 1)
        if found is None and register:
            found = registry.register(subject, schema)
            _log.info("schema_registered", subject=subject, id=found)
    except Unavailable as trouble:
        if kept is not None:
            _log.warning("schema_id_kept", subject=subject, id=kept, says="The registry is away; the id is the last one.")
            return kept
        raise Unreachable(f"The schema registry does not say under which id to write {subject}: {trouble.says}.",
                          "Check registry and registry_config; from the second start on the id is kept.") from trouble
    except Refused as refused:
        raise StateError(f"The schema registry does not take the schema of {subject}: {refused}",
                         "`segue schema check` says which field it is.") from refused
    if found is None:
        raise Unreachable(f"The schema registry {registry.url} does not have the schema of {subject}.",
                          "Run `segue schema register`, or set auto_register_schemas.")
    if kept is not None and kept != found:
        _log.warning("schema_id_changed", subject=subject, id=found, was=kept,
                     says="What was written before has an id that the registry may give to another schema.")
    folder.keep_written(subject, schema, found)
    return found


def _asked(registry: Registry, subject: str, schema: str, metrics: Metrics, outside: Outside, tries: int) -> int | None:
    for attempt in range(1, tries + 1):
        try:
            return registry.lookup(subject, schema)
        except Unavailable as trouble:
            metrics.add("registry_errors_total", 1, trouble.kind)
            _log.warning("registry_unavailable", kind=trouble.kind, says=trouble.says, subject=subject, attempt=attempt)
            if attempt == tries:
                raise
            outside.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
    raise AssertionError
