"""scripts/bench startup runs and prints what it promises; how long anything takes is tested elsewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
ONCE = """
import runpy, sys
from benchmark import startup

measure, known = startup.cpu_seconds, {}

def cpu_seconds(case, folder):
    if str(case) not in known:
        known[str(case)] = measure(case, folder)
    return known[str(case)]

startup.cpu_seconds = cpu_seconds
sys.argv[1:1] = ["startup"]
runpy.run_module("benchmark", run_name="__main__", alter_sys=True)
"""
"""The script, but each command line is run once, and all rounds have what that took: nothing here compares rounds."""


def test_the_table_holds_each_answer_against_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    run = subprocess.run(
        [sys.executable, "-P", "-c", ONCE, "--rounds", "2", "--json", str(file)],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        text=True,
        capture_output=True,
    )
    assert file.is_file(), run.stdout + run.stderr
    title, _, head, rule, *rows = run.stdout.splitlines()
    assert title == "CPU time of whole processes, 2 rounds"
    assert {line.count("|") for line in (head, rule, *rows)} == {5}
    record = json.loads(file.read_text())
    first, second = record["rounds"]
    names = [row.split("|")[1].strip() for row in rows]
    assert list(first) == names
    assert list(second) == [*names[1:], names[0]]
    assert {"--help", "help KEY", "completion", "a refused value", "check of a sound config", "import torch"} <= set(
        names
    )
    assert all(re.search(r"\| \d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\) \|", row) for row in rows)
    limits = {name: row.split("|")[3].strip() for name, row in zip(names, rows, strict=True)}
    assert limits["completion"] == "0.3"
    assert limits["check of a sound config"] == "import torch + 1"
    assert run.returncode == bool(record["over"])
    assert ("over the limit" in run.stderr) == bool(record["over"])
