"""Callbacks: found by what they define, called in order, known by name."""

import inspect
from types import SimpleNamespace

from trainkit.callbacks.callback import Callback, Hooks, named

HOOKS = ["fit_start", "epoch_start", "gradients", "step_end", "validation_end", "epoch_end", "fit_end", "exception"]


def at(step):
    return SimpleNamespace(counters=SimpleNamespace(step=step))


class Quiet(Callback):
    pass


class Watcher(Callback):
    def __init__(self, calls):
        self.calls = calls

    def on_step_end(self, trainer, output):
        self.calls.append((self, trainer, output))


class Heir(Watcher):
    pass


def test_the_eight_hooks_are_those_of_the_callback():
    defined = [name.removeprefix("on_") for name in vars(Callback) if name.startswith("on_")]
    assert defined == HOOKS == list(vars(Hooks([])))


def test_every_hook_of_the_base_does_nothing():
    callback = Callback()
    for name in HOOKS:
        hook = getattr(callback, f"on_{name}")
        assert hook(*[None] * len(inspect.signature(hook).parameters)) is None
    callback.load_state_dict(callback.state_dict())


def test_hooks_that_nobody_defines_cost_nothing():
    hooks = Hooks([Quiet(), Watcher([]), Heir([])])
    assert {name: len(getattr(hooks, name)) for name in HOOKS} == dict.fromkeys(HOOKS, 0) | {"step_end": 2}


def test_each_hook_is_collected_under_its_own_moment():
    calls = []

    def hook(name):
        return lambda self, *arguments: calls.append((name, arguments))

    every = type("Every", (Callback,), {f"on_{name}": hook(name) for name in HOOKS})
    hooks, trainer = Hooks([every()]), at(1)
    for name in HOOKS:
        getattr(hooks, name)(trainer, name)
    assert calls == [(name, (trainer, name)) for name in HOOKS]


def test_hooks_are_called_in_the_order_of_the_callbacks():
    calls = []
    first, second = Watcher(calls), Heir(calls)
    Hooks([first, second]).step_end(trainer := at(1), "output")
    assert calls == [(first, trainer, "output"), (second, trainer, "output")]


def test_a_callback_is_left_alone_until_the_step_that_it_asked_for():
    class Sleeper(Callback):
        def __init__(self, calls):
            self.calls = calls

        def on_step_end(self, trainer, output):
            self.calls.append(trainer.counters.step)
            return 4 if trainer.counters.step < 4 else None

    each, some = [], []
    hook = Hooks([Watcher(each), Sleeper(some)]).step_end
    for step in (1, 2, 3, 4, 5, 6):
        hook(at(step), "output")
    assert len(each) == 6
    assert some == [1, 4, 5, 6]
    hook(at(2), "output")  # back by a rollback, say: asleep until 4
    hook(at(3), "output")
    hook.wake()
    hook(at(2), "output")
    assert some == [1, 4, 5, 6, 2, 2]


def test_a_function_is_called_beside_the_callbacks_as_long_as_a_context_lasts():
    calls = []
    hook = Hooks([]).gradients
    with hook.also(calls.append):
        hook("inside")
    hook("outside")
    assert calls == ["inside"]


def test_callbacks_of_a_list_are_named_by_their_class():
    quiet, a, b, c = Quiet(), Watcher([]), Watcher([]), Watcher([])
    assert named([quiet, a, b, c]) == {"Quiet": quiet, "Watcher": a, "Watcher_2": b, "Watcher_3": c}


def test_given_names_are_kept():
    quiet = Quiet()
    assert named({"mine": quiet}) == {"mine": quiet}
