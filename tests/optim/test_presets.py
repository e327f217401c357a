"""Each preset of ``freeze=`` against a table written by hand: what trains in every step, and at what rate."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import TensorDataset

from trainkit import Callback, Loader, Trainer, supervised
from trainkit.config.composing.compose import composed
from trainkit.config.composing.recipes import options
from trainkit.config.transferring import freeze_plan

LR, PER_EPOCH = 0.08, 2
LAYERS = ("head", "third", "second", "stem")
FROZEN = None
Table = list[tuple[float | None, ...]]


class Net(nn.Sequential):
    """Four stages of one layer each; the last is the head."""

    def __init__(self) -> None:
        super().__init__()
        for name in reversed(LAYERS):
            self.add_module(name, nn.Linear(3, 3))


class Seen(Callback):
    """Notes for each optimizer step the rate of each layer, None where it takes no gradient."""

    def __init__(self) -> None:
        self.rows: Table = []

    def on_fit_start(self, trainer: Trainer) -> None:
        def noted(optimizer: Any, *_: Any) -> None:
            rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
            layers = [getattr(trainer.model, name).weight for name in LAYERS]
            self.rows.append(tuple(rates[id(p)] if p.grad is not None else FROZEN for p in layers))

        trainer.optimizer.register_step_pre_hook(noted)


def seen(*overrides: str, halved_at: int = 1000) -> Table:
    """Train four epochs of two steps under a preset, the rate halved at a step; return what every step saw."""
    torch.manual_seed(0)
    config: Any = OmegaConf.to_container(
        composed(["recipe=mlp", f"optimizer.lr={LR}", *overrides]).require(), resolve=True
    )
    model, noted = Net(), Seen()
    plan, groups = freeze_plan(config, model, [])
    optimizer = torch.optim.SGD(groups, LR)
    data = Loader(TensorDataset(torch.randn(8, 3), torch.randint(3, (8,))), 4)
    schedule = MultiStepLR(optimizer, [halved_at], 0.5)
    loss = supervised(nn.CrossEntropyLoss())
    Trainer(model, loss, optimizer, data, schedule=schedule, freeze=plan, callbacks=[noted], max_epochs=4).fit()
    return noted.rows


TABLES: dict[str, tuple[list[str], int, Table]] = {
    "none": (["freeze=none"], 6, [(0.08, 0.08, 0.08, 0.08)] * 6 + [(0.04, 0.04, 0.04, 0.04)] * 2),
    "feature extraction": (
        ["freeze=feature_extraction"],
        6,
        [(0.08, FROZEN, FROZEN, FROZEN)] * 6 + [(0.04, FROZEN, FROZEN, FROZEN)] * 2,
    ),
    "fine-tuning": (
        ["freeze=fine_tuning"],
        6,
        [(0.008, 0.008, 0.008, 0.008)] * 6 + [(0.004, 0.004, 0.004, 0.004)] * 2,
    ),
    "discriminative": (
        ["freeze=discriminative"],
        6,
        [(0.08, 0.06, 0.045, 0.03375)] * 6 + [(0.04, 0.03, 0.0225, 0.016875)] * 2,
    ),
    "gradual": (
        ["freeze=gradual"],
        5,
        [
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, 0.008, FROZEN, FROZEN),
            (0.08, 0.008, FROZEN, FROZEN),
            (0.08, 0.008, 0.008, FROZEN),
            (0.04, 0.004, 0.004, FROZEN),
            (0.04, 0.004, 0.004, 0.004),
            (0.04, 0.004, 0.004, 0.004),
        ],
    ),
    "gradual with warm-up": (
        ["freeze=gradual", "freeze.warmup=1st", "freeze.thaw_every=2st", "freeze.lr_scale=0.5"],
        5,
        [
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, 0.02, FROZEN, FROZEN),
            (0.08, 0.04, FROZEN, FROZEN),
            (0.08, 0.04, 0.02, FROZEN),
            (0.04, 0.02, 0.02, FROZEN),
            (0.04, 0.02, 0.02, 0.01),
            (0.04, 0.02, 0.02, 0.02),
        ],
    ),
    "linear probe, then all": (
        ["freeze=linear_probe_then_finetune", "freeze.thaw=2ep", "freeze.warmup=3st"],
        6,
        [
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, FROZEN, FROZEN, FROZEN),
            (0.08, 0.002, 0.002, 0.002),
            (0.08, 0.004, 0.004, 0.004),
            (0.04, 0.003, 0.003, 0.003),
            (0.04, 0.004, 0.004, 0.004),
        ],
    ),
    "by stages of a tutorial": (
        ["freeze.rules=[{match: stem, lr: 1e-5}, {match: second, lr: 1e-4}, {match: third, lr: 1e-3}]"],
        6,
        [(0.08, 1e-3, 1e-4, 1e-5)] * 6 + [(0.04, 5e-4, 5e-5, 5e-6)] * 2,
    ),
}


@pytest.mark.parametrize(("overrides", "halved_at", "table"), TABLES.values(), ids=TABLES)
def test_every_step_has_the_rates_of_the_table(overrides: list[str], halved_at: int, table: Table) -> None:
    rows = seen(*overrides, halved_at=halved_at)
    assert len(rows) == len(table) == 8
    for row, wanted in zip(rows, table, strict=True):
        assert [rate is FROZEN for rate in row] == [rate is FROZEN for rate in wanted]
        assert [rate or 0 for rate in row] == pytest.approx([rate or 0 for rate in wanted])


def test_every_preset_has_a_table() -> None:
    told = {override.removeprefix("freeze=") for overrides, _, _ in TABLES.values() for override in overrides}
    assert set(options("freeze")) <= told
