"""Activations against plain PyTorch: means, zeros, saturation, dead units; and what no hook can see."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fits import Kept, examined, mlp, task, trainer
from torch import Tensor, nn

from trainkit.diagnostics import Activations
from trainkit.diagnostics.activations import Site, Stuck
from trainkit.diagnostics.nonlinear import Kind
from trainkit.errors import ConfigError


class Functional(nn.Module):
    """Nonlinearities as functions, of which a hook on modules knows nothing."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.function = nn.Linear(8, 16), nn.Linear(16, 4), function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(F.dropout(self.function(self.first(inputs)), 0.0, self.training))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.relu = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.again, self.head = nn.Conv2d(6, 5, 3), nn.Linear(5, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        features = F.max_pool2d(self.relu(self.norm(self.conv(inputs))), 2)
        return self.head(self.relu(self.again(features)).mean((2, 3)))


def first_sample(model: nn.Module, data: tuple[Tensor, Tensor] | None = None, **options: Any) -> dict[str, float]:
    """Return the curves of the first step of a training."""
    kept = Kept()
    trainer(model, [Activations(1, layers=["*"])], data=data, loggers=[kept], max_steps=1, **options).fit()
    found = [values for _, values in kept.records if any(name.startswith("activations/") for name in values)]
    return {name.removeprefix("activations/"): value for name, value in found[0].items()} if found else {}


def first_batch(data: tuple[Tensor, Tensor]) -> Tensor:
    """Return the inputs of the first batch that the trainer of these tests trains on."""
    from torch.utils.data import TensorDataset

    from trainkit import Loader

    return next(iter(Loader(TensorDataset(*data), 16, shuffle=True, seed=1)))[0]


@pytest.mark.parametrize("in_place", [False, True])
def test_mean_spread_and_zeros_are_those_of_plain_pytorch(in_place: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(in_place), nn.Linear(16, 4))
    with torch.no_grad():
        made = model[0](first_batch(task()))
        out = model[2](made.relu())
    seen = first_sample(model)
    assert seen["0/mean"] == pytest.approx(made.mean().item(), rel=1e-4)
    assert seen["0/std"] == pytest.approx(made.std(unbiased=False).item(), rel=1e-4)
    assert seen["2/std"] == pytest.approx(out.std(unbiased=False).item(), rel=1e-4)
    assert seen["0/zeros"] == seen["zeros_median"] == pytest.approx((made <= 0).float().mean().item(), rel=1e-5)
    assert "2/zeros" not in seen


@pytest.mark.parametrize(
    ("function", "what", "live"),
    [
        (F.relu, "zeros", lambda y: y > 0),
        (F.relu6, "zeros", lambda y: y > 0),
        (F.gelu, "zeros", lambda y: y.abs() > 1e-4),
        (F.hardswish, "zeros", lambda y: y != 0),
        (lambda x: (3 * x).tanh(), "saturated", lambda y: y.abs() < 0.99),
        (lambda x: (6 * x).sigmoid(), "saturated", lambda y: (y - 0.5).abs() < 0.495),
        (F.hardtanh, "saturated", lambda y: y.abs() < 0.99),
    ],
)
def test_functions_in_forward_are_seen_too(function: Any, what: str, live: Any) -> None:
    model = Functional(function)
    with torch.no_grad():
        values = function(model.first(first_batch(task())))
    assert first_sample(model)[f"first/{what}"] == pytest.approx(1 - live(values).float().mean().item(), abs=1e-6)


def test_units_of_convolutions_are_channels_and_a_shared_relu_is_told_by_the_layer_before() -> None:
    data = torch.randn(64, 1, 12, 12), torch.randint(4, (64,))
    model = Convolutional()
    with torch.no_grad():
        model.norm.bias[:2] = -100.0  # two of six channels are dead
    diagnostic = Activations(1, window=1)
    trainer(model, [diagnostic], data=data, max_steps=5, lr=1e-6).fit()
    assert diagnostic.state_dict()["layers"] == {"norm": ["zeros", 6], "again": ["zeros", 5]}
    assert diagnostic._stuck.dead(1)["norm"] == pytest.approx(2 / 6)


def test_a_unit_is_dead_once_it_was_silent_for_a_window() -> None:
    model = mlp(8, 16, 4)
    with torch.no_grad():
        model[0].bias[:12] = -1000.0
    rules, _, _ = examined(model, quick := Activations(1, window=16 * 3), lr=0.0, max_steps=2)
    assert rules == []
    assert quick._stuck.dead(48) == {"0": 0.0}
    rules, note, _ = examined(model, Activations(1, window=16 * 3), lr=0.01, max_steps=3)
    assert rules == ["units-dead"]
    assert "12 of 16 units behind 0 gave nothing but zeros for 48 values" in note[0]
    assert "try optimizer.lr=0.001, or LeakyReLU" in note[0]


