"""``trainkit recipes``: what there is to train, for people and for programs."""

import json
from pathlib import Path

import pytest

from trainkit.config.composing.recipes import recipes


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A config folder of somebody's own with a recipe that says much, and one that says nothing."""
    folder = tmp_path / "mine" / "recipe"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "# @package _global_\n# My own.\n# Run: so\n# Expected: little\n# Also: more\nname: own\n"
    )
    (folder / "silent.yaml").write_text("name: silent\n")
    return tmp_path / "mine"


def test_each_recipe_is_listed_with_what_it_is_what_to_expect_and_its_file(line) -> None:
    answer = line("recipes")
    assert (answer.code, answer.err) == (0, "")
    text = " ".join(answer.out.split())
    assert len(recipes()) >= 3
    for recipe in recipes():
        assert f"{recipe.name} {recipe.description} expected: test/" in text
        assert f" configs/recipe/{recipe.name}.yaml" in text
    assert max(map(len, answer.out.splitlines())) <= 100


def test_those_of_a_config_folder_join_for_programs_too(line, mine: Path) -> None:
    found = json.loads(line("--config-dir", "mine", "recipes", "--json").out)
    assert [row["name"] for row in found] == sorted([*(recipe.name for recipe in recipes()), "own", "silent"])
    own = next(row for row in found if row["name"] == "own")
    assert own == {
        "name": "own",
        "description": "My own.",
        "expected": "little",
        "run": "so",
        "notes": ["Run: so", "Expected: little", "Also: more"],
        "file": "mine/recipe/own.yaml",
    }
    text = " ".join(line("recipes", "--config-dir", "mine").out.split())
    assert "own My own. expected: little mine/recipe/own.yaml" in text
    assert "silent (its file says nothing of it) mine/recipe/silent.yaml" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["recipe=mlp"], "recipes takes no recipe=mlp"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
        (["mlp"], "mlp: "),
        (["--jsn"], "Did you mean '--json'?"),
    ],
)
def test_anything_else_is_refused(line, words: list[str], told: str) -> None:
    answer = line("recipes", *words)
    assert (answer.code, answer.out) == (2, "")
    assert told in answer.err
