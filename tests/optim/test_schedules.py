"""Learning rates at every step, against tables written by hand."""

import copy
import io
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from trainkit.errors import ConfigError
from trainkit.optim import NoSchedule, Schedule, make_schedule


def optimizer_of(*rates):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=1.0)


def rates(schedule, steps, per_epoch=None):
    """Return the rate that each step used; an epoch ends after every ``per_epoch`` steps."""
    optimizer, used = schedule.scheduler.optimizer, []
    for step in range(1, steps + 1):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step_end()
        if per_epoch and step % per_epoch == 0:
            schedule.epoch_end()
    return used


def cosine(step, total):
    return 0.5 * (1 + math.cos(math.pi * step / total))


def test_cosine_with_warm_up():
    schedule = make_schedule(lr_scheduler.CosineAnnealingLR, optimizer_of(1.0), total=10, warmup=3)
    table = [0.25, 0.5, 0.75] + [cosine(step, 7) for step in range(8)]
    assert rates(schedule, 11) == pytest.approx(table, abs=1e-12)


def test_cosine_without_warm_up():
    schedule = make_schedule(lr_scheduler.CosineAnnealingLR, optimizer_of(1.0), total=10)
    assert rates(schedule, 11) == pytest.approx([cosine(step, 10) for step in range(11)], abs=1e-12)


def test_one_cycle():
    schedule = make_schedule(lr_scheduler.OneCycleLR, optimizer_of(1.0), total=10, max_lr=1.0, pct_start=0.3)
    low, least = 1 / 25, 1 / 25 / 1e4
    up = [low + (1 - low) * (1 - cosine(step, 2)) for step in range(3)]
    down = [least + (1 - least) * cosine(step, 7) for step in range(1, 8)]
    assert rates(schedule, 10) == pytest.approx(up + down, abs=1e-12)


def test_step_per_epoch():
    schedule = make_schedule(lr_scheduler.StepLR, optimizer_of(1.0), total=6, interval="epoch", step_size=2, gamma=0.1)
    assert rates(schedule, 12, per_epoch=2) == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 4)


def test_epochs_count_from_the_end_of_the_warm_up():
    schedule = Schedule(lr_scheduler.ExponentialLR(optimizer_of(1.0), 0.5), "epoch", warmup=3)
    assert rates(schedule, 8, per_epoch=2) == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.5, 0.5, 0.25, 0.25])


def test_plateau_goes_by_validations_alone():
    optimizer = optimizer_of(1.0)
    schedule = make_schedule(lr_scheduler.ReduceLROnPlateau, optimizer, total=None, patience=1, factor=0.1)
    assert schedule.on_plateau
    assert rates(schedule, 4, per_epoch=2) == [1.0] * 4
    found = []
    for value in [3.0, 2.0, None, 2.0, 2.0, 2.0, 1.0]:
        schedule.validation_end(value)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1])


def test_plateau_begins_after_the_warm_up():
    optimizer = optimizer_of(1.0)
    schedule = Schedule(lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1), warmup=3)
    schedule.validation_end(1.0)
    schedule.validation_end(2.0)
    assert rates(schedule, 4) == [0.25, 0.5, 0.75, 1.0]
    schedule.validation_end(1.5)
    schedule.validation_end(2.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_others_do_not_hear_of_validations():
    schedule = Schedule(lr_scheduler.ExponentialLR(optimizer_of(1.0), 0.5))
    schedule.validation_end(1.0)
    schedule.epoch_end()
    assert rates(schedule, 2) == [1.0, 0.5]


def test_each_group_climbs_to_its_own_rate():
    optimizer = optimizer_of(1.0, 0.1)
    schedule = Schedule(lr_scheduler.LambdaLR(optimizer, lambda step: 1.0), warmup=1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]
    rates(schedule, 1)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.1]


