"""Clipping, bit for bit that of torch."""

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from trainkit.optim.clipping import ALGORITHMS, clip_by_norm, clip_by_parameter_norm, clip_by_value, total_norm


def twins(scale=1.0, dtype=torch.float32):
    """Return gradients, and parameters that hold copies of them."""
    source = torch.Generator().manual_seed(0)
    gradients = [(torch.randn(shape, generator=source) * scale).to(dtype) for shape in [(7, 5), (5,), (3, 2, 4), ()]]
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone()
    return gradients, parameters


def assert_equal(gradients, parameters):
    for g, p in zip(gradients, parameters, strict=True):
        assert torch.equal(g, p.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("limit", [0.1, 1.0, 30.0])
def test_by_norm(limit, scale, dtype):
    gradients, parameters = twins(scale, dtype)
    norm = clip_by_norm(gradients, limit)
    assert torch.equal(norm, clip_grad_norm_(parameters, limit))
    assert_equal(gradients, parameters)


@pytest.mark.parametrize("limit", [0.1, 1.0])
def test_by_norm_does_what_it_is_for(limit):
    gradients, _ = twins()
    before = [g.clone() for g in gradients]
    norm = clip_by_norm(gradients, limit)
    assert total_norm(gradients).item() == pytest.approx(limit, rel=1e-4)
    for g, b in zip(gradients, before, strict=True):
        torch.testing.assert_close(g, b * (limit / norm))


@pytest.mark.parametrize("limit", [0.1, 1.0, 3.0])
def test_by_parameter_norm(limit):
    gradients, parameters = twins()
    norm = clip_by_parameter_norm(gradients, limit)
    assert torch.equal(norm, clip_grad_norm_(twins()[1], 1.0))
    for p in parameters:
        clip_grad_norm_([p], limit)
    assert_equal(gradients, parameters)


@pytest.mark.parametrize("limit", [0.1, 1.0, 30.0])
def test_by_value(limit):
    gradients, parameters = twins()
    norm = clip_by_value(gradients, limit)
    clip_grad_value_(parameters, limit)
    assert_equal(gradients, parameters)
    assert torch.equal(norm, clip_grad_norm_(twins()[1], 1.0))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_small_gradients_are_left_as_they_are(name):
    gradients, parameters = twins(scale=1e-3)
    ALGORITHMS[name](gradients, 1.0)
    assert_equal(gradients, parameters)


def test_the_norm_of_nothing_is_zero():
    assert total_norm([]).item() == 0


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_gradient_that_is_not_finite_shows_in_the_norm(name):
    gradients, _ = twins()
    gradients[0][0, 0] = float("nan")
    assert ALGORITHMS[name](gradients, 1.0).isnan()
