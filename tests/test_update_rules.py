"""What one update is: accumulation, precision, clipping, schedules and averages."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from trainkit import Callback, Output, Trainer, supervised
from trainkit.optim import Schedule, WeightAverage

Batch = tuple[Tensor, Tensor]
CPU: dict[str, Any] = {"device": "cpu", "num_sanity_val_steps": 0}


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)


def batches(sizes: Sequence[int], dtype: torch.dtype = torch.float32, scale: float = 1.0) -> list[Batch]:
    torch.manual_seed(3)
    return [(scale * torch.randn(n, 6, dtype=dtype), torch.randint(3, (n,))) for n in sizes]


def trainer_of(model: nn.Module, loader: Any, **options: Any) -> Trainer:
    optimizer = options.pop("optimizer", None) or torch.optim.SGD(model.parameters(), options.pop("lr", 0.1))
    objective = options.pop("objective", None) or supervised(nn.CrossEntropyLoss())
    if callable(schedule := options.get("schedule")):
        options["schedule"] = schedule(optimizer)
    return Trainer(model, objective, optimizer, loader, **{"max_epochs": 1, **CPU, **options})


def fitted(model: nn.Module, loader: Any, **options: Any) -> Trainer:
    trainer = trainer_of(model, loader, **options)
    trainer.fit()
    return trainer


class Notes(Callback):
    """Keeps a number of each step."""

    def __init__(self, number: Any) -> None:
        self.number, self.values = number, []

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        self.values.append(self.number(trainer))


def gradient_norm(trainer: Trainer) -> float | None:
    """Return the norm logged last; a callback hears of a step before it is logged."""
    return trainer.metrics.get("train/gradient_norm")


# ---------------------------------------------------------------------- accumulation


def joined(window: Sequence[Batch]) -> Batch:
    inputs, targets = zip(*window, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def masked(data: list[Batch]) -> list[Batch]:
    for _, targets in data:
        targets[len(targets) // 2 + 1 :] = -7
    return data


def one_hot(data: list[Batch]) -> list[Batch]:
    return [(inputs, nn.functional.one_hot(targets, 3).float()) for inputs, targets in data]


LOSSES = {
    "classes": (nn.CrossEntropyLoss(), list),
    "masked classes": (nn.CrossEntropyLoss(ignore_index=-7), masked),
    "weighted classes": (nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 5.0])), list),
    "regression": (nn.MSELoss(), one_hot),
}


@pytest.mark.parametrize("name", LOSSES)
def test_unequal_batches_and_a_short_window_equal_big_batches(name: str) -> None:
    loss, prepare = LOSSES[name]
    small = prepare(batches([8, 3, 5, 1, 8, 7, 2, 4]))
    big = [joined(small[:3]), joined(small[3:6]), joined(small[6:])]
    common = {"objective": supervised(loss), "log_every_n_steps": 1, "gradient_clip_val": 0.5, "max_epochs": 2}
    one, many, norms = network(), network(), [Notes(gradient_norm), Notes(gradient_norm)]
    whole = fitted(one, big, **common, callbacks=[norms[0]])
    parts = fitted(many, small, **common, callbacks=[norms[1]], accumulate_grad_batches=3)
    torch.testing.assert_close(many.state_dict(), one.state_dict(), rtol=1e-5, atol=1e-6)
    assert parts.counters.step == whole.counters.step == 6
    assert parts.steps_per_epoch == 3
    for metric in ("train/loss", "train/loss_epoch"):
        assert parts.metrics[metric] == pytest.approx(whole.metrics[metric], rel=1e-5)
    assert norms[1].values[1:] == pytest.approx(norms[0].values[1:], rel=1e-4)


def test_without_the_weights_of_the_batches_it_would_be_something_else() -> None:
    small = batches([8, 1])
    mean_of_means, weighted = network(), network()
    fitted(weighted, small, accumulate_grad_batches=2)
    optimizer = torch.optim.SGD(mean_of_means.parameters(), 0.1)
    (sum(cross_entropy(mean_of_means(x), y) for x, y in small) / 2).backward()
    optimizer.step()
    assert not torch.allclose(weighted[0].weight, mean_of_means[0].weight, atol=1e-4)


def test_on_gradients_sees_the_true_gradient_before_clipping() -> None:
    seen: list[Tensor] = []

    class Looks(Callback):
        def on_gradients(self, trainer: Trainer) -> None:
            seen.append(torch.cat([gradient.flatten() for gradient in trainer.gradients()]).clone())

    small = batches([8, 2, 5])
    fitted(network(), small, accumulate_grad_batches=3, callbacks=[Looks()], gradient_clip_val=1e-3, precision="fp16")
    model = network()
    inputs, targets = joined(small)
    cross_entropy(model(inputs), targets).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(seen[0], expected, rtol=0.02, atol=2e-3)


# ---------------------------------------------------------------------- clipping


def clip_each(parameters: Any, limit: float) -> None:
    for parameter in parameters:
        nn.utils.clip_grad_norm_([parameter], limit)


CLIPPING = {
    "norm": nn.utils.clip_grad_norm_,
    "value": nn.utils.clip_grad_value_,
    "param_norm": clip_each,
}


@pytest.mark.parametrize("algorithm", CLIPPING)
def test_each_clipping_is_that_of_torch_bit_for_bit(algorithm: str) -> None:
    data, limit = batches([8] * 6), 0.05
    expected, model = network(), network()
    optimizer = torch.optim.SGD(expected.parameters(), 0.1)
    norms = []
    for inputs, targets in data:
        cross_entropy(expected(inputs), targets).backward()
        norms.append(float(nn.utils.get_total_norm([p.grad for p in expected.parameters()])))
        CLIPPING[algorithm](list(expected.parameters()), limit)
        optimizer.step()
        optimizer.zero_grad()
    settings = {"gradient_clip_val": limit, "gradient_clip_algorithm": algorithm, "log_every_n_steps": 6}
    trainer = fitted(model, data, **settings)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    assert trainer.metrics["train/gradient_norm"] == pytest.approx(sum(norms) / len(norms))


def test_the_share_of_clipped_steps_is_logged() -> None:
    data, norms = batches([8] * 6), Notes(gradient_norm)
    fitted(network(), data, log_every_n_steps=1, lr=0.0, callbacks=[norms])
    values = sorted(norms.values[1:])
    limit = (values[1] + values[2]) / 2
    trainer = fitted(network(), data[:5], log_every_n_steps=5, lr=0.0, gradient_clip_val=limit)
    assert trainer.metrics["train/clipped"] == pytest.approx(3 / 5)
    assert "train/clipped" not in fitted(network(), data).metrics


# ---------------------------------------------------------------------- precision


def test_a_step_that_fp16_skips_moves_neither_schedule_nor_count() -> None:
    data, (expected, model) = batches([8] * 12, scale=100.0), (network(), network())
    optimizer = torch.optim.AdamW(expected.parameters(), 0.01)
    scaler, steps = torch.amp.GradScaler("cpu"), 0
    schedule = StepLR(optimizer, 1, 0.5)
    for inputs, targets in data:
        with torch.autocast("cpu", torch.float16):
            loss = cross_entropy(expected(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        if scaler.get_scale() >= scale:
            schedule.step()
            steps += 1
        optimizer.zero_grad()
    assert 0 < steps < len(data)  # or this test shows nothing

    ours = torch.optim.AdamW(model.parameters(), 0.01)
    averaging = WeightAverage("swa")
    rates = Notes(lambda trainer: (trainer.counters.step, trainer.optimizer.param_groups[0]["lr"]))
    options = {"optimizer": ours, "schedule": StepLR(ours, 1, 0.5), "averaging": averaging, "callbacks": [rates]}
    trainer = fitted(model, data, precision="fp16", **options)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    assert (trainer.counters.step, trainer.counters.skipped) == (steps, len(data) - steps)
    assert trainer.counters.total_batches == len(data)
    assert rates.values == [(step, 0.01 * 0.5**step) for step, _ in rates.values]
    assert int(averaging.averaged.n_averaged) == steps
    assert all(state["step"] == steps for state in ours.state.values())


def test_max_steps_counts_taken_steps_only() -> None:
    trainer = fitted(network(), batches([8] * 12, scale=100.0), precision="fp16", max_steps=4, max_epochs=None)
    assert trainer.counters.step == 4
    assert trainer.counters.skipped > 0


def test_bf16_computes_in_bf16_and_keeps_fp32_weights() -> None:
    kinds = []

    class Layer(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            kinds.append((torch.is_inference_mode_enabled(), super().forward(inputs).dtype))
            return super().forward(inputs)

    model, data = nn.Sequential(Layer(6, 3)), batches([8] * 4)
    trainer = fitted(model, data, val_loader=data, precision="bf16")
    trainer.predict([inputs for inputs, _ in data])
    assert set(kinds) == {(False, torch.bfloat16), (True, torch.bfloat16)}
    assert model[0].weight.dtype == torch.float32
    assert trainer.precision.scaler is None


# ---------------------------------------------------------------------- schedules


def rates_of(schedule: Any, **options: Any) -> list[float]:
    """Return the rate of each step of two epochs of four steps."""
    rates: list[float] = []

    class Rates(Callback):
        def on_gradients(self, trainer: Trainer) -> None:
            rates.append(trainer.optimizer.param_groups[0]["lr"])

    fitted(network(), batches([8] * 4), schedule=schedule, lr=1.0, max_epochs=2, callbacks=[Rates()], **options)
    return rates


def halving(optimizer: torch.optim.Optimizer) -> LRScheduler:
    return StepLR(optimizer, 1, 0.5)


def test_a_schedule_advances_by_steps_or_epochs() -> None:
    assert rates_of(None) == [1.0] * 8
    assert rates_of(halving) == [0.5**step for step in range(8)]
    assert rates_of(lambda optimizer: Schedule(halving(optimizer), "epoch")) == [1.0] * 4 + [0.5] * 4
    assert rates_of(halving, accumulate_grad_batches=2) == [1.0, 0.5, 0.25, 0.125]


def test_a_warm_up_climbs_first() -> None:
    assert rates_of(lambda optimizer: Schedule(halving(optimizer), warmup=3)) == [
        0.25,
        0.5,
        0.75,
        1,
        0.5,
        0.25,
        0.125,
        0.0625,
    ]


def test_one_cycle_is_that_of_a_plain_loop() -> None:
    optimizer = torch.optim.SGD(network().parameters(), 1.0)
    schedule, expected = OneCycleLR(optimizer, 2.0, 8), []
    for step in range(8):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if step < 7 else None
    assert rates_of(lambda optimizer: OneCycleLR(optimizer, 2.0, 8)) == expected


def test_a_plateau_goes_by_the_monitor_of_each_validation() -> None:
    data = batches([8] * 4)

    def plateau(mode: str) -> Any:
        return lambda optimizer: ReduceLROnPlateau(
            optimizer, mode, factor=0.5, patience=0, threshold=1e9, threshold_mode="abs"
        )

    options = {"val_loader": data, "monitor": "val/loss"}
    assert rates_of(plateau("min"), **options) == [1.0] * 8  # the first validation is the best so far
    assert rates_of(plateau("min"), **options, val_check_interval=2) == [1.0] * 4 + [0.5] * 2 + [0.25] * 2
    assert rates_of(plateau("max"), **options, val_check_interval=1)[:4] == [1.0, 1.0, 0.5, 0.25]


# ---------------------------------------------------------------------- averages


@pytest.mark.parametrize(("kind", "start", "every"), [("ema", None, 1), ("swa", "3st", 1), ("swa", "1ep", 2)])
def test_the_average_is_that_of_the_steps_it_covers(kind: str, start: str | None, every: int) -> None:
    states: list[Tensor] = []
    averaging = WeightAverage(kind, decay=0.2, start=start, every=every)  # so small that it needs no warm-up
    notes = Notes(lambda trainer: states.append(trainer.model[0].weight.detach().clone()))
    trainer = fitted(network(), batches([8] * 4), averaging=averaging, max_epochs=2, callbacks=[notes])
    first = {None: 0, "3st": 3, "1ep": 4}[start]
    covered = [weight for step, weight in enumerate(states, 1) if step > first and step % every == 0]
    expected = covered[0]
    for weight in covered[1:]:
        expected = 0.2 * expected + 0.8 * weight
    expected = torch.stack(covered).mean(0) if kind == "swa" else expected
    torch.testing.assert_close(averaging.weights(trainer.model)[0].weight, expected)
