"""Any step is rebuilt bit by bit: gradients of the original run against those of its replay."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import Dataset, TensorDataset

from trainkit import Loader, Trainer, TrainingError, supervised
from trainkit.autopsy import replayed, seen_in, step_of
from trainkit.callbacks import Callback
from trainkit.callbacks.digests import digest
from trainkit.checkpoint import Store, read

STEPS = 30


class Digests(Callback):
    """What the original run's gradients and weights were."""

    def __init__(self) -> None:
        self.gradients: dict[int, dict[str, str]] = {}
        self.losses: dict[int, float] = {}

    def on_gradients(self, trainer: Trainer) -> None:
        named = trainer.model.named_parameters()
        self.gradients[trainer.counters.step + 1] = {n: digest(p.grad) for n, p in named if p.grad is not None}

    def on_step_end(self, trainer: Trainer, output: Any) -> None:
        self.losses[trainer.counters.step] = float(output.loss.detach())


class Noisy(Dataset):
    """Keyed noise for each sample."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(96, 5, generator=generator)
        self.targets = torch.randint(3, (96,), generator=generator)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index] + 0.1 * torch.randn(5) + random.random(), self.targets[index]


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"gradient_clip_val": 0.5},
    "accumulated": {"accumulate_grad_batches": 2},
    "accumulated-clipped": {"accumulate_grad_batches": 3, "gradient_clip_val": 0.3},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "plateau": {"plateau": True},
    "foreign": {"foreign": True},
}


def trainer_of(folder: Path | None, callbacks: Any = (), *, plateau: bool = False, foreign: bool = False, **settings):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(net.parameters(), 0.02)
    store = None if folder is None else Store(folder / "checkpoints", every="7st", keep_last=50)
    data = Noisy()
    pairs = TensorDataset(data.inputs.clone(), data.targets)
    loader: Any = torch.utils.data.DataLoader(pairs, 8, shuffle=True) if foreign else Loader(data, 8, shuffle=True)
    schedule = ReduceLROnPlateau(optimizer, factor=0.1, patience=0) if plateau else None
    settings = {"max_epochs": 40, "max_steps": STEPS, "device": "cpu", "num_sanity_val_steps": 0, **settings}
    objective = supervised(nn.CrossEntropyLoss())
    return Trainer(
        net,
        objective,
        optimizer,
        loader,
        Loader(pairs, 32),
        schedule=schedule,
        store=store,
        run_dir=folder,
        callbacks=callbacks,
        **settings,
    )


def nearest(folder: Path, step: int) -> dict[str, Any] | None:
    found = sorted(p for p in (folder / "checkpoints").glob("step-*.ckpt") if int(p.stem[5:]) < step)
    return read(found[-1]) if found else None


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (digest(path.read_bytes()), path.stat().st_mtime_ns) for path in files}


@pytest.mark.filterwarnings("ignore:.*cannot go to batch")
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_original_bit_by_bit(tmp_path: Path, kind: str) -> None:
    settings, original = KINDS[kind], Digests()
    trainer_of(tmp_path / "run", [original], **settings).fit()
    before = contents(tmp_path)
    draw = random.Random(kind)
    steps = draw.sample(range(1, STEPS + 1), 20 if kind == "plain" else 4)
    for step in steps:
        seen = replayed(trainer_of(None, **settings), step, nearest(tmp_path / "run", step))
        found = {layer.name: layer.digest for layer in seen.layers if layer.digest}
        assert found == original.gradients[step], f"step {step}"
        assert seen.batches[-1].loss == original.losses[step]
        assert seen.step == step
        assert not seen.failed
    assert contents(tmp_path) == before


def test_a_step_is_seen_whole(tmp_path: Path) -> None:
    settings = {"accumulate_grad_batches": 3, "gradient_clip_val": 0.3}
    trainer_of(tmp_path / "run", **settings).fit()
    trainer = trainer_of(None, **settings)
    seen = replayed(trainer, 6, nearest(tmp_path / "run", 6))
    assert (seen.epoch, seen.batch, [batch.number for batch in seen.batches]) == (1, 3, [3, 4, 5])
    loader = trainer.train_loader
    assert [batch.samples for batch in seen.batches] == [loader.where(1, number) for number in (3, 4, 5)]
    first = seen.batches[0]
    assert [numbers.shape for numbers in first.tensors] == [[8, 5], [8]]
    assert [one.sample for one in first.predictions] == first.samples
    assert all(one.predicted in (0, 1, 2) and 1 / 3 <= one.probability <= 1 for one in first.predictions)
    assert seen.clip == "norm 0.3"
    weights = dict(trainer.model.named_parameters())
    for layer in seen.layers:
        assert layer.shape == list(weights[layer.name].shape)
        assert layer.update > 0
    assert seen.norm == pytest.approx(sum(layer.gradient**2 for layer in seen.layers) ** 0.5)


def test_the_update_is_that_of_the_step(tmp_path: Path) -> None:
    trainer_of(tmp_path / "run", max_steps=9).fit()
    ends = {}
    for step in (8, 9):
        trainer = trainer_of(tmp_path / f"to{step}", max_steps=step)
        trainer.fit()
        ends[step] = trainer.model.state_dict()
    seen = replayed(trainer_of(None), 9, nearest(tmp_path / "run", 9))
    for layer in seen.layers:
        moved = (ends[9][layer.name] - ends[8][layer.name]).norm() / ends[8][layer.name].norm().clamp(min=1e-12)
        assert layer.update == pytest.approx(float(moved), rel=1e-4)


def test_a_step_that_was_kept_gives_the_gradients_of_the_run() -> None:
    """Windows of batches of unequal sizes, weighted as a step weights them."""
    original = Digests()
    settings = {"accumulate_grad_batches": 5}
    trainer = trainer_of(None, [original], **settings)
    trainer.train_loader.batch_size = 40
    seen = replayed(trainer, 1)
    again = trainer_of(None, **settings)
    again.train_loader.batch_size = 40
    assert [batch.count for batch in seen.batches] == [40, 40, 16]
    kept = seen_in(step_of(again, 0, 0), {"step": 1})
    assert [layer.digest for layer in kept.layers] == [layer.digest for layer in seen.layers]
    assert all(layer.update is None for layer in kept.layers)


def test_a_run_that_ends_before_the_step_says_so() -> None:
    with pytest.raises(TrainingError, match=f"step=99: the run ends before it, after step {STEPS}: max_steps"):
        replayed(trainer_of(None), 99)


def test_nobody_else_is_called_and_the_clock_ends_nothing(tmp_path: Path) -> None:
    trainer_of(tmp_path / "run").fit()
    state = nearest(tmp_path / "run", 20)
    state["counters"] = {**state["counters"], "seconds": 1e9}
    seen = replayed(trainer_of(None, [Forbidden()], max_time="1s"), 20, state)
    assert seen.step == 20


class Forbidden(Callback):
    def on_fit_start(self, trainer: Trainer) -> None:
        raise AssertionError("called")


def test_validations_are_taken_only_where_the_schedule_goes_by_them(tmp_path: Path) -> None:
    for plateau in (False, True):
        trainer = trainer_of(None, plateau=plateau)
        counted = []
        plain = trainer.eval_step
        trainer.eval_step = lambda *arguments, plain=plain, counted=counted: (counted.append(1), plain(*arguments))[1]
        replayed(trainer, 26)
        assert bool(counted) is plateau


@pytest.mark.parametrize("action", ["stop", "skip"])
def test_a_step_that_was_not_taken(tmp_path: Path, action: str) -> None:
    """With ``stop`` it is told with its autopsy; with ``skip`` the step of that number is the next attempt."""

    def broken(trainer: Trainer) -> Trainer:
        trainer.train_loader.dataset.inputs[trainer.train_loader.where(0, 4)[0]] = float("nan")
        return trainer

    settings = {"on_nonfinite": action}
    if action == "stop":
        seen = replayed(broken(trainer_of(None, **settings)), 5)
        assert seen.failed == "the loss is nan"
        assert seen.autopsy is not None
        assert seen.autopsy.kind == "data"
        assert all(layer.update is None for layer in seen.layers)
        with pytest.raises(TrainingError, match="step 5"):
            replayed(broken(trainer_of(None, **settings)), 6)
    else:
        original = Digests()
        broken(trainer_of(tmp_path / "run", [original], **settings)).fit()
        seen = replayed(broken(trainer_of(None, **settings)), 5)
        assert (seen.attempt, seen.batch, seen.failed) == (2, 5, "")
        assert {layer.name: layer.digest for layer in seen.layers} == original.gradients[5]


@pytest.mark.parametrize("every", ["2st", "5st"])
def test_a_run_that_went_back_to_checkpoints_is_followed_there(tmp_path: Path, every: str) -> None:
    """A step's number may have been given twice; the one that the run kept is replayed."""

    class Kept(Digests):
        def on_step_end(self, trainer: Trainer, output: Any) -> None:
            if trainer.counters.step == self.last + 1:
                self.taken[trainer.counters.step] = self.gradients[self.last + 1]
            self.last = trainer.counters.step

        taken: dict[int, Any]
        last = 0

    def broken(folder: Path, callbacks: Any = ()) -> Trainer:
        trainer = trainer_of(None, callbacks, on_nonfinite="rollback")
        for number in (6, 9):
            trainer.train_loader.dataset.inputs[trainer.train_loader.where(0, number)[0]] = float("nan")
        trainer.store = Store(folder, every=every, keep_last=50)
        return trainer

    original = Kept()
    original.taken = {}
    broken(tmp_path / "run", [original]).fit()
    ends = sorted((read(path)["counters"] for path in (tmp_path / "run").glob("step-*.ckpt")), key=lambda c: c["step"])
    again = 0
    for step in (1, 3, 4, 5, 7, 8, 12):
        until = next(counters["total_batches"] for counters in ends if counters["step"] >= step)
        seen = replayed(broken(tmp_path / f"replay{step}"), step, until=until)
        assert {layer.name: layer.digest for layer in seen.layers} == original.taken[step], step
        assert not seen.failed
        again += seen.attempt > 1
    assert again


