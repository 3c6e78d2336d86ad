"""Whatever sets a worker up names settings that there are, with values they take."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy.files import worker_environments

from segue_agents.settings import ENVIRONMENT_PREFIX, Settings, table

KNOWN = {ENVIRONMENT_PREFIX + row.name.upper() + ("_FILE" if row.secret else "") for row in table()}
"""secrets come from files"""


@pytest.mark.parametrize("place", worker_environments())
def test_a_worker_is_told_what_it_understands(place: str, tmp_path: Path) -> None:
    """Every SEGUE_ variable is a setting, and together they are settings that a worker takes, with files of secrets."""
    given = worker_environments()[place]
    assert set(given) - KNOWN == set()
    for name in [n for n, value in given.items() if "/secrets/" in value]:
        file = tmp_path / name
        file.write_text("client.id=worker\n" if name.endswith("_CONFIG") else 64 * "a")
        given[name] = str(file)
    settings = Settings.load({}, given)
    assert settings.data_dir == Path("/var/lib/segue")
    assert settings.rules == Path("/etc/segue/rules")
    assert settings.log_format == "json"
    assert settings.web_port != 0, "one that can be scraped"
