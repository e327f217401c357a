"""What a person reads before and after a run, on the screen and in ``log.txt``."""

import json
import logging
import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainkit
from trainkit.commands.report import Report, banner, model_table, program

ANSI = re.compile(r"\x1b\[")


@pytest.fixture
def answer(line, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # where this environment is not activated
    given = line("recipe=mlp", "trainer.max_epochs=2", "model.hidden=[32, 16]", "run_dir=my run")
    assert (given.code, given.err) == (0, "")
    return given


def rows(text: str) -> dict[str, str]:
    """The rows of the banner and of the final table, by name."""
    found = (re.match(r"([a-z]+(?: [a-z]+)?)  +(\S.*)$", row) for row in text.splitlines())
    return {match[1]: match[2].strip() for match in found if match}


def test_the_banner_says_what_trains_where(answer) -> None:
    said = rows(answer.out)
    assert said["recipe"] == "mlp"
    assert said["device"] == "cpu, fp32"
    assert said["parameters"] == f"{64 * 32 + 32 + 32 * 16 + 16 + 16 * 10 + 10:,}"
    assert said["steps"] == "34 (17 an epoch)"
    assert said["run folder"] == "my run"


def test_the_layers_are_shown(answer) -> None:
    assert re.search(r"Linear: 2-2 +\[64, 32\] +2,080", answer.out)
    assert "Total params: 2,778" in answer.out


def test_the_final_table_says_how_it_ended_and_with_what(answer) -> None:
    said, summary = rows(answer.out), json.loads(Path("my run/summary.json").read_text())
    best, metrics = summary["best"], summary["metrics"]
    assert said["ended"].startswith("completed: max_epochs=2 reached, 34 steps in ")
    assert said["best"] == f"val/loss {best['value']:.4f} in epoch {best['epoch']}, step {best['step']}"
    assert said["test"].split() == [
        "test/loss",
        f"{metrics['test/loss']:.4f}",
        "test/accuracy",
        f"{metrics['test/accuracy']:.4f}",
    ]
    assert shlex.split(said["look"]) == [str(Path(sys.executable).with_name("tensorboard")), "--logdir", "my run"]


def test_the_command_to_evaluate_gives_the_same_test(answer, line) -> None:
    words = shlex.split(rows(answer.out)["evaluate"])
    assert words[:3] == [sys.executable, "-m", "trainkit"]
    assert line(*words[3:]).out.split() == rows(answer.out)["test"].split()


def test_programs_are_named_as_this_shell_finds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = Path(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert program(python.name) == shlex.quote(str(python))
    monkeypatch.chdir(python.parent.parent)
    assert program(python.name) == str(Path(python.parent.name) / python.name)
    monkeypatch.setenv("PATH", str(python.parent))
    assert program(python.name) == python.name


def test_the_command_to_resume_goes_on_for_longer(answer, line) -> None:
    words = shlex.split(rows(answer.out)["resume"])
    onward = line(*[word.replace("max_epochs=2", "max_epochs=4") for word in words[3:]])
    assert onward.code == 0
    assert "resumed from my run/checkpoints/step-00000034.ckpt at step 34" in onward.out
    assert re.findall(r"^epoch (\d)/4 ", onward.out, re.MULTILINE) == ["3", "4"]
    summary = json.loads(Path("my run/summary.json").read_text())
    assert (summary["status"], summary["epochs"], summary["steps"]) == ("completed", 4, 68)
    again = shlex.split(rows(onward.out)["resume"])
    assert [word for word in again if word.startswith(("run_dir", "resume"))] == ['run_dir="my run"', "resume=auto"]
    assert line(*again[3:]).code == 0


def test_the_log_holds_what_was_on_the_screen(answer) -> None:
    log = Path("my run/log.txt").read_text()
    assert not ANSI.search(log)
    said = [row.rstrip() for row in answer.out.splitlines()]
    kept = [row.rstrip() for row in log.splitlines()]
    assert [row for row in said if row not in kept] == []
    assert [row.split()[:2] for row in kept if row.startswith("epoch ")] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert list(rows(log))[-6:] == ["ended", "best", "test", "look", "evaluate", "resume"]


def test_a_second_run_in_the_folder_adds_to_its_log(answer, line) -> None:
    before = Path("my run/log.txt").read_text()
    line(*shlex.split(rows(answer.out)["resume"])[3:])
    assert Path("my run/log.txt").read_text().startswith(before)


def test_what_cannot_be_done_is_not_offered(line) -> None:
    nothing_kept = rows(line("recipe=mlp", "debug=fast").out)
    assert nothing_kept["run folder"] == "none, nothing is kept"
    assert not {"look", "evaluate", "resume"} & set(nothing_kept)
    no_curves = rows(line("recipe=mlp", "trainer.max_steps=1", "~loggers", "test=false").out)
    assert not {"look", "test"} & set(no_curves)
    assert {"evaluate", "resume"} <= set(no_curves)
    no_validation = rows(line("recipe=mlp", "trainer.max_steps=1", "data.datasets.fractions=[1,0,0]").out)
    assert not {"best", "evaluate", "test"} & set(no_validation)


def test_a_run_of_unknown_length_and_frozen_weights_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    batches = ((torch.zeros(1, 2), torch.zeros(1, 1)) for _ in range(3))
    objective, optimizer = trainkit.supervised(nn.MSELoss()), torch.optim.SGD(model[1].parameters())
    banner(Report(None), trainkit.Trainer(model, objective, optimizer, batches, max_time="1min"), "mine")
    said = rows(capsys.readouterr().out)
    assert said["parameters"] == "13, of which 4 trained"
    assert said["steps"] == "unknown (unknown an epoch)"


def test_warnings_are_shown_and_information_is_only_kept(tmp_path: Path, capsys: Any, caplog: Any) -> None:
    report, log = Report(tmp_path), logging.getLogger("trainkit.somewhere")
    with report.logging():
        log.info("for the file")
        log.warning("for all")
    assert caplog.messages == []  # nobody else tells it a second time
    log.warning("after it")
    assert capsys.readouterr().err == "for all\n"
    assert (tmp_path / "log.txt").read_text() == "for the file\nfor all\n"
    assert logging.getLogger("trainkit").handlers == []


class Strange(nn.Module):
    """A model that torchinfo cannot follow."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        if type(inputs["x"]) is not Tensor or inputs["x"].ndim != 2:
            raise RuntimeError("only this very form")
        return inputs["x"]


def test_a_model_that_torchinfo_cannot_follow_is_still_shown() -> None:
    assert "Strange()" in model_table(Strange(), [{"y": torch.zeros(1)}, 3])


def test_looking_at_the_model_leaves_it_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = model_table(model.eval(), (torch.ones(4, 2), torch.zeros(4)))
    assert "[4, 3]" in text
    assert "Total mult-adds: 60 of a batch" in text  # 4 samples x (9 of the layer, 6 of the norm)
    assert "Units" not in text
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["prüf ung", "a=b", "o,p [1] it's", "x{y}"])
def test_the_last_lines_work_as_they_are_pasted(name: str, line) -> None:
    answer = line("recipe=linear", "trainer.max_epochs=1", f'name="{name}"')
    assert answer.code == 0, answer.err
    for row in ("evaluate", "resume"):
        pasted = line(*shlex.split(rows(answer.out)[row])[3:])
        assert pasted.code == 0, pasted.err
