"""The cache of jars, over small files that stand for jars."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from segue.errors import Unreachable
from segue_agents.embedded.jars import Jar, ensure_jars, required_jars

CONTENTS = {"a-1.jar": b"the first", "b-2.jar": b"the second"}
JARS = tuple(
    Jar(hashlib.sha256(content).hexdigest(), len(content), f"org.example:{name[0]}:{name[2]}")
    for name, content in CONTENTS.items()
)


class Shelf:
    """A repository in memory that notes what was asked of it."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.asked: list[str] = []

    def fetch(self, jar: Jar, below: Path) -> Path:
        self.asked.append(jar.filename)
        below.mkdir(parents=True)
        path = below / "download"
        path.write_bytes(self.contents[jar.filename])
        return path


def test_fetched_once(tmp_path: Path) -> None:
    """An empty cache is filled, saying so once, and a full one is left alone."""
    shelf, said = Shelf(CONTENTS), list[str]()
    first = ensure_jars(tmp_path / "jars", JARS, said.append, shelf.fetch)
    again = ensure_jars(tmp_path / "jars", JARS, said.append, shelf.fetch)
    assert first == again == [tmp_path / "jars" / name for name in CONTENTS]
    assert [path.read_bytes() for path in first] == list(CONTENTS.values())
    assert sorted(shelf.asked) == sorted(CONTENTS)
    assert len(said) == 1


@pytest.mark.parametrize("damage", [b"the fjrst", b"the", b""], ids=["a bit differs", "cut short", "empty"])
def test_damage_is_repaired(tmp_path: Path, damage: bytes) -> None:
    """A jar that differs from the list by anything is fetched again, and only that one."""
    shelf = Shelf(CONTENTS)
    ensure_jars(tmp_path, JARS, lambda _line: None, shelf.fetch)
    shelf.asked.clear()
    (tmp_path / "a-1.jar").write_bytes(damage)
    ensure_jars(tmp_path, JARS, lambda _line: None, shelf.fetch)
    assert shelf.asked == ["a-1.jar"]
    assert (tmp_path / "a-1.jar").read_bytes() == b"the first"


def test_what_is_not_to_be_had(tmp_path: Path) -> None:
    """A download that fails or is not what the list says stops with both named, and leaves nothing half done."""
    with pytest.raises(Unreachable, match=r"1 of 2.*org\.example:b:2.*SHA-256"):
        ensure_jars(tmp_path, JARS, lambda _line: None, Shelf(CONTENTS | {"b-2.jar": b"forged"}).fetch)
    with pytest.raises(Unreachable, match=r"Maven Central"):
        ensure_jars(tmp_path, JARS, lambda _line: None, Shelf({}).fetch)
    assert [path.name for path in tmp_path.iterdir()] == ["a-1.jar"]


def test_the_list() -> None:
    """The list in the package holds one Kafka, no two jars of a name, and a logger the broker can use."""
    jars = required_jars()
    names = [jar.filename for jar in jars]
    assert len(set(names)) == len(names)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)
    assert {"kafka_2.13-4.3.1.jar", "slf4j-api-1.7.36.jar", "slf4j-simple-1.7.36.jar"} <= set(names)
