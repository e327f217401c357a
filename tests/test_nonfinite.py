"""Bad numbers: caught before the step, late on a device, and located."""

import math

import pytest
import torch
from torch import nn

from trainkit import Trainer, supervised
from trainkit.nonfinite import Guard, NonFinite
from trainkit.settings import Settings
from trainkit.state import Counters

CPU = torch.device("cpu")
GOOD, NAN, INF = torch.tensor(1.0), torch.tensor(math.nan), torch.tensor(math.inf)


def guard(optimizer=None, counters=None, **settings):
    optimizer = optimizer or torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    return Guard(Settings(max_epochs=1, **settings), optimizer, counters or Counters(), CPU)


def sparse_gradient(value):
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    embedding.weight.grad._values().fill_(value)
    return embedding.weight.grad


def test_good_numbers_pass_unchanged():
    gradients = [torch.randn(3, 4), torch.randn(5), torch.randn(2, dtype=torch.float64), torch.randn(2) * 1j]
    before = [g.clone() for g in gradients]
    assert guard().passes([GOOD], gradients)
    assert all(torch.equal(a, b) for a, b in zip(gradients, before, strict=True))


@pytest.mark.parametrize(
    ("losses", "gradients", "what"),
    [
        ([NAN], [torch.ones(2)], "the loss is nan"),
        ([GOOD, INF], [torch.ones(2)], "the loss is inf"),
        ([GOOD], [torch.ones(2), torch.tensor([0.0, math.nan])], "a gradient is not finite"),
        ([GOOD], [-INF.reshape(1)], "the gradient norm is -inf"),
        (
            [GOOD],
            [sparse_gradient(math.inf), GOOD],
            "a gradient is not finite",
        ),
        ([GOOD], [torch.ones(2), torch.tensor([1 + 1j * math.nan])], "a gradient is not finite"),
        ([GOOD], [torch.ones(2), torch.full((2,), math.inf, dtype=torch.bfloat16)], "a gradient is not finite"),
    ],
)
def test_bad_numbers_stop_the_run_and_name_the_step(losses, gradients, what):
    with pytest.raises(NonFinite, match=what) as caught:
        guard(counters=Counters(step=4, epoch=1, batch=2)).passes(losses, gradients)
    assert (caught.value.step, caught.value.epoch, caught.value.batch) == (5, 1, 2)


def test_skipping_is_counted_and_has_a_limit():
    counters = Counters()
    skipping = guard(counters=counters, on_nonfinite="skip", nonfinite_limit=3)
    assert [skipping.passes([loss], [GOOD]) for loss in (NAN, INF, GOOD, NAN, NAN)] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert (counters.nonfinite, counters.nonfinite_in_a_row) == (4, 2)
    with pytest.raises(NonFinite, match="the last of 3 in a row"):
        skipping.passes([NAN], [GOOD])


def test_a_gradient_that_was_bad_does_not_spoil_the_next_step():
    skipping = guard(on_nonfinite="skip")
    assert not skipping.passes([GOOD], [NAN.reshape(1)])
    assert skipping.passes([GOOD], [GOOD.reshape(1)])


def test_an_overflow_under_the_loss_scaler_is_the_scalers_business():
    scaled = guard(precision="fp16")
    assert scaled.passes([GOOD], [INF.reshape(1)])
    with pytest.raises(NonFinite):
        scaled.passes([NAN], [GOOD])


def test_held_back_on_the_device_the_weights_stay_those_before_the_bad_step():
    """What a CUDA device does, on the CPU, whose fused optimizers take ``found_inf`` too."""
    parameter = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.AdamW([parameter], 0.1, fused=True)
    counters = Counters()
    late = guard(optimizer, counters)
    late._late, optimizer.found_inf = True, late._found
    for step, value in enumerate([1.0, 2.0, math.nan, 3.0, 4.0]):
        parameter.grad = torch.full((3,), value)
        assert late.passes([GOOD], [parameter.grad])
        optimizer.step()
        counters.step, counters.batch = step + 1, step + 1
        if step == 1:
            late.look()
            before = parameter.detach().clone(), {k: v.clone() for k, v in optimizer.state[parameter].items()}
    assert torch.equal(parameter, before[0])
    assert all(torch.equal(optimizer.state[parameter][name], value) for name, value in before[1].items())
    with pytest.raises(NonFinite) as caught:
        late.look()
    assert (caught.value.step, caught.value.batch) == (3, 2)
    optimizer.step()  # whoever caught the error gets an optimizer that steps
    assert not torch.equal(parameter, before[0])


@pytest.mark.gpu
def test_on_a_device_nothing_waits_until_somebody_looks():
    parameter = torch.ones(3, requires_grad=True, device="cuda")
    optimizer = torch.optim.AdamW([parameter], 0.1, fused=True)
    counters = Counters()
    late = Guard(Settings(max_epochs=1), optimizer, counters, torch.device("cuda:0"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, value in enumerate([1.0, math.inf, 3.0]):
            before = parameter.detach().clone() if step == 1 else None
            parameter.grad = torch.full((3,), value, device="cuda")
            late.passes([torch.ones((), device="cuda")], [parameter.grad])
            optimizer.step()
            counters.step, counters.batch = step + 1, step + 1
            kept = before if before is not None else None if step == 0 else kept  # noqa: F821
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(parameter, kept)
    with pytest.raises(NonFinite) as caught:
        late.look()
    assert caught.value.step == 2


def broken_at(steps):
    """Return an objective that gives NaN at these training steps, counted from 1, in the model's input."""
    plain, taken = supervised(nn.MSELoss()), []

    def objective(net, batch):
        taken.extend([len(taken) + 1] * net.training)
        broken = net.training and taken[-1] in steps
        return plain(net, (batch[0] * (math.nan if broken else 1.0), batch[1]))

    return objective


def skipping(steps, **settings):
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    batches = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(8)]
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    settings = {"max_epochs": 1, "device": "cpu", "on_nonfinite": "skip"} | settings
    trainer = Trainer(net, broken_at(steps), optimizer, batches, batches, **settings)
    trainer.fit()
    return trainer


@pytest.mark.parametrize("window", [1, 2])
def test_a_step_that_is_left_out_leaves_no_trace_in_the_buffers(window):
    trainer = skipping({4}, accumulate_grad_batches=window)
    assert (trainer.counters.step, trainer.counters.nonfinite) == (8 // window - 1, 1)
    assert trainer.model[0].running_mean.isfinite().all()
    assert trainer.model[0].num_batches_tracked == 8 - window
    assert math.isfinite(trainer.metrics["val/loss"])


def test_a_step_can_be_left_out_under_a_loss_scaler():
    trainer = skipping({3, 5, 7}, precision="fp16", nonfinite_limit=2)
    assert (trainer.counters.nonfinite, trainer.counters.nonfinite_in_a_row) == (3, 0)
    assert trainer.counters.step + trainer.counters.skipped == 5


@pytest.mark.parametrize("bad", [True, False])
def test_a_device_without_the_kernel_is_looked_at_tensor_by_tensor(bad):
    skipping = guard(on_nonfinite="skip")
    skipping._kernel = False
    gradients = [torch.ones(3), torch.full((2,), math.nan if bad else 1.0, dtype=torch.bfloat16)]
    assert [skipping.passes([GOOD], gradients), skipping.passes([GOOD], gradients[:1])] == [not bad, True]
