"""Where settings come from, which wins, what is refused, and that a secret is never said."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from segue.errors import ConfigError
from segue_agents.config import kafka
from segue_agents.config.reading import OTHER_VARIABLES
from segue_agents.settings import Loaded, Secret, Settings, WrongSettings, table
from segue_agents.transport.clients import common_config, given_properties

ROOT = Path(__file__).parents[3]
SECRET = "hunter2-hunter2-hunter2"


def toml(folder: Path, text: str) -> Path:
    path = folder / "segue.toml"
    path.write_text(text)
    return path


def problems(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: Path | None = None) -> str:
    with pytest.raises(WrongSettings) as caught:
        Loaded.of(flags or {}, environ or {}, file)
    return str(caught.value)


def test_flag_before_environment_before_file_before_default(tmp_path: Path) -> None:
    """And each value knows where it is from."""
    file = toml(tmp_path, 'app_id = "file"\npartitions = 3\nslot = "s"\ncommit_interval_ms = 50\n')
    loaded = Loaded.of({"app_id": "flag"}, {"SEGUE_APP_ID": "env", "SEGUE_PARTITIONS": "8", "SEGUE_SLOT": ""}, file)
    got = loaded.settings
    assert (got.app_id, got.partitions, got.slot, got.output_topic) == ("flag", 8, "s", "segment-changes")
    origins = {name: loaded.origins.get(name, "default") for name in ("app_id", "partitions", "slot", "output_topic")}
    assert origins == {"app_id": "flag --app-id", "partitions": "SEGUE_PARTITIONS", "slot": str(file),
                       "output_topic": "default"}  # fmt: skip


def test_the_file_is_named_or_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config before SEGUE_CONFIG before segue.toml of the current folder; one that is named must be there."""
    for name in ("flag", "env", "here"):
        (tmp_path / name).mkdir()
        toml(tmp_path / name, f'app_id = "{name}"')
    monkeypatch.chdir(tmp_path / "here")
    environ = {"SEGUE_CONFIG": str(tmp_path / "env" / "segue.toml")}
    assert Settings.load({}, environ, tmp_path / "flag" / "segue.toml").app_id == "flag"
    assert Settings.load({}, environ).app_id == "env"
    assert Settings.load({}, {}).app_id == "here"
    assert "cannot be read: No such file" in problems({}, {"SEGUE_CONFIG": str(tmp_path / "gone.toml")})


def test_values_of_the_file_have_their_types(tmp_path: Path) -> None:
    """Numbers, truths, texts as text, paths from the file's folder."""
    file = toml(tmp_path, 'partitions = "12"\nclock_speed = 2\ncreate_topics = false\nrules = "shop"\nsources = "/x"\n')
    got = Settings.load({}, {}, file)
    assert (got.partitions, got.clock_speed, got.create_topics) == (12, 2.0, False)
    assert (got.rules, got.sources) == (tmp_path / "shop", Path("/x"))


@pytest.mark.parametrize(("text", "says"), [
    ("app-id = 'x'", "Did you mean app_id?"), ("partitons = 3", "Did you mean partitions?"),
    ("partitions = 1.5", "It is a whole number."), ("partitions = true", "It is a whole number."),
    ("create_topics = 1", "It is true or false."), ("app_id = [1]", "app_id is a list"),
    ("[worker]\nslot = 'a'", "There is no setting 'worker'"), ("kafka = 1", "There is no setting 'kafka'"),
    ("app_id = x", "are not TOML (at line 1, column 10)"), ("kafka.security.protocol = [1]", "neither text nor a number"),
    ("clock_delay_ms = 'soon'", "It is a whole number of ms."),
])  # fmt: skip
def test_a_wrong_line_of_the_file_is_said(text: str, says: str, tmp_path: Path) -> None:
    """With the file, and what was probably meant."""
    said = problems(file=toml(tmp_path, text))
    assert says in said
    assert "segue.toml" in said


