"""Exact resume: a run that was stopped at any step, in any way, ends bit for bit as the unbroken one."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset

from trainkit import Callback, ConfigError, Loader, Output, Trainer, supervised
from trainkit.callbacks import EarlyStopping
from trainkit.checkpoint import Store
from trainkit.optim import Schedule, WeightAverage


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Samples with noise from torch, numpy and ``random``."""

    def __init__(self, samples: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(samples, 6, generator=generator)
        self.targets = torch.randint(3, (samples,), generator=generator)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = 0.1 * torch.randn(6) + 0.1 * numpy.random.randn() + 0.1 * random.random()
        return self.inputs[index] + noise, self.targets[index]


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


Variant = Callable[[nn.Module], dict[str, Any]]


def one_cycle(model: nn.Module) -> dict[str, Any]:
    """AdamW, one cycle, EMA, clipping, and windows of two batches with a short one at the end of each epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    return {
        "optimizer": optimizer,
        "schedule": OneCycleLR(optimizer, 0.05, total_steps=9),
        "averaging": WeightAverage("ema", decay=0.9),
        "accumulate_grad_batches": 2,
        "gradient_clip_val": 0.5,
        "log_every_n_steps": 2,
        "val_check_interval": 2,
        "callbacks": [EarlyStopping(patience=50)],
        "max_steps": 9,
    }


def plateau(model: nn.Module) -> dict[str, Any]:
    """Momentum, a rate that falls with bad validations, SWA, and a patience that ends the run."""
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9, nesterov=True)
    return {
        "optimizer": optimizer,
        "schedule": ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.2),
        "averaging": WeightAverage("swa", start="3st", every=2),
        "log_every_n_steps": 3,
        "val_check_interval": "2st",
        "callbacks": [EarlyStopping(min_delta=0.3, patience=5)],
        "max_steps": 14,
    }


def scaled(model: nn.Module) -> dict[str, Any]:
    """fp16 whose scale changes often, warm-up, a schedule by epochs, and a wish to stop that must wait."""
    optimizer = torch.optim.RMSprop(model.parameters(), 0.01, momentum=0.5)
    return {
        "optimizer": optimizer,
        "schedule": Schedule(StepLR(optimizer, 1, 0.5), "epoch", warmup=4),
        "precision": "fp16",
        "callbacks": [EarlyStopping(stopping_threshold=10.0, patience=None)],
        "min_epochs": 3,
        "max_steps": 14,
    }


def build(folder: Path, variant: Variant, *callbacks: Callback, workers: int = 0, **changes: Any) -> Trainer:
    """Return a new trainer, as another process would build it."""
    model = network()
    options = {"device": "cpu", "num_sanity_val_steps": 1, **variant(model), **changes}
    train = changes.pop("train", None) or Loader(Augmented(26), 6, shuffle=True, num_workers=workers)
    options.pop("train", None)
    options["callbacks"] = [*options.pop("callbacks"), *callbacks]
    optimizer, store = options.pop("optimizer"), Store(folder / "checkpoints", every="3st")
    val = Loader(Augmented(12), 6)
    trainer = Trainer(
        model, supervised(nn.CrossEntropyLoss()), optimizer, train, val, run_dir=folder, store=store, **options
    )
    if trainer.precision.scaler is not None:
        trainer.precision.scaler.set_growth_interval(2)
    return trainer


def go_on(folder: Path, variant: Variant, *callbacks: Callback, **changes: Any) -> Trainer:
    trainer = build(folder, variant, *callbacks, **changes)
    trainer.resume(folder)
    trainer.fit()
    return trainer


NOT_OF_THE_RUN = {"seconds", "train/samples_per_second", "time", "callbacks.Raises", "parts"}


def plain(value: Any) -> Any:
    """Return a state as plain types that compare by their bits, without what a clock and these tests add."""
    if isinstance(value, Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if name not in NOT_OF_THE_RUN}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else repr(value)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def outcome(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return all that a run leaves: whole checkpoints and every record."""
    names = ("last", "best")
    paths = {name: folder / "checkpoints" / f"{name}.ckpt" for name in names}
    state = {name: torch.load(path, weights_only=True) for name, path in paths.items() if path.exists()}
    for name in without:
        state["last"].pop(name)
        state.pop(name, None)
    return plain({**state, "records": records(folder)})


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Variant], Path]:
    """The folder of an unbroken run of a variant."""
    folders: dict[Variant, Path] = {}

    def folder(variant: Variant) -> Path:
        if variant not in folders:
            folders[variant] = tmp_path_factory.mktemp(variant.__name__)
            build(folders[variant], variant).fit()
        return folders[variant]

    return folder


def test_the_variants_are_what_they_are_meant_to_be(unbroken: Callable[[Variant], Path]) -> None:
    states = {variant: outcome(unbroken(variant)) for variant in (one_cycle, plateau, scaled)}
    last = {variant: state["last"] for variant, state in states.items()}
    assert last[one_cycle]["counters"]["total_batches"] == "15"
    assert float(last[plateau]["optimizer"]["param_groups"][0]["lr"]) < 0.2
    assert int(last[plateau]["counters"]["step"]) < 14
    assert int(last[scaled]["counters"]["skipped"]) > 2
    assert any(state["best"]["counters"] != state["last"]["counters"] for state in states.values())


