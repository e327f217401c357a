"""Learning rates at every step, against tables written by hand."""

import copy
import io
import math
import time

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from trainkit.errors import ConfigError
from trainkit.optim import NoSchedule, ResumableOptimizer, Schedule, make_schedule
from trainkit.optim.options import options_of


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
    optimizer = optimizer_of(1.0)
    schedule = NoSchedule(optimizer)
    schedule.step_end()
    schedule.epoch_end()
    schedule.validation_end(1.0)
    schedule.load_state_dict(schedule.state_dict())
    assert not schedule.on_plateau
    assert optimizer.param_groups[0]["lr"] == 1.0


# What a run is resumed under: an optimizer and its schedule, built as another process would.


def sgd(rate=1.0, **options):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))], rate, **options)


def adamw(rate=1.0, **options):
    half = {"params": [nn.Parameter(torch.zeros(2))], "lr": rate / 2}
    return torch.optim.AdamW([{"params": [nn.Parameter(torch.zeros(1))]}, half], rate, **options)


def scheduled(make_optimizer, scheduler=None, interval="step", warmup=0, **options):
    """Return the builder of a pair of optimizer and schedule; no scheduler gives the constant rate."""

    def build():
        optimizer = make_optimizer()
        if scheduler is None:
            return optimizer, NoSchedule(optimizer)
        return optimizer, Schedule(scheduler(optimizer, **options), interval, warmup)

    return build


cosine_lr, one_cycle_lr = lr_scheduler.CosineAnnealingLR, lr_scheduler.OneCycleLR
by_step = scheduled(sgd, cosine_lr, T_max=20)
cycle = scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=1.0, total_steps=30)
cycle_adam = scheduled(adamw, one_cycle_lr, max_lr=[1.0, 0.5], total_steps=30)


def chain(rate):
    def make(optimizer):
        parts = [lr_scheduler.LinearLR(optimizer, total_iters=4), lr_scheduler.ExponentialLR(optimizer, rate)]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])

    return make


def half_of(optimizer):
    return lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)


def third_of(optimizer):
    return lr_scheduler.LambdaLR(optimizer, lambda step: 1 / 3**step)


CHANGES = {
    "nothing": (by_step, by_step),
    "a longer run": (by_step, scheduled(sgd, cosine_lr, T_max=30)),
    "a shorter run": (scheduled(sgd, cosine_lr, T_max=30), by_step),
    "the rate": (by_step, scheduled(lambda: sgd(0.3), cosine_lr, T_max=20)),
    "the rate of one group": (
        scheduled(adamw, cosine_lr, T_max=20),
        scheduled(lambda: adamw(0.7), cosine_lr, T_max=20),
    ),
    "the last rate": (by_step, scheduled(sgd, cosine_lr, T_max=20, eta_min=0.1)),
    "the warm-up, longer": (
        scheduled(sgd, cosine_lr, T_max=20, warmup=3),
        scheduled(sgd, cosine_lr, T_max=20, warmup=9),
    ),
    "the warm-up, shorter": (
        scheduled(sgd, cosine_lr, T_max=20, warmup=9),
        scheduled(sgd, cosine_lr, T_max=20, warmup=3),
    ),
    "the warm-up, over all so far": (by_step, scheduled(sgd, cosine_lr, T_max=20, warmup=25)),
    "the interval": (by_step, scheduled(sgd, cosine_lr, "epoch", T_max=20)),
    "the interval, with warm-up": (
        scheduled(sgd, cosine_lr, "epoch", T_max=20),
        scheduled(sgd, lr_scheduler.ExponentialLR, "epoch", 8, gamma=0.5),
    ),
    "the decay per epoch": (
        scheduled(sgd, lr_scheduler.StepLR, "epoch", step_size=2, gamma=0.1),
        scheduled(sgd, lr_scheduler.StepLR, "epoch", step_size=1, gamma=0.5),
    ),
    "one cycle, longer": (cycle, scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=1.0, total_steps=40)),
    "one cycle, higher": (cycle, scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=2.0, total_steps=30)),
    "one cycle, its last rate": (
        cycle,
        scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=1.0, total_steps=30, final_div_factor=10.0),
    ),
    "one cycle, its momentum": (
        cycle,
        scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=1.0, total_steps=30, max_momentum=0.99),
    ),
    "one cycle, first betas": (
        cycle_adam,
        scheduled(adamw, one_cycle_lr, max_lr=[1.0, 0.5], total_steps=30, base_momentum=0.7),
    ),
    "one cycle to cosine": (cycle, scheduled(lambda: sgd(momentum=0.95), cosine_lr, T_max=20)),
    "one cycle to a constant rate": (cycle_adam, scheduled(lambda: adamw(betas=(0.95, 0.999)))),
    "cosine to one cycle": (scheduled(adamw, cosine_lr, T_max=20), cycle_adam),
    "a constant rate to cosine": (scheduled(sgd), by_step),
    "cosine to a constant rate": (by_step, scheduled(sgd)),
    "a constant rate": (scheduled(sgd), scheduled(lambda: sgd(0.2))),
    "a chain": (scheduled(sgd, chain(0.9)), scheduled(sgd, chain(0.8))),
    "a function": (scheduled(sgd, half_of), scheduled(sgd, third_of)),
    "cycles": (
        scheduled(lambda: sgd(momentum=0.9), lr_scheduler.CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=3),
        scheduled(lambda: sgd(momentum=0.9), lr_scheduler.CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=5),
    ),
    "plateau to cosine": (scheduled(sgd, lr_scheduler.ReduceLROnPlateau, patience=0), by_step),
    "cosine to plateau": (by_step, scheduled(sgd, lr_scheduler.ReduceLROnPlateau)),
}


