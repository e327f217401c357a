"""scripts/bench check runs and prints what it promises; how long anything takes is tested elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"


def test_the_table_holds_a_check_against_its_budget_and_names_the_slowest_rules() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "benchmark", "check", "--work", "digits MLP", "--rounds", "2", "--rules", "3"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SCRIPTS), *sys.path])},
        text=True,
        capture_output=True,
    )
    head, line, row, _, title, *rules = run.stdout.splitlines()
    assert {part.count("|") for part in (head, line, row)} == {6}, run.stderr
    step, seconds, ratio, share = (float(value) for value in re.findall(r"\| (\d+\.?\d*)", row))
    assert 0 < step / 1000 < seconds
    assert ratio > 1
    assert share > 0
    assert title == "digits MLP:"
    assert len(rules) == 3
    spent = [float(rule.split()[0]) for rule in rules]
    assert spent == sorted(spent, reverse=True)
    assert sum(spent) < 2 * seconds
    assert all(re.search(r"s  [a-z_]+(\.[a-z_]+)+$", rule) for rule in rules)
