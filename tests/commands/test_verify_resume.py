"""verify-resume: sound recipes are proven, broken ones are caught, and the cause is named."""

import json
import os
import random
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from as_module import AS_MODULE
from torch import nn
from warm import Warm

from trainkit import Loader, Trainer, supervised
from trainkit.callbacks.digests import attributes, digest, digests, sample_digests
from trainkit.callbacks.recorder import Recorder, append, is_of_the_clock, read_journal
from trainkit.checkpoint import Store
from trainkit.commands.comparison import compare, records
from trainkit.commands.run_dir import quoted
from trainkit.commands.verify_resume import KINDS, plan

pytestmark = pytest.mark.slow

# What a user brings: sound parts and broken ones.
MINE = '''
import random, time

import numpy, torch
from torch import nn
from torch.utils.data import Dataset

from trainkit import Callback
from trainkit.data import Splits
from trainkit.objectives import supervised


class Rows(Dataset):
    """Rows with noise that is drawn as a sound data set draws it."""

    def __init__(self):
        drawn = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(40, 6, generator=drawn)
        self.targets = torch.randint(3, (40,), generator=drawn)
        self.begin()

    def begin(self):
        pass

    def __len__(self):
        return 40

    def noise(self):
        return 0.1 * torch.randn(6) * float(numpy.random.rand()) + 0.1 * random.random()

    def __getitem__(self, index):
        return self.inputs[index] + self.noise(), self.targets[index]


class Private(Rows):
    """Noise from a generator of its own."""

    def begin(self):
        self.draws = numpy.random.default_rng(3)

    def noise(self):
        return torch.from_numpy(self.draws.normal(size=6).astype("float32"))


class Entropy(Private):
    """The same without a seed."""

    def begin(self):
        self.draws = numpy.random.default_rng()


class Counts(Rows):
    """Noise that depends on how often it was asked."""

    def begin(self):
        self.asked = 0

    def noise(self):
        self.asked += 1
        return 0.01 * self.asked


def splits(kind=Rows):
    return Splits(kind(), Rows())


private, entropy, counts = (lambda kind=kind: splits(kind) for kind in (Private, Entropy, Counts))


def sound_model():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))


class Scales(nn.Module):
    """Divides by a running value that is no buffer."""

    def __init__(self):
        super().__init__()
        self.net, self.scale = sound_model(), 1.0

    def forward(self, x):
        if self.training:
            self.scale *= 1.01
        return self.net(x) / self.scale


class Jitter(nn.Module):
    """Adds noise from the clock, as a kernel does that adds up in another order each time."""

    def __init__(self):
        super().__init__()
        self.net = sound_model()

    def forward(self, x):
        return self.net(x) + (time.perf_counter_ns() % 1000) * 1e-6


class Forgets(Callback):
    """Logs how many steps it has seen, and forgets them."""

    def __init__(self):
        self.seen = 0

    def on_step_end(self, trainer, output):
        self.seen += 1
        trainer.log({"mine/seen": self.seen})


class Remembers(Forgets):
    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


class Clock(Callback):
    """Logs the time under a name that does not say so, or that does."""

    def __init__(self, name):
        self.name = name

    def on_step_end(self, trainer, output):
        trainer.log({self.name: time.time()})
'''

# Runs each command line given as JSON in a folder of its own; it is forked from the warm parent, and the processes of
# the runs from here, where torch is imported and has computed nothing. They run the command line's own main().
DRIVER = '''
import json, os, sys, tempfile

import trainkit.__main__
from trainkit.commands import train, verify_resume
from trainkit.config.composing import compose

base, bases = compose.base, {}


def known(*arguments):
    """Compose the same files once, here, and not in each process again."""
    if str(arguments) not in bases:
        bases[str(arguments)] = base(*arguments)
    return bases[str(arguments)]


compose.base = known


def process(command, output):
    """What verify_resume does with a command line, three seconds quicker."""
    begin = output.stat().st_size if output.exists() else 0
    child = os.fork()
    if child == 0:
        descriptor = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        assert command[:3] == [sys.executable, "-m", "trainkit"]
        sys.argv = ["trainkit", *command[3:]]
        code = 1
        try:
            trainkit.__main__.main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            os._exit(code or 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, output.read_bytes()[begin:].decode()


verify_resume._process = process
tempfile.tempdir = None  # which the warm parent has looked up already: here TMPDIR is another one
for arguments in json.loads(sys.argv[1]):
    print("ARGUMENTS", json.dumps(arguments), flush=True)
    print("CODE", trainkit.__main__._run(["verify-resume", *arguments]), flush=True)
'''

