"""Command lines, taken apart: flags wherever they stand, and what slipped, with its cure."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainkit.config.composing.line import Line, read_line
from trainkit.errors import ConfigError


def test_a_line_is_taken_apart_wherever_its_flags_stand(tmp_path: Path) -> None:
    words = ["-m", "recipe=mlp", "--config-dir", str(tmp_path), "~loggers", "+tags=[a]", "--cfg", "job", "++x=1"]
    line = read_line(words)
    assert line.overrides == ["recipe=mlp", "~loggers", "+tags=[a]", "++x=1"]
    assert line.flags == ["-m", "--cfg", "job"]
    assert line.config_dir == str(tmp_path)
    assert line.shown == [*line.overrides, "--config-dir", str(tmp_path)]
    assert (line.sweeps, line.value("--cfg", "-c"), line.value("-m")) == (True, "job", None)
    assert line.has("--cfg")
    assert not line.has("--info")
    assert line.require() is line


def test_the_config_folder_may_be_joined_by_an_equals_sign(tmp_path: Path) -> None:
    for words in ([f"--config-dir={tmp_path}"], [f"-cd={tmp_path}"], ["-cd", str(tmp_path)]):
        assert read_line(words).folder_flag == ["--config-dir", str(tmp_path)]
    assert read_line(["recipe=mlp"]).folder_flag == []


def test_traceback_goes_with_every_command_and_is_no_flag_of_its_own() -> None:
    line = read_line(["--traceback", "recipe=mlp"])
    assert (line.flags, line.overrides, line.findings) == ([], ["recipe=mlp"], [])


def test_the_value_of_info_may_be_left_out() -> None:
    assert read_line(["--info", "recipe=mlp"]).flags == ["--info"]
    assert read_line(["--info", "defaults-tree", "recipe=mlp"]).flags == ["--info", "defaults-tree"]


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        ("--recipe=mlp", "recipe=mlp"),
        ("--recipe mlp", "recipe=mlp"),
        ("-recipe=mlp", "recipe=mlp"),
        ("-recipe mlp", "recipe=mlp"),
        ("--lr 3e-4", "lr=3e-4"),
        ("--lr -1", "lr=-1"),
        ("--epochs=5", "epochs=5"),
        ("--optimizer.lr=1", "optimizer.lr=1"),
        ("--fast-dev-run", "fast-dev-run=true"),
        ("--no-test", "test=false"),
        ("recipe mlp", "recipe=mlp"),
        ("recipe = mlp", "recipe=mlp"),
        ("recipe= mlp", "recipe=mlp"),
        ("recipe =mlp", "recipe=mlp"),
        ("recipe=mlp,", "recipe=mlp"),
        ("recipe:mlp", "recipe=mlp"),
        ("recipe: mlp", "recipe=mlp"),
        ("lr 3e-4", "lr=3e-4"),
        ("mlp", "recipe=mlp"),
        ("mlp,", "recipe=mlp"),
        ("my.yaml", "recipe=my.yaml"),
        ("--trust my_package", "trusted_packages=[my_package]"),
        ("--config-name mlp", "recipe=mlp"),
        ("-cp=configs", "--config-dir configs"),
    ],
)
def test_a_slip_gets_its_cure_and_the_rest_of_the_line_holds(words: str, cure: str) -> None:
    line = read_line(["seed=3", *words.split(), "-m"])
    assert [slip.cure for slip in line.slips] == [cure]
    assert (line.overrides, line.flags, line.findings) == (["seed=3"], ["-m"], [])
    with pytest.raises(ConfigError, match="Did you mean"):
        line.require()


@pytest.mark.parametrize(
    ("words", "told", "rest"),
    [
        ("--cgf job seed=1", "--cgf: no such flag. Did you mean '--cfg'?", ["seed=1"]),
        ("--multirn seed=1", "--multirn: no such flag. Did you mean '--multirun'?", ["seed=1"]),
        ("-multirun seed=1", "-multirun: no such flag. Did you mean '--multirun'?", ["seed=1"]),
        ("--multi seed=1", "--multi: no such flag. Did you mean '--multirun'?", ["seed=1"]),
        ("--config_dir x seed=1", "--config_dir: no such flag. Did you mean '--config-dir'?", ["seed=1"]),
        ("--cfg jbo seed=1", "--cfg jbo: must be one of job, hydra, all. Did you mean 'job'?", ["seed=1"]),
        ("seed=1 --cfg", "--cfg: needs job or hydra or all after it", ["seed=1"]),
        ("--config-dir seed=1", "--config-dir: needs a folder after it", ["seed=1"]),
        ("seed=1 --config-dir", "--config-dir: needs a folder after it", ["seed=1"]),
        ("seed=1 --config-dir nowhere", "--config-dir nowhere: there is no such folder", ["seed=1"]),
        ("--config-dir=. --config-dir=.. seed=1", "--config-dir ..: a config folder was given already (.)", ["seed=1"]),
        ("-m=3 seed=1", "-m=3: -m takes no value", ["seed=1"]),
        ("=3 seed=1", "=3: has no key; write KEY=VALUE, without spaces", ["seed=1"]),
        ("nonsense seed=1", "nonsense: neither a flag nor KEY=VALUE", ["seed=1"]),
        ("mpl seed=1", "mpl: neither a flag nor KEY=VALUE. Did you mean 'recipe=mlp'?", ["seed=1"]),
        ("seed=1 eval", "eval: a command comes first. Write: trainkit eval ...", ["seed=1"]),
        ("-5 seed=1", "-5: neither a flag nor KEY=VALUE", ["seed=1"]),
        ("-z seed=1", "-z: no such flag; --help lists those that there are", ["seed=1"]),
    ],
)
def test_a_wrong_flag_is_told_and_the_rest_of_the_line_holds(words: str, told: str, rest: list[str]) -> None:
    line = read_line(words.split(), commands=("train", "eval"))
    assert [str(finding) for finding in line.findings] == [told]
    assert (line.overrides, line.slips) == (rest, [])


def test_dashes_of_a_page_copied_from_are_dashes() -> None:
    line = read_line(["\u2014cfg", "job", "\u2013m"])
    assert (line.flags, line.findings, line.slips) == (["--cfg", "job", "-m"], [], [])


def test_a_commands_own_flags_are_taken_and_others_refused() -> None:
    takes = {"--json": None, "--steps": ()}
    line = read_line(["--steps", "40", "recipe=mlp", "--json"], takes)
    assert (line.flags, line.value("--steps"), line.findings) == (["--steps", "40", "--json"], "40", [])
    (finding,) = read_line(["--cfg", "job", "recipe=mlp"], takes).findings
    assert str(finding) == "--cfg: this command takes no such flag; it takes --json, --steps, --config-dir, --traceback"
    (finding,) = read_line(["--step", "3", "recipe=mlp"], takes).findings
    assert "Did you mean '--steps'?" in str(finding)


def test_all_that_is_wrong_with_a_line_comes_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        read_line(["--multirn", "--lr", "3", "nonsense"]).require()
    assert str(error.value).startswith("3 mistakes")


def test_a_line_may_be_made_by_hand() -> None:
    assert Line(["recipe=mlp"]).shown == ["recipe=mlp"]


def test_reading_a_line_imports_neither_torch_nor_hydra() -> None:
    code = "import sys; from trainkit.config.composing.line import read_line; read_line(['a']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "hydra", "omegaconf"} & set(loaded)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("seed=1 -r", "-r: no such flag; a run needs none"),
        ("seed=1 --verbose", "--verbose: no such flag; --traceback shows an error's frames"),
        ("seed=1 --json", "--json: no such flag; the commands check, help and recipes take it"),
        ("seed=1 --hydra-help", "--hydra-help: no such flag; --help lists what there is"),
    ],
)
def test_what_nobody_can_guess_is_refused(words: str, told: str) -> None:
    line = read_line(words.split())
    assert [str(finding) for finding in line.findings] == [told]
    assert line.slips == []


@pytest.mark.parametrize("words", ["recipe=mlp recipe=cnn", "seed=1 ++seed=2"])
def test_a_key_that_is_given_twice_is_warned_of_and_the_last_one_counts(words: str) -> None:
    line = read_line(words.split())
    first, last = words.split()
    key = first.partition("=")[0]
    told = f"{key}: is given twice, as {first} and {last}; the last one counts"
    assert [(finding.severity, str(finding)) for finding in line.findings] == [("warning", told)]
    line.require()


@pytest.mark.parametrize(
    "words", ["seed=1 seed=1", "seed=1 seed=2 -m", "optimizer=sgd optimizer={lr:1}", "~model.hidden +model.hidden=[3]"]
)
def test_a_key_may_stand_twice_where_nothing_is_in_doubt(words: str) -> None:
    assert read_line(words.split()).findings == []


def test_a_gpu_is_asked_for_by_a_key() -> None:
    assert [slip.cure for slip in read_line(["recipe=mlp", "--gpu"]).slips] == ["trainer.device=cuda"]


def test_of_a_flag_that_is_given_twice_the_last_value_counts() -> None:
    line = read_line(["seed=1", "--config-dir=.", "--cfg", "job", "--cfg", "all"])
    assert line.value("--cfg") == "all"
    assert line.value("--info") is None
    assert Line([]).value("--cfg") is None
