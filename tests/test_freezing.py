"""A Trainer under a freeze plan: phases, rates, resume in each of them, and what is caught."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import TensorDataset

from trainkit import Callback, Loader, Trainer, TrainingError, supervised
from trainkit.optim import FreezePlan, WeightAverage

PER_EPOCH, EPOCHS = 4, 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.middle = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.stem(x)))


GRADUAL = [
    {"match": "@head"},
    {"match": "middle", "from": "1ep", "lr_scale": 0.5, "warmup": "2st"},
    {"match": "stem", "from": "10st", "lr_scale": 0.1, "grad_clip": 0.5},
]


class Rates(Callback):
    """Notes the rates that the optimizer stepped with, which stages moved, and what the plan freezes."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.trained: list[list[bool]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        def noted(optimizer: Any, *_: Any) -> None:
            self.rates.append([group["lr"] for group in optimizer.param_groups])
            self.trained.append([group.trainable for group in trainer.freeze.groups])

        trainer.optimizer.register_step_pre_hook(noted)


def trainer_of(folder: Path | None = None, rules: Any = GRADUAL, *callbacks: Callback, **settings: Any) -> Trainer:
    torch.manual_seed(3)
    model = Net()
    data = TensorDataset(torch.randn(32, 6), torch.randint(3, (32,)))
    plan = FreezePlan(rules, **settings.pop("plan", {}))
    optimizer = torch.optim.AdamW(plan.parameter_groups(model, 0.01), 0.01)
    options: dict[str, Any] = {"max_epochs": EPOCHS, "num_sanity_val_steps": 0, "log_every_n_steps": 2} | settings
    return Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        optimizer,
        Loader(data, 8, shuffle=True),
        Loader(data, 16),
        schedule=CosineAnnealingLR(optimizer, EPOCHS * PER_EPOCH),
        freeze=plan,
        callbacks=callbacks,
        run_dir=folder,
        **options,
    )


def test_phases_and_rates_are_as_the_plan_says() -> None:
    noted = Rates()
    trainer = trainer_of(None, GRADUAL, noted)
    trainer.fit()
    total = EPOCHS * PER_EPOCH
    assert noted.trained == [[True, step >= 4, step >= 10] for step in range(total)]
    alone = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.01)
    cosine, expected = CosineAnnealingLR(alone, total), []
    for step in range(total):
        rate = alone.param_groups[0]["lr"]
        share = {4: 1 / 3, 5: 2 / 3}.get(step, 1.0)
        expected.append([rate, rate * 0.5 * share, rate * 0.1])
        alone.step()
        cosine.step()
    for seen, wanted in zip(noted.rates, expected, strict=True):
        assert seen == pytest.approx(wanted)


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 6, 9, 10, 11, 15])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"averaging": True, "accumulate_grad_batches": 1, "gradient_clip_val": 1.0},
        {"plan": {"patience": 2, "min_delta": 0.2}, "rules": "plateau", "val_check_interval": 1},
    ],
    ids=["timetable", "averaging", "plateau"],
)
def test_a_resume_in_any_phase_ends_as_the_unbroken_run(stop: int, settings: dict[str, Any], tmp_path: Path) -> None:
    def made(folder: Path, **more: Any) -> Trainer:
        options = dict(settings) | more
        rules = GRADUAL
        if options.pop("rules", ""):
            rules = [{"match": "@head"}, {"match": "*", "thaw_every": "plateau", "lr_decay": 0.5, "warmup": "2st"}]
        if options.pop("averaging", False):
            options["averaging"] = WeightAverage("ema", decay=0.9)
        return trainer_of(folder, rules, **options)

    straight = made(tmp_path / "straight")
    straight.fit()
    first = made(tmp_path / "cut", max_steps=stop)
    first.fit()
    second = made(tmp_path / "cut")
    second.resume(tmp_path / "cut")
    second.fit()
    assert second.freeze.state_dict() == straight.freeze.state_dict()
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name
    for mine, its in zip(straight.optimizer.state.values(), second.optimizer.state.values(), strict=True):
        assert all(torch.equal(torch.as_tensor(value), torch.as_tensor(its[key])) for key, value in mine.items())


