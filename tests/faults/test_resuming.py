"""Stopped anywhere, by a signal or by death, under any setting: what goes on ends as if it had not been stopped."""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from runs import comparable, leftovers, state_of
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset

from trainkit import Callback, Loader, Output, Trainer, supervised
from trainkit.callbacks import EarlyStopping
from trainkit.checkpoint import Store
from trainkit.optim import Schedule, WeightAverage

SAMPLES, SIZE, EPOCHS = 27, 5, 3
"""Six batches an epoch, the last one smaller."""


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Samples with noise from all three global generators."""

    def __init__(self, samples: int = SAMPLES) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(samples, 6, generator=generator)
        self.targets = torch.randint(3, (samples,), generator=generator)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = torch.randn(6) + numpy.random.randn() + random.random()
        return self.inputs[index] + 0.1 * noise, self.targets[index]


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """As many samples an epoch, drawn as they come; it cannot go to a place but by drawing all before."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(SAMPLES):
            yield torch.randn(6) + numpy.random.randn() + random.random(), torch.randint(3, ())


class Positioned:
    """Batches of a file, so to say, that knows its place and counts what was read."""

    def __init__(self) -> None:
        self.data, self.place, self.read = Augmented(), 0, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.place < SAMPLES:
            indices = range(self.place, min(self.place + SIZE, SAMPLES))
            self.place = indices.stop
            self.read += 1
            samples = [self.data[index] for index in indices]
            yield torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])
        self.place = 0

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.place = state_dict["place"]


def keyed(workers: int, persistent: bool) -> Any:
    options = {"persistent_workers": persistent, "prefetch_factor": 3 if persistent else 1} if workers else {}
    return Loader(Augmented(), SIZE, shuffle=True, num_workers=workers, **options)


LOADERS: dict[str, Callable[[int, bool], Any]] = {
    "Loader": keyed,
    "DataLoader": lambda workers, persistent: DataLoader(Augmented(), SIZE, shuffle=True),
    "stream": lambda workers, persistent: DataLoader(Stream(), SIZE),
    "positioned": lambda workers, persistent: Positioned(),
}
AVERAGES: dict[str, Callable[[], WeightAverage | None]] = {
    "none": lambda: None,
    "ema": lambda: WeightAverage("ema", decay=0.9),
    "swa": lambda: WeightAverage("swa", start="4st", every=2),
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "constant": lambda optimizer: None,
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.2),
    "one-cycle": lambda optimizer: OneCycleLR(optimizer, 0.05, total_steps=6 * EPOCHS),
    "epochs": lambda optimizer: Schedule(StepLR(optimizer, 1, 0.5), "epoch", warmup=4),
}
FACTORS: dict[str, list[Any]] = {
    "loader": [*LOADERS, "Loader", "Loader"],
    "averaging": list(AVERAGES),
    "schedule": list(SCHEDULES),
    "optimizer": ["AdamW", "SGD", "RMSprop"],
    "precision": ["fp32", "fp32", "fp16", "bf16"],
    "clipping": [None, "norm", "value"],
    "accumulate": [1, 1, 2, 4],
    "validate": [1.0, 2, "5st"],
    "stopping": [None, None, 3],
    "every": ["1st", "2st", "1ep"],
}
"""What the matrix draws from; what comes twice is drawn twice as often."""
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, 0.01),
    "SGD": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, 0.01, momentum=0.5),
}