def test_an_unknown_variable_is_refused_with_a_hint() -> None:
    """Settings', librdkafka's, those of secrets' files."""
    assert "Did you mean SEGUE_APP_ID?" in problems({}, {"SEGUE_APPID": "x"})
    assert "Did you mean SEGUE_LOG_SECRET_FILE?" in problems({}, {"SEGUE_LOG_SECRT_FILE": "x"})
    assert "Did you mean SEGUE_CACHE?" in problems({}, {"SEGUE_CACHES": "x"})
    assert "Did you mean SEGUE_KAFKA_SECURITY_PROTOCOL?" in problems({}, {"SEGUE_KAFKA_SECURTY_PROTOCOL": "x"})
    assert "Did you mean SEGUE_KAFKA_CONFIG?" in problems({}, {"SEGUE_KAFKA_CONFG": "x"})
    assert "unset it if it is not for Segue" in problems({}, {"SEGUE_WHATEVER": "x"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """Those of the list, others' prefixes, empty ones, and what Kubernetes sets for Services called segue."""
    environ = dict.fromkeys(OTHER_VARIABLES, "x") | {
        "SEGUE_CONFIG": "", "_SEGUE_COMPLETE": "x", "SEGUER": "x", "SEGUE_NO_SUCH": "", "SEGUE_SERVICE_HOST": "10.0.0.1",
        "SEGUE_SERVICE_PORT": "80", "SEGUE_SERVICE_PORT_HTTP": "80", "SEGUE_PORT": "tcp://10.0.0.1:80",
        "SEGUE_PORT_80_TCP": "tcp://10.0.0.1:80", "SEGUE_PORT_80_TCP_ADDR": "10.0.0.1",
        "SEGUE_KAFKA_PORT_9092_TCP_PORT": "9092", "SEGUE_KAFKA_SERVICE_HOST": "10.0.0.2",
    }  # fmt: skip
    assert Settings.load({}, environ) == Settings()
    assert "enableServiceLinks: false" in problems({}, {"SEGUE_WEB_PORT": "tcp://10.0.0.1:80"})


def test_every_variable_of_the_code_is_known() -> None:
    """What the code and the tests read of the environment with our prefix is a setting or in the list."""
    known = {row.variable for row in table()} | set(OTHER_VARIABLES)
    for folder in ("agents", "tests", "bench"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == Path(__file__):
                continue
            found = set(re.findall(r"environ(?:\.get\(|\[|\.setdefault\()\"(SEGUE_\w+)\"", path.read_text()))
            assert found <= known, path


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    """From all the places, each with where it is."""
    file = toml(tmp_path, 'partitons = 1\nweb_port = 70000\nkafka.group.id = "x"\n')
    said = problems({"partitions": "many", "slot": "a/b"}, {"SEGUE_NO": "1", "SEGUE_KAFKA_LINGER_MS": "fast"}, file)
    for one in (f"no setting 'partitons' ({file})", f"web_port is 70000 ({file})", f"group.id ({file}) is refused",
                "partitions is 'many' (flag --partitions)", "slot is 'a/b' (flag --slot)", "variable SEGUE_NO.",
                "linger.ms (SEGUE_KAFKA_LINGER_MS): librdkafka does not take it as 'fast'"):  # fmt: skip
        assert one in said
    assert said.startswith("7 things are wrong")


# --- secrets


def test_secrets_come_from_files_and_the_environment_never_from_flags(tmp_path: Path) -> None:
    """A file's last line end is no part of it; both at once are refused."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    for environ in ({"SEGUE_LOG_SECRET": SECRET}, {"SEGUE_LOG_SECRET_FILE": str(tmp_path / "secret")}):
        assert Settings.load({}, environ).log_secret == Secret(SECRET)
    for text in (f'log_secret = "{SECRET}"', 'log_secret_file = "secret"'):
        assert Settings.load({}, {}, toml(tmp_path, text)).log_secret == Secret(SECRET)
    assert "is a secret, and flags" in problems({"log_secret": SECRET})
    assert "both set" in problems({}, {"SEGUE_LOG_SECRET": SECRET, "SEGUE_LOG_SECRET_FILE": "x"})
    kafka_secret = {"SEGUE_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "secret")}
    assert Settings.load({}, kafka_secret).kafka == {"sasl.password": SECRET}
    assert Settings.load({}, {}, toml(tmp_path, 'kafka.sasl.password_file = "secret"')).kafka == {"sasl.password": SECRET}
    both = kafka_secret | {"SEGUE_KAFKA_SASL_PASSWORD": "x"}
    assert "both set" in problems({}, both)


@pytest.mark.parametrize("wrong", ["gone", "empty", "latin", "huge", "folder"])
def test_a_secrets_file_that_is_no_good(wrong: str, tmp_path: Path) -> None:
    """Is named, and nothing of it quoted."""
    path = tmp_path / "secret"
    if wrong == "folder":
        path.mkdir()
    elif wrong != "gone":
        path.write_bytes({"empty": b"\n", "latin": SECRET.encode() + b"\xff", "huge": SECRET.encode() * 4_000}[wrong])
    for variable in ("SEGUE_LOG_SECRET_FILE", "SEGUE_KAFKA_SASL_PASSWORD_FILE"):
        said = problems({}, {variable: str(path)})
        assert f"The secret in {path}" in said
        assert variable in said
        assert "hunter2" not in said


def test_a_secret_is_never_said(tmp_path: Path) -> None:
    """Not by repr, str, formats, errors of its own setting or of a file that is no TOML."""
    environ = {"SEGUE_LOG_SECRET": SECRET, "SEGUE_KAFKA_SASL_PASSWORD": SECRET, "SEGUE_KAFKA_SSL_KEY_PEM": SECRET,
               "SEGUE_REGISTRY_USER_INFO": f"me:{SECRET}"}  # fmt: skip
    settings = Settings.load({}, environ)
    for said in (repr(settings), str(settings), f"{settings.log_secret!s:>3}{settings.log_secret!r}", f"{settings.kafka}",
                 repr(Loaded.of({}, environ)), repr(given_properties(settings))):  # fmt: skip
        assert "hunter2" not in said
    assert "hunter2" not in problems({}, {"SEGUE_LOG_SECRET": "hunter2", "SEGUE_KAFKA_SASL_PASSWORD": SECRET})
    assert "hunter2" not in problems(file=toml(tmp_path, f"kafka.sasl.password = {SECRET}"))
    assert "hunter2" not in problems(file=toml(tmp_path, f'log_secret = ["{SECRET}"]'))


@pytest.mark.parametrize("name", [n for n in kafka.known() if kafka.is_secret(n)])
def test_no_value_of_a_secret_property_is_said(name: str) -> None:
    """Whatever librdkafka thinks of it."""
    try:
        said = repr(Settings.load({}, {kafka.variable_of(name): SECRET}))
    except ConfigError as error:
        said = str(error)
    assert "hunter2" not in said


def test_the_key_value_file_is_checked_and_gives_way(tmp_path: Path) -> None:
    """`kafka_config` below the file's table below the environment; read anew for each client, as passwords change."""
    lines = tmp_path / "client.properties"
    lines.write_text("sasl.username=file\nlinger.ms=1\nclient.rack=file\n")
    environ = {"SEGUE_KAFKA_CONFIG": str(lines), "SEGUE_KAFKA_CLIENT_RACK": "env"}
    settings = Settings.load({}, environ, toml(tmp_path, 'kafka.linger.ms = 2\nkafka.client.rack = "toml"'))
    assert given_properties(settings) == {"sasl.username": "file", "linger.ms": "2", "client.rack": "env"}
    lines.write_text("sasl.username=new\n")
    assert common_config(settings)["sasl.username"] == "new"
    lines.write_text("enable.idempotence=false\n")
    assert f"enable.idempotence ({lines}) is refused" in problems({}, environ)
    with pytest.raises(ConfigError, match=r"enable\.idempotence is refused"):
        common_config(settings)


def test_no_variable_of_ours_is_set_here() -> None:
    """The tests above would say so in strange ways: what runs them sets only what the list has."""
    known = {row.variable for row in table()} | set(OTHER_VARIABLES)
    assert {name for name in os.environ if name.startswith("SEGUE_")} <= known
