"""The contracts hold together."""

from __future__ import annotations

from pathlib import Path

import fastavro
import pytest

import segue_schemas
from segue.catalog import Catalog

REFERENCE = Path(__file__).parents[2] / "bench" / "reference" / "sources"


@pytest.mark.parametrize("folder", [None, REFERENCE])
def test_declarations_make_a_catalog_and_every_schema_has_an_id(folder: Path | None) -> None:
    """Each source's schema is valid Avro and known to ids.yaml."""
    catalog = Catalog.from_declarations(segue_schemas.load_declarations(folder))
    ids = segue_schemas.schema_ids(folder)
    for source in catalog.sources:
        fastavro.parse_schema(dict(source.schema))
        assert ids[segue_schemas.full_name(dict(source.schema))] > 0
    assert [s.name for s in catalog.sources][:2] == ["site", "email"]


def test_every_property_can_be_left_out() -> None:
    """All but name, time and id are nullable with the default null, so that records can grow."""
    for declaration in segue_schemas.load_declarations():
        needed = {declaration["event"], declaration["time"], declaration["id"]}
        for field in declaration["schema"]["fields"]:
            if field["name"] not in needed:
                assert field["type"][0] == "null", field["name"]
                assert field["default"] is None, field["name"]


def test_personal_fields_are_tagged() -> None:
    """Ids and addresses of people carry the tag that registries and masks read."""
    for declaration in segue_schemas.load_declarations():
        tagged = {f["name"] for f in declaration["schema"]["fields"] if "PII" in f.get("confluent:tags", [])}
        assert {"user_id", "anonymous_id"} <= tagged


def test_every_source_has_examples_of_both_kinds() -> None:
    """Records to be taken, and records not to be taken with the reason."""
    for declaration in segue_schemas.load_declarations():
        found = segue_schemas.examples(declaration["source"])
        assert any(e.valid for e in found)
        assert all(e.reason and e.why for e in found if not e.valid)
        assert any(not e.valid for e in found)


def test_a_broken_folder_is_named(tmp_path: Path) -> None:
    """An empty folder, bad YAML, a schema that is not there: the message names the file."""
    with pytest.raises(segue_schemas.SchemaFileError, match="no source declarations"):
        segue_schemas.load_declarations(tmp_path)
    (tmp_path / "shop.yaml").write_text("source: [", encoding="utf-8")
    with pytest.raises(segue_schemas.SchemaFileError, match=r"shop\.yaml"):
        segue_schemas.load_declarations(tmp_path)
    (tmp_path / "shop.yaml").write_text("schema: avro/none.avsc", encoding="utf-8")
    with pytest.raises(segue_schemas.SchemaFileError, match=r"none\.avsc"):
        segue_schemas.load_declarations(tmp_path)
