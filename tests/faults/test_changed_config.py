"""Going on under another config, from another release, in another number format, or without a part of the state."""

import copy
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import Command, comparable, leftovers, state_of
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import TensorDataset
from warm import Warm

from trainkit import Callback, ConfigError, Loader, Trainer, supervised
from trainkit.callbacks import EarlyStopping
from trainkit.optim import Schedule, WeightAverage

OLD = Path(__file__).parents[1] / "checkpoint" / "format_1"
RUN = ("recipe=mlp", "data.batch_size=128", "loggers.tensorboard=null")


@pytest.fixture(scope="module")
def base(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs of nine steps that stopped at step 12, inside the second epoch."""
    folder = tmp_path_factory.mktemp("base")
    run = warm.run(*RUN, "run_dir=run", "trainer.max_epochs=3", "trainer.max_steps=12", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert state_of(folder / "run")["counters"]["batch"] == 3
    return folder / "run"


@pytest.fixture
def resume(base: Path, trainkit: Callable[..., Command], tmp_path: Path) -> Callable[..., Command]:
    """Go on with a copy of the run, under a config with these changes."""
    shutil.copytree(base, tmp_path / "run", symlinks=True)

    def go_on(*changes: str) -> Command:
        return trainkit(*RUN, "trainer.max_epochs=3", *changes, "run_dir=run", "resume=auto")

    return go_on


def row_of(text: str, key: str) -> list[str]:
    """Return the cells of a key in the table of differences."""
    return next(line.split() for line in text.splitlines() if line.startswith(f"{key} "))


class Remembers(Callback):
    """A callback with a state of its own, a tensor in it."""

    def __init__(self) -> None:
        self.total = torch.zeros(3)

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        self.total += metrics["val/loss"]
        trainer.log({"remembered": float(self.total.sum())})

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.total = state_dict["total"]


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(5)
    return TensorDataset(torch.randn(count, 4, generator=generator), torch.randint(3, (count,), generator=generator))


def build(kind: str = "one cycle", **changes: Any) -> Trainer:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.2), nn.Linear(5, 3))
    if kind == "one cycle":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        schedule: Any = Schedule(OneCycleLR(optimizer, 0.05, total_steps=30), warmup=2)
    else:
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.3)
    options = {
        "averaging": WeightAverage("ema", decay=0.9) if kind == "one cycle" else None,
        "precision": "fp32" if kind == "one cycle" else "fp16",
        "callbacks": [EarlyStopping(patience=40, min_delta=0.05), Remembers()],
        "accumulate_grad_batches": 2 if kind == "one cycle" else 1,
        "log_every_n_steps": 3,
        "val_check_interval": 2,
        "num_sanity_val_steps": 0,
        "device": "cpu",
        **changes,
    }
    train, val = Loader(samples(26), 4, shuffle=True), Loader(samples(8), 4)
    settings = {"max_steps": 12, **options}
    return Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, train, val, schedule=schedule, **settings)


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def plain(value: Any) -> Any:
    """Return a state as plain types that compare by their bits, without what a clock adds."""
    if isinstance(value, Tensor):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        clocks = {"seconds", "train/samples_per_second"}
        return {name: plain(item) for name, item in value.items() if name not in clocks}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else repr(value)


def paths(nested: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = nested.items() if isinstance(nested, dict) else enumerate(nested) if isinstance(nested, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


def at(state: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        state = state[key]
    return state


@pytest.mark.parametrize(
    ("change", "cells", "check"),
    [
        (
            "optimizer.lr=0.005",
            ["0.01", "0.005", "applied"],
            lambda s: s["optimizer"]["param_groups"][0]["initial_lr"] == 0.005,
        ),
        (
            "optimizer.weight_decay=0",
            ["0.1", "0", "applied"],
            lambda s: s["optimizer"]["param_groups"][0]["weight_decay"] == 0,
        ),
        (
            "schedule=one_cycle",
            ["CosineAnnealingLR", "OneCycleLR", "applied"],
            lambda s: "total_steps" in s["schedule"]["scheduler"],
        ),
        (
            "averaging=ema",
            ["{}", "WeightAverage(...)", "applied"],
            lambda s: s["averaging"]["n_averaged"] == 15,
        ),
        ("callbacks.early_stopping=null", ["null", "ignored"], lambda s: "callbacks.early_stopping" not in s),
        (
            "trainer.precision=bf16",
            ["fp32", "bf16", "applied", "other", "roundings:"],
            lambda s: s["counters"]["step"] == 27,
        ),
    ],
)
def test_19_a_change_that_is_applied_is_told_and_takes_effect(
    resume: Callable[..., Command], change: str, cells: list[str], check: Callable[[Any], bool]
) -> None:
    """The run goes on with the new value; the table names key, both values and the verdict."""
    run = resume(change)
    assert run.code == 0, run.err
    key = "schedule.scheduler._target_" if change.startswith("schedule") else change.partition("=")[0]
    row = row_of(run.out, key)
    assert [cell for cell in row[1:] if cell in cells][-len(cells) :] == cells
    state = state_of(run.folder / "run")
    assert state["counters"]["step"] == 27
    assert check(state)
    assert not leftovers(run.folder)


def test_19_what_changes_no_bit_changes_no_bit(base: Path, resume: Callable[..., Command], tmp_path: Path) -> None:
    """Other workers and another cadence of logs and checkpoints end in the very bits, whatever the table says."""
    run = resume("data.num_workers=2", "checkpoint.every=5st")
    assert run.code == 0, run.err
    assert row_of(run.out, "data.num_workers")[1:] == ["0", "2", "applied", "it", "changes", "no", "bit"]
    shutil.copytree(base, tmp_path / "same" / "run", symlinks=True)
    shutil.move(tmp_path / "run", tmp_path / "first")
    shutil.move(tmp_path / "same" / "run", tmp_path / "run")
    again = resume()
    assert again.code == 0, again.err
    assert comparable(state_of(tmp_path / "first")) == comparable(state_of(tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["seed=1"], ["seed: the run cannot go on with another one", "(seed=0)", "all randomness is keyed by it"]),
        (
            ["data.batch_size=64", "optimizer.lr=0.1"],
            ["data.batch_size: the run cannot go on", "data.changed=allow", "what a batch holds", "optimizer.lr"],
        ),
        (["optimizer=sgd"], ["optimizer._target_: ", "AdamW", "SGD", "its moments mean nothing to another class"]),
        (["model.hidden=[16]"], ["do not fit the model", "128x64", "16x64", "model.hidden=[128,64]"]),
    ],
)
def test_19_a_change_that_is_refused_costs_nothing_and_says_the_way_out(
    base: Path, resume: Callable[..., Command], changes: list[str], told: list[str]
) -> None:
    """Exit 2, a short message, no traceback; the run is as it was, and its old command goes on with it."""
    run = resume(*changes)
    assert run.code == 2
    assert len(run.err.splitlines()) <= 10
    assert "Traceback" not in run.err
    for words in told:
        assert words in run.err
    before = {p.name: p.read_bytes() for p in (base / "checkpoints").iterdir()}
    assert {p.name: p.read_bytes() for p in (run.folder / "run" / "checkpoints").iterdir()} == before
    assert (run.folder / "run" / "config.yaml").read_bytes() == (base / "config.yaml").read_bytes()


def test_19_weights_alone_begin_anew_where_the_rest_is_refused(resume: Callable[..., Command], trainkit: Any) -> None:
    """The way out that the refusal names works."""
    assert resume("seed=1").code == 2
    run = trainkit(*RUN, "trainer.max_epochs=1", "seed=1", "resume=weights:run", "run_dir=anew")
    assert run.code == 0, run.err
    assert state_of(run.folder / "anew")["counters"]["step"] == 9


def test_19_changed_batches_may_be_allowed(resume: Callable[..., Command]) -> None:
    run = resume("data.batch_size=64", "data.changed=allow")
    assert run.code == 0, run.err
    assert row_of(run.out, "data.batch_size")[1:4] == ["128", "64", "applied"]
    assert state_of(run.folder / "run")["counters"]["epoch"] == 3


def test_19_a_finished_run_goes_on_when_max_epochs_is_raised(resume: Callable[..., Command], trainkit: Any) -> None:
    """It goes on along the curve of the longer run; and twice raised is as good as once."""
    assert resume().code == 0
    longer = trainkit(*RUN, "trainer.max_epochs=5", "run_dir=run", "resume=auto")
    assert longer.code == 0, longer.err
    assert row_of(longer.out, "trainer.max_epochs")[1:4] == ["3", "5", "applied"]
    state = state_of(longer.folder / "run")
    assert state["counters"]["step"] == 45
    assert state["optimizer"]["param_groups"][0]["lr"] == 0.0
    assert state["schedule"]["scheduler"]["T_max"] == 45


# The same within one process: what the new options are held against, and what stays.


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))


class TwoRates(Trainer):
    """Trains the second layer by an optimizer of its own, with a schedule of its own."""

    parts = (*Trainer.parts, "second", "second_schedule")

    def __init__(self, model: nn.Module, *arguments: Any, second: float, **options: Any) -> None:
        super().__init__(model, *arguments, **options)
        self.second = torch.optim.Adam(model[1].parameters(), second)
        self.second_schedule = Schedule(CosineAnnealingLR(self.second, 30))
        self.rates: list[Any] = []

    def train_step(self, window: Any) -> Any:
        self.rates.append([self.optimizer.param_groups[0]["lr"], self.second.param_groups[0]["lr"]])
        output = super().train_step(window)
        self.second.step()
        self.second.zero_grad()
        self.second_schedule.step_end()
        return output


def two_rates(first: float = 0.1, second: float = 0.01, max_steps: int = 10, total: int = 30) -> TwoRates:
    model = network()
    optimizer = torch.optim.SGD(model[0].parameters(), first, momentum=0.9)
    schedule = Schedule(CosineAnnealingLR(optimizer, total), warmup=3)
    train = Loader(samples(26), 4, shuffle=True)
    options: Any = {"schedule": schedule, "max_steps": max_steps, "device": "cpu", "second": second}
    return TwoRates(model, supervised(nn.CrossEntropyLoss()), optimizer, train, **options)


@pytest.mark.parametrize("change", [{}, {"first": 0.3}, {"second": 0.05}, {"total": 60}, {"first": 0.2, "total": 20}])
def test_19_each_optimizer_follows_its_own_new_curve_and_keeps_its_moments(change: dict[str, Any]) -> None:
    """The rates from the resume on are those of a run that had the new options all along."""
    before = two_rates(max_steps=7)
    before.fit()
    state = through_a_file(before.state_dict())
    straight, resumed = two_rates(**change), two_rates(**change)
    straight.fit()
    resumed.load_state_dict(state)
    for one, other in ((before.optimizer, resumed.optimizer), (before.second, resumed.second)):
        assert plain(one.state_dict()["state"]) == plain(other.state_dict()["state"])
    resumed.fit()
    assert resumed.rates == straight.rates[7:]
    if not change:
        assert plain(resumed.model.state_dict()) == plain(straight.model.state_dict())


def test_19_options_of_a_second_optimizer_are_those_before_its_first_step() -> None:
    """Its rate was halved by hand since: that is no change of the config."""
    before = two_rates(max_steps=7)
    before.fit()
    before.second.param_groups[0]["weight_decay"] = 0.25
    resumed = two_rates()
    resumed.load_state_dict(through_a_file(before.state_dict()))
    assert resumed.second.param_groups[0]["weight_decay"] == 0.25


def test_19_another_monitor_begins_anew_also_for_the_plateau_and_the_patience() -> None:
    """What was best of one metric is no measure of another."""
    before = build("plateau", max_steps=8)
    before.fit()
    assert before.best.value is not None
    resumed = build("plateau", monitor="val/accuracy", mode="max", max_steps=12)
    resumed.load_state_dict(through_a_file(before.state_dict()))
    assert resumed.best.value is None
    resumed.fit()
    for best in (resumed.best.value, resumed.schedule.scheduler.best, resumed.callbacks["EarlyStopping"].best):
        assert best in [eighths / 8 for eighths in range(9)]  # an accuracy over the 8 samples of the validation


def test_22_a_checkpoint_of_the_first_release_goes_on_bit_for_bit(trainkit: Callable[..., Command]) -> None:
    """It does not say how its optimizer was built, and the log says so."""
    run = trainkit("recipe=linear", "trainer.max_epochs=3", f"resume={OLD / 'step-00000016.ckpt'}", "run_dir=run")
    assert run.code == 0, run.err
    assert "does not say what options its optimizer was built with" in run.out + run.err
    found, expected = state_of(run.folder / "run"), torch.load(OLD / "step-00000024.ckpt", weights_only=True)
    for name in ("model", "best", "callbacks.early_stopping"):
        then = comparable(expected[name])
        assert {key: value for key, value in comparable(found[name]).items() if key in then} == then
    assert comparable(found["optimizer"]["state"]) == comparable(expected["optimizer"]["state"])
    assert comparable(found["schedule"]["scheduler"]) == comparable(expected["schedule"]["scheduler"])
    counters = comparable(expected["counters"])
    assert {name: comparable(found["counters"])[name] for name in counters} == counters


def test_22_a_checkpoint_of_the_first_release_goes_on_along_a_longer_curve(trainkit: Callable[..., Command]) -> None:
    run = trainkit("recipe=linear", "trainer.max_epochs=4", f"resume={OLD / 'step-00000024.ckpt'}", "run_dir=run")
    assert run.code == 0, run.err
    state = state_of(run.folder / "run")
    assert (state["counters"]["step"], state["schedule"]["scheduler"]["T_max"]) == (32, 32)
    assert comparable(state["model"]) != comparable(torch.load(OLD / "step-00000024.ckpt", weights_only=True)["model"])


def test_22_a_checkpoint_of_a_newer_release_is_refused_by_its_name(
    base: Path, trainkit: Callable[..., Command]
) -> None:
    state = state_of(base)
    state |= {"format": 99, "about": {"versions": {"trainkit": "7.8.9"}}}
    torch.save(state, base.parent / "newer.ckpt")
    run = trainkit(*RUN, f"resume={base.parent / 'newer.ckpt'}", "run_dir=new")
    assert run.code == 2
    assert "7.8.9" in run.err
    assert "newer.ckpt" in run.err
    assert not (run.folder / "new" / "checkpoints").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_23_another_precision_goes_on_and_back(precision: str) -> None:
    """Moments and weights are those of the checkpoint; a loss scaler begins where there was none."""
    before = build("plateau", precision="fp32", max_steps=5)
    before.fit()
    state = through_a_file(before.state_dict())
    other = build("plateau", precision=precision, max_steps=9)
    other.load_state_dict(copy.deepcopy(state))
    assert plain(other.optimizer.state_dict()["state"]) == plain(state["optimizer"]["state"])
    other.fit()
    assert other.counters.total_batches >= 9
    back = build("plateau", precision="fp32", max_steps=12)
    back.load_state_dict(through_a_file(other.state_dict()))
    back.fit()
    assert back.counters.step == 12


@pytest.mark.gpu
@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_23_another_device_goes_on(source: str, target: str) -> None:
    before = build(device=source, max_steps=5)
    before.fit()
    other = build(device=target)
    other.load_state_dict(through_a_file(before.state_dict()))
    assert {s["exp_avg"].device.type for s in other.optimizer.state.values()} == {target}
    other.fit()
    assert other.counters.step == 12


def ending(kind: str, state: dict[str, Any]) -> Any:
    """Return what a run leaves that goes on from ``state``, without the last values that it told."""
    trainer = build(kind)
    trainer.load_state_dict(state)
    trainer.fit()
    return plain({name: value for name, value in trainer.state_dict().items() if name != "metrics"})


@pytest.mark.parametrize("kind", ["one cycle", "plateau"])
def test_24_each_field_of_a_checkpoint_is_needed_or_proven_to_shape_nothing(kind: str) -> None:
    """A field that is missing is an error that names it or its part, or the run ends bit for bit as it would have."""
    trainer = build(kind, max_steps=5)
    trainer.fit()
    whole = through_a_file(trainer.state_dict())
    expected = ending(kind, copy.deepcopy(whole))
    told = []
    for path in list(paths(whole)):
        state = copy.deepcopy(whole)
        owner = at(state, path[:-1])
        lost = owner[path[-1]] if isinstance(owner, list) else path[-1]
        del owner[path[-1]]
        try:
            left = ending(kind, state)
        except ConfigError as error:
            told.append((str(lost), path[0], str(error)))
            continue
        assert left == expected, f"without {path} the run ended otherwise, and nobody said so"
        assert path[0] in ("metrics", "data") or path[:2] in (("optimizer", "built"), ("schedule", "initial")), path
    assert len(told) > 150
    assert [words for lost, part, words in told if lost not in words and part not in words] == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"seed": "0"},
        {"seed": None},
        {"threads": "all"},
        {"metrics": None},
        {"counters": None},
        {"optimizer": {}},
        {"schedule": {}},
        {"precision": None},
        {"callbacks.EarlyStopping": {}},
        {"callbacks.Remembers": {"other": 1}},
        {"stranger": {}},
    ],
)
def test_24_a_key_or_a_state_that_is_foreign_is_an_error(change: dict[str, Any]) -> None:
    trainer = build(max_steps=3)
    trainer.fit()
    with pytest.raises(ConfigError, match=next(iter(change))):
        build().load_state_dict(through_a_file(trainer.state_dict()) | change)
