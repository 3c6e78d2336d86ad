"""`segue schema check` and `register` against a real registry: what they find, do, and say."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agents.registry.proxy import Proxy

import segue_schemas
from segue_agents.cli import main
from segue_agents.codecs.registry import Registry, open_registry, schema_text
from segue_agents.embedded import Apicurio

pytestmark = pytest.mark.timeout(300)  # a registry takes half a minute to start where much else runs
TOPICS = ("email-events", "profile-updates", "site-events", "segment-changes")


class Team:
    """Contracts and topics of this test alone, and the commands over them, in this process."""

    def __init__(self, folder: Path, prefix: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.prefix, self.avro, self._capsys = prefix, folder / "contracts" / "avro", capsys
        self.sources = folder / "contracts" / "sources"
        shutil.copytree(Path(segue_schemas.__file__).parent, folder / "contracts",
                        ignore=shutil.ignore_patterns("*.py", "__pycache__", "examples"))
        for file in self.sources.glob("*.yaml"):
            file.write_text(file.read_text().replace("\ntopic: ", f"\ntopic: {prefix}"))

    def run(self, command: str, *flags: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._capsys.readouterr()
        ours = ("--sources", str(self.sources), "--output-topic", f"{self.prefix}segment-changes")
        with pytest.raises(SystemExit) as ended:
            main(["schema", command, *ours, *flags])
        said = self._capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    def rows(self, command: str, *flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code; by topic, without the prefix."""
        code, out, _ = self.run(command, "--json", *flags)
        return code, {row["subject"].removeprefix(self.prefix).removesuffix("-value"): row
                      for row in json.loads(out)["subjects"]}

    def subject(self, topic: str) -> str:
        return f"{self.prefix}{topic}-value"

    def edit(self, change: Any, file: str = "site_event.v1.avsc") -> None:
        """The schema in a file changed by a function on its fields by name."""
        path = self.avro / file
        schema = json.loads(path.read_text())
        fields = {f["name"]: f for f in schema["fields"]}
        change(fields)
        path.write_text(json.dumps(schema | {"fields": list(fields.values())}))


