"""Weights that are not quite those of the model: wrapped, nested, of another shape, or of half the model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from runs import state_of
from torch import nn

from trainkit.__main__ import _run
from trainkit.checkpoint.weights import load
from trainkit.commands.ckpt.line import leaves

SMALL = ("recipe=mlp", "trainer.max_epochs=1", "~loggers.tensorboard", "model.hidden=[16]")


def renamed(weights: dict, prefix: str) -> dict:
    return {prefix + name: value for name, value in weights.items()}


WRAPPED: dict[str, tuple[Callable[[dict], dict], str]] = {
    "plain": (lambda weights: weights, ""),
    "module": (lambda weights: renamed(weights, "module."), "'module.'"),
    "compiled": (lambda weights: renamed(weights, "_orig_mod."), "'_orig_mod.'"),
    "both": (lambda weights: renamed(weights, "module._orig_mod."), "'module.'"),
    "inside a module": (lambda weights: renamed(weights, "model."), "'model.'"),
    "nested": (lambda weights: {"epoch": 3, "model": weights}, ""),
    "nested as state_dict": (lambda weights: {"state_dict": renamed(weights, "model.")}, "'model.'"),
}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def trainkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog):
    """Run a command line in this process, in the test's folder; it must end with an exit code, not an exception."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        caplog.clear()
        code = _run(list(arguments))
        out, err = capsys.readouterr()
        return Answer(code, out, err + caplog.text)

    return run


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a net with one hidden layer of 16; to be read only."""
    folder = tmp_path_factory.mktemp("pristine") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert _run([*SMALL, "run_dir=run"]) == 0
    return folder


@pytest.fixture
def finished(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "run", symlinks=True))


def test_20_prefixes_are_taken_off_and_named_and_nested_files_are_found(trainkit, finished: Path) -> None:
    """Each form of the same weights, as other programs write them, tests as the run did."""
    weights, folder = state_of(finished, "best")["model"], finished.parent
    told = trainkit("eval", "resume=run")
    for name, (change, named) in WRAPPED.items():
        torch.save(change(weights), folder / f"{name}.pt")
        answer = trainkit("eval", *SMALL, f"resume='{name}.pt'")
        assert (answer.code, answer.out) == (0, told.out), answer.err
        assert named in answer.err
        assert bool(answer.err) == bool(named)


@pytest.mark.parametrize(
    ("change", "overrides", "told"),
    [
        (
            "shape",
            ["model.hidden=[24]"],
            ["3 of another shape", "layers.1.weight", "16x64", "24x64", "model.hidden=[16]"],
        ),
        (
            "shape of a plain file",
            ["model.hidden=[24]", "resume=x.pt"],
            ["16x64", "24x64", "model.hidden=[16] would fit"],
        ),
        ("missing", ["resume=x.pt"], ["1 missing", "layers.4.bias", "-", "10"]),
        ("unexpected", ["resume=x.pt"], ["1 unexpected", "layers.9.weight", "7x7", "-"]),
        ("another model", ["model=linear"], ["2 missing, 4 unexpected, none fits", "model._target_="]),
        ("no tensors", ["resume=x.pt"], ["x.pt hold no tensors by name"]),
    ],
)
def test_20_what_does_not_fit_is_one_table(
    change: str, overrides: list[str], told: list[str], trainkit, finished: Path
) -> None:
    """Exit 2 and a short table: name, the checkpoint's shape, the model's shape, counts, and the key that explains."""
    weights = state_of(finished, "best")["model"]
    if change == "missing":
        del weights["layers.4.bias"]
    elif change == "unexpected":
        weights["layers.9.weight"] = torch.zeros(7, 7)
    torch.save({"epoch": 1} if change == "no tensors" else weights, finished.parent / "x.pt")
    line = ["resume=run", *overrides] if change == "another model" else [*SMALL, "resume=run", *overrides]
    answer = trainkit("eval", *line)
    assert (answer.code, answer.out) == (2, "")
    for word in told:
        assert word in answer.err
    assert len(answer.err.splitlines()) <= 10


def test_20_going_on_says_the_same(trainkit, finished: Path) -> None:
    answer = trainkit(*SMALL, "resume=weights:run", "model.hidden=[24]")
    assert answer.code == 2
    for word in ("3 of another shape", "16x64", "24x64"):
        assert word in answer.err
    assert len(answer.err.splitlines()) <= 10


def test_21_a_transfer_says_what_it_did_and_nothing_at_all_is_an_error() -> None:
    """Part of the weights into a larger model: told by name, the rest as initialised."""
    small, large = nn.Sequential(nn.Linear(4, 8)), nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    head = large[1].weight.clone()
    loaded = load(large, small.state_dict(), "small.pt", strict=False)
    assert str(loaded) == "loaded 2 of 4 tensors; newly initialised 2: 1.bias, 1.weight"
    assert torch.equal(large[0].weight, small[0].weight)
    assert torch.equal(large[1].weight, head)
    with pytest.raises(Exception, match=r"other\.pt do not fit the model: .* none fits"):
        load(large, {"x": torch.zeros(1)}, "other.pt", strict=False)


def test_20_an_export_is_taken_back_by_eval(trainkit, finished: Path) -> None:
    """Both kinds of file, without any config in them."""
    told = trainkit("eval", "resume=run").out
    for suffix in ("pt", "safetensors"):
        assert trainkit("ckpt", "export", "run", "--out", f"w.{suffix}").code == 0
        answer = trainkit("eval", *SMALL, f"resume=w.{suffix}")
        assert (answer.code, answer.out) == (0, told), answer.err


def test_20_names_of_a_strangers_file_cannot_move_the_cursor(trainkit, finished: Path) -> None:
    weights = state_of(finished)["model"] | {"\x1b[2J\x1b[31mname": torch.zeros(2), "line\rbreak": torch.zeros(2)}
    torch.save(weights, finished.parent / "x.pt")
    for arguments in (["ckpt", "inspect", "x.pt", "--tensors"], ["eval", *SMALL, "resume=x.pt"]):
        answer = trainkit(*arguments)
        assert "[31mname" in answer.out + answer.err
        assert not set("\x1b\r") & set(answer.out + answer.err)
    assert sum(1 for _ in leaves(json.loads('{"a": [1, {"b": 2}]}'))) == 2
