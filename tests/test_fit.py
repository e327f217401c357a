"""How a fit goes: its ends, its limits, when it validates and logs, and what callbacks hear."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainkit import Callback, ConfigError, Loader, Output, Trainer, supervised
from trainkit.callbacks import EarlyStopping
from trainkit.checkpoint import Store

CPU: dict[str, Any] = {"device": "cpu", "num_sanity_val_steps": 0}


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def batches(number: int = 10) -> list[Any]:
    torch.manual_seed(3)
    return [(torch.randn(4, 6), torch.randint(3, (4,))) for _ in range(number)]


def trainer_of(train: Any, val: Any = None, **options: Any) -> Trainer:
    model = options.pop("model", None) or network()
    optimizer = torch.optim.SGD(model.parameters(), options.pop("lr", 0.1))
    return Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, train, val, **{**CPU, **options})


def fitted(*arguments: Any, **options: Any) -> Trainer:
    trainer = trainer_of(*arguments, **options)
    trainer.fit()
    return trainer


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Validations(Callback):
    """Notes where the run stands at each validation."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int, int]] = []

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        self.places.append((trainer.counters.epoch, trainer.counters.batch, trainer.counters.step))


# ---------------------------------------------------------------------- ends


@pytest.mark.parametrize(
    ("settings", "place", "reason"),
    [
        ({"max_epochs": 2}, (2, 0, 20), "max_epochs=2 reached"),
        ({"max_steps": 13}, (1, 3, 13), "max_steps=13 reached"),
        ({"max_steps": 10}, (1, 0, 10), "max_steps=10 reached"),  # the epoch is ended too
        ({"max_steps": 50, "max_epochs": 1}, (1, 0, 10), "max_epochs=1 reached"),
        ({"max_epochs": 2, "accumulate_grad_batches": 4}, (2, 0, 6), "max_epochs=2 reached"),
        ({"max_steps": 4, "accumulate_grad_batches": 4}, (1, 4, 4), "max_steps=4 reached"),
        ({"max_epochs": 3, "limit_train_batches": 4}, (3, 0, 12), "max_epochs=3 reached"),
        ({"max_epochs": 3, "limit_train_batches": 0.3}, (3, 0, 9), "max_epochs=3 reached"),
        ({"max_epochs": 0}, (0, 0, 0), "max_epochs=0 reached"),
    ],
)
def test_the_end_and_its_reason(settings: dict[str, Any], place: tuple[int, ...], reason: str) -> None:
    trainer = fitted(batches(), batches(1), **settings)
    counters = trainer.counters
    assert (counters.epoch, counters.batch, counters.step) == place
    assert (trainer.ending.status, trainer.ending.reason) == ("completed", reason)
    steps = settings.get("max_steps") if "max_epochs" not in settings else counters.step
    assert trainer.total_steps == steps


def test_max_time_ends_the_run() -> None:
    trainer = fitted(batches(), max_time="0.05s")
    assert trainer.ending.reason == "max_time=0.05s reached"
    assert 0.05 <= trainer.counters.seconds < 5


class StopsAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        if trainer.counters.step == self.step:
            trainer.stop("seen enough")


@pytest.mark.parametrize(("min_epochs", "step"), [(0, 3), (1, 10), (2, 20), (5, 50)])
def test_a_callback_stops_the_run_but_not_before_min_epochs(min_epochs: int, step: int) -> None:
    trainer = fitted(batches(), max_epochs=5, min_epochs=min_epochs, callbacks=[StopsAt(3)])
    assert trainer.counters.step == step
    assert (trainer.ending.status, trainer.ending.reason) == ("stopped", "seen enough")


