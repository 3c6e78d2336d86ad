"""Where a Prometheus on this machine finds the workers: a file each, for its `file_sd_configs`.

    scrape_configs:
      - job_name: segue
        file_sd_configs:
          - files: [/var/lib/segue/prometheus/*.json]      # <data_dir>/prometheus/*.json

A clean stop removes the file. After a kill it stays, so that the target is seen to be down until the slot runs again.
"""

from __future__ import annotations

import json
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from segue_agents.settings import Settings

FOLDER: Final = "prometheus"
_log = structlog.get_logger(__name__)


def write_target(settings: Settings, slot: str, web: str) -> Path:
    """`web`: the worker's own address, as http://127.0.0.1:8080. The file, in place as a whole.

    A full disk is no reason not to start: it is said, and the worker is not found.
    """
    url = urlsplit(web)
    target = [{
        "targets": [f"{_reachable(url.hostname or '')}:{url.port}"],
        "labels": {"app_id": settings.app_id, "slot": slot, "__scheme__": url.scheme},
    }]  # fmt: skip
    path = settings.data_dir / FOLDER / f"{settings.app_id}.{slot}.json"
    half = path.with_suffix(".half")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(target, indent=1) + "\n", encoding="utf-8")
        half.replace(path)
    except OSError as error:
        _log.warning("target_not_written", file=str(path), error=error.strerror,
                     do="make room, or give the worker the right to write there: Prometheus does not find it")
    return path


def _reachable(host: str) -> str:
    """A host that listens everywhere is found by its name."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.getfqdn()
    return f"[{host}]" if address.version == 6 else host