RECIPE = """
# @package _global_
# A net on forty rows.
defaults:
  - override /model: net
  - override /data: rows
  - override /objective: classification
  - override /schedule: one_cycle
  - override /averaging: ema
name: mine
test: false
callbacks: {predictions: null, progress: null}
loggers: {tensorboard: null}
trainer: {max_epochs: 6, log_every_n_steps: 3, threads: 1, gradient_clip_val: 1.0, val_check_interval: 3}
"""
ROWS = """
defaults: [default, _self_]
datasets: {_target_: mine.splits}
features: 6
classes: 3
batch_size: 8
"""
CONFIGS = {
    "recipe/mine": RECIPE,
    "model/net": "_target_: mine.sound_model",
    "data/rows": ROWS,
}
LINE = ("--config-dir", "configs", "recipe=mine", "loggers={}", "--steps", "12", "--kills", "2")


class Verdict(NamedTuple):
    """What a command line printed, and its exit code."""

    arguments: list[str]
    out: str
    code: int

    def row(self, name: str) -> str:
        """Return the line of the output that begins with a name."""
        return next(line for line in self.out.splitlines() if line.startswith(name))


def workplace(folder: Path) -> Path:
    """Write the user's module, configs and the driver into a folder."""
    (folder / "mine.py").write_text(MINE)
    (folder / "driver.py").write_text(DRIVER)
    for name, text in CONFIGS.items():
        path = folder / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def target(of: str) -> str:
    return f"data.datasets._target_=mine.{of}"


def callback(of: str, more: str = "") -> str:
    return f"+callbacks.mine={{_target_: mine.{of}{more}}}"


SCENARIOS = {
    "sound": ["trainer.accumulate_grad_batches=2", callback("Remembers")],
    "workers": ["data.num_workers=2", "--kills=1", "--steps=8"],
    "private": [target("private")],
    "entropy": [target("entropy"), "--kills=1"],
    "counts": [target("counts"), "--kills=1"],
    "scales": ["model._target_=mine.Scales", "--kills=1"],
    "jitter": ["model._target_=mine.Jitter", "--kills=1"],
    "forgets": [callback("Forgets"), "--kills=1"],
    "clock": [callback("Clock", ", name: mine/when"), "--kills=1"],
    "said": [callback("Clock", ", name: mine/seconds"), "--kills=1"],
}


