"""Under which id a worker writes its changes: the registry's, or else the last one it was told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.agents.codecs.fake_registry import FakeRegistry, running

import segue_schemas
from segue.errors import StateError, Unreachable
from segue_agents.codecs.registry import Refused, Registry, schema_text
from segue_agents.codecs.schemas_on_disk import SchemaFolder
from segue_agents.codecs.written_schema import TRIES, written_schema_id
from segue_agents.metrics import Metrics
from segue_agents.outside import Outside

SCHEMA = segue_schemas.load_schema("segment_change.v1")
SUBJECT = "changes-value"


class Desk:
    """A worker's start, again and again over one folder, with no pause between tries."""

    def __init__(self, registry: FakeRegistry, folder: Path) -> None:
        self.registry, self.folder, self.metrics = registry, folder, Metrics()
        self.pauses: list[float] = []

    def start(self, schema: dict[str, Any] = SCHEMA, *, register: bool = False) -> int:
        http = Registry(self.registry.url)
        return written_schema_id(http, SchemaFolder(self.folder, http.url), SUBJECT, schema_text(schema), self.metrics,
                                 Outside(sleep=self.pauses.append), register=register)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with running({41: (SCHEMA, SUBJECT), 40: (SCHEMA, "another-value")}) as made:
        yield made


@pytest.fixture
def desk(registry: FakeRegistry, tmp_path: Path) -> Desk:
    return Desk(registry, tmp_path)


def test_the_registrys_id_of_this_subject(desk: Desk) -> None:
    """Asked for at each start, once."""
    assert [desk.start(), desk.start()] == [41, 41]
    assert desk.registry.looked_up == {SUBJECT: 2}


def test_not_registered(desk: Desk) -> None:
    """No start, and what to run; nothing is registered on the way."""
    del desk.registry.schemas[41]
    with pytest.raises(Unreachable, match=r"does not have the schema of changes-value.*\n.*segue schema register"):
        desk.start()
    assert desk.registry.looked_up == {SUBJECT: 1}


@pytest.mark.parametrize("trouble", [(500, {}), (401, {}), (200, b"<html>welcome</html>"), (404, b"<html>none</html>"),
                                     (200, {"id": -1}), (200, {"id": "41"}), "reset"], ids=str)
def test_a_registry_that_is_away(desk: Desk, trouble: Any) -> None:
    """At a first start a few tries with growing pauses, then no start; later the id on the disk, at once."""
    desk.registry.no_lookup = trouble
    with pytest.raises(Unreachable, match="does not say under which id"):
        desk.start()
    assert desk.pauses == [0.5, 1, 2, 4]
    assert desk.registry.looked_up == {SUBJECT: TRIES}
    desk.registry.no_lookup = None
    assert desk.start() == 41
    desk.registry.no_lookup = trouble
    with capture_logs() as logs:
        assert desk.start() == 41
    assert [row["event"] for row in logs] == ["registry_unavailable", "schema_id_kept"]
    assert len(desk.pauses) == 4


def test_the_id_on_the_disk_is_of_this_schema_alone(desk: Desk) -> None:
    """After an upgrade the kept id is that of the schema before: it is not used."""
    assert desk.start() == 41
    desk.registry.no_lookup = (500, {})
    with pytest.raises(Unreachable):
        desk.start(SCHEMA | {"doc": "another"})


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "{}", '{"id": "x"}'])
def test_a_damaged_file_is_none(desk: Desk, damage: str) -> None:
    """What cannot be read is asked for again."""
    assert desk.start() == 41
    (file,) = desk.folder.rglob("written/*.json")
    file.write_text(damage)
    assert desk.start() == 41
    assert SchemaFolder(desk.folder, desk.registry.url).written_id(SUBJECT, schema_text(SCHEMA)) == 41


def test_another_id_than_before_is_said(desk: Desk) -> None:
    """A registry set up anew: the new id counts, and the log says so."""
    assert desk.start() == 41
    desk.registry.schemas[50], desk.registry.subjects[50] = desk.registry.schemas.pop(41), [SUBJECT]
    with capture_logs() as logs:
        assert desk.start() == 50
    assert [(row["event"], row["was"]) for row in logs] == [("schema_id_changed", 41)]


def test_a_registry_that_does_not_take_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With auto_register_schemas: exit 4, the registry's words."""

    def refuse(_self: Registry, _subject: str, _schema: str) -> int:
        raise Refused("no default at /fields/3")

    monkeypatch.setattr(Registry, "register", refuse)
    del desk.registry.schemas[41]
    with pytest.raises(StateError, match=r"no default at /fields/3.*\n.*segue schema check"):
        desk.start(register=True)