# ---------------------------------------------------------------------- stopping at a number of steps


@pytest.mark.parametrize(("variant", "workers"), [(one_cycle, 0), (one_cycle, 2), (plateau, 0), (scaled, 0)])
def test_stopping_at_any_step_changes_nothing(
    tmp_path: Path, unbroken: Callable[[Variant], Path], variant: Variant, workers: int
) -> None:
    # A run that ends is validated at its end, which may find other weights to be the best.
    expected = outcome(unbroken(variant), without=("best",))
    steps = int(expected["last"]["counters"]["step"])
    assert steps >= 8
    for step in range(1, steps):
        folder = tmp_path / str(step)
        build(folder, variant, workers=workers, max_steps=step).fit()
        assert outcome(folder, without=("best",)) != expected
        go_on(folder, variant, workers=workers)
        assert outcome(folder, without=("best",)) == expected, f"stopped at step {step}"


@pytest.mark.parametrize("variant", [one_cycle, plateau, scaled])
def test_stopping_at_each_step_changes_nothing(
    tmp_path: Path, unbroken: Callable[[Variant], Path], variant: Variant
) -> None:
    expected = outcome(unbroken(variant), without=("best",))
    build(tmp_path, variant, max_steps=1).fit()
    for step in range(2, int(expected["last"]["counters"]["step"])):
        go_on(tmp_path, variant, max_steps=step)
    go_on(tmp_path, variant)
    assert outcome(tmp_path, without=("best",)) == expected


# ---------------------------------------------------------------------- signals


class Raises(Callback):
    """Sends this process a signal at a step, or in the middle of the validation after it."""

    def __init__(self, step: int, number: signal.Signals, *, in_validation: bool = False) -> None:
        self.step, self.number, self.in_validation, self.raised = step, number, in_validation, False

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        if self.raised or trainer.counters.step != self.step:
            return
        self.raised = True
        if not self.in_validation:
            os.kill(os.getpid(), self.number)
            return
        forward = trainer.objective

        def interrupted(model: nn.Module, batch: Any) -> Output:
            if not model.training:
                os.kill(os.getpid(), self.number)
                trainer.objective = forward
            return forward(model, batch)

        trainer.objective = interrupted


@pytest.mark.parametrize("in_validation", [False, True])
@pytest.mark.parametrize("variant", [one_cycle, plateau, scaled])
def test_a_signal_at_any_step_changes_nothing_and_loses_nothing(
    tmp_path: Path, unbroken: Callable[[Variant], Path], variant: Variant, in_validation: bool
) -> None:
    expected = outcome(unbroken(variant))
    number = signal.SIGINT if in_validation else signal.SIGTERM
    stops = 0
    for step in range(1, int(expected["last"]["counters"]["step"]) + 1):
        folder = tmp_path / str(step)
        interrupted = build(folder, variant, Raises(step, number, in_validation=in_validation))
        interrupted.fit()
        assert (interrupted.ending.status, interrupted.ending.reason) == ("preempted", number.name)
        if not in_validation:
            assert interrupted.counters.step == step  # it stops at once, and what it has is saved
        stops += interrupted.counters.step < int(expected["last"]["counters"]["step"])
        go_on(folder, variant)
        assert outcome(folder) == expected, f"{number.name} at step {step}"
    assert stops > 3


def test_a_signal_in_the_validation_at_the_end_leaves_it_to_the_resume(tmp_path: Path) -> None:
    interrupted = build(
        tmp_path, one_cycle, Raises(8, signal.SIGTERM, in_validation=True), max_steps=8, val_check_interval=5
    )
    interrupted.fit()
    assert interrupted.ending.status == "preempted"
    assert interrupted.counters.step == 8
    resumed = go_on(tmp_path, one_cycle, max_steps=8, val_check_interval=5)
    assert resumed.ending.status == "completed"
    assert resumed.counters.step == 8
    assert [record["step"] for record in records(tmp_path) if "val/loss" in record][-1] == 8


def test_after_an_interrupted_fit_a_validation_is_whole_again(tmp_path: Path) -> None:
    trainer = build(tmp_path, one_cycle, Raises(2, signal.SIGINT))
    trainer.fit()
    assert "val/loss" in trainer.validate()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    class Twice(Callback):
        def on_gradients(self, trainer: Trainer) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    trainer = build(tmp_path, one_cycle, Twice())
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert trainer.counters.step == 0
    assert signal.getsignal(signal.SIGINT) is before


# ---------------------------------------------------------------------- other ways to go on