@pytest.fixture(scope="module")
def verdicts(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """What verify-resume said of each scenario."""
    folder = workplace(tmp_path_factory.mktemp("verify"))
    lines = [[*LINE, *more] for more in SCENARIOS.values()]
    environment = os.environ | {"TMPDIR": str(folder)}
    result = warm.run(json.dumps(lines), cwd=folder, env=environment, script=folder / "driver.py")
    assert result.returncode == 0, result.stderr
    parts = re.findall(r"ARGUMENTS (.*)\n((?:.*\n)*?)CODE (\d+)", result.stdout)
    told = [Verdict(json.loads(arguments), out, int(code)) for arguments, out, code in parts]
    assert len(told) == len(SCENARIOS), result.stdout + result.stderr
    return dict(zip(SCENARIOS, told, strict=True))


def flat(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["sound", "workers", "said"])
def test_a_sound_recipe_is_proven(verdicts: dict[str, Verdict], name: str) -> None:
    verdict = verdicts[name]
    assert verdict.code == 0, verdict.out
    assert "differs" not in verdict.out
    kills = 2 if name == "sound" else 1
    assert f"the same, bit for bit, in spite of {kills} kill" in verdict.row("verdict")
    assert verdict.row("kills").count("step") == kills
    for part in ("order of samples", "content of batches", "loss and gradients", "weights and buffers"):
        assert verdict.row(part).count("same") == 2
    for part in ("optimizer moments", "schedule", "weight average", "callbacks", "counters and metrics"):
        assert verdict.row(part).count("same") == 2
    for part in ("validations", "metrics.jsonl", "last and best checkpoint"):
        assert verdict.row(part).count("same") == 2


CAUGHT = {
    "private": (
        "content of batches: sample",
        "two unbroken runs agree: an unkeyed draw in the data set",
        "look at data.train.draws (numpy.random.Generator, private)",
    ),
    "counts": (
        "content of batches: sample",
        "two unbroken runs agree: an unkeyed draw in the data set",
        "look at data.train.asked (int)",
    ),
    "entropy": (
        "step 1 (batch 0 of epoch 0, both counted from 0): content of batches: sample",
        "two unbroken runs differ there too: the data set draws from the operating system's entropy",
        "draw from torch's, numpy's or random's global generators",
    ),
    "scales": (
        "loss and gradients: the loss",
        "two unbroken runs agree: the model or objective keeps something between steps",
        "look at model.scale (float)",
    ),
    "jitter": (
        "loss and gradients: the",
        "a non-deterministic kernel",
        "try trainer.deterministic=true",
    ),
    "forgets": (
        "counters and metrics: metrics.mine/seen",
        "keeps something that no checkpoint holds; look at callbacks.mine.seen (int)",
        "give a callback a state_dict() and load_state_dict()",
    ),
    "clock": (
        "counters and metrics: metrics.mine/when",
        "a time-dependent value",
        "numbers of a clock are left out if their names end in seconds, time, per_second",
    ),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_broken_recipe_is_caught_and_the_cause_is_named(verdicts: dict[str, Verdict], name: str) -> None:
    verdict, out = verdicts[name], flat(verdicts[name].out)
    assert verdict.code == 1, verdict.out
    for said in CAUGHT[name]:
        assert said in out, verdict.out
    by_itself = name in ("entropy", "jitter", "clock")
    assert ("two unbroken runs differ already" in out) == by_itself
    assert (re.search(r"first difference .*, after [12] kills?:", out) is None) == by_itself
    assert "same" in verdict.row("order of samples")
    kept = Path(verdict.row("kept").split()[1])
    assert (kept / "cut" / "run" / "checkpoints" / "last.ckpt").exists()


def test_what_came_before_the_difference_is_said_to_be_the_same(verdicts: dict[str, Verdict]) -> None:
    table = verdicts["forgets"]
    for part in ("content of batches", "loss and gradients", "weights and buffers", "optimizer moments", "schedule"):
        assert table.row(part).count("same") == 2
    assert table.row("counters and metrics").count("same") == 1  # two unbroken runs agree
    assert "differs, step" in table.row("counters and metrics")


# ---------------------------------------------------------------------- the command line


def command(
    warm: Warm, folder: Path, *arguments: str, temporary: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run verify-resume, which starts a new interpreter for each process of its runs."""
    environment = os.environ | {"TMPDIR": str(temporary or folder)}
    return warm.run("trainkit", "verify-resume", *arguments, cwd=folder, env=environment, script=AS_MODULE)


def test_the_real_command_line_with_real_processes(warm: Warm, tmp_path: Path) -> None:
    odd = tmp_path / "it's an odd 'place'"
    odd.mkdir()
    line = (*LINE[:-2], "--kills=1", "--seed=3", callback("Remembers"))
    result = command(warm, workplace(tmp_path), *line, temporary=odd)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "in spite of 1 kill" in result.stdout
    assert len(re.findall(r"verify-resume: (straight|cut|again) run", result.stderr)) == 4
    assert not list(odd.glob("verify-resume-*"))  # nothing is kept of runs that agree


def test_a_recipe_that_fails_says_so_with_its_own_words(warm: Warm, tmp_path: Path) -> None:
    place = workplace(tmp_path)
    result = command(warm, place, *LINE, "optimizer.lr=1e30", "optimizer.betas=[0.0,0.0]")
    assert result.returncode == 1
    assert "the straight run, process 1: exit code 1" in result.stderr
    assert "the loss is" in result.stderr
    assert "-m trainkit recipe=mine 'loggers={}' optimizer.lr=1e30" in result.stderr
    assert f"{place}/verify-resume-" in result.stderr  # it was there
    assert not list(place.glob("verify-resume-*"))


def test_a_config_that_is_wrong_is_refused_before_anything_runs(warm: Warm, tmp_path: Path) -> None:
    place = workplace(tmp_path)
    result = command(warm, place, *LINE, "model._target_=mine.Nothing")
    assert result.returncode == 2
    assert "model._target_=mine.Nothing: mine has no Nothing" in result.stderr
    assert "run, process" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recipe=mlp", "--steps", "none"), "--steps none: must be a whole number, at least 1"),
        (("recipe=mlp", "--steps=0"), "--steps 0: must be a whole number, at least 1"),
        (("recipe=mlp", "--kills=-1"), "--kills -1: must be a whole number, at least 0"),
        (("recipe=mlp", "-m"), "-m: this command takes no such flag"),
        (("recipe=mlp", "run_dir=here"), "leave run_dir out"),
        (("recipe=mlp", "resume=auto"), "leave resume out"),
        (("recipe=mlp", "trainer.fast_dev_run=true"), "saves nothing"),
        (("recipe=mpl",), "mlp"),
    ],
)
def test_wrong_usage_is_refused_before_anything_runs(
    line: Callable[..., Any], arguments: Sequence[str], message: str
) -> None:
    answer = line("verify-resume", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


# ---------------------------------------------------------------------- its parts


def journal(folder: Path, *changes: tuple[int, str, Any], steps: int = 3, process: int = 0) -> Path:
    """Write the journal of a run of some steps; a change is a line's number, a dotted path into it, and a value."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [{"kind": "start", "position": 0, "parameters": ["layer.weight", "layer.bias"]}]
    for step in range(1, steps + 1):
        state = {"model|layer.weight": "w", "optimizer|state.1.exp_avg": "m", "schedule|steps": "s"}
        state |= {"averaging|module.layer.weight": "a", "precision|scale": "p", "callbacks.stop|waited": "c"}
        state |= {"data|position": "d", "counters|step": "n"}
        line = {"kind": "step", "step": step, "position": step, "epoch": 0, "batch": step, "process": process}
        line |= {"indices": [[4, 7]], "samples": [["x", "y"]], "batches": {"0.0": "b", "0.1": "t"}, "loss": "l"}
        lines.append(line | {"gradients": {"layer.weight": "g"}, "state": state})
    lines.append({"kind": "validation", "step": steps, "position": steps, "metrics": {"val/loss": "v"}, "process": 0})
    for number, path, value in changes:
        node: Any = lines[number]
        *outer, last = path.split("/")
        for name in outer:
            node = node[int(name) if isinstance(node, list) else name]
        node[int(last) if isinstance(node, list) else last] = value
    for line in lines:
        if "state" in line:
            line["state"] = {path.replace("|", "."): value for path, value in line["state"].items()}
        append(folder / "journal.jsonl", line)
    return folder


PARTED = {
    "indices/0/1": (8, "order of samples", "batch 1 holds samples [4, 8], not [4, 7]"),
    "batches/0.1": ("?", "content of batches", "1 of batch 0 of the window"),
    "loss": ("?", "loss and gradients", "the loss"),
    "gradients/layer.weight": ("?", "loss and gradients", "the gradient of layer.weight"),
    "state/model|layer.weight": ("?", "weights and buffers", "layer.weight"),
    "state/optimizer|state.1.exp_avg": ("?", "optimizer moments", "optimizer exp_avg of layer.bias"),
    "state/schedule|steps": ("?", "schedule", "schedule.steps"),
    "state/averaging|module.layer.weight": ("?", "weight average", "averaging.module.layer.weight"),
    "state/precision|scale": ("?", "loss scale", "precision.scale"),
    "state/callbacks.stop|waited": ("?", "callbacks", "callbacks.stop.waited"),
    "state/data|position": ("?", "state of the data", "data.position"),
    "state/counters|step": ("?", "counters and metrics", "counters.step"),
}


@pytest.mark.parametrize("path", PARTED)
def test_each_thing_that_differs_is_named_with_its_step(tmp_path: Path, path: str) -> None:
    value, part, name = PARTED[path]
    one = journal(tmp_path / "one")
    assert compare(one, journal(tmp_path / "same")).very_first is None
    comparison = compare(one, journal(tmp_path / "two", (2, path, value), process=1))
    assert list(comparison.first) == [part]
    first = comparison.very_first
    assert first is not None
    assert (first.part, first.name, first.short, first.process) == (part, name, "step 2", 1)
    assert first.where == "step 2 (batch 1 of epoch 0, both counted from 0)"
    assert comparison.items[part] >= 3


def test_the_sample_is_named_that_differs(tmp_path: Path) -> None:
    one = journal(tmp_path / "one")
    two = journal(tmp_path / "two", (2, "samples/0/1", "?"), (2, "batches/0.0", "?"), (2, "loss", "?"))
    comparison = compare(one, two)
    assert comparison.first["content of batches"].name == "sample 7 of the training set"
    assert list(comparison.first) == ["content of batches", "loss and gradients"]  # what comes first leads to the rest


def test_a_validation_that_differs_and_steps_that_are_missing_are_noticed(tmp_path: Path) -> None:
    one = journal(tmp_path / "one")
    first = compare(one, journal(tmp_path / "two", (4, "metrics", {"val/loss": "?"}))).very_first
    assert first is not None
    assert (first.part, first.where) == ("validations", "the validation after step 3")
    first = compare(one, journal(tmp_path / "three", steps=2)).very_first
    assert first is not None
    assert "has no such validation" in first.name
    first = compare(journal(tmp_path / "four", steps=2), one).very_first
    assert first is not None
    assert (first.name, first.short) == ("the other run has no such step", "step 3")


def test_the_plan_is_that_of_its_seed_and_fits_the_run() -> None:
    journal = [{"kind": "validation", "step": step} for step in (5, 10)]
    plans = {seed: plan(5, 12, seed, journal) for seed in range(20)}
    assert plans[3] == plan(5, 12, 3, journal)
    assert len({json.dumps(kills) for kills in plans.values()}) == 20
    for kills in plans.values():
        assert {kill["moment"] for kill in kills} == set(KINDS)
        assert [kill["step"] for kill in kills] == sorted(kill["step"] for kill in kills)
        assert all(1 <= kill["step"] <= 12 for kill in kills)
        assert all(kill["step"] in (5, 10) for kill in kills if kill["moment"] == "validation")
    assert all(kill["moment"] != "validation" for kill in plan(8, 12, 0, []))


@pytest.mark.parametrize(
    "text", ["/plain/path", "/with space", "it's", 'say "so"', 'a\\"b', "comma,{brace}=[x]", "$dollar"]
)
def test_any_folder_can_be_given_to_hydra(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert override.value() == text


class Noisy(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.randn(6) + index % 3, index % 3


def trained(folder: Path, *callbacks: Recorder, workers: int = 0) -> Trainer:
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    trainer = Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        torch.optim.AdamW(model.parameters(), 0.01),
        Loader(Noisy(), 6, shuffle=True, num_workers=workers),
        Loader(Noisy(), 20),
        run_dir=folder,
        store=Store(folder / "checkpoints", every="3st"),
        callbacks=callbacks,
        max_epochs=2,
        log_every_n_steps=2,
        val_check_interval=3,
        accumulate_grad_batches=2,
        device="cpu",
    )
    trainer.fit()
    return trainer


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_recorded_is_the_same_run(tmp_path: Path, workers: int) -> None:
    watched = tmp_path / "recorded"
    watched.mkdir()
    trained(tmp_path / "alone", workers=workers)
    trained(tmp_path / "with", Recorder(str(watched), 100), workers=workers)
    states = {}
    for name in ("alone", "with"):
        state = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        assert state.pop("callbacks.Recorder", {}) == {}
        assert (state.pop("counters") | {"seconds": 0})["step"] == 8
        metrics = state.pop("metrics")
        metrics.pop("train/samples_per_second")
        state.pop("about")
        state["parts"] = [part for part in state["parts"] if part != "callbacks.Recorder"]
        states[name] = {**digests(state), **digests(metrics)}
    assert states["alone"] == states["with"]
    alone, beside = (records(tmp_path / name) for name in ("alone", "with"))
    assert alone == beside
    assert len(alone) > 8
    lines = read_journal(watched)
    assert [line["step"] for line in lines if line["kind"] == "step"] == list(range(1, 9))
    orders = [index for line in lines if line["kind"] == "step" for batch in line["indices"] for index in batch]
    assert sorted(orders[:40]) == sorted(orders[40:]) == list(range(40))
    assert lines[1]["samples"][0] != lines[1]["samples"][1]


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    append(path, {"kind": "start"})
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "st')
    append(path, {"kind": "kill"}, sync=True)
    assert [line["kind"] for line in read_journal(tmp_path)] == ["start", "kill"]
    assert read_journal(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("path", "clock"),
    [
        ("counters.seconds", True),
        ("metrics.train/samples_per_second", True),
        ("time", True),
        ("val/lifetime", False),
        ("model.embedding.time", False),
        ("averaging.module.time", False),
        ("counters.step", False),
    ],
)
def test_only_the_clocks_numbers_are_left_out(path: str, clock: bool) -> None:
    assert is_of_the_clock(path) == clock


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64, torch.bool, torch.int64, torch.uint8]
)
def test_a_digest_tells_any_two_tensors_apart(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 1], [0, 0, 1]]).to(dtype)
    assert digest(tensor) == digest(tensor.clone()) == digest(tensor.t().contiguous().t())
    others = [tensor.reshape(3, 2), tensor.t(), tensor.to(torch.complex128), torch.zeros_like(tensor), tensor[:1]]
    assert len({digest(other) for other in [tensor, *others]}) == 6
    assert digest(torch.tensor(0.0)) != digest(torch.tensor(-0.0))
    assert digest(torch.tensor(1.0)) != digest(torch.ones(1))
    one, two = sample_digests((tensor, [torch.tensor([5, 5])]), 2)
    assert one != two
    assert sample_digests((tensor, torch.tensor([5, 5, 5])), 2) == []


def test_what_an_object_keeps_to_itself_is_found() -> None:
    class Inner:
        def __init__(self) -> None:
            self.generator, self.rng = torch.Generator(), random.Random(1)
            self.big = torch.zeros(2_000_000)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.count = nn.Linear(2, 2), 0
            self.history: list[float] = []
            self.own = {"inner": Inner(), "numpy": numpy.random.RandomState(0)}
            self.itself = self.own

    net = Net()
    before = attributes(net, "model")
    assert {path: kind for path, (kind, _) in before.items() if "." in kind} == {
        "model.own.inner.generator": "torch.Generator",
        "model.own.inner.rng": "random.Random",
        "model.own.numpy": "numpy.random.RandomState",
    }
    assert not any("weight" in path or "big" in path or "training" in path for path in before)
    net.count += 1
    net.history.append(1.0)
    net.own["inner"].rng.random()
    torch.randn(2, generator=net.own["inner"].generator)
    after = attributes(net, "model")
    moved = {path for path in after if before.get(path) != after[path]}
    assert moved == {"model.count", "model.history", "model.own.inner.rng", "model.own.inner.generator"}
