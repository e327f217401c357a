"""``trainkit replay``: steps of runs and autopsies from the command line."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from warm import Warm

from trainkit.callbacks.digests import digest
from trainkit.callbacks.recorder import read_journal
from trainkit.recipes.models import MLP

MINE = """
import torch
from torch import nn

class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)  # the culprit

class Net(nn.Module):
    def __init__(self, broken=True):
        super().__init__()
        self.stem, self.log, self.head = nn.Linear(64, 16), Log(), nn.Linear(16, 10)
        self.broken = broken

    def forward(self, x):
        h = self.stem(x.flatten(1)).relu()
        return self.head(self.log(h) if self.broken and self.training else h)
"""


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (digest(path.read_bytes()), path.stat().st_mtime_ns) for path in files}


# The warm parent gives a process nothing to read; here its standard input is a file.
READS = """
import os, runpy

os.dup2(os.open("said.txt", os.O_RDONLY), 0)
runpy.run_module("trainkit", run_name="__main__", alter_sys=True)
"""


def program(warm: Warm, *arguments: str, folder: Path, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, to which a person has said something."""
    script = folder / "reads.py"
    script.write_text(READS)
    (folder / "said.txt").write_text(said)
    return warm.run(*arguments, cwd=folder, script=script)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 34 steps beside the journal of its gradients; to be read only."""
    from trainkit.__main__ import _run

    folder = tmp_path_factory.mktemp("recorded")
    recorder = f"+callbacks.recorder={{_target_: trainkit.callbacks.recorder.Recorder, folder: '{folder}', steps: 99}}"
    line = ["recipe=mlp", "trainer.max_epochs=2", "checkpoint.every=10st", "checkpoint.keep_last=9", recorder]
    line += ["trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert _run([*line, "run_dir=run"]) == 0
    return folder


@pytest.mark.parametrize("step", [1, 10, 11, 17, 18, 34])
def test_gradients_and_batch_are_those_of_the_run(line, recorded: Path, step: int) -> None:
    before = contents(recorded)
    answer = line("replay", f"run={recorded}/run", f"step={step}", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    original = next(one for one in read_journal(recorded) if one["kind"] == "step" and one["step"] == step)
    assert {layer["name"]: layer["digest"] for layer in found["layers"]} == original["gradients"]
    assert [batch["samples"] for batch in found["batches"]] == original["indices"]
    assert [list(batch["digests"].values()) for batch in found["batches"]] == [list(original["batches"].values())]
    expected = None if step <= 10 else f"{recorded}/run/checkpoints/step-{(step - 1) // 10 * 10:08d}.ckpt"
    if step not in (18, 34):  # after a best one, which is saved at the end of an epoch
        assert found["start"] == expected
    assert contents(recorded) == before


def test_a_person_reads_batch_predictions_and_gradients(line, finished: Path, tmp_path: Path) -> None:
    answer = line("replay", f"run={finished}", "step=20")
    assert answer.code == 0
    for part in (
        "step 20 of ",
        "epoch 2, batch 2",
        "step-00000017.ckpt",
        "samples ",
        "batch[0]: float32 [64, 1, 8, 8]",
    ):
        assert part in answer.out
    for part in ("sample  target  prediction", "gradient norm ", "update/weights", "layers.1.weight", "128x64"):
        assert part in answer.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "replay needs run=RUN_FOLDER step=NUMBER, or bundle=AUTOPSY_FOLDER"),
        (["run=RUN"], "replay needs run=RUN_FOLDER step=NUMBER, or bundle=AUTOPSY_FOLDER; given were run"),
        (["run=RUN", "step=3", "bundle=x"], "replay needs"),
        (["run=nowhere", "step=3"], "run=nowhere: no run folder there"),
        (["run=RUN", "step=0"], "step=0: must be a whole number, at least 1"),
        (["run=RUN", "step=three"], "step=three: must be a whole number"),
        (["run=RUN", "step=35"], "the run in RUN took 34 steps"),
        (["bundle=nowhere"], "bundle=nowhere: no autopsy there"),
        (["bundle=RUN"], "bundle=RUN: no autopsy there"),
        (["run=RUN", "step=3", "resume=auto"], "resume=auto: replay needs"),
        (["run=RUN", "step=3", "--steps", "4"], "--steps 4: "),
        (["run=RUN", "step=3", "optimizer.lrr=4"], "optimizer.lrr=4: "),
    ],
)
def test_what_cannot_be_replayed_is_one_clear_message(line, finished: Path, arguments: list[str], told: str) -> None:
    answer = line("replay", *(argument.replace("RUN", str(finished)) for argument in arguments))
    assert (answer.code, answer.out) == (2, "")
    assert told.replace("RUN", str(finished)) in answer.err.replace(f"run={finished}", "run=RUN") or told in answer.err
    assert len(answer.err.splitlines()) <= (10 if "lrr" in told else 4)


def test_without_a_checkpoint_before_it_a_run_is_begun_anew_only_if_it_can(
    line, finished: Path, tmp_path: Path
) -> None:
    assert line("recipe=mlp", f"resume=weights:{finished}", "run_dir=run", "trainer.max_epochs=2").code == 0
    answer = line("replay", "run=run", "step=5")
    assert (answer.code, answer.out) == (2, "")
    assert "step=5: there is no checkpoint of run before it, and the run began with resume=weights:" in answer.err
    assert line("replay", "run=run", "step=20").code == 0


def test_a_damaged_checkpoint_is_left_for_an_older_one(line, recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded / "run", tmp_path / "run", symlinks=True)
    whole = json.loads(line("replay", "run=run", "step=26", "--json").out)
    with open(tmp_path / "run/checkpoints/step-00000020.ckpt", "r+b") as file:
        file.seek(2000)
        file.write(b"damaged")
    answer = json.loads(line("replay", "run=run", "step=26", "--json").out)
    assert answer["start"] == "run/checkpoints/step-00000017.ckpt"
    assert "the checksum of step-00000020.ckpt is wrong" in answer["notes"][0]
    assert answer["layers"] == whole["layers"]
    assert (tmp_path / "run/checkpoints/step-00000020.ckpt").exists()


def test_a_step_goes_by_the_config_that_it_was_taken_under(line, tmp_path: Path) -> None:
    short = ["recipe=mlp", "run_dir=run", "resume=auto", "checkpoint.keep_last=9", "checkpoint.every=5st"]
    assert line(*short, "trainer.max_epochs=1").code == 0
    assert line(*short, "trainer.max_epochs=2", "optimizer.weight_decay=0.5").code == 0
    early, late = (json.loads(line("replay", "run=run", f"step={step}", "--json").out) for step in (17, 18))
    assert early["notes"] == []
    assert late["notes"] == ["the config changed since the checkpoint; the step goes by the later one"]
    assert late["start"].endswith("step-00000017.ckpt")


def test_steps_before_a_resume_are_rebuilt_although_their_checkpoints_and_config_are_gone(line, tmp_path: Path) -> None:
    short = ["checkpoint.keep_last=2", "checkpoint.keep_best=1", "trainer.log_every_n_steps=1"]
    assert line("recipe=mlp", "run_dir=run", "trainer.max_epochs=2", *short).code == 0
    assert line("resume=run", "run_dir=run", "trainer.max_epochs=5", "optimizer.weight_decay=0.5").code == 0
    assert line("resume=run", "run_dir=run", "trainer.max_epochs=9").code == 0
    assert min(json.loads(file.read_text())["step"] for file in Path("run/checkpoints").glob("step-*.json")) > 34
    early = json.loads(line("replay", "run=run", "step=12", "--json").out)
    assert (early["start"], early["notes"]) == (None, [])
    logged = [json.loads(record) for record in Path("run/metrics.jsonl").read_text().splitlines()]
    (loss,) = [record["train/loss"] for record in logged if record["step"] == 12 and "train/loss" in record]
    assert early["batches"][0]["loss"] == pytest.approx(loss, rel=1e-6)
    assert "earlier" not in json.loads(line("ckpt", "inspect", "run", "--json").out)["about"]
    told = "there is no checkpoint of run from step 34 on, after which the run went on with another config, up to it"
    answer = line("replay", "run=run", "step=40")
    assert (answer.code, answer.out) == (2, "")
    assert f"step=40: {told}" in answer.err


def test_what_a_resume_left_behind_is_no_start(line, tmp_path: Path) -> None:
    short = ["recipe=mlp", "run_dir=run", "checkpoint.keep_last=9", "trainer.max_epochs=1"]
    assert line(*short, "checkpoint.every=3st").code == 0
    other = ["checkpoint.every=10st", "optimizer.weight_decay=0.5", "resume=run/checkpoints/step-00000003.ckpt"]
    again = line(*short, *other)
    assert again.code == 0, again.err
    starts = {step: json.loads(line("replay", "run=run", f"step={step}", "--json").out)["start"] for step in (8, 13)}
    assert starts == {8: "run/checkpoints/step-00000003.ckpt", 13: "run/checkpoints/step-00000010.ckpt"}


def test_a_run_that_was_made_in_python_says_where_to_replay_it(line, tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/summary.json").write_text('{"steps": 9}')
    answer = line("replay", "run=run", "step=5")
    assert answer.code == 2
    assert "it was trained from Python, where trainkit.autopsy.replayed(trainer, step, state) does it" in answer.err


@pytest.fixture(scope="module")
def broken(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run that failed, and what it said."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "mine_of_replay.py").write_text(MINE)
    model = "model={_target_: mine_of_replay.Net}"
    done = program(warm, "recipe=mlp", model, "run_dir=run", "trainer.max_epochs=1", folder=folder)
    assert done.returncode == 1, done.stderr
    return folder, done.stderr


def test_the_message_of_a_failed_run_leads_to_its_replay(warm: Warm, broken: tuple[Path, str]) -> None:
    folder, said = broken
    assert "step 1: the loss is nan; first: inf out of log in log (Log)" in said
    assert "at mine_of_replay.py:7, in forward: return torch.log(x)  # the culprit" in said
    assert "Traceback" not in said
    before = contents(folder / "run")
    command = re.search(r"^  replay: python -m trainkit (.*)$", said, re.MULTILINE)
    assert command is not None
    refused = program(warm, *shlex.split(command[1]), folder=folder)
    assert refused.returncode == 2
    assert "trusted_packages=[mine_of_replay]" in refused.stderr
    done = program(warm, *shlex.split(command[1]), "trusted_packages=[mine_of_replay]", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "not taken: the loss is nan" in done.stdout
    assert "inf out of log in log (Log)" in done.stdout
    assert contents(folder / "run") == before


def test_a_failed_step_of_a_run_is_found_bad_again(warm: Warm, broken: tuple[Path, str]) -> None:
    folder, _ = broken
    done = program(warm, "replay", "run=run", "step=1", "trusted_packages=[mine_of_replay]", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["autopsy"]["module"], found["autopsy"]["operation"]) == ("log", "log")
    assert found["failed"] == "the loss is nan"
    kept = json.loads((folder / "run/autopsy/step-00000001/report.json").read_text())
    assert found["autopsy"]["bad_samples"] == kept["autopsy"]["bad_samples"]
    assert [batch["samples"] for batch in found["batches"]] == kept["samples"]


def test_a_replay_says_whether_it_is_what_the_run_logged(line, finished: Path, monkeypatch) -> None:
    answer = line("replay", f"run={finished}", "step=19")
    assert answer.out.splitlines()[2] == "held against the run: the same loss, bit for bit, at step 20"
    plain = MLP.forward
    monkeypatch.setattr(MLP, "forward", lambda self, inputs: 1.001 * plain(self, inputs))
    answer = line("replay", f"run={finished}", "step=19")
    assert answer.code == 0
    told = "note: THIS IS NOT THE STEP AS IT WAS: train/loss at step 20 was "
    assert answer.out.splitlines()[2].startswith(told)


def test_what_the_line_changes_is_said(line, finished: Path) -> None:
    answer = line("replay", f"run={finished}", "step=3", "optimizer.lr=0.5")
    assert answer.code == 0
    assert "note: changed on this line: optimizer.lr=0.5" in answer.out.splitlines()[2:4]


@pytest.mark.parametrize("what", [["run=run", "step=1"], ["bundle=run/autopsy/step-00000001"]])
def test_a_debugger_opens_inside_the_objective(warm: Warm, broken: tuple[Path, str], what: list[str]) -> None:
    folder, _ = broken
    said = "p 'here', type(model).__name__, batch[0].shape\nc\n"
    done = program(warm, "replay", *what, "trusted_packages=[mine_of_replay]", "--debug", folder=folder, said=said)
    assert done.returncode == 0, done.stderr
    assert "('here', 'Net', torch.Size([64, 1, 8, 8]))" in done.stdout
    assert "objectives.py" in done.stdout


def test_shapes_are_told_of_a_models_of_others_before_anything_starts(line) -> None:
    layers = [f"{{_target_: torch.nn.Linear, in_features: {size}, out_features: 32}}" for size in (64, 33)]
    answer = line(
        "recipe=mlp", "model=sequential", f"model={{_args_: [{{_target_: torch.nn.Flatten}}, {', '.join(layers)}]}}"
    )
    assert (answer.code, "does not take the data's batches" in answer.err) == (2, True)
    assert answer.err.splitlines()[1] == "shapes up to 2 (Linear):"
    assert answer.err.splitlines()[-1].split() == ["2", "(Linear)", "[64,", "32]", "->", "fails"]


def test_help_tells_of_it(line) -> None:
    answer = line("replay", "--help")
    assert answer.code == 0
    for part in ("run=RUN step=NUMBER | bundle=AUTOPSY", "--debug", "--json", "writes nothing"):
        assert part in answer.out