@pytest.mark.parametrize(
    ("scheduler", "options", "name", "interval", "filled"),
    [
        (lr_scheduler.CosineAnnealingLR, {}, "T_max", "step", 90),
        (lr_scheduler.CosineAnnealingLR, {"T_max": None}, "T_max", "epoch", 100),
        (lr_scheduler.CosineAnnealingLR, {"T_max": 7}, "T_max", "step", 7),
        (lr_scheduler.OneCycleLR, {"max_lr": 1.0}, "total_steps", "step", 90),
        (lr_scheduler.OneCycleLR, {"max_lr": 1.0, "epochs": 2, "steps_per_epoch": 3}, "total_steps", "step", 6),
        (lr_scheduler.LinearLR, {"total_iters": None}, "total_iters", "step", 90),
        (lr_scheduler.LinearLR, {}, "total_iters", "step", 5),
        (lr_scheduler.PolynomialLR, {"total_iters": None}, "total_iters", "step", 90),
    ],
)
def test_the_length_of_the_run_is_filled_in(scheduler, options, name, interval, filled):
    schedule = make_schedule(scheduler, optimizer_of(1.0), 100, interval, warmup=10, **options)
    assert getattr(schedule.scheduler, name) == filled


def test_an_unknown_length_is_refused():
    with pytest.raises(ConfigError, match=r"schedule\.T_max: the length of the run is not known"):
        make_schedule(lr_scheduler.CosineAnnealingLR, optimizer_of(1.0), None)
    make_schedule(lr_scheduler.CosineAnnealingLR, optimizer_of(1.0), None, T_max=5)


def test_an_unknown_interval_is_refused():
    for make in (
        lambda: Schedule(lr_scheduler.StepLR(optimizer_of(1.0), 1), "batch"),
        lambda: make_schedule(lr_scheduler.StepLR, optimizer_of(1.0), 1, "batch", step_size=1),
    ):
        with pytest.raises(ConfigError, match=r"schedule\.interval=batch: must be step or epoch"):
            make()


SCHEDULERS = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=20),
    "milestones": lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    "function": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "chain": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[4]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("stop", [0, 2, 3, 4, 7])
def test_a_resumed_schedule_goes_on_as_if_unbroken(name, stop):
    def build():
        return Schedule(SCHEDULERS[name](optimizer_of(1.0)), warmup=3)

    expected = rates(build(), 15)
    first, second = build(), build()
    assert rates(first, stop) == expected[:stop]
    file = io.BytesIO()
    torch.save([first.scheduler.optimizer.state_dict(), first.state_dict()], file)
    file.seek(0)
    optimizer_state, state = torch.load(file, weights_only=True)
    second.scheduler.optimizer.load_state_dict(optimizer_state)  # replaces the list of groups
    second.load_state_dict(state)
    assert rates(second, 15 - stop) == expected[stop:]


def test_a_resumed_plateau_remembers_its_patience():
    def build():
        return Schedule(lr_scheduler.ReduceLROnPlateau(optimizer_of(1.0), patience=1, factor=0.1))

    first, second = build(), build()
    for value in (1.0, 2.0):
        first.validation_end(value)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.validation_end(2.0)
    assert second.scheduler.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_no_schedule_keeps_the_rate():
    schedule = NoSchedule()
    schedule.step_end()
    schedule.epoch_end()
    schedule.validation_end(1.0)
    schedule.load_state_dict(schedule.state_dict())
    assert not schedule.on_plateau


@pytest.mark.parametrize("name", ["CosineAnnealingLR", "LinearLR", "OneCycleLR"])
def test_a_longer_run_goes_on_along_the_longer_curve(name: str) -> None:
    options = {"LinearLR": {"total_iters": None}, "OneCycleLR": {"max_lr": 1.0}}.get(name, {})

    def made(total: int) -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimizer, make_schedule(getattr(torch.optim.lr_scheduler, name), optimizer, total, **options)

    def advance(optimizer: torch.optim.Optimizer, schedule: Schedule, steps: int) -> list[float]:
        rates = []
        for _ in range(steps):
            optimizer.step()
            schedule.step_end()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    short, long, resumed = made(11), made(21), made(21)
    advance(*short, 10)
    straight = advance(*long, 20)
    resumed[0].load_state_dict(short[0].state_dict())
    resumed[1].load_state_dict(short[1].state_dict())
    assert advance(*resumed, 10) == pytest.approx(straight[10:])
