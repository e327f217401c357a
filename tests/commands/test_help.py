"""``--help``, the help of each command, and the list of recipes for those who ask for nothing."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from trainkit.commands import COMMANDS, EVERYWHERE
from trainkit.commands.help.command import COMMON, EXAMPLES
from trainkit.commands.help.layout import columns
from trainkit.config.composing.compose import composed
from trainkit.config.composing.recipes import options, recipes
from trainkit.settings import Settings
from trainkit.values import shown

WIDTH = 100


@pytest.fixture
def text(line) -> str:
    answer = line("--help")
    assert (answer.code, answer.err) == (0, "")
    return str(answer.out)


def rows(text: str, section: str) -> dict[str, str]:
    """Return the rows of a section, each text in one line."""
    body = re.search(rf"^{re.escape(section)}[^\n]*:\n(.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert body, f"no section {section}"
    found: dict[str, str] = {}
    for row in body[1].splitlines():
        if name := re.match(r"  (\S.*?)(?:  +(.*))?$", row):
            last = name[1]
            found[last] = name[2] or ""
        else:
            found[last] = f"{found[last]} {row.strip()}".strip()
    return found


@pytest.mark.parametrize("arguments", [["-h"], ["recipe=mlp", "--help"], ["help"], ["--help", "-m"]])
def test_help_is_to_be_had_everywhere(line, text: str, arguments: list[str]) -> None:
    assert line(*arguments) == (0, text, "")


def test_no_arguments_list_the_recipes_and_exit_with_2(line) -> None:
    answer = line()
    assert (answer.code, answer.out) == (2, "")
    found = rows(answer.err, "recipes")
    assert list(found) == [recipe.name for recipe in recipes()]
    for recipe in recipes():  # in one line each, so that the answer stays short; --help has them whole
        assert recipe.description.startswith(found[recipe.name].removesuffix(" ..."))


def test_it_fits_a_page_and_is_plain_text(text: str) -> None:
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.replace("\n", "").isprintable()
    assert "—" not in text


def test_it_names_commands_recipes_and_every_option_of_every_group(text: str) -> None:
    assert rows(text, "commands") == {name: command.summary for name, command in COMMANDS.items()}
    found = rows(text, "recipes")
    assert list(found) == [recipe.name for recipe in recipes()]
    for recipe in recipes():
        assert found[recipe.name].startswith(f"{recipe.description} expected: test/")
    listed = rows(text, "groups")
    for group in ("model", "data", "optimizer", "schedule", "averaging", "debug", "objective"):
        doc, _, names = listed[group].rpartition(": ")
        assert names.split() == options(group)
        assert len(doc) > 5


def test_keys_come_with_type_doc_and_the_default_that_a_recipe_starts_from(text: str) -> None:
    defaults = composed(["recipe=mlp", "data=digits"]).plain["trainer"] | {"max_epochs": 10, "threads": "auto"}
    found = rows(text, "the trainer's keys")
    assert list(found) == [f"trainer.{field.name}" for field in fields(Settings)]
    for field in fields(Settings):
        told = found[f"trainer.{field.name}"]
        assert told.startswith(field.metadata["doc"])
        assert told.endswith(f"default {shown(defaults[field.name])}]")
    assert "[fp32 | bf16 | fp16, default fp32]" in found["trainer.precision"]
    assert "[int >= 0 | null, default 10]" in found["trainer.max_epochs"]


def test_the_common_keys_exist_and_are_explained(text: str) -> None:
    config = composed(["recipe=mlp"]).plain
    found = rows(text, "common keys")
    assert list(found) == list(COMMON)
    for key in COMMON:
        node = config
        for part in key.split("."):
            assert part in node, key
            node = node[part]
        assert re.match(r"\w.*\. .*\[.*default .*\]$", found[key].replace(" null.", "")), found[key]


def test_its_examples_compose(text: str) -> None:
    assert len(EXAMPLES) >= 5
    for example in EXAMPLES:
        assert f"  {example}  " in text
        words = [word for word in shlex.split(example)[3:] if "=" in word]
        found = composed([word.split(",")[0] if "[" not in word else word for word in words if "resume" not in word])
        assert "eval" in example or not [str(finding) for finding in found.findings]


def test_recipes_of_a_config_folder_join(line, tmp_path: Path) -> None:
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "recipe" / "own.yaml").write_text("# @package _global_\n# My own.\n# Expected: little\n")
    answer = line("--help", "--config-dir", "mine")
    assert rows(answer.out, "recipes")["own"] == "My own. expected: little"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("asked", [["--help"], ["-h"]])
def test_each_command_has_its_usage_arguments_and_an_example(line, name: str, asked: list[str]) -> None:
    answer = line(name, *asked)
    assert (answer.code, answer.err) == (0, "")
    usage = f"usage: python -m trainkit {name} {COMMANDS[name].usage}".rstrip()
    assert " ".join(answer.out.split()).startswith(usage)
    assert max(map(len, answer.out.splitlines())) <= WIDTH
    named = {
        row.split()[-1] if row.startswith("-") and ", " in row else row.split()[0] for row in rows(answer.out, "flags")
    }
    assert {"--help", "--traceback"} <= {word.rstrip(",") for row in rows(answer.out, "flags") for word in row.split()}
    assert len(named) == len([*COMMANDS[name].flags, *EVERYWHERE])
    assert ("recipe=NAME  " in answer.out) == COMMANDS[name].takes_overrides
    for example in COMMANDS[name].examples:
        assert f"\n  python -m trainkit {example}" in answer.out
    assert line("help", name).out == answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_examples_command_is_the_one_it_is_shown_for(name: str) -> None:
    from trainkit.commands.dispatch import command_of

    for example in COMMANDS[name].examples:
        assert command_of(shlex.split(example))[0] == name


def test_ckpt_lists_its_own_commands(line) -> None:
    assert "ckpt export PATH --out FILE [--force]" in line("ckpt", "--help").out
    assert line("ckpt", "inspect", "--help").code == 0


def test_the_help_of_a_misspelt_command_is_a_close_match(line) -> None:
    answer = line("chekc", "--help")
    assert (answer.code, answer.out) == (2, "")
    assert "Did you mean 'check'?" in answer.err


def test_columns_wrap_and_keep_what_is_long() -> None:
    text = columns({"a": "word " * 40, "b" * 50: "beside", "c": "", "d": ["one", "two"]}, widest=10).splitlines()
    assert text[0].startswith("  a           word word")
    assert text[1].startswith(" " * 14 + "word")
    assert max(map(len, text)) <= WIDTH
    assert text[3:] == [f"  {'b' * 50}", " " * 14 + "beside", "  c", "  d           one", " " * 14 + "two"]
    assert columns({}) == "  none"