class Stream:
    """A loader of one's own, without a length, that draws its batches."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(5):
            yield torch.randn(6, 6), torch.from_numpy(numpy.random.randint(3, size=6))


@pytest.mark.parametrize("step", [3, 5, 7])
@pytest.mark.parametrize("kind", ["stream", "DataLoader"])
def test_foreign_loaders_resume_exactly_too(tmp_path: Path, kind: str, step: int) -> None:
    def loader() -> Any:
        return Stream() if kind == "stream" else DataLoader(Augmented(26), 6, shuffle=True)

    build(tmp_path / "a", plateau, train=loader()).fit()
    build(tmp_path / "b", plateau, Raises(step, signal.SIGTERM), train=loader()).fit()
    go_on(tmp_path / "b", plateau, train=loader())
    assert outcome(tmp_path / "b") == outcome(tmp_path / "a")


def test_another_run_folder_goes_on_with_the_run_and_keeps_records_of_its_own(
    tmp_path: Path, unbroken: Callable[[Variant], Path]
) -> None:
    build(tmp_path / "old", one_cycle, Raises(4, signal.SIGTERM)).fit()
    trainer = build(tmp_path / "new", one_cycle)
    trainer.resume(tmp_path / "old")
    trainer.fit()
    ours, expected = outcome(tmp_path / "new"), outcome(unbroken(one_cycle))
    assert ours["last"] == expected["last"]
    assert ours["best"]["model"] == expected["best"]["model"]  # also if the best ones came before
    assert ours["records"] == expected["records"][len(records(tmp_path / "old")) :]


@pytest.mark.parametrize("whole_folder", [True, False])
def test_the_best_weights_are_those_of_the_record_wherever_a_run_goes_on(tmp_path: Path, whole_folder: bool) -> None:
    options = {"val_check_interval": 1, "max_steps": 6, "callbacks": []}
    first = build(tmp_path / "old", plateau, **options)
    first.fit()
    path = tmp_path / "old"
    if not whole_folder:
        path = tmp_path / "alone.ckpt"
        path.write_bytes((tmp_path / "old" / "checkpoints" / "last.ckpt").read_bytes())
    second = build(tmp_path / "new", plateau, **{**options, "max_steps": 7, "limit_train_batches": 2})
    second.resume(path)
    assert second.best.value == (first.best.value if whole_folder else None)
    second.fit()
    assert second.restore_best()
    assert second.validate()["val/loss"] == second.best.value


def test_a_finished_run_may_go_on_with_more_epochs(tmp_path: Path) -> None:
    options = {"max_steps": None, "val_check_interval": 1.0}
    build(tmp_path / "a", plateau, **options, max_epochs=4).fit()
    build(tmp_path / "b", plateau, **options, max_epochs=2).fit()
    go_on(tmp_path / "b", plateau, **options, max_epochs=4)
    assert outcome(tmp_path / "b") == outcome(tmp_path / "a")


def test_a_run_that_ran_out_of_patience_stays_stopped_until_it_has_more(tmp_path: Path) -> None:
    def impatient(model: nn.Module) -> dict[str, Any]:
        return {**plateau(model), "callbacks": [EarlyStopping(min_delta=9.0, patience=patience)]}

    patience = 2
    build(tmp_path, impatient).fit()
    stopped = go_on(tmp_path, impatient)
    assert (stopped.ending.status, stopped.counters.step) == ("stopped", 6)
    patience = 4
    assert go_on(tmp_path, impatient).counters.step == 10


def test_a_wish_to_stop_that_waits_for_min_epochs_outlives_the_process(tmp_path: Path) -> None:
    class Wishes(Callback):
        def on_step_end(self, trainer: Trainer, output: Output) -> None:
            if trainer.counters.step == 3:
                trainer.stop("enough")

    options = {"min_epochs": 2, "val_check_interval": 1.0, "callbacks": []}
    build(tmp_path, plateau, Wishes(), Raises(6, signal.SIGTERM), **options).fit()
    resumed = go_on(tmp_path, plateau, Wishes(), **options)
    assert (resumed.counters.step, resumed.ending.reason) == (10, "enough")
    assert go_on(tmp_path, plateau, **options).counters.step == 14  # it was granted once, and does not stop the next


def test_hyper_parameters_come_from_the_new_run_and_the_state_from_the_checkpoint(tmp_path: Path) -> None:
    build(tmp_path, one_cycle, max_steps=4).fit()
    resumed = go_on(tmp_path, one_cycle, max_steps=6, gradient_clip_val=0.1)
    assert resumed.counters.step == 6
    assert resumed.settings.gradient_clip_val == 0.1


def test_a_checkpoint_of_another_seed_or_model_is_refused(tmp_path: Path) -> None:
    build(tmp_path, one_cycle, max_steps=2).fit()
    with pytest.raises(ConfigError, match="goes on with seed=0 only"):
        build(tmp_path, one_cycle, seed=1).resume(tmp_path)
    other = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(other.parameters(), 0.1)
    trainer = Trainer(other, supervised(nn.CrossEntropyLoss()), optimizer, Stream(), max_epochs=1, device="cpu")
    with pytest.raises(ConfigError, match="do not fit the model"):
        trainer.resume(tmp_path)
    with pytest.raises(ConfigError, match="no checkpoint there"):
        build(tmp_path, one_cycle).resume(tmp_path / "nothing")
