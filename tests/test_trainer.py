"""The loop against the plain PyTorch loop that it stands for, and what it can be fed with."""

import inspect
import random
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

import trainkit
from trainkit import Callback, ConfigError, Loader, Output, Trainer, TrainingError, supervised
from trainkit.keys import Streams, fold

CPU: dict[str, Any] = {"device": "cpu", "num_sanity_val_steps": 0}


def network(inputs: int = 6, outputs: int = 3) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, outputs))


def dataset(samples: int = 50) -> TensorDataset:
    torch.manual_seed(3)
    return TensorDataset(torch.randn(samples, 6), torch.randint(3, (samples,)))


def same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def plain_loop(model: nn.Module, batches: list[list[tuple[Tensor, Tensor]]], seed: int, steps: int) -> None:
    """What anybody would write by hand: AdamW, cosine, clipping; the only addition is the key of each step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = CosineAnnealingLR(optimizer, steps)
    streams, key = Streams(), fold(seed, "step")
    model.train()
    for epoch, content in enumerate(batches):
        for number, (inputs, targets) in enumerate(content):
            streams.seed(fold(key, epoch, number))
            loss = cross_entropy(model(inputs), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()


@pytest.mark.parametrize("seed", [0, 5])
def test_the_weights_are_those_of_a_plain_loop_bit_for_bit(seed: int) -> None:
    loader = Loader(dataset(), 8, shuffle=True, seed=seed)
    expected, model = network(), network()
    plain_loop(expected, [list(loader.batches(epoch)) for epoch in range(3)], seed, steps=21)

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    trainer = Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        optimizer,
        loader,
        loader,
        schedule=CosineAnnealingLR(optimizer, 21),
        gradient_clip_val=0.3,
        max_epochs=3,
        seed=seed,
        device="cpu",
    )
    trainer.fit()
    assert same(model, expected)
    assert (trainer.counters.epoch, trainer.counters.step, trainer.counters.samples) == (3, 21, 150)
    assert trainer.steps_per_epoch == 7
    assert trainer.total_steps == 21


def test_another_seed_gives_other_weights() -> None:
    models = []
    for seed in (0, 1):
        model = network()
        batches = [*Loader(dataset(), 8)]
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, batches, max_epochs=1, seed=seed, **CPU).fit()
        models.append(model)
    assert not same(*models)


def fit(model: nn.Module, loader: Any, loss: nn.Module | None = None, **options: Any) -> Trainer:
    """Train with plain gradient descent for an epoch."""
    objective = options.pop("objective", None) or supervised(loss or nn.CrossEntropyLoss())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    trainer = Trainer(model, objective, optimizer, loader, **{"max_epochs": 1, **CPU, **options})
    trainer.fit()
    return trainer


class Endless:
    """A loader without a length that draws its batches."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(4):
            yield torch.randn(8, 6), torch.randint(3, (8,))