def test_a_unit_that_fires_once_is_alive_again() -> None:
    model = mlp(8, 2, 4)
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 0], model[0].bias[:] = 1.0, torch.tensor([-50.0, -1.0])
    inputs = torch.zeros(16 * 8, 8)
    inputs[-1, 0] = 100.0  # the first unit's only cause to fire, once in an epoch of eight steps
    data = inputs, torch.zeros(len(inputs), dtype=torch.long)
    diagnostic = Activations(1, window=16 * 5)
    trainer(model, [diagnostic], data=data, lr=0.0, max_epochs=4).fit()
    row = diagnostic.state_dict()["row"]
    assert row[0, 1] == 16 * 32
    assert row[0, 0] < 16 * 16


def test_a_unit_that_gives_nan_is_not_dead() -> None:
    stuck, kind = Stuck(), Kind("zeros", 0.0, 0.0)
    for live in (np.float32([0.0, np.nan]),) * 4:
        _, dead = stuck.add({"layer": Site(kind, torch.zeros(2), 2, 100)}, live, window=200)
    assert dead == {"layer": 0.5}  # the unit of zeros alone


def test_counts_of_an_older_checkpoint_go_on() -> None:
    stuck, site = Stuck(), Site(Kind("zeros", 0.0, 0.0), torch.zeros(2), 2, 50)
    older = {"layers": {"layer": ["zeros", 2]}, "row": torch.tensor([[150, 0], [3, 0]])}  # whole numbers
    stuck.load_state_dict(older)
    _, dead = stuck.add({"layer": site}, np.float32([0.0, 7.0]), window=200)
    assert dead == {"layer": 0.5}


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid])
def test_saturated_units_are_named(activation: type[nn.Module]) -> None:
    model = mlp(8, 16, 16, 4, activation=activation)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.mul_(60)
    rules, note, _ = examined(model, Activations(2, window=100), lr=1e-4)
    assert rules == ["units-saturated"]
    assert "kept to the flat ends" in note[0]


def test_a_sigmoid_at_the_very_end_may_be_as_sure_as_it_likes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid(), nn.Flatten(0))
    with torch.no_grad():
        model[0].weight.mul_(1000)
    data = task()[0], torch.rand(256)
    seen = first_sample(model, data, loss=nn.MSELoss())
    assert not any("saturated" in name for name in seen)
    assert "0/std" in seen


def test_a_saturated_tanh_behind_dropout_is_measured_before_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 4))
    with torch.no_grad():
        made = model[0](first_batch(task())).tanh()
    assert first_sample(model)["0/saturated"] == pytest.approx((made.abs() >= 0.99).float().mean().item())


def test_what_runs_compiled_is_left_alone_and_said(caplog: pytest.LogCaptureFixture) -> None:
    model = mlp(8, 16, 4)
    model._compiled_call_impl = model._call_impl
    with caplog.at_level(logging.INFO, "trainkit"):
        assert first_sample(model) == {}
    assert "the model runs compiled, which hides its layers" in caplog.text


def test_a_compiled_part_is_left_out_and_the_rest_seen() -> None:
    model = mlp(8, 16, 16, 4)
    model[2]._compiled_call_impl = model[2]._call_impl
    assert {name.split("/")[0] for name in first_sample(model) if name.endswith("/std")} == {"0", "4"}


def test_no_hook_is_left_after_a_step_nor_within_the_backward_pass() -> None:
    model, counts = mlp(8, 16, 4), []

    class Counting(nn.CrossEntropyLoss):
        def forward(self, *arguments: Any) -> Tensor:
            counts.append(sum(len(module._forward_hooks) for module in model.modules()))
            return super().forward(*arguments)

    trainer(model, [Activations(2)], loss=Counting(), max_steps=6).fit()
    assert len(counts) == 6
    assert not any(counts)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_hooks_are_gone_when_a_step_raises() -> None:
    model = mlp(8, 16, 4)

    class Failing(nn.Module):
        def forward(self, *arguments: Any) -> Tensor:
            raise ValueError("no")

    model.append(Failing())
    fitted = trainer(model, [Activations(1)])
    with pytest.raises(ValueError, match="no"):
        fitted.fit()
    assert not any(module._forward_hooks for module in model.modules())
    assert "train_step" not in vars(fitted)


@pytest.mark.parametrize("options", [{"every": 0}, {"every": 1.5}, {"window": 0}, {"layers": "fc"}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"diagnostics\.activations\."):
        Activations(**options)


def test_a_range_that_dropout_has_scaled_is_not_judged() -> None:
    seen = first_sample(Functional(lambda x: F.dropout((3 * x).tanh(), 0.5)))
    assert "second/std" in seen
    assert not any("saturated" in name for name in seen)