def test_plateaus_of_the_monitored_metric_thaw() -> None:
    noted = Rates()
    rules = [{"match": "@head"}, {"match": "middle", "from": "plateau"}, {"match": "stem", "from": "plateau"}]
    plan = {"patience": 1, "min_delta": 100.0}
    trainer = trainer_of(None, rules, noted, plan=plan, val_check_interval=2)
    trainer.fit()
    assert [trained.count(True) for trained in noted.trained] == [1] * 4 + [2] * 2 + [3] * 10


def test_groups_are_clipped_by_their_own_limits() -> None:
    norms: list[float] = []

    class Norms(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            def noted(optimizer: Any, *_: Any) -> None:
                norms.append(float(torch.stack([p.grad.norm() for p in trainer.model.stem.parameters()]).norm()))

            trainer.optimizer.register_step_pre_hook(noted)

    trainer_of(None, [{"match": "stem", "grad_clip": 1e-3}], Norms(), max_steps=3).fit()
    assert norms == pytest.approx([1e-3] * 3, rel=1e-3)


def test_evaluation_leaves_the_frozen_in_eval_and_the_rest_in_train_mode() -> None:
    trainer = trainer_of(None, [{"match": "@head"}, {"match": "*", "trainable": False}], max_epochs=1)
    trainer.fit()
    assert [m.training for m in (trainer.model, trainer.model.head, trainer.model.stem, trainer.model.stem[1])] == [
        True,
        True,
        False,
        False,
    ]


class Meddler(Callback):
    """Writes to a frozen layer in the second epoch."""

    def on_step_end(self, trainer: Trainer, output: Any) -> None:
        if trainer.counters.step == 6:
            trainer.model.stem[0].weight.data[0, 0] += 1e-3


def test_a_run_whose_frozen_part_moves_is_stopped_at_the_end_of_the_epoch() -> None:
    trainer = trainer_of(None, [{"match": "@head"}, {"match": "*", "trainable": False}], Meddler())
    with pytest.raises(TrainingError, match=r"the frozen parameter stem\.0\.weight moved"):
        trainer.fit()
    assert trainer.counters.epoch == 1
    assert trainer.ending.status == "failed"


def test_a_meddler_is_caught_before_a_thaw_hides_it() -> None:
    rules = [{"match": "@head"}, {"match": "middle", "trainable": False}, {"match": "stem", "from": "7st"}]
    with pytest.raises(TrainingError, match=r"the frozen parameter stem\.0\.weight moved"):
        trainer_of(None, rules, Meddler()).fit()


def test_accumulated_windows_count_as_one_step() -> None:
    noted = Rates()
    rules = [{"match": "@head"}, {"match": "*", "trainable": False, "until": "3st"}]
    trainer_of(None, rules, noted, accumulate_grad_batches=2, max_epochs=3).fit()
    assert noted.trained == [[True, step >= 3] for step in range(6)]


def test_a_compiled_model_thaws_too() -> None:
    rules = [{"match": "@head"}, {"match": "*", "trainable": False, "until": "1ep"}]
    plain, compiled = trainer_of(None, rules, max_epochs=2), trainer_of(None, rules, max_epochs=2, compile="default")
    plain.model.stem[3].p = compiled.model.stem[3].p = 0.0  # compiled dropout draws otherwise
    frozen = compiled.model.stem[0].weight.clone()
    plain.fit()
    compiled.fit()
    assert not torch.equal(frozen, compiled.model.stem[0].weight)
    its = dict(compiled.model.named_parameters())
    for name, mine in plain.model.named_parameters():
        if name not in ("stem.0.bias", "middle.0.bias"):  # before a norm their gradients are rounding alone
            torch.testing.assert_close(mine, its[name], rtol=1e-3, atol=1e-4)


def test_a_nan_under_a_plan_is_located_with_the_frozen_in_eval_mode(tmp_path: Path) -> None:
    class Poison(Callback):
        def on_step_end(self, trainer: Trainer, output: Any) -> None:
            if trainer.counters.step == 3:
                with torch.no_grad():
                    trainer.model.head.weight[0, 0] = float("nan")

    trainer = trainer_of(tmp_path, [{"match": "@head"}, {"match": "*", "trainable": False}], Poison())
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    with pytest.raises(TrainingError, match="step 4"):
        trainer.fit()
    assert all(torch.equal(buffer, before[name]) for name, buffer in trainer.model.named_buffers())