def build(
    folder: Path, recipe: dict[str, Any], *callbacks: Callback, workers: int = 0, persistent: bool = False
) -> Trainer:
    """Return a new trainer, as another process would build it."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = OPTIMIZERS[recipe["optimizer"]](model.parameters())
    trainer = Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        optimizer,
        LOADERS[recipe["loader"]](workers, persistent),
        Loader(Augmented(12), 5),
        schedule=SCHEDULES[recipe["schedule"]](optimizer),
        averaging=AVERAGES[recipe["averaging"]](),
        callbacks=[*([EarlyStopping(patience=recipe["stopping"])] if recipe["stopping"] else []), *callbacks],
        run_dir=folder,
        store=Store(folder / "checkpoints", every=recipe["every"]),
        device="cpu",
        max_epochs=EPOCHS,
        precision=recipe["precision"],
        gradient_clip_val=None if recipe["clipping"] is None else 0.5,
        gradient_clip_algorithm=recipe["clipping"] or "norm",
        accumulate_grad_batches=recipe["accumulate"],
        val_check_interval=recipe["validate"],
        log_every_n_steps=2,
        num_sanity_val_steps=1,
    )
    if trainer.precision.scaler is not None:
        trainer.precision.scaler.set_growth_interval(2)
    return trainer


# ---------------------------------------------------------------------- stopping


class Crash(BaseException):
    """The end of a process as far as one process can play it: nothing is saved on the way out."""


class Stops(Callback):
    """Ends the run at a place: by a signal, or without a farewell.

    Args:
        place: One of ``PLACES``.
        number: How many times the run passes the place before.
        how: ``SIGTERM`` or ``crash``.
    """

    def __init__(self, place: str, number: int, how: str) -> None:
        self.place, self.left, self.how, self.stopped = place, number, how, False

    def at(self, place: str) -> None:
        if place != self.place or self.stopped:
            return
        self.left -= 1
        if self.left >= 0:
            return
        self.stopped = True
        if self.how == "crash":
            raise Crash
        os.kill(os.getpid(), signal.SIGTERM)

    def on_fit_start(self, trainer: Trainer) -> None:
        self.objective = objective = trainer.objective
        eval_step = trainer.eval_step

        def forward(model: nn.Module, batch: Any) -> Output:
            if model.training:
                self.at("micro-batch")
            return objective(model, batch)

        def evaluated(model: nn.Module, batch: Any) -> Output:
            self.at("validation")
            return eval_step(model, batch)

        trainer.objective, trainer.eval_step = forward, evaluated

    def on_fit_end(self, trainer: Trainer) -> None:
        """Let go of the trainer, which then goes with its workers and not with a later collection of garbage."""
        trainer.objective = self.objective
        vars(trainer).pop("eval_step")

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        self.on_fit_end(trainer)

    def on_epoch_start(self, trainer: Trainer) -> None:
        self.at("epoch start")

    def on_gradients(self, trainer: Trainer) -> None:
        self.at("gradients")

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        self.at("step end")

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        self.at("validation end")

    def on_epoch_end(self, trainer: Trainer) -> None:
        self.at("epoch end")


PLACES = ("epoch start", "gradients", "micro-batch", "step end", "validation", "validation end", "epoch end")


class Passes(Stops):
    """Counts how often a run passes each place."""

    def __init__(self) -> None:
        super().__init__("", 0, "")
        self.passes = dict.fromkeys(PLACES, 0)

    def at(self, place: str) -> None:
        self.passes[place] += 1


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def outcome(folder: Path) -> Any:
    """Return all that a run leaves, of the best checkpoint what an evaluation reads."""
    last, best = state_of(folder), state_of(folder, "best")
    state = {
        name: value for name, value in last.items() if name not in ("callbacks.Stops", "callbacks.Passes", "parts")
    }
    return comparable({**state, "best weights": [best["model"], best["averaging"]], "records": records(folder)})


def go_on(folder: Path, recipe: dict[str, Any], **options: Any) -> Trainer:
    """Do what the same command line does: go on if there is something to go on from."""
    trainer = build(folder, recipe, **options)
    if trainer.store.last.exists():
        trainer.resume(folder)
    trainer.fit()
    return trainer


STOPS = {
    "at the very start": ("epoch start", 0.0),
    "in step 0": ("gradients", 0.0),
    "after step 1": ("step end", 0.0),
    "in the middle": ("step end", 0.5),
    "between micro-batches": ("micro-batch", 0.55),
    "in a step": ("gradients", 0.4),
    "before the last step": ("step end", 0.99),
    "after the last step": ("step end", 1.0),
    "before a validation": ("validation", 0.0),
    "inside a validation": ("validation", 0.4),
    "inside the last validation": ("validation", 1.0),
    "after a validation": ("validation end", 0.5),
    "at an epoch's end": ("epoch end", 0.0),
    "at the last epoch's end": ("epoch end", 1.0),
}
"""Where runs are stopped: a place, and the share of the passes by it that come before."""


def drawn(seed: str) -> dict[str, Any]:
    draw = random.Random(seed)
    return {name: draw.choice(values) for name, values in FACTORS.items()}


@pytest.mark.parametrize("how", ["SIGTERM", "crash"])
@pytest.mark.parametrize("stop", STOPS)
def test_16_stopped_anywhere_under_any_setting_it_ends_with_the_same_bits(tmp_path: Path, stop: str, how: str) -> None:
    """Each stop with recipes drawn from all the factors; the number of workers may be another one after it."""
    place, share = STOPS[stop]
    for number in range(3):
        recipe, draw = drawn(f"{stop} {how} {number}"), random.Random(f"workers {stop} {how} {number}")
        straight, cut, passes = tmp_path / f"straight-{number}", tmp_path / f"cut-{number}", Passes()
        build(straight, recipe, passes).fit()
        workers = [draw.choice((0, 2)) if recipe["loader"] == "Loader" and number == 0 else 0 for _ in range(2)]
        options = [{"workers": count, "persistent": draw.random() < 0.5} for count in workers]
        stops = Stops(place, round(share * (passes.passes[place] - 1)), how)
        stopped = build(cut, recipe, stops, **options[0])
        if how == "crash":
            with pytest.raises(Crash):
                stopped.fit()
        else:
            stopped.fit()
            assert stopped.ending.status == "preempted", recipe
        assert stops.stopped
        assert go_on(cut, recipe, **options[1]).ending.status != "preempted"
        assert outcome(cut) == outcome(straight), (stop, how, recipe, options)
        assert not leftovers(cut)


def test_16_the_matrix_holds_what_it_is_said_to_hold() -> None:
    """Each value of each factor is met by several stops, and every pair of a loader with a schedule at least once."""
    recipes = [drawn(f"{stop} {how} {number}") for stop in STOPS for how in ("SIGTERM", "crash") for number in range(3)]
    for name, values in FACTORS.items():
        for value in values:
            assert sum(recipe[name] == value for recipe in recipes) >= 5, (name, value)
    assert len({(recipe["loader"], recipe["schedule"]) for recipe in recipes}) == len(LOADERS) * len(SCHEDULES)


BUSY = {
    "loader": "Loader",
    "averaging": "ema",
    "schedule": "one-cycle",
    "optimizer": "AdamW",
    "precision": "fp32",
    "clipping": "norm",
    "accumulate": 2,
    "validate": 2,
    "stopping": 9,
    "every": "1st",
}


def test_16_the_number_of_workers_at_a_resume_changes_no_bit(tmp_path: Path) -> None:
    """0, 2 and 1 workers, persistent or not, prefetching 1 or 3, in turn: a stop after each third of the run."""
    build(tmp_path / "straight", BUSY).fit()
    cut, turns = tmp_path / "cut", [(2, True), (0, False), (1, True), (2, False)]
    for number, (workers, persistent) in enumerate(turns):
        stops = [Stops("step end", 1, "SIGTERM" if number % 2 else "crash")] if number < 3 else []
        trainer = build(cut, BUSY, *stops, workers=workers, persistent=persistent)
        if trainer.store.last.exists():
            trainer.resume(cut)
        try:
            trainer.fit()
        except Crash:
            assert not number % 2
    assert outcome(cut) == outcome(tmp_path / "straight")


@pytest.mark.parametrize("how", ["SIGTERM", "crash"])
def test_16_a_data_set_that_knows_its_place_is_not_read_twice(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a ``state_dict`` nothing is fetched only to be thrown away; without one it is, and a warning says so."""
    recipe = {**BUSY, "loader": "positioned", "accumulate": 1}
    build(tmp_path / "straight", recipe).fit()
    stopped = build(tmp_path / "cut", recipe, Stops("step end", 8, how))
    try:
        stopped.fit()
    except Crash:
        assert how == "crash"
    done = state_of(tmp_path / "cut")["counters"]["total_batches"]
    resumed = go_on(tmp_path / "cut", recipe)
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")
    assert done > 6
    assert resumed.train_loader.read == 6 * EPOCHS - done
    assert "thrown away" not in caplog.text

    other = {**BUSY, "loader": "stream", "accumulate": 1}
    build(tmp_path / "stream", other, Stops("step end", 8, "SIGTERM")).fit()
    go_on(tmp_path / "stream", other)
    assert "thrown away" in caplog.text