def options(optimizer):
    """Return all that a scheduler may move."""
    names = ("lr", "momentum", "betas")
    return [[list(g[n]) if n == "betas" else g[n] for n in names if n in g] for g in optimizer.param_groups]


def advance(pair, steps, start=0, per_epoch=4):
    """Take steps, with an epoch end after every ``per_epoch``, and return the options that each of them used."""
    optimizer, schedule = pair
    used = []
    for step in range(start + 1, start + steps + 1):
        used.append(options(optimizer))
        optimizer.step()
        schedule.step_end()
        if step % per_epoch == 0:
            schedule.epoch_end()
            schedule.validation_end(1.0)
    return used


def through_a_file(*states):
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def resumed(before, after, *states):
    """Return a pair built by ``after``, which goes on from the states of the pair ``before``."""
    pair = after()
    resumable = [ResumableOptimizer(optimizer, nn.Module()) for optimizer in (before[0], pair[0])]
    resumable[0]._initial = states[0]
    optimizer_state, schedule_state = through_a_file(resumable[0].state_dict(), before[1].state_dict())
    resumable[1].load_state_dict(optimizer_state)
    pair[1].load_state_dict(schedule_state)
    return pair


@pytest.mark.parametrize("stop", [0, 1, 5, 8, 11])
@pytest.mark.parametrize("change", CHANGES)
def test_a_schedule_built_otherwise_goes_on_as_an_unbroken_run_of_its_own(change, stop):
    before, after = CHANGES[change]
    straight = advance(after(), 18)
    old = before()
    initial = options_of(old[0])
    advance(old, stop)
    pair = resumed(old, after, initial)
    assert advance(pair, 18 - stop, stop) == straight[stop:]
    again = resumed(pair, after, options_of(after()[0]))
    assert again[1].state_dict() == pair[1].state_dict()


def test_a_schedule_built_as_before_is_restored_and_not_walked_again(monkeypatch):
    old = by_step()
    initial = options_of(old[0])
    advance(old, 7)
    monkeypatch.setattr(Schedule, "_replay", None)
    assert options(resumed(old, by_step, initial)[0]) == options(old[0])


def test_a_resumed_schedule_can_be_resumed_once_more_otherwise():
    longer = CHANGES["a longer run"][1]
    old = by_step()
    initial = options_of(old[0])
    advance(old, 5)
    pair = resumed(old, longer, initial)
    advance(pair, 4, 5)
    last = resumed(pair, by_step, options_of(longer()[0]))
    assert advance(last, 6, 9) == advance(by_step(), 15)[9:]


@pytest.mark.parametrize("change", ["a longer run", "cycles", "a chain", "one cycle, longer"])
def test_the_same_schedule_takes_up_another_checkpoint(change):
    """As a rollback does: what was walked since is forgotten."""
    before, after = CHANGES[change]
    old, pair = before(), after()
    states = []
    for _ in range(2):
        advance(old, 4)
        states.append(through_a_file(old[1].state_dict())[0])
    for state in reversed(states):
        pair[1].load_state_dict(state)
    assert options(pair[0]) == advance(after(), 5)[4]


