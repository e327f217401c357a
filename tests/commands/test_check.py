"""``trainkit check``: what it prints, its exit codes, the training that it builds, and that it starts nothing."""

import json
import re
from inspect import signature
from pathlib import Path
from typing import get_overloads

import pytest
import torch
from torch import nn

import trainkit
from trainkit.commands.check import check, report
from trainkit.findings import Finding
from trainkit.inspection import inspect

FIELDS = {"rule", "severity", "place", "value", "file", "line", "message", "evidence", "effect", "fix"}
OWN_DATA = """
import torch
from torch.utils.data import TensorDataset
from trainkit.data import Splits


def splits(fails=False, classes=10, download=True):
    print("splits was called")
    if fails:
        raise RuntimeError("was called")
    if not download:
        raise FileNotFoundError("no files")
    labels = torch.arange(364) % classes
    inputs = (torch.randn(364, 1, 8, 8) + labels[:, None, None, None] - 4.5) / 3
    return Splits(TensorDataset(inputs[:300], labels[:300]), TensorDataset(inputs[300:], labels[300:]), None)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of one's own that no other test has imported."""
    name = re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"{name}.py").write_text(OWN_DATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_sound_config_says_so_and_starts_nothing(line, tmp_path: Path) -> None:
    generator = torch.get_rng_state()
    answer = line("check", "recipe=mlp")
    assert (answer.code, answer.out, answer.err) == (0, "no mistakes found\n", "")
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(generator, torch.get_rng_state())


def test_the_training_is_inspected(line) -> None:
    answer = line("check", "recipe=mlp", "optimizer.lr=30")
    told = answer.out.splitlines()
    assert (answer.code, told[-1]) == (2, "1 error")
    assert told[0].startswith("error    optimizer: lr: is too large")
    assert told[0].endswith(" [learning-rate-too-large]")
    assert line("check", "recipe=mlp", "optimizer.lr=30", "-m", "seed=1,2").code == 0  # the configs alone


@pytest.mark.parametrize(
    "pattern", ["learning-rate-too-large@optimizer: lr", "learning-rate-*", "@optimizer*", "learning-rate-too-large"]
)
def test_a_finding_can_be_left_out(line, pattern: str) -> None:
    answer = line("check", "recipe=mlp", "optimizer.lr=30", f"check.ignore=['{pattern}']")
    assert (answer.code, answer.out) == (0, "no mistakes found\n")
    other = line("check", "recipe=mlp", "optimizer.lr=30", "check.ignore=[learning-rate-too-large@model]")
    assert other.code == 2


def test_deep_is_a_key_too(line, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("trainkit.commands.inspecting.findings_of", lambda subject, _: seen.append(subject.deep) or [])
    for words in (["--deep"], ["check.deep=true"], []):
        assert line("check", "recipe=mlp", *words).out == "no mistakes found\n"
    assert seen == [True, True, False]


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
    (told,) = json.loads(line("check", "recipe=mlp", "--json", "optimizer.lr=30").out)
    assert (set(told), told["severity"], told["rule"]) == (FIELDS, "error", "learning-rate-too-large")
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


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("", 0, "[]\n"),
        (",fails:true", 2, ".splits raises RuntimeError: was called"),
        (",classes:12", 2, "has label 10, but the model gives 10 outputs"),
        (",download:true", 0, "not looked at: the files are fetched when a run starts"),
    ],
    ids=["sound", "raises", "labels", "fetches"],
)
def test_code_of_ones_own_is_built(line, own: str, arguments: str, code: int, told: str) -> None:
    node = f"+data.datasets={{_target_: {own}.splits{arguments}}}"
    answer = line("check", "recipe=mlp", "~data.datasets", node, "--json")
    assert (answer.code, answer.err) == (code, ""), answer.out
    assert told in answer.out
    assert "splits was called" not in answer.out


def test_of_a_sweep_the_configs_alone_are_looked_at(line, own: str) -> None:
    node = f"+data.datasets={{_target_: {own}.splits, fails: true}}"
    answer = line("check", "-m", "recipe=mlp", "~data.datasets", node, "seed=1,2")
    assert answer.code == 0, answer.out
    assert f"not looked at: {own}.splits is called when a run starts" in answer.out


def test_weights_that_would_be_fetched_are_not(line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    model = "model={_target_: torchvision.models.mobilenet_v2, weights: IMAGENET1K_V1}"
    data = ["data.channels=3", "data.size=32", "head.outputs=10"]
    answer = line("check", "recipe=mlp", model, *data)
    assert answer.code == 0, answer.out
    assert "the training is not inspected: weights lets it fetch weights when a run starts" in answer.out


def test_from_python_it_takes_recipes_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert trainkit.check("mlp") == []
    assert trainkit.check(recipe="mlp") == []
    (wrong,) = trainkit.check("mlp", "trainer.max_epochs=ten")
    assert wrong.place == "trainer.max_epochs"
    config = {"recipe": "mlp", "optimizer": {"lr": 30}}
    assert [finding.rule for finding in trainkit.check(config)] == ["learning-rate-too-large"]
    assert trainkit.check({**config, "check": {"ignore": ["learning-rate-*"]}}) == []
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(1))
    inputs = torch.randn(96, 4)
    train_set = torch.utils.data.TensorDataset(inputs, inputs[:, :3].argmax(1))
    found = trainkit.check(model, loss=nn.CrossEntropyLoss(), train_set=train_set)
    assert [finding.rule for finding in found] == ["softmax-before-cross-entropy"]
    ignored = ["softmax-before-cross-entropy@*"]
    assert trainkit.check(model, loss=nn.CrossEntropyLoss(), train_set=train_set, ignore=ignored) == []
    with pytest.raises(TypeError, match=r"check\(\) takes loss beside an nn.Module, and it was given str"):
        trainkit.check("mlp", loss=nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match="takes overrides and config_dir beside a recipe"):
        trainkit.check(model, "trainer.max_epochs=1")
    assert trainkit.check(model=model, loss=nn.CrossEntropyLoss(), train_set=train_set, ignore=ignored) == []
    with pytest.raises(TypeError, match="batchsize"):
        trainkit.check(model, batchsize=3)
    assert list(tmp_path.iterdir()) == []


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


def test_type_checkers_see_what_the_inspection_takes() -> None:
    of_module = get_overloads(check)[0]
    assert str(signature(of_module)) == str(signature(inspect))


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
