"""Number formats: what the forward pass computes in, and a step that an overflow skips."""

import pytest
import torch
from torch import nn

from trainkit.precision import Precision

CPU = torch.device("cpu")


def step(precision, model, optimizer, scale=0.25):
    """Take one step on ``scale`` times the sum of the outputs and return what ``Precision.step`` says."""
    optimizer.zero_grad()
    with precision.autocast():
        loss = model(torch.ones(1, 2)).float().sum() * scale
    precision.backward(loss)
    precision.unscale(optimizer)
    return precision.step(optimizer)


def parts():
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=1.0)


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_forward_pass_computes_in_the_format(name, dtype):
    model, _ = parts()
    with Precision(name, CPU).autocast():
        assert model(torch.ones(1, 2)).dtype == dtype
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_step_uses_the_true_gradients(name):
    model, optimizer = parts()
    before = model.weight.detach().clone()
    assert step(Precision(name, CPU), model, optimizer) is True
    assert torch.equal(model.weight.grad, torch.full((1, 2), 0.25))
    assert torch.equal(model.weight, before - 0.25)


def test_backward_scales_the_loss_in_fp16_only():
    for name, scaled in [("fp32", False), ("bf16", False), ("fp16", True)]:
        precision, (model, _) = Precision(name, CPU), parts()
        precision.backward(model(torch.ones(1, 2)).sum())
        assert (model.weight.grad[0, 0].item() > 1) is scaled


def test_an_overflow_skips_the_step_and_lowers_the_scale():
    precision, (model, optimizer) = Precision("fp16", CPU), parts()
    before, scale = model.weight.detach().clone(), precision.scaler.get_scale()
    assert step(precision, model, optimizer, scale=float("inf")) is False
    assert torch.equal(model.weight, before)
    assert precision.scaler.get_scale() == scale / 2
    assert step(precision, model, optimizer) is True
    assert not torch.equal(model.weight, before)


def test_a_growing_scale_is_no_skip():
    precision, (model, optimizer) = Precision("fp16", CPU), parts()
    precision.scaler.set_growth_interval(1)
    scale = precision.scaler.get_scale()
    assert step(precision, model, optimizer) is True
    assert precision.scaler.get_scale() == 2 * scale


def test_the_scale_is_restored():
    precision, (model, optimizer) = Precision("fp16", CPU), parts()
    step(precision, model, optimizer, scale=float("inf"))
    other = Precision("fp16", CPU)
    other.load_state_dict(precision.state_dict())
    assert other.state_dict() == precision.state_dict()
    assert other.scaler.get_scale() == precision.scaler.get_scale()


def test_a_state_of_another_precision_is_ignored():
    assert Precision("fp32", CPU).state_dict() == {}
    half = Precision("fp16", CPU)
    scale = half.scaler.get_scale()
    half.load_state_dict({})
    assert half.scaler.get_scale() == scale
    Precision("fp32", CPU).load_state_dict(half.state_dict())