@pytest.mark.parametrize("schedule", ["constant", "plateau", "epochs"])
def test_16_more_epochs_after_the_end_are_those_of_a_run_that_had_them_from_the_start(
    tmp_path: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``max_epochs`` raised on a finished run goes on, also where a stop comes before and after."""
    recipe = {**BUSY, "schedule": schedule, "averaging": "swa", "validate": 1.0}
    build(tmp_path / "straight", recipe).fit()
    monkeypatch.setattr(f"{__name__}.EPOCHS", 1)
    build(tmp_path / "cut", recipe).fit()
    monkeypatch.setattr(f"{__name__}.EPOCHS", 2)
    trainer = build(tmp_path / "cut", recipe, Stops("step end", 1, "SIGTERM"))
    trainer.resume(tmp_path / "cut")
    trainer.fit()
    assert go_on(tmp_path / "cut", recipe).counters.epoch == 2
    monkeypatch.setattr(f"{__name__}.EPOCHS", 3)
    go_on(tmp_path / "cut", recipe)
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")


# ---------------------------------------------------------------------- the crash loop

LINE = ("recipe=mlp", "trainer.max_epochs=40", "trainer.log_every_n_steps=5", "checkpoint.every=7st", "test=false")
LINE += ("callbacks.progress=null", "callbacks.predictions=null", "loggers.tensorboard=null")


def test_17_a_run_that_is_killed_twenty_times_ends_with_the_same_bits(start, trainkit, tmp_path: Path) -> None:
    """SIGKILL and SIGTERM mixed, at random moments, the same command line each time until it exits with 0."""
    assert trainkit(*LINE, "run_dir=straight", "resume=auto").code == 0
    draw, folder, log = random.Random(17), tmp_path / "cut", tmp_path / "cut" / "metrics.jsonl"
    codes = []
    for _ in range(20):
        number = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        before = log.stat().st_size if log.exists() else 0
        command = start(*LINE, "run_dir=cut", "resume=auto")
        waited = time.monotonic()
        while not (log.exists() and log.stat().st_size > before + 400):  # it may be shorter: what was lost is dropped
            assert not command.ended(), command.err
            if log.exists() and log.stat().st_size < before:
                before = log.stat().st_size
            assert time.monotonic() - waited < 60
            time.sleep(0.002)
        time.sleep(draw.random() * 0.02)
        os.kill(command.pid, number)
        codes.append((number, command.wait().code))
    assert {(signal.SIGKILL, -9), (signal.SIGTERM, 143)} == set(codes)
    assert trainkit(*LINE, "run_dir=cut", "resume=auto").code == 0
    assert comparable(state_of(folder)) == comparable(state_of(tmp_path / "straight"))
    assert comparable(records(folder)) == comparable(records(tmp_path / "straight"))
    assert not leftovers(folder)
