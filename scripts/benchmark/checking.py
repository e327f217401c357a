"""Measure what a check costs: `scripts/bench check`.

Each model takes a training step and is then checked, in turns: CPU seconds of both, and the check in steps. The budget
is 3 s and two steps; `--rules` shows which rules take the most. Images are drawn by index, so that a sample takes about
as long as a small file that is read and decoded.
"""

import argparse
import functools
from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset, default_collate
from torchvision import models

import trainkit
from trainkit.inspection import check as inspection
from trainkit.recipes.models import MLP

BUDGET = 3.0
"""CPU seconds that a check may take, beside two steps."""
CLASSES = 10
HEAD = """| model | CPU ms/step | check CPU s | in steps (min-max) | of the budget |
| --- | ---: | ---: | ---: | ---: |"""


class Images(Dataset[tuple[Tensor, int]]):
    """Noise with a class in its mean, made anew each time.

    Args:
        count: Samples.
        size: Height and width in pixels.
    """

    def __init__(self, count: int, size: int, first: int = 0) -> None:
        self.count, self.size, self.first = count, size, first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(self.first + index)
        label = int(torch.randint(CLASSES, (), generator=generator))
        return torch.randn(3, self.size, self.size, generator=generator) + 0.2 * label, label


class Block(nn.Module):
    """Two convolutions and a way around them; stands for the code of a user's own, which the rules read."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(into, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.around = nn.Conv2d(into, out, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.around(x))


class OwnResNet(nn.Module):
    """A ResNet-18 as people write it."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 64, 128, 256, 512)
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages = [(into, out, 1 if into == out else 2) for into, out in pairwise(widths)]
        self.blocks = nn.Sequential(*(block for a, b, s in stages for block in (Block(a, b, s), Block(b, b, 1))))
        self.head = nn.Linear(512, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.pool(self.stem(x))).mean((2, 3)))


class LanguageModel(nn.Module):
    """A small causal transformer over bytes."""

    def __init__(self, length: int = 64, width: int = 128) -> None:
        super().__init__()
        self.tokens = nn.Embedding(256, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True), 2)
        self.head = nn.Linear(width, 256)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.layers(self.tokens(x) + self.positions, mask=mask, is_causal=True))


def next_token_loss(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())


def pictures(build: Callable[[], nn.Module], size: int, batch: int) -> dict[str, Any]:
    """Return a training of images of so many pixels."""
    sets = {"train_set": Images(5000, size), "val_set": Images(500, size, 5000)}
    return {"model": build(), "loss": nn.CrossEntropyLoss(), "batch_size": batch, **sets}


def digits() -> dict[str, Any]:
    images, labels = torch.randn(1797, 64), torch.randint(CLASSES, (1797,))
    images += nn.functional.one_hot(labels, 64)
    train_set, val_set = (TensorDataset(images[part], labels[part]) for part in (slice(1500), slice(1500, None)))
    parts = {"train_set": train_set, "val_set": val_set, "batch_size": 64}
    return {"model": MLP(64, [128, 64], CLASSES), "loss": nn.CrossEntropyLoss(), **parts}


def text() -> dict[str, Any]:
    series = torch.randint(256, (2200, 1)) + torch.arange(65)
    series %= 256
    train_set, val_set = (TensorDataset(part[:, :-1], part[:, 1:]) for part in (series[:2000], series[2000:]))
    return {"model": LanguageModel(), "loss": next_token_loss, "train_set": train_set, "val_set": val_set}


WORKS: dict[str, Callable[[], dict[str, Any]]] = {
    "digits MLP": digits,
    "transformer": text,
    "ResNet-18 at 64": functools.partial(pictures, functools.partial(models.resnet18, num_classes=10), 64, 32),
    "ResNet-18": functools.partial(pictures, functools.partial(models.resnet18, num_classes=10), 224, 32),
    "ResNet-18 of one's own": functools.partial(pictures, OwnResNet, 224, 32),
    "MobileNet-V3": functools.partial(pictures, functools.partial(models.mobilenet_v3_small, num_classes=10), 224, 32),
    "ResNet-50": functools.partial(pictures, functools.partial(models.resnet50, num_classes=10), 224, 32),
    "ViT-B/16": functools.partial(pictures, functools.partial(models.vit_b_16, num_classes=10), 224, 8),
}
"""What is checked."""


def step_seconds(parts: dict[str, Any], steps: int) -> float:
    """Return the CPU seconds of the quickest of some training steps."""
    model, data = parts["model"].train(), parts["train_set"]
    batch = default_collate([data[index] for index in range(parts.get("batch_size", 32))])
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    seconds = []
    for _ in range(steps):
        start = process_time()
        optimizer.zero_grad()
        parts["loss"](model(batch[0]), batch[1]).backward()
        optimizer.step()
        seconds.append(process_time() - start)
    return min(seconds)


def measured(work: str, spent: Counter[str]) -> tuple[float, float]:
    """Return the CPU seconds of a step and of a check, and add those of each rule to ``spent``."""
    torch.manual_seed(0)
    parts = WORKS[work]()
    step = step_seconds(parts, 3)
    optimizer = torch.optim.AdamW(parts["model"].parameters(), 1e-3)
    families = inspection.FAMILIES
    inspection.FAMILIES = tuple(tuple(timed(rule, spent) for rule in family) for family in families)
    try:
        start = process_time()
        trainkit.check(**parts, optimizer=optimizer)
        return step, process_time() - start
    finally:
        inspection.FAMILIES = families


def timed(rule: inspection.Rule, spent: Counter[str]) -> inspection.Rule:
    """Return a rule that notes its CPU seconds."""

    @functools.wraps(rule)
    def call(subject: Any) -> Any:
        start = process_time()
        try:
            return list(rule(subject))
        finally:
            spent[f"{rule.__module__.partition('.inspection.')[2]}.{rule.__name__}"] += process_time() - start

    return call


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench check", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=WORKS, action="append", help="may be given several times; all by default")
    parser.add_argument("--rules", type=int, default=0, metavar="COUNT", help="show so many of the slowest rules")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    works = options.work or list(WORKS)
    rounds: dict[str, list[tuple[float, float]]] = {work: [] for work in works}
    spent: dict[str, Counter[str]] = {work: Counter() for work in works}
    for _ in range(options.rounds):
        for work in works:
            rounds[work].append(measured(work, spent[work]))
    print(HEAD)
    for work, pairs in rounds.items():
        ratios = [check / step for step, check in pairs]
        shares = [check / (BUDGET + 2 * step) for step, check in pairs]
        step, check = (median(seconds) for seconds in zip(*pairs, strict=True))
        cells = [work, f"{1000 * step:.2f}", f"{check:.3f}"]
        cells += [f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})", f"{median(shares):.0%}"]
        print(f"| {' | '.join(cells)} |")
    for work in works if options.rules else ():
        print(f"\n{work}:")
        for name, seconds in islice(spent[work].most_common(), options.rules):
            print(f"  {seconds / options.rounds:7.3f} s  {name}")
