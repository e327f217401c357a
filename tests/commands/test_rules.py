"""The rules of ``trainkit check``: each has a page, each page a rule, and `help` shows them."""

import ast
import json
from itertools import pairwise
from pathlib import Path

import pytest

from trainkit.commands.help import rules

INSPECTION = Path(__file__).parents[2] / "trainkit" / "inspection"
SECTIONS = ["## Example", "## Why", "## Fix", "## Source"]
TROUBLES = {"rule-failed"}
"""What is said of a rule that could not be tried: no rule itself."""


def ids_in(source: str) -> set[str]:
    """Return the rule ids in a source file: the first argument of each ``found``, and names that a call passes on."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id in ("found", "_found")]
    return {
        leaf.value
        for call in named
        for leaf in ast.walk(call.args[0])
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    }


IDS = set().union(*(ids_in(path.read_text()) for path in INSPECTION.rglob("*.py"))) - TROUBLES


def test_each_rule_has_a_page() -> None:
    assert len(IDS) > 50
    assert sorted(IDS - set(rules.names())) == []


def test_each_page_has_a_rule() -> None:
    sources = "\n".join(path.read_text() for path in INSPECTION.rglob("*.py"))
    assert [name for name in rules.names() if f'"{name}"' not in sources] == []


@pytest.mark.parametrize("name", rules.names())
def test_a_page_has_an_example_why_fix_and_source(name: str) -> None:
    lines = (rules.page(name) or "").splitlines()
    assert lines[0] == f"# {name}"
    assert rules.rows()[name].endswith((".", ".)"))
    assert [line for line in lines if line.startswith("## ")] == SECTIONS
    places = [*map(lines.index, SECTIONS), len(lines)]
    assert all("".join(lines[start + 1 : end]).strip() for start, end in pairwise(places))
    assert len(lines) <= 40


def test_help_lists_the_rules(line) -> None:
    answer = line("help", "rules")
    assert (answer.code, answer.err) == (0, "")
    for name in rules.names():
        assert f"\n  {name} " in answer.out
    assert json.loads(line("help", "rules", "--json").out) == {"kind": "rules", "names": rules.names()}


def test_help_shows_the_page_of_a_rule(line) -> None:
    page = (INSPECTION / "pages" / "broadcast.md").read_text().strip()
    assert line("help", "broadcast") == (0, f"{page}\n", "")
    found = json.loads(line("help", "broadcast", "--json").out)
    assert found == {"kind": "rule", "name": "broadcast", "page": page}


def test_a_slip_in_a_rule_is_told_with_the_rule(line) -> None:
    answer = line("help", "softmax-before-crossentropy")
    assert answer.code == 2
    assert "Did you mean 'softmax-before-cross-entropy'" in answer.err