def test_any_iterable_of_batches_is_a_loader() -> None:
    def weights(loader: Any) -> nn.Module:
        model = network()
        assert fit(model, loader, max_epochs=2).counters.step == 8
        return model

    drawn = weights(Endless())
    assert same(drawn, weights(Endless()))  # the draws of a foreign loader are keyed too
    batches = list(Loader(dataset(32), 8))
    assert same(weights(batches), weights(DataLoader(dataset(32), 8)))
    assert same(weights(batches), weights(Loader(dataset(32), 8)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffling_dataloader_repeats_itself(workers: int) -> None:
    def weights() -> nn.Module:
        torch.seed()
        model = network()
        fit(model, DataLoader(dataset(32), 8, shuffle=True, num_workers=workers), max_epochs=2)
        return model

    assert same(weights(), weights())


def test_an_iterator_that_is_used_up_is_an_error() -> None:
    batches = iter(list(Loader(dataset(32), 8)))
    with pytest.raises(ConfigError, match=r"gave no batch in epoch 2; is it used up\?"):
        fit(network(), batches, max_epochs=2)


class Pair(NamedTuple):
    inputs: Tensor
    targets: Tensor


@dataclass
class Sample:
    pair: dict[str, Tensor]


SHAPES = {
    "dict": (lambda x, y: {"x": x, "more": [y, "label"]}, lambda batch: (batch["x"], batch["more"][0])),
    "named tuple": (Pair, lambda batch: (batch.inputs, batch.targets)),
    "dataclass": (lambda x, y: Sample({"x": x, "y": y}), lambda batch: (batch.pair["x"], batch.pair["y"])),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_batches_of_any_nesting_reach_the_objective_as_they_are(shape: str) -> None:
    nest, open_ = SHAPES[shape]

    def objective(model: nn.Module, batch: Any) -> Output:
        inputs, targets = open_(batch)
        return Output(cross_entropy(model(inputs), targets), len(targets))

    plain, nested = network(), network()
    batches = list(Loader(dataset(), 8))
    fit(plain, batches)
    fit(nested, [nest(*batch) for batch in batches], objective=objective)
    assert same(plain, nested)


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(left + 2 * right)


@pytest.mark.parametrize("form", [tuple, list, lambda pair: dict(zip(("left", "right"), pair, strict=True))])
def test_a_model_takes_its_inputs_as_a_tuple_list_or_dict(form: Any) -> None:
    torch.manual_seed(0)
    model, left, right, targets = Sum(), torch.randn(8, 6), torch.randn(8, 6), torch.randn(8, 1)
    expected = mse_loss(model(left, right), targets).item()
    trainer = fit(model, [(form((left, right)), targets)], nn.MSELoss(), log_every_n_steps=1)
    assert trainer.metrics["train/loss"] == pytest.approx(expected)


# ---------------------------------------------------------------------- the page


class Looks(nn.Linear):
    """Notes the stack above its forward pass."""

    def forward(self, inputs: Tensor) -> Tensor:
        self.stack = [frame.filename for frame in traceback.extract_stack()]
        return super().forward(inputs)


def test_at_most_three_frames_from_fit_to_the_model() -> None:
    model, home = Looks(6, 3), str(Path(trainkit.__file__).parent)
    fit(model, [*Loader(dataset(), 8)], gradient_clip_val=1.0)
    assert 1 <= len([name for name in model.stack if name.startswith(home)]) <= 3


@pytest.mark.parametrize("function", [Trainer.fit, Trainer.train_step])
def test_the_loop_fits_on_a_screen(function: Any) -> None:
    assert len(inspect.getsourcelines(function)[0]) <= 60


@pytest.mark.parametrize("name", ["fit", "validate", "test", "predict", "evaluate", "stop", "resume", "restore_best"])
def test_only_the_steps_are_meant_to_be_overridden(name: str) -> None:
    assert getattr(getattr(Trainer, name), "__final__", False)
    assert not getattr(Trainer.train_step, "__final__", False)
    assert not getattr(Trainer.eval_step, "__final__", False)


# ---------------------------------------------------------------------- what goes wrong


def broken_at(batch: int) -> list[tuple[Tensor, Tensor]]:
    batches = [(x, y) for x, y in Loader(dataset(80), 8)]
    batches[batch] = (batches[batch][0] * float("nan"), batches[batch][1])
    return batches


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        ({"log_every_n_steps": 1}, 6),
        ({"log_every_n_steps": 4}, 6),
        ({"log_every_n_steps": 50}, 6),
        ({"log_every_n_steps": 50, "accumulate_grad_batches": 3}, 2),  # windows of 3, 3, 3 and 1
        ({"log_every_n_steps": 50, "accumulate_grad_batches": 6}, 1),
    ],
)
def test_a_loss_that_is_not_finite_names_its_step_and_nothing_bad_is_saved(
    tmp_path: Path, settings: dict[str, int], step: int
) -> None:
    good, bad = list(Loader(dataset(80), 8)), broken_at(5)

    class Turning:
        epoch = 0

        def __iter__(self) -> Iterator[Any]:
            self.epoch += 1
            return iter(good if self.epoch == 1 else bad)

    steps_before = -(-len(good) // settings.get("accumulate_grad_batches", 1))
    with pytest.raises(TrainingError, match=f"^step {steps_before + step}: the loss is nan"):
        fit(network(), Turning(), max_epochs=2, run_dir=tmp_path, **settings)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["counters"]["epoch"] == 1
    assert all(torch.as_tensor(weight).isfinite().all() for weight in state["model"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    class Breaks(Callback):
        def on_step_end(self, trainer: Trainer, output: Output) -> None:
            with torch.no_grad():
                next(trainer.model.parameters()).fill_(float("inf"))

    with pytest.raises(TrainingError, match="step 1: a weight is not finite"):
        fit(nn.Linear(6, 3), [*Loader(dataset(), 50)], run_dir=tmp_path, callbacks=[Breaks()])
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_monitor_that_is_never_logged_is_refused_with_the_closest() -> None:
    batches = list(Loader(dataset(), 8))
    with pytest.raises(ConfigError, match=r"monitor.metric=val/acuracy.*Did you mean 'val/accuracy'\?"):
        fit(network(), batches, val_loader=batches, monitor="val/acuracy", mode="max")


def test_nothing_that_ends_the_training_is_refused() -> None:
    with pytest.raises(ConfigError, match="set max_epochs, max_steps or max_time"):
        fit(network(), [], max_epochs=None)


def test_the_generators_of_the_process_are_left_as_they_were() -> None:
    model, loader = network(), Loader(dataset(), 8, shuffle=True)
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    fit(model, loader, val_loader=loader)
    after = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


# ---------------------------------------------------------------------- other devices and compilers


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_compiled_model_trains_and_is_saved_under_its_plain_names(tmp_path: Path) -> None:
    compiled, plain = (nn.Sequential(*(m for m in network() if not isinstance(m, nn.Dropout))) for _ in range(2))
    batches = list(Loader(dataset(48), 8))
    fit(compiled, batches, val_loader=batches, compile=True, run_dir=tmp_path)
    fit(plain, batches, val_loader=batches)
    weights = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["model"]
    assert weights.keys() == plain.state_dict().keys()
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict())  # dropout would be drawn by other kernels


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_it_trains_on_cuda_and_resumes_there(tmp_path: Path, precision: str) -> None:
    loader = Loader(dataset(), 8, shuffle=True, pin_memory=True)

    def trainer(folder: Path, max_steps: int) -> Trainer:
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        settings = {"device": "cuda", "precision": precision, "max_steps": max_steps, "deterministic": True}
        objective = supervised(nn.CrossEntropyLoss())
        return Trainer(model, objective, optimizer, loader, loader, run_dir=folder, gradient_clip_val=1.0, **settings)

    unbroken = trainer(tmp_path / "unbroken", 17)
    unbroken.fit()
    assert next(unbroken.model.parameters()).is_cuda
    assert unbroken.metrics["val/loss"] < 1.5
    trainer(tmp_path / "broken", 9).fit()
    resumed = trainer(tmp_path / "broken", 17)
    resumed.resume(tmp_path / "broken")
    resumed.fit()
    assert same(resumed.model, unbroken.model)
