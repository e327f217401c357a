"""Recipes and groups as they lie on disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainkit.config.composing.recipes import folder, options, recipes


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A config folder of somebody else, with a recipe and an optimizer."""
    (tmp_path / "recipe").mkdir()
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(
        "# @package _global_\n# My own net.\n# Run: so\n\nname: mine\n# no head\n"
    )
    (tmp_path / "recipe" / "mlp.yaml").write_text("# @package _global_\n# Theirs, changed.\n")
    (tmp_path / "optimizer" / "lion.yaml").write_text("_target_: mine.Lion\n")
    return tmp_path


def test_the_folder_holds_the_root_config() -> None:
    assert (folder() / "config.yaml").is_file()


def test_options_of_a_group_are_sorted_and_those_of_other_folders_join(mine: Path) -> None:
    assert options("averaging") == ["ema", "none", "swa"]
    assert options("optimizer", mine) == ["adam", "adamw", "lion", "rmsprop", "sgd"]
    assert options("nothing") == []


def test_a_recipe_tells_its_head_and_nothing_below_it(mine: Path) -> None:
    recipe = next(recipe for recipe in recipes(mine) if recipe.name == "mine")
    assert recipe == ("mine", "My own net.", ("Run: so",))


def test_a_recipe_of_a_later_folder_takes_the_name(mine: Path) -> None:
    found = {recipe.name: recipe.description for recipe in recipes(mine)}
    assert list(found) == ["cnn", "distillation", "linear", "lora", "mine", "mlp", "transfer"]
    assert found["mlp"] == "Theirs, changed."


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_every_recipe_says_its_command_and_what_to_expect(recipe) -> None:
    assert recipe.description.endswith(".")
    notes = dict(note.split(":", 1) for note in recipe.notes if ":" in note)
    assert notes["Run"].strip() == f"python -m trainkit recipe={recipe.name}"
    assert "test/" in notes["Expected"]


def test_listing_recipes_imports_neither_torch_nor_hydra() -> None:
    code = "import sys; from trainkit.config.composing.recipes import recipes; recipes(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "hydra", "omegaconf"} & set(loaded)