def test_uneven_epochs_are_walked_as_they_were():
    gamma = {"scheduler": lr_scheduler.ExponentialLR, "interval": "epoch", "warmup": 4}
    old, new = scheduled(sgd, **gamma, gamma=0.5)(), scheduled(sgd, **gamma, gamma=0.25)()
    for length in (3, 3, 1, 5, 5, 5):
        for _ in range(length):
            old[0].step()
            old[1].step_end()
        old[1].epoch_end()
    state = through_a_file(old[1].state_dict())[0]
    assert state["epochs"] == [[3, 2], [1, 1], [5, 3]]
    new[1].load_state_dict(state)
    assert options(new[0])[0][0] == 0.25**5  # the first epoch ended within the warm-up


def test_a_long_run_is_walked_in_seconds():
    """Some 2 us a step."""
    pair = by_step()
    state = pair[1].state_dict() | {"steps": 200_000, "epochs": [[1000, 199]], "finished": 199_000, "initial": {}}
    started = time.process_time()
    scheduled(sgd, cosine_lr, T_max=200_000)()[1].load_state_dict(state)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("stop", [12, 29])
def test_a_curve_that_has_ended_by_now_is_refused(stop):
    old = cycle()
    advance(old, stop)
    short = scheduled(lambda: sgd(momentum=0.9), one_cycle_lr, max_lr=1.0, total_steps=10)()
    with pytest.raises(ValueError, match=f"the run is at step {stop}, where the schedule has ended by now: .*10"):
        short[1].load_state_dict(old[1].state_dict())


def plateau_after(values, rate=1.0, warmup=0, **options):
    optimizer = optimizer_of(rate, rate / 10)
    schedule = Schedule(
        lr_scheduler.ReduceLROnPlateau(optimizer, **{"factor": 0.5, "patience": 0, **options}), warmup=warmup
    )
    for value in values:
        schedule.step_end()
        schedule.validation_end(value, "val/loss")
    return optimizer, schedule


@pytest.mark.parametrize(
    ("changed", "rates_then"),
    [
        ({"rate": 0.6}, [0.15, 0.015]),
        ({"patience": 3}, [0.25, 0.025]),
        ({"rate": 0.6, "min_lr": 0.1}, [0.15, 0.1]),
        ({"warmup": 2}, [0.25, 0.025]),
        ({"warmup": 7}, [5 / 8, 5 / 80]),
        ({"mode": "max"}, [0.25, 0.025]),
    ],
)
def test_a_plateau_keeps_its_reductions_under_another_rate(changed, rates_then):
    _, old = plateau_after([3.0, 4.0, 2.0, 5.0])
    optimizer, new = plateau_after([], **changed)
    new.load_state_dict(through_a_file(old.state_dict())[0])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates_then, rel=1e-12)
    same_sense = "mode" not in changed and changed.get("warmup", 0) < 7
    assert new.scheduler.best == (2.0 if same_sense else new.scheduler.mode_worse)


@pytest.mark.parametrize("factor", [0.3, 0.6, 0.7, 0.9])
def test_a_plateau_of_the_same_rate_has_the_very_bits(factor):
    for rate in (0.1, 0.3, 0.7, 1e-3):
        first, old = plateau_after([3.0, 4.0, 5.0, 6.0, 7.0], rate, factor=factor)
        optimizer, new = plateau_after([], rate, factor=factor, patience=2)
        new.load_state_dict(old.state_dict())
        assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in first.param_groups]


def test_a_plateau_forgets_the_best_of_another_metric():
    for metric, reduced in (("val/loss", True), ("val/error", False)):
        _, old = plateau_after([3.0])
        optimizer, new = plateau_after([])
        optimizer.load_state_dict(old.scheduler.optimizer.state_dict())
        new.load_state_dict(through_a_file(old.state_dict())[0])
        new.validation_end(50.0, metric)
        assert (optimizer.param_groups[0]["lr"] < 1.0) is reduced


def without_what_format_1_lacked(state):
    return {key: value for key, value in state.items() if key not in ("initial", "metric")} | {
        "initial": None,
        "metric": "",
    }


