"""Which command a line means, wherever its word stands, and what is said of a word that is none."""

from pathlib import Path

import pytest

from trainkit.commands import COMMANDS, FLAGS, SYNONYMS, words_of
from trainkit.commands.dispatch import command_of, config_folders, shortest
from trainkit.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("recipe=mlp", "train", "recipe=mlp"),
        ("train recipe=mlp", "train", "recipe=mlp"),
        ("recipe=mlp eval resume=x", "eval", "recipe=mlp resume=x"),
        ("recipe=mlp resume=x eval", "eval", "recipe=mlp resume=x"),
        ("--config-dir check check recipe=mine", "check", "--config-dir check recipe=mine"),
        ("--config-dir=x check recipe=mine", "check", "--config-dir=x recipe=mine"),
        ("-cd help recipe=mine", "train", "-cd help recipe=mine"),
        ("--json check recipe=mlp", "check", "--json recipe=mlp"),
        ("-m recipe=mlp seed=1,2", "train", "-m recipe=mlp seed=1,2"),
        ("--cfg job recipe=mlp", "train", "--cfg job recipe=mlp"),
        ("--info defaults recipe=mlp", "train", "--info defaults recipe=mlp"),
        ("--info check recipe=mlp", "check", "--info recipe=mlp"),
        ("verify-resume --steps 40 recipe=mlp", "verify-resume", "--steps 40 recipe=mlp"),
        ("--steps 40 verify-resume recipe=mlp", "verify-resume", "--steps 40 recipe=mlp"),
        ("help check", "help", "check"),
        ("recipe=mlp help check", "help", "recipe=mlp check"),
        ("ckpt inspect runs/one", "ckpt", "inspect runs/one"),
        ("~callbacks.progress recipe=mlp", "train", "~callbacks.progress recipe=mlp"),
        ("+a=1 recipe=mlp", "train", "+a=1 recipe=mlp"),
        ("recipe=mlp lr 3", "train", "recipe=mlp lr 3"),  # whoever reads the line says what is wrong with it
        ("recipe=mlp chekc", "train", "recipe=mlp chekc"),
        ("recipe=mlp --flag check", "check", "recipe=mlp --flag"),
    ],
)
def test_the_command_is_found_wherever_it_stands(line: str, command: str, rest: str) -> None:
    assert command_of(line.split()) == (command, rest.split())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("trian recipe=mlp", "trian: no such command. Did you mean 'train'?"),
        ("chekc recipe=mlp", "chekc: no such command. Did you mean 'check'?"),
        ("--config-dir . chekc recipe=mlp", "chekc: no such command. Did you mean 'check'?"),
        ("test resume=x", "test: no such command. Did you mean 'eval'?"),
        ("list", "list: no such command. Did you mean 'recipes'?"),
        ("Train", "Train: no such command. Did you mean 'train'?"),
        ("verify_resume", "verify_resume: no such command. Did you mean 'verify-resume'?"),
        ("zzzzzz", "zzzzzz: no such command. Commands: train, eval, check, "),
        ("mpl", "mpl: no such command. Did you mean 'recipe=mlp'?"),
        ("mlp", "mlp: is no command. Did you mean 'recipe=mlp'? Such as: python -m trainkit recipe=mlp"),
        ("mlp a=1 -m", "mlp: is no command. Did you mean 'recipe=mlp'? Such as: python -m trainkit recipe=mlp a=1 -m"),
        ("one_cycle", "one_cycle: is no command. Did you mean 'schedule=one_cycle'?"),
        ("mine.yaml", "mine.yaml: is no command. Did you mean 'recipe=./mine.yaml'?"),
        ("run", "run: is no command. Did you mean 'resume=run'?"),
        ("recipe mlp", "recipe: is no command. Did you mean 'recipe=mlp'? Such as: python -m trainkit recipe=mlp"),
        (
            "recipe mlp -m",
            "recipe: is no command. Did you mean 'recipe=mlp'? Such as: python -m trainkit recipe=mlp -m",
        ),
        ("optimizer.lr 3e-4 recipe=mlp", "optimizer.lr: is no command. Did you mean 'optimizer.lr=3e-4'?"),
        ("seed 3", "seed: is no command. Did you mean 'seed=3'?"),
        ("zzzzzz 3", "zzzzzz: no such command. Commands:"),
        (
            "optimizer.lr",
            "optimizer.lr: a key needs a value: optimizer.lr=VALUE; `python -m trainkit help optimizer.lr`",
        ),
        ("x" * 5000, "x"),
        ("eval check", "eval, check: one command at a time"),
        ("check recipe=mlp eval", "check, eval: one command at a time"),
    ],
)
def test_a_word_that_is_no_command_is_refused_with_what_was_meant(
    line: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ConfigError) as error:
        command_of(line.split())
    assert str(error.value).startswith(told)


def test_recipes_of_ones_own_are_known_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my configs" / "recipe").mkdir(parents=True)
    (tmp_path / "my configs" / "recipe" / "mine.yaml").touch()
    with pytest.raises(ConfigError, match=r"python -m trainkit --config-dir 'my configs' recipe=mine$"):
        command_of(["--config-dir", "my configs", "mine"])
    assert config_folders(["-cd", "my configs/../my configs", "--config-dir=nowhere"]) == [tmp_path / "my configs"]
    assert config_folders(["--config-dir"]) == []


def test_flags_before_the_command_reach_it(line) -> None:
    for words in (["--json", "recipes"], ["recipes", "--json"]):
        answer = line(*words)
        assert (answer.code, answer.out[:1]) == (0, "[")


def test_a_folder_is_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortest(tmp_path / "a" / ".." / "b") == "b"
    assert shortest("/nowhere") == "/nowhere"


def test_each_flag_of_a_command_is_described() -> None:
    for command in COMMANDS.values():
        assert set(command.flags) <= set(FLAGS)
    assert set(SYNONYMS.values()) <= set(FLAGS)
    assert words_of(["--package", "eval", "", "train"]) == [3]
