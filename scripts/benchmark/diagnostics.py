"""Measure what diagnostics cost: `scripts/bench diagnostics`.

A ResNet-18 and the digits MLP train without diagnostics and with those of `diagnostics=default`, in turns. Every 50th
step is sampled, and the run logs at it, which the one after it pays for: the two are timed together, with diagnostics
and without. Their CPU time, and that of a usual step, is the lower tenth over all such steps of all fits, for a busy
machine only adds to a step; 48 usual ones and such a pair are compared. Both write `metrics.jsonl` and TensorBoard's
files, as a run does; none saves checkpoints.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.models import resnet18

from trainkit import Callback, Loader, Trainer, diagnostics, supervised
from trainkit.loggers import JSONLines, TensorBoard
from trainkit.recipes.models import MLP

EVERY = 50
HEAD = """| work | CPU ms: usual step, logged step with the next | the same with diagnostics | cost |
| --- | ---: | ---: | ---: |"""


class Stamps(Callback):
    """Notes the CPU time at the end of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_end(self, trainer: Trainer, output: Any) -> None:
        self.seconds.append(process_time())


def network() -> tuple[nn.Module, TensorDataset]:
    return resnet18(num_classes=10), TensorDataset(torch.randn(64, 3, 64, 64), torch.randint(10, (64,)))


def mlp() -> tuple[nn.Module, TensorDataset]:
    return MLP(64, [128, 64], 10), TensorDataset(torch.randn(1088, 64), torch.randint(10, (1088,)))


WORKS: dict[str, tuple[Callable[[], tuple[nn.Module, TensorDataset]], int, int]] = {
    "ResNet-18": (network, 16, 20),
    "digits MLP": (mlp, 64, 500),
}
"""What to train, the batch size, and the steps of a fit."""


def watching(every: int) -> list[Callback]:
    """Return what `diagnostics=default` builds, for so many steps, and twice as many for the activations."""
    names = ("Gradients", "Updates", "Clipping", "Throughput", "Learning")
    console = Console(file=io.StringIO())
    rest = [getattr(diagnostics, name)(every) for name in names]
    return [diagnostics.Activations(2 * every), *rest, diagnostics.Doctor(console=console)]


def fit(work: str, sampled: int | None, every: int, steps: int) -> list[float]:
    """Train, with a log record every so many steps, and return the CPU seconds of each step after the first."""
    build, batch, _ = WORKS[work]
    torch.manual_seed(0)
    model, data = build()
    stamps = Stamps()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model,
            supervised(nn.CrossEntropyLoss()),
            torch.optim.AdamW(model.parameters(), 1e-3, fused=True),
            Loader(data, batch, shuffle=True),
            max_steps=steps,
            callbacks=[*(watching(sampled) if sampled else ()), stamps],
            log_every_n_steps=every,
            loggers=[JSONLines(folder), TensorBoard(Path(folder, "tensorboard"))],
            device="cpu",
        ).fit()
    return [end - start for start, end in pairwise(stamps.seconds)]


def parted(seconds: list[float], every: int) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of the usual steps, and of the first and the second of each two pairs that are sampled."""
    usual = [time for number, time in enumerate(seconds, 2) if number % every > 1]
    sampled = [
        sampled + after
        for sampled, after in zip(seconds[every - 2 :: every], seconds[every - 1 :: every], strict=False)
    ]
    return usual, sampled[::2], sampled[1::2]


def measured(work: str, steps: int, rounds: int) -> list[tuple[float, float]]:
    """Return the CPU seconds of a usual step and of a pair of every-k-th and next, without diagnostics and with them.

    The activations are looked at in every other sample, so two samples make one.
    """
    every = min(EVERY, steps // 4)  # a few samples in a short fit too; a sample costs the same
    fits: tuple[list[Any], list[Any]] = ([], [])
    for _ in range(rounds):
        for kept, sampled in zip(fits, (None, every), strict=True):
            kept.append(parted(fit(work, sampled, every, steps), every))
    found = []
    for kept in fits:
        usual, first, second = (lower_tenth([t for times in part for t in times]) for part in zip(*kept, strict=True))
        found.append((usual, (first + second) / 2))
    return found


def lower_tenth(seconds: list[float]) -> float:
    """Return the value that a tenth of some lie below; a cost that falls on few steps alone would not show."""
    return sorted(seconds)[len(seconds) // 10]


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench diagnostics", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", choices=(*WORKS, "both"), default="both")
    parser.add_argument("--steps", type=int, help="of a fit; by default as many as take some seconds")
    options = parser.parse_args(arguments)
    if options.steps is not None and options.steps < 12:
        parser.error("--steps: at least 12, of which every third one is sampled")
    torch.set_num_threads(1)
    lines = [HEAD]
    for work in WORKS if options.work == "both" else (options.work,):
        without, diagnosed = measured(work, options.steps or WORKS[work][2], options.rounds)
        seconds = [(EVERY - 2) * usual + sampled for usual, sampled in (without, diagnosed)]
        shown = [", ".join(f"{1e3 * time:.3f}" for time in times) for times in (without, diagnosed)]
        lines.append(f"| {work} | {' | '.join(shown)} | {seconds[1] / seconds[0] - 1:.1%} |")
    print("\n".join(lines))
