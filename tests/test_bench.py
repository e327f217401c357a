"""scripts/bench runs and prints what it promises; how long anything takes is not tested."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What scripts/bench does once .venv is there."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "benchmark", "--fits", "1", "--samples", "650", *arguments],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        text=True,
        capture_output=True,
    )


def is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize(("work", "rounds"), [("mlp", 2), ("mlp-features", 1)])
def test_the_table_compares_with_the_expert(work: str, rounds: int, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    run = bench("--work", work, "--rounds", str(rounds), "--contenders", "trainkit", "--json", str(file))
    assert run.returncode == 0, run.stdout + run.stderr
    title, _, head, rule, *rows = run.stdout.splitlines()
    assert title == f"{work}, {rounds} rounds, ratios to expert"
    assert {line.count("|") for line in (head, rule, *rows)} == {7}
    cells = {row.split()[1]: [cell.strip() for cell in row.split("|")[1:-1]] for row in rows}
    assert cells.keys() == {"trainkit", "expert"}
    assert cells["expert"][2] == cells["expert"][4] == "1.00 (1.00-1.00)"

    record = json.loads(file.read_text())
    assert record["work"] == work
    orders = [["expert", "trainkit"], ["trainkit", "expert"]]
    assert [list(results) for results in record["rounds"]] == orders[:rounds]
    ratios = [results["trainkit"]["step_us"] / results["expert"]["step_us"] for results in record["rounds"]]
    assert cells["trainkit"][2] == f"{sum(ratios) / rounds:.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    assert all(values["peak_mib"] > 50 for results in record["rounds"] for values in results.values())


def test_other_frameworks_run_or_are_said_to_be_missing() -> None:
    needs = {"lightning": "lightning", "ignite": "pytorch-ignite", "accelerate": "accelerate"}
    run = bench("--work", "mlp-features", "--rounds", "1", "--contenders", ",".join(needs))
    assert run.returncode == 0, run.stdout + run.stderr
    for name, distribution in needs.items():
        said = f"| {name} ({distribution} " if is_installed(distribution) else f"| {name} | not installed |"
        assert said in run.stdout


def test_an_unknown_contender_is_refused() -> None:
    run = bench("--contenders", "expert,nobody")
    assert run.returncode == 2
    assert "no contender nobody; there are expert, trainkit, tutorial, lightning" in run.stderr