@pytest.mark.parametrize(
    "change", ["nothing", "a longer run", "one cycle, longer", "the rate", "a chain", "a function"]
)
def test_a_checkpoint_that_does_not_say_how_its_schedule_was_built(change):
    before, after = CHANGES[change]
    old, new = before(), after()
    advance(old, 6)
    targets = old[1].state_dict()["initial"]["targets"]
    state = without_what_format_1_lacked(old[1].state_dict()) | {"targets": targets}
    new[0].load_state_dict(old[0].state_dict())
    new[1].load_state_dict(through_a_file(state)[0])
    assert advance(new, 6, 6) == advance(after(), 12)[6:]


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ({"steps": None}, TypeError),
        ({"steps": 3}, ValueError),
        ({"steps": True}, TypeError),
        ({"epochs": [[4, 100]]}, ValueError),
        ({"epochs": []}, ValueError),
        ({"epochs": [[4, 100]], "finished": 400}, ValueError),
        ({"epochs": [[-4, 1]], "finished": -4}, ValueError),
        ({"scheduler": None}, TypeError),
        ({"scheduler": {}}, KeyError),
        ({"metric": 3}, TypeError),
    ],
)
def test_a_broken_state_is_an_error(broken, error):
    old = by_step()
    advance(old, 7)
    with pytest.raises(error):
        by_step()[1].load_state_dict(old[1].state_dict() | broken)


def test_a_state_that_lacks_a_part_of_its_scheduler_is_an_error():
    build = scheduled(sgd, chain(0.9))
    for path in (
        ["_last_lr", 0],
        ["_schedulers", 1],
        ["_schedulers", 1, "last_epoch"],
        ["_schedulers", 0, "base_lrs", 0],
    ):
        old = build()
        advance(old, 7)
        state = through_a_file(old[1].state_dict())[0]
        node = state["scheduler"]
        for key in path[:-1]:
            node = node[key]
        del node[path[-1]]
        with pytest.raises(KeyError, match="scheduler" + (".*last_epoch" if "last_epoch" in path else "")):
            build()[1].load_state_dict(state)


def test_a_state_with_another_kind_of_value_in_its_scheduler_is_an_error():
    for name, value in (("T_max", "20"), ("last_epoch", None), ("base_lrs", 0.1), ("_last_lr", ["x"])):
        old = by_step()
        state = through_a_file(old[1].state_dict())[0]
        state["scheduler"][name] = value
        with pytest.raises(KeyError, match=rf"scheduler\.{name}"):
            by_step()[1].load_state_dict(state)


@pytest.mark.parametrize("build", [by_step, scheduled(sgd), scheduled(sgd, lr_scheduler.ReduceLROnPlateau)])
def test_a_state_that_lacks_a_field_is_an_error(build):
    state = build()[1].state_dict()
    for name in state:
        with pytest.raises(KeyError, match=name):
            build()[1].load_state_dict({key: value for key, value in state.items() if key != name})


CYCLE = {"base_lr": 0.1, "max_lr": 0.6, "step_size_up": 3, "cycle_momentum": False}


@pytest.mark.parametrize(
    ("kind", "options", "peak"),
    [
        (lr_scheduler.OneCycleLR, {"max_lr": 0.4, "total_steps": 9, "cycle_momentum": False}, 0.4),
        (lr_scheduler.CyclicLR, CYCLE, 0.6),
    ],
)
def test_a_cycle_keeps_the_rates_of_the_groups_in_proportion(kind, options, peak):
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    groups = [{"params": [p], **more} for p, more in zip(parameters, ({}, {"lr": 0.02}, {"lr": 0.0}), strict=True)]
    optimizer = torch.optim.SGD(groups, lr=0.2)
    schedule = make_schedule(kind, optimizer, 9, **options)
    seen = []
    for _ in range(8):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step_end()
    assert max(rates[0] for rates in seen) == pytest.approx(peak, rel=0.01)
    assert len({round(rates[0], 6) for rates in seen}) > 3
    for first, second, third in seen:
        assert (second, third) == (pytest.approx(first / 10), 0)


def test_a_cycle_with_a_peak_for_each_group_is_left_alone():
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": parameters[:1], "lr": 1.0}, {"params": parameters[1:]}], lr=0.2)
    make_schedule(lr_scheduler.OneCycleLR, optimizer, 9, max_lr=[0.3, 0.5], cycle_momentum=False)
    assert [group["max_lr"] for group in optimizer.param_groups] == [0.3, 0.5]
