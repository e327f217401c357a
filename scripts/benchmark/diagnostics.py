"""Measure what diagnostics cost: `scripts/bench diagnostics`.

A ResNet-18 and the digits MLP train without diagnostics and with those of `diagnostics=default`, in turns. Of each fit
the CPU time of a usual step and of a sampled one is the median over such steps, for a busy machine disturbs single
ones; 49 of the former and one of the latter make the cost, against the steps of the fit without. Both write
`metrics.jsonl` and TensorBoard's files, as a run does; none saves checkpoints.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
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
HEAD = """| work | CPU ms/step without | usual step | sampled step | cost of every 50th (min to max) |
| --- | ---: | ---: | ---: | ---: |"""


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


def fit(work: str, every: int | None, steps: int) -> list[float]:
    """Train and return the CPU seconds of each step after the first."""
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
            callbacks=[*(watching(every) if every else ()), stamps],
            loggers=[JSONLines(folder), TensorBoard(Path(folder, "tensorboard"))],
            device="cpu",
        ).fit()
    return [end - start for start, end in pairwise(stamps.seconds)]


def measured(work: str, steps: int) -> tuple[float, float, float]:
    """Return the CPU seconds of a step without diagnostics, of a usual step with them, and of a sampled one."""
    every = min(EVERY, steps // 4)  # a few samples in a short fit too; a sample costs the same
    without, seconds = fit(work, None, steps), fit(work, every, steps)
    sampled = seconds[every - 2 :: every]
    usual = [time for number, time in enumerate(seconds, 2) if number % every]
    return median(without), median(usual), (median(sampled[::2]) + median(sampled[1::2])) / 2


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench diagnostics", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", choices=(*WORKS, "both"), default="both")
    parser.add_argument("--steps", type=int, help="of a fit; by default as many as take some seconds")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines = [HEAD]
    for work in WORKS if options.work == "both" else (options.work,):
        rounds = [measured(work, options.steps or WORKS[work][2]) for _ in range(options.rounds)]
        costs = [((EVERY - 1) * usual + sampled) / EVERY / without - 1 for without, usual, sampled in rounds]
        cells = [work, *(f"{1e3 * median(times):.3f}" for times in zip(*rounds, strict=True))]
        cells.append(f"{median(costs):.1%} ({min(costs):.1%} to {max(costs):.1%})")
        lines.append(f"| {' | '.join(cells)} |")
    print("\n".join(lines))
