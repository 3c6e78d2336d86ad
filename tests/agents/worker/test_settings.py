"""Settings: where a value comes from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.errors import ConfigError
from segue_agents.settings import ENVIRONMENT_PREFIX, Settings, table


def test_flag_before_environment_before_default() -> None:
    """A flag wins over the environment, which wins over the default; None is no flag."""
    environ = {"SEGUE_APP_ID": "env", "SEGUE_PARTITIONS": "8"}
    settings = Settings.load({"app_id": "flag", "partitions": None}, environ)
    assert (settings.app_id, settings.partitions, settings.output_topic) == ("flag", 8, "segment-changes")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("partitions", "12", 12),
        ("clock_speed", "2.5", 2.5),
        ("create_topics", "no", False),
        ("sources", "/x", Path("/x")),
        ("slot", "b", "b"),
        ("clock_origin_ms", "5", 5),
        ("guarantee", "at_least_once", "at_least_once"),
    ],
)
def test_text_is_read_as_the_settings_type(name: str, text: str, value: object) -> None:
    """Text from the environment becomes the setting's own type."""
    assert getattr(Settings.load({}, {ENVIRONMENT_PREFIX + name.upper(): text}), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitions", "0"), ("partitions", "many"), ("web_port", "70000"), ("guarantee", "maybe"),
        ("app_id", "a/b"), ("slot", ".. /"), ("create_topics", "perhaps"), ("clock_speed", "0"), ("nonsense", "1"),
        ("registry", "registry:8081"), ("registry", "http://"), ("registry", "http://x:99999"), ("registry", "http://x?y=1"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    """A value that cannot be used raises ConfigError, whose text names the setting and says what to do."""
    with pytest.raises(ConfigError) as caught:
        Settings.load({name: value})
    assert name in str(caught.value)
    assert caught.value.to_do


def test_a_password_in_the_registrys_address_is_refused_and_not_said() -> None:
    """Addresses are printed; passwords belong into a file."""
    with pytest.raises(ConfigError, match="registry_config") as caught:
        Settings(registry="https://me:hunter2@registry:8081")
    assert "hunter2" not in str(caught.value)


def test_every_setting_says_what_it_is() -> None:
    """Each row of the table has help, and its default passes its own check."""
    assert all(row.says for row in table())
    Settings()
