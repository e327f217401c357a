"""``trainkit check``: what it prints, its exit codes, the data that it looks at, and that it starts nothing."""

import json
from pathlib import Path

import pytest

from trainkit.commands.check import report
from trainkit.findings import Finding

FIELDS = {"rule", "severity", "place", "value", "file", "line", "message", "evidence", "effect", "fix"}
OWN_DATA = """
import torch
from torch.utils.data import TensorDataset
from trainkit.data import Splits

CALLED = []


def splits():
    CALLED.append(1)
    raise RuntimeError("was called")
"""


def test_a_sound_config_says_so_and_starts_nothing(line, tmp_path: Path) -> None:
    answer = line("check", "recipe=mlp")
    assert (answer.code, answer.out.splitlines(), answer.err) == (0, ["no mistakes found"], "")
    assert list(tmp_path.iterdir()) == []


def test_all_findings_are_listed_errors_first_and_counted(line) -> None:
    answer = line("check", "recipe=mlp", "trainer.max_epoch=3", "seed=x", "trainer.gradient_clip_algorithm=value")
    told = answer.out.splitlines()
    assert answer.code == 2
    assert [text.split()[0] for text in told[:3]] == ["error", "error", "warning"]
    assert told[3:] == ["2 errors, 1 warning"]
    assert "trainer.max_epoch" in told[0]
    assert "Did you mean 'trainer.max_epochs'?" in told[0]
    assert "seed=x: must be a whole number" in told[1]
    assert "(override seed=x)" in told[1]
    assert answer.err == ""


def test_a_warning_is_no_mistake_unless_one_is_strict(line) -> None:
    odd = ("recipe=mlp", "trainer.gradient_clip_algorithm=value")
    assert line("check", *odd).code == 0
    answer = line("check", "--strict", *odd)
    assert answer.code == 2
    assert answer.out.splitlines()[-1] == "1 warning"
    assert line("check", "--strict", "recipe=mlp").code == 0


def test_json_is_a_list_of_findings_and_nothing_else(line) -> None:
    answer = line("check", "recipe=mlp", "--json", "trainer.max_epochs=ten")
    (found,) = json.loads(answer.out)
    assert answer.code == 2
    assert set(found) == FIELDS
    assert (found["place"], found["value"], found["severity"]) == ("trainer.max_epochs", "ten", "error")
    assert json.loads(line("check", "recipe=mlp", "--json").out) == []


def test_a_file_is_named_with_its_line(line, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# @package _global_\n# Mine.\ndefaults:\n  - /recipe: mlp\nseed: -4\n")
    (found,) = json.loads(line("check", "recipe=mine.yaml", "--json").out)
    assert (found["file"], found["line"], found["place"]) == ("mine.yaml", 5, "seed")


def test_the_size_of_the_data_is_looked_at(line) -> None:
    answer = line("check", "recipe=mlp", "data.batch_size=5000", "data.drop_last=true")
    assert answer.code == 2
    assert "data.batch_size=5000: the training set has 1,078 samples" in answer.out
    steps = line("check", "recipe=cnn", "schedule.scheduler.total_steps=100")
    assert steps.code == 2
    assert "340 steps" in steps.out


def test_labels_are_held_against_the_models_outputs(line) -> None:
    answer = line("check", "recipe=mlp", "data.classes=5")
    assert answer.code == 2
    assert "labels go from 0 to 4" in answer.out
    nested = line("check", "recipe=mlp", "model=nested", "data.classes=9")
    assert "labels go from 0 to 8" in nested.out


def test_data_that_would_be_fetched_are_not(line, tmp_path: Path) -> None:
    answer = line("check", "recipe=mlp", "data=mnist")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "no mistakes found")
    assert answer.out.startswith("info")
    assert "not looked at: the files are fetched when a run starts" in answer.out
    assert list(tmp_path.iterdir()) == []
    absent = line("check", "recipe=mlp", "data=mnist", "data.download=false")
    assert absent.code == 2
    assert "train-images-idx3-ubyte" in absent.out


def test_code_of_ones_own_is_not_called(line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_data_of_check.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    answer = line("check", "recipe=mlp", "data.datasets._target_=own_data_of_check.splits")
    assert answer.code == 0, answer.out
    assert "not looked at: own_data_of_check.splits is called when a run starts" in answer.out


@pytest.mark.parametrize("run_dir", ["../elsewhere", "taken.txt"])
def test_the_run_folder_is_looked_at(line, tmp_path: Path, run_dir: str) -> None:
    (tmp_path / "taken.txt").write_text("")
    answer = line("check", "recipe=mlp", f"run_dir={run_dir}")
    assert answer.code == 2
    assert f"run_dir={run_dir}: " in answer.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken.txt"]


def test_a_stored_run_is_checked_by_its_own_config(line, finished: Path) -> None:
    assert line("check", f"resume={finished}").code == 0
    answer = line("check", f"resume={finished}", "trainer.max_epochs=ten")
    assert answer.code == 2
    assert "trainer.max_epochs=ten" in answer.out


def test_flags_of_other_commands_are_refused(line) -> None:
    answer = line("check", "recipe=mlp", "--info")
    assert answer.code == 2
    assert "--info" in answer.out + answer.err


def test_every_value_of_a_sweep_is_checked(line, tmp_path: Path) -> None:
    answer = line("check", "recipe=mlp", "seed=1,x", "trainer.max_epochs=3,4,y", "-m")
    assert answer.code == 2
    assert "seed=x: must be" in answer.out
    assert "trainer.max_epochs=y: must be" in answer.out
    assert answer.out.splitlines()[-1] == "2 errors"
    assert line("check", "recipe=mlp", "seed=1,2", "--multirun").out == "no mistakes found\n"
    assert list(tmp_path.iterdir()) == []


SECRET = "hunter22hunter"
OWN = """
class Made:
    def __init__(self, every: int = 1, api_key: str = "") -> None: ...
"""


@pytest.mark.parametrize("command", [("check",), ("check", "--json"), ("check", "-m"), ()], ids=" ".join)
@pytest.mark.parametrize(
    "override",
    [
        "+loggers.w={_target_:own_of_secrets.Missing,api_key:SECRET}",
        "+callbacks.x={_target_:own_of_secrets.Made,every:x,api_key:SECRET}",
        "+loggers.wandb={_target_:wandb.Logger,api_key:SECRET}",
        "+loggers.wandb={_target_:wandb.Logger,settings:{tokens:{password:'SECRET'}}}",
        "model={_target_:a.B,,password:SECRET",
        "trainer.password=SECRET",
        "--api-key=SECRET",
    ],
)
def test_no_message_tells_a_secret(
    line, command: tuple[str, ...], override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_of_secrets.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    answer = line(*command, "recipe=mlp", override.replace("SECRET", SECRET), "seed=x")
    assert answer.code == 2
    assert SECRET not in answer.out + answer.err
    assert "***" in answer.out + answer.err


def test_each_finding_is_one_line_whatever_is_in_it() -> None:
    finding = Finding(rule="r", severity="error", place="a", value="x\ny", message="is\nwrong")
    assert report([finding]).splitlines() == ["error    a=x y: is wrong", "1 error"]
