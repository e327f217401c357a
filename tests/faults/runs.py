"""The command line as a real process (``warm``), and a user's module and configs that meet trouble."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from warm import Process, Warm


@dataclass
class Command:
    """A command that was started."""

    process: Process
    folder: Path
    out_path: Path
    err_path: Path
    code: int | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self.out_path.read_text()

    @property
    def err(self) -> str:
        return self.err_path.read_text()

    def wait(self, seconds: float = 60) -> "Command":
        """Wait for the end; a command that takes longer is killed and fails the test."""
        try:
            self.code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {seconds} s:\n{self.out}\n{self.err}")
        return self

    def ended(self) -> bool:
        return self.process.ended()


@pytest.fixture
def start(warm: Warm, tmp_path: Path) -> Callable[..., Command]:
    """Start ``trainkit`` with arguments in the test's folder; what it prints goes to files there."""
    numbers = iter(range(1000))

    def begin(*arguments: str, **environment: str) -> Command:
        number = next(numbers)
        out, err = tmp_path / f"out-{number}.txt", tmp_path / f"err-{number}.txt"
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}
        with out.open("w") as stdout, err.open("w") as stderr:
            process = warm.start(*arguments, cwd=tmp_path, env=env, stdout=stdout, stderr=stderr)
        return Command(process, tmp_path, out, err)

    return begin


@pytest.fixture
def trainkit(start) -> Callable[..., Command]:
    """Run ``trainkit`` to its end."""
    return lambda *arguments, **environment: start(*arguments, **environment).wait()


MODULE = '''
import math, os, signal, time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

import trainkit
from trainkit.data import Splits

MARK = 99.0  # the first feature of the sample that makes trouble


class Samples(Dataset):
    """48 samples of 4 features in 3 classes; trouble at one of them."""

    def __init__(self, bad=None, how="mark", size=48):
        generator = torch.Generator().manual_seed(5)
        self.inputs = torch.randn(size, 4, generator=generator)
        self.targets = torch.randint(3, (size,), generator=generator)
        self.bad, self.how = bad, how

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        x, y = self.inputs[index] + 0.1 * torch.randn(4), self.targets[index]
        if index == self.bad:
            if self.how == "mark":
                x = torch.cat([torch.tensor([MARK]), x[1:]])
            elif self.how == "input":
                x = x * math.nan
            elif self.how == "label":
                y = y + 1000
            else:
                act(self.how, once=True)
        return x, y


def act(how, once=False):
    """Send a signal to the training process, and wait where that is asked for: 'SIGTERM' or 'SIGTERM+wait'."""
    flag = Path("acted")
    if once and flag.exists():
        return
    flag.touch()
    name, _, wait = how.partition("+")
    main = int(Path("main.pid").read_text()) if Path("main.pid").exists() else os.getpid()
    for one in name.split(","):
        os.kill(main, getattr(signal, one))
    if wait:
        time.sleep(60)


def splits(bad=None, how="mark", val_bad=None):
    return Splits(Samples(bad, how), Samples(val_bad, how, size=24), Samples(size=24))


class Poison(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


class Net(nn.Module):
    """Breaks in training when it sees the marked sample."""

    def __init__(self, how=""):
        super().__init__()
        self.how = how
        self.first, self.drop, self.last = nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 3)

    def forward(self, x):
        rows = x[:, :1] == MARK
        marked = self.training and bool(rows.any())
        x = torch.where(x == MARK, torch.zeros_like(x), x)
        h = self.drop(self.first(x).relu())
        if marked and self.how == "activation":
            h = torch.where(rows, h * math.inf, h)
        elif marked and self.how == "gradient":
            h = Poison.apply(h)
        elif marked and self.how == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        elif marked and self.how == "error":
            raise ValueError("the model does not like this")
        elif marked and self.how:
            act(self.how, once=True)
        return self.last(h)
'''

YAMLS = {
    "data/faulty": """
defaults: [default, _self_]
datasets: {_target_: faulty.splits, bad: null, how: mark, val_bad: null}
features: 4
classes: 3
batch_size: 8
val_batch_size: 8
""",
    "model/faulty": "{_target_: faulty.Net, how: ''}",
    "recipe/faulty": """
# @package _global_
# A tiny net that meets trouble
defaults:
  - override /model: faulty
  - override /data: faulty
  - override /objective: classification
name: faulty
callbacks: {progress: null, early_stopping: null, predictions: null}
loggers: {tensorboard: null}
checkpoint: {every: 1st}
trainer: {max_epochs: 2, device: cpu, log_every_n_steps: 2, threads: 1}
""",
}


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Write a user's module and configs into the test's folder; the flags that use them come from ``FAULTY``."""
    (tmp_path / "faulty.py").write_text(MODULE)
    for name, text in YAMLS.items():
        path = tmp_path / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return tmp_path


FAULTY = ("--config-dir", "configs", "recipe=faulty")


def state_of(folder: Path, name: str = "last") -> dict[str, Any]:
    """Return a checkpoint by torch alone."""
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


TIMES = {"seconds", "time", "train/samples_per_second", "about"}


def comparable(value: Any) -> Any:
    """Return a state as plain types that compare by their bits, without what a clock adds and what is said about it."""
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items() if name not in TIMES}
    if hasattr(value, "tolist"):
        return str(value.dtype), value.tolist()
    return [comparable(item) for item in value] if isinstance(value, tuple | list) else repr(value)


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))