def test_a_replay_is_held_against_what_the_run_logged(tmp_path: Path) -> None:
    trainer_of(tmp_path / "run", log_every_n_steps=4, gradient_clip_val=0.5).fit()
    logged: dict[int, list[dict[str, Any]]] = {}
    for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines():
        record = json.loads(text)
        logged.setdefault(record["step"], []).append(record)

    def seen(step: int, **changed: Any) -> Any:
        trainer = trainer_of(None, log_every_n_steps=4, gradient_clip_val=0.5)
        for name, value in changed.items():
            setattr(trainer.model[3], name, value)
        return replayed(trainer, step, nearest(tmp_path / "run", step), logged=logged)

    assert (seen(11).agrees, seen(11).differs) == ([8], "")
    assert (seen(16).agrees, seen(16).differs) == ([16], "")
    assert seen(18).agrees == [16]
    other = seen(18, p=0.31)
    assert other.agrees == []
    assert other.differs.startswith("train/loss at step 16 was ")


def test_a_train_step_of_ones_own_is_seen_too() -> None:
    class Own(Trainer):
        def train_step(self, window: Any) -> Any:
            output = self.objective(self.model, window[0])
            output.loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.counters.step += 1
            return output

    torch.manual_seed(0)
    net = nn.Linear(5, 3)
    data = Noisy()
    trainer = Own(
        net,
        supervised(nn.CrossEntropyLoss()),
        torch.optim.SGD(net.parameters(), 0.1),
        Loader(TensorDataset(data.inputs, data.targets), 8),
        max_epochs=1,
        device="cpu",
    )
    seen = replayed(trainer, 3)
    assert all(layer.gradient > 0 and layer.update > 0 for layer in seen.layers)
    assert json.dumps([batch.loss for batch in seen.batches])


def test_threads_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    trainer_of(tmp_path / "run").fit()
    state = nearest(tmp_path / "run", 20)
    seen_threads = []

    class Spy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen_threads.append(torch.get_num_threads())
            return super().forward(x)

    trainer = trainer_of(None)
    trainer.model[0].__class__ = Spy
    replayed(trainer, 20, {**state, "threads": 2})
    assert set(seen_threads) == {2}
    assert torch.get_num_threads() == 1