@pytest.fixture
def team(tmp_path: Path, topic_prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Team:
    for name in ("SEGUE_REGISTRY", "SEGUE_REGISTRY_CONFIG", "SEGUE_REGISTRY_USER_INFO"):
        monkeypatch.delenv(name, raising=False)
    return Team(tmp_path, topic_prefix, capsys)


def break_site(fields: dict[str, Any]) -> None:
    """A type changed, and a field that must be there."""
    fields["price"]["type"] = ["null", "string"]
    fields["warehouse"] = {"name": "warehouse", "type": "string"}


def test_from_nothing_to_registered(team: Team, apicurio: Apicurio) -> None:
    """check says what lacks and does nothing; register does it, once; then check is content, the ids are the registry's."""
    at = ("--registry", apicurio.url)
    code, rows = team.rows("check", *at)
    assert (code, {row["state"] for row in rows.values()}, sorted(rows)) == (1, {"not_registered"}, sorted(TOPICS))
    code, rows = team.rows("register", "--dry-run", *at)
    assert (code, rows["site-events"]["done"]) == (0, ["set BACKWARD_TRANSITIVE", "register"])
    assert team.rows("check", *at)[0] == 1
    code, rows = team.rows("register", *at)
    assert (code, rows["site-events"]["done"]) == (0, ["set BACKWARD_TRANSITIVE", "registered"])
    code, again = team.rows("register", *at)
    assert (code, {topic: row["id"] for topic, row in again.items()}) == (0, {t: row["id"] for t, row in rows.items()})
    assert {tuple(row["done"]) for row in again.values()} == {()}
    code, rows = team.rows("check", *at)
    assert code == 0
    said = {(row["state"], row["version"], row["level"]) for row in rows.values()}
    assert said == {("registered", 1, "BACKWARD_TRANSITIVE")}
    registry = Registry(apicurio.url)
    found = registry.fetch(rows["segment-changes"]["id"])
    assert found is not None
    assert json.loads(found.schema) == segue_schemas.load_schema("segment_change.v1")
    assert team.subject("segment-changes") in found.subjects  # the same schema has one id, whoever else has registered it
    _, out, err = team.run("check", *at)
    assert out.split("\n", maxsplit=1)[0].split() == ["SUBJECT", "SCHEMA", "ID", "VERSION", "COMPATIBILITY", "STATE"]
    assert err == ""


def test_a_new_version_is_registered_and_an_incompatible_one_is_refused_in_words(team: Team, apicurio: Apicurio) -> None:
    """A field with a default: version 2. Another type and a field without: 4, each field named, the registry's words, and
    nothing of it in the registry; the other subjects are registered all the same."""
    at = ("--registry", apicurio.url)
    team.run("register", *at)
    team.edit(lambda fields: fields.update(gift={"name": "gift", "type": ["null", "boolean"], "default": None}))
    code, rows = team.rows("check", *at)
    assert (code, rows["site-events"]["state"]) == (1, "not_registered")
    code, rows = team.rows("register", *at)
    assert (code, rows["site-events"]["version"], rows["site-events"]["latest"]) == (0, 2, 2)
    team.edit(break_site)
    code, rows = team.rows("check", *at)
    assert (code, rows["site-events"]["state"], rows["email-events"]["state"]) == (4, "incompatible", "registered")
    assert "version 1: price: double is written, null or string is read" in rows["site-events"]["problems"]
    assert "version 2: warehouse: is not written, and has no default when it is read" in rows["site-events"]["problems"]
    email = team.sources / "email.yaml"
    email.write_text(email.read_text().replace("email-events", "email-events-2"))
    code, out, _ = team.run("register", *at)
    assert code == 4
    assert "409: Incompatible artifact" in out
    assert "/fields/" in out
    assert "price: double is written, null or string is read" in out
    assert "Give a new field a default" in out
    assert Registry(apicurio.url).lookup(team.subject("site-events"), schema_text(json.loads(
        (team.avro / "site_event.v1.avsc").read_text()))) is None
    assert team.rows("check", *at)[1]["email-events-2"]["state"] == "registered"


def test_the_level_of_a_subject_is_kept_unless_one_is_named(team: Team, apicurio: Apicurio) -> None:
    """FULL stays FULL; --compatibility sets one; with NONE the registry takes what is incompatible, and check says so."""
    at = ("--registry", apicurio.url)
    team.run("register", "--compatibility", "full", *at)
    code, rows = team.rows("register", *at)
    assert (code, {row["level"] for row in rows.values()}, rows["site-events"]["done"]) == (0, {"FULL"}, [])
    team.edit(break_site)
    code, rows = team.rows("register", "--compatibility", "NONE", *at)
    assert (code, rows["site-events"]["version"], rows["site-events"]["level"]) == (0, 2, "NONE")
    code, rows = team.rows("check", *at)
    assert (code, rows["site-events"]["id"] is not None) == (4, True)
    code, _, err = team.run("register", "--compatibility", "sideways", *at)
    assert (code, "BACKWARD_TRANSITIVE" in err) == (2, True)


def test_producers_that_went_ahead(team: Team, apicurio: Apicurio) -> None:
    """A version of theirs that ours does not read is found, though ours is registered: it would be dead letters."""
    at = ("--registry", apicurio.url)
    team.run("register", "--compatibility", "NONE", *at)
    theirs = json.loads((team.avro / "site_event.v1.avsc").read_text())
    for field in theirs["fields"]:
        field["type"] = ["null", "string"] if field["name"] == "price" else field["type"]
    Registry(apicurio.url).register(team.subject("site-events"), schema_text(theirs))
    code, out, _ = team.run("check", *at)
    assert code == 4
    assert "version 2: price: string is written, null or double is read" in out
    assert "dead letters" in out


def test_files_without_a_registry(team: Team) -> None:
    """A version 2 that does not read version 1 is found in a pull request, with no registry at hand."""
    assert team.run("check")[0] == 0
    shutil.copy(team.avro / "site_event.v1.avsc", team.avro / "site_event.v2.avsc")
    assert team.run("check")[0] == 0
    team.edit(break_site, "site_event.v2.avsc")
    code, out, err = team.run("check")
    assert code == 4
    assert "site_event.v2 does not read what site_event.v1 wrote" in out
    assert "price: double is written, null or string is read" in out
    assert "No registry is named" in err
    code, _, err = team.run("register")
    assert (code, "SEGUE_REGISTRY" in err) == (2, True)


def test_a_registry_that_is_not_there(team: Team) -> None:
    """Exit 3, the address, and what it should look like."""
    for command in ("check", "register"):
        code, out, err = team.run(command, "--registry", "http://127.0.0.1:1/apis/ccompat/v7")
        assert (code, out) == (3, "")
        assert "http://127.0.0.1:1" in err
        assert "Traceback" not in err


# --- who we are

BASIC = f"Basic {base64.b64encode(b'me:hunter2').decode()}"


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A file of key and certificate, for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=20)  # fmt: skip
    key.write_bytes(key.read_bytes() + certificate.read_bytes())
    return key


@pytest.fixture
def guarded(apicurio: Apicurio, tls: Path) -> Iterator[Proxy]:
    """The registry behind TLS and a password."""
    proxy = Proxy(apicurio.url, tls)
    yield proxy
    proxy.close()


@pytest.mark.parametrize(("right", "wrong", "header"), [
    ("basic.auth.user.info=me:hunter2", "basic.auth.user.info=me:hunter3", BASIC),
    ("bearer.auth.token=abc.hunter2", "bearer.auth.token=abc", "Bearer abc.hunter2"),
], ids=["basic", "bearer"])
def test_tls_and_credentials(team: Team, guarded: Proxy, tmp_path: Path, right: str, wrong: str, header: str) -> None:
    """Commands and worker take the same file; a wrong one is exit 3; it may be replaced under a running worker; no secret is
    ever said."""
    guarded.wants = header
    authority = f"ssl.ca.location={tmp_path / 'certificate.pem'}\n"
    config = tmp_path / "registry.properties"
    config.write_text(authority + wrong)
    at = ("--registry", guarded.url, "--registry-config", str(config))
    worker = open_registry(guarded.url, config, {})
    assert worker is not None
    code, _, err = team.run("check", *at)
    assert (code, "refuses us: 401" in err, "hunter" in err) == (3, True, False)
    with pytest.raises(Exception, match="401") as refused:
        worker.lookup(team.subject("site-events"), "{}")
    assert "hunter" not in str(refused.value)
    config.write_text(authority + right)
    code, rows = team.rows("register", *at)
    assert code == 0
    schema = next(d["schema"] for d in segue_schemas.load_declarations(team.sources) if d["source"] == "site")
    assert worker.lookup(team.subject("site-events"), schema_text(schema)) == rows["site-events"]["id"]
    config.write_text(right)
    code, _, err = team.run("check", *at)
    assert (code, "does not answer" in err) == (3, True)
