"""``--help``, and the list of recipes for those who ask for nothing."""

import re
from dataclasses import fields

import pytest

from trainkit.commands import COMMANDS
from trainkit.commands.help import COMMON
from trainkit.config.compose import compose, plain
from trainkit.config.recipes import options, recipes
from trainkit.settings import Settings


@pytest.fixture
def text(line) -> str:
    answer = line("--help")
    assert (answer.code, answer.err) == (0, "")
    return str(answer.out)


@pytest.mark.parametrize("arguments", [["-h"], ["train", "--help"], ["recipe=mlp", "--help"]])
def test_help_is_to_be_had_everywhere(line, text: str, arguments: list[str]) -> None:
    assert line(*arguments) == (0, text, "")


def test_no_arguments_list_the_recipes_and_exit_with_2(line) -> None:
    answer = line()
    assert (answer.code, answer.out) == (2, "")
    for recipe in recipes():
        assert f"  {recipe.name}" in answer.err
        assert recipe.description in answer.err


def test_it_names_commands_recipes_and_every_option_of_every_group(text: str) -> None:
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", text, re.MULTILINE)
    for recipe in recipes():
        assert re.search(rf"^  {recipe.name} +{re.escape(recipe.description)}$", text, re.MULTILINE)
    for group in ("model", "data", "optimizer", "schedule", "averaging", "debug"):
        assert re.search(rf"^  {group} +{' '.join(options(group))}$", text, re.MULTILINE)


def test_the_trainers_keys_come_with_type_and_the_default_that_a_recipe_starts_from(text: str) -> None:
    defaults = plain(compose("mlp", "data=digits"))["trainer"]
    rows = dict(re.findall(r"^  trainer\.(\w+) +(.+)$", text, re.MULTILINE))
    assert list(rows) == [field.name for field in fields(Settings)]
    assert rows["precision"].endswith("[fp32|bf16|fp16, default fp32]")
    assert rows["max_epochs"].endswith("[int|null, default 10]")
    assert rows["fast_dev_run"].endswith("[bool|int, default false]")
    unset = {name for name, value in defaults.items() if value is None}
    assert unset == {name for name, row in rows.items() if row.endswith("default null]")}


def test_the_common_keys_exist() -> None:
    config = plain(compose("mlp"))
    for key in ", ".join(COMMON).split(", "):
        node = config
        for part in key.split("."):
            assert part in node, key
            node = node[part]


def test_its_examples_compose(text: str) -> None:
    examples = re.findall(r"^  python -m trainkit (recipe=\S+(?: [\w.]+=\S+)*)", text, re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        recipe, *overrides = example.split()
        compose(None, recipe, *(override.split(",")[0] if "[" not in override else override for override in overrides))