class Reports:
    """A metric that gives one value after the other."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)

    def update(self, predictions: Any, targets: Any) -> None: ...

    def reset(self) -> None: ...

    def compute(self) -> float:
        return next(self.values)


def early(values: list[float], monitor: str = "val/score", **options: Any) -> Trainer:
    stopping, metrics = EarlyStopping(monitor, **options), {"score": Reports(values)}
    return fitted(batches(), batches(1), callbacks=[stopping], metrics=metrics, max_epochs=len(values))


FALLING = [9.0, 8.0, 7.0, 7.0, 7.5, 7.0, 6.0, 5.0]


@pytest.mark.parametrize(
    ("values", "options", "epochs", "why"),
    [
        (FALLING, {"patience": 3}, 6, "has not improved on 7 for 3 validations"),
        (FALLING, {"patience": 4}, 8, ""),
        (FALLING, {"patience": None}, 8, ""),
        (FALLING, {"patience": 2, "mode": "max"}, 3, "has not improved on 9 for 2 validations"),
        (FALLING, {"patience": 1, "min_delta": 1.5}, 2, "has not improved on 9 for 1 validations"),
        (FALLING, {"patience": None, "patience_steps": 25}, 6, "for 30 steps"),
        (FALLING, {"patience": None, "stopping_threshold": 7.0}, 3, "val/score=7 has reached 7"),
        (FALLING, {"patience": None, "divergence_threshold": 8.5}, 1, "val/score=9 is worse than 8.5"),
        ([1.0, float("nan"), 0.5], {}, 2, "val/score is nan"),
        ([1.0, float("inf"), 0.5], {"check_finite": False}, 3, ""),
    ],
)
def test_early_stopping(values: list[float], options: dict[str, Any], epochs: int, why: str) -> None:
    trainer = early(values, **options)
    assert trainer.counters.epoch == epochs
    assert trainer.ending.status == ("stopped" if why else "completed")
    assert why in trainer.ending.reason


def test_early_stopping_on_what_is_not_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"monitors 'val/scores'.*Did you mean 'val/score'\?"):
        early([1.0], "val/scores")


# ---------------------------------------------------------------------- debugging modes


def test_overfitting_takes_the_same_batches_each_epoch_for_training_and_validation() -> None:
    seen: dict[bool, list[float]] = {True: [], False: []}

    class Notes(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen[self.training].append(inputs.sum().item())
            return super().forward(inputs)

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(40, 6), torch.randint(3, (40,)))
    fitted(Loader(data, 4, shuffle=True), [], model=Notes(6, 3), overfit_batches=2, max_epochs=3)
    assert len(set(seen[True])) == 2
    assert seen[True] == seen[False][1:] == seen[True][:2] * 3  # the first is the look at the data before all steps


@pytest.mark.parametrize("number", [True, 3])
def test_a_fast_run_touches_everything_and_leaves_no_trace(tmp_path: Path, number: bool | int) -> None:
    seen = {"hooks": [], "logged": 0}

    class All(Callback):
        def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
            seen["hooks"].append("validation")

        def on_epoch_end(self, trainer: Trainer) -> None:
            seen["hooks"].append("epoch")

    options = {"run_dir": tmp_path, "store": Store(tmp_path / "elsewhere"), "callbacks": [All()], "max_epochs": 9}
    trainer = fitted(batches(), batches(), fast_dev_run=number, loggers=[object()], **options)
    assert trainer.counters.step == int(number)
    assert seen["hooks"] == ["validation", "epoch"]
    assert {"val/loss", "train/loss"} <= trainer.metrics.keys()
    assert not list(tmp_path.iterdir())
    assert trainer.run_dir is None


# ---------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({}, [(0, 10, 10), (1, 10, 20)]),
        ({"val_check_interval": 4}, [(0, 4, 4), (0, 8, 8), (1, 4, 14), (1, 8, 18)]),
        ({"val_check_interval": 0.5}, [(0, 5, 5), (0, 10, 10), (1, 5, 15), (1, 10, 20)]),
        ({"val_check_interval": "7st"}, [(0, 7, 7), (1, 4, 14)]),
        ({"val_check_interval": "0.5ep"}, [(0, 5, 5), (0, 10, 10), (1, 5, 15), (1, 10, 20)]),
        ({"val_check_interval": "2ep"}, [(1, 10, 20)]),
        ({"check_val_every_n_epoch": 2}, [(1, 10, 20)]),
        ({"check_val_every_n_epoch": 2, "val_check_interval": 5}, [(1, 5, 15), (1, 10, 20)]),
        ({"accumulate_grad_batches": 3, "val_check_interval": 4}, [(0, 6, 2), (0, 9, 3), (1, 6, 6), (1, 9, 7)]),
        ({"accumulate_grad_batches": 3, "val_check_interval": "3st"}, [(0, 9, 3), (1, 6, 6)]),
        ({"limit_val_batches": 0}, []),
    ],
)
def test_validations_come_when_they_are_due(settings: dict[str, Any], places: list[tuple[int, int, int]]) -> None:
    watch = Validations()
    trainer = fitted(batches(), batches(1), max_epochs=2, callbacks=[watch], **settings)
    assert watch.places == places
    assert ("val/loss" in trainer.metrics) == ("limit_val_batches" not in settings)


@pytest.mark.parametrize("interval", ["2s", "1.5ep"])
def test_an_interval_that_cannot_be_is_refused(interval: str) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.val_check_interval"):
        trainer_of(batches(), batches(1), max_epochs=1, val_check_interval=interval)


def test_the_end_is_validated_too(tmp_path: Path) -> None:
    watch = Validations()
    trainer = fitted(batches(), batches(1), max_steps=13, callbacks=[watch], run_dir=tmp_path)
    assert [record["step"] for record in records(tmp_path) if "val/loss" in record] == [10, 13]
    assert [step for *_, step in watch.places] == [10]  # the last one shapes nothing that a longer run would go on with
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["best"] == trainer.best.state_dict()
    assert best["counters"]["step"] == trainer.best.step == 13


def test_a_sanity_validation_comes_first_and_is_forgotten(tmp_path: Path) -> None:
    trainings: list[bool] = []

    class Notes(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            trainings.append(self.training)
            return super().forward(inputs)

    class Empty(Callback):
        def on_fit_start(self, trainer: Trainer) -> None:
            assert trainings[-2:] == [False, False]
            assert trainer.metrics == {}
            assert trainer.best.value is None

    def trainer(steps: int, *callbacks: Callback) -> Trainer:
        options = {"max_steps": steps, "num_sanity_val_steps": 2, "run_dir": tmp_path, "model": Notes(6, 3)}
        return trainer_of(batches(4), batches(3), callbacks=callbacks, **options)

    trainer(2, Empty()).fit()
    assert trainings == [False] * 2 + [True] * 2 + [False] * 3
    trainings.clear()
    resumed = trainer(3)
    resumed.resume(tmp_path)
    resumed.fit()
    assert trainings == [True] + [False] * 3


# ---------------------------------------------------------------------- callbacks and logs


class Diary(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []


def _hook(name: str) -> Any:
    return lambda self, trainer, *_: self.lines.append(f"{name[3:]} {trainer.counters.epoch}.{trainer.counters.batch}")


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]
for _name in HOOKS:
    setattr(Diary, _name, _hook(_name))


def test_the_eight_hooks_come_in_their_order() -> None:
    diary = Diary()
    fitted(batches(3), batches(1), max_epochs=1, accumulate_grad_batches=2, callbacks=[diary])
    assert diary.lines == [
        "fit_start 0.0",
        "epoch_start 0.0",
        "gradients 0.0",
        "step_end 0.2",
        "gradients 0.2",
        "step_end 0.3",
        "validation_end 0.3",
        "epoch_end 1.0",
        "fit_end 1.0",
    ]
    assert len(HOOKS) == 8


def test_an_exception_is_told_and_goes_on() -> None:
    class Fails(Callback):
        def on_step_end(self, trainer: Trainer, output: Output) -> None:
            raise ValueError("of mine")

    diary = Diary()
    trainer = trainer_of(batches(), max_epochs=1, callbacks=[diary, Fails()])
    with pytest.raises(ValueError, match="of mine"):
        trainer.fit()
    assert diary.lines[-2:] == ["step_end 0.1", "exception 0.1"]
    assert (trainer.ending.status, trainer.ending.reason) == ("failed", "ValueError: of mine")


def test_hooks_that_a_callback_does_not_define_are_not_called() -> None:
    trainer = trainer_of(batches(), max_epochs=1, callbacks=[StopsAt(3), Validations()])
    sizes = {name: len(hook) for name, hook in vars(trainer.hooks).items()}
    assert {name: size for name, size in sizes.items() if size} == {"step_end": 1, "validation_end": 1}
    assert len(sizes) == 8


def test_two_callbacks_of_a_kind_both_count_and_keep_their_states(tmp_path: Path) -> None:
    callbacks = [EarlyStopping("val/loss", patience=5), EarlyStopping("val/accuracy", mode="max", patience=7)]
    fitted(batches(), batches(1), max_epochs=1, callbacks=callbacks, run_dir=tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    bests = [state[name]["best"] for name in state if name.startswith("callbacks.")]
    assert bests == [callback.best for callback in callbacks]


def test_each_record_stands_at_its_step_and_epoch(tmp_path: Path) -> None:
    fitted(batches(), batches(1), max_epochs=2, log_every_n_steps=4, run_dir=tmp_path)
    places = {"train/loss": [], "train/loss_epoch": [], "val/loss": []}
    for record in records(tmp_path):
        for name in places.keys() & record.keys():
            places[name].append((record["step"], record["epoch"]))
    assert places["train/loss"] == [(4, 1), (8, 1), (10, 1), (12, 2), (16, 2), (20, 2)]
    assert places["train/loss_epoch"] == places["val/loss"] == [(10, 1), (20, 2)]


def test_each_value_goes_to_the_axis_it_belongs_to() -> None:
    axes: dict[str, set[str]] = {}

    class Axes:
        def log(self, values: dict[str, float], counters: Any, axis: str) -> None:
            for name in values:
                axes.setdefault(name, set()).add(axis)

        def close(self) -> None: ...

    class Logs(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.log({"mine": 1.0}, "epoch")
            trainer.log({"mine/step": 1.0})

    trainer = fitted(batches(), batches(1), max_epochs=1, loggers=[Axes()], callbacks=[Logs()], gradient_clip_val=1.0)
    trainer.test(batches(1))
    steps = {"train/loss", "train/learning_rate", "train/gradient_norm", "train/clipped", "train/samples_per_second"}
    epochs = {"train/loss_epoch", "val/loss", "val/accuracy", "test/loss", "test/accuracy", "mine"}
    assert axes == {name: {"step"} for name in steps | {"mine/step"}} | {name: {"epoch"} for name in epochs}
    assert trainer.metrics.keys() == axes.keys()
