"""The Callback: what only watches a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer


class Callback:
    """Watches a training at any of eight moments. It reads, logs, and may call ``trainer.stop(reason)``.

    It never steers the update. A hook that a subclass does not define costs nothing per step.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Watch the start, after a resume and before the first step."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Watch the start of an epoch; after a resume also in its middle."""

    def on_gradients(self, trainer: Trainer) -> None:
        """Watch the true gradients of a step: unscaled and not yet clipped."""

    def on_step_end(self, trainer: Trainer, output: Output) -> int | None:
        """Watch the end of a step; ``output`` is that of its last batch.

        Returns:
            The next step at which there is something to see, so that those before it cost nothing; None: each.
        """

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Watch the end of a validation, with its metrics by name."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Watch the end of an epoch, after its validation."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Watch the end of a fit that was not ended by an exception."""

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Watch an exception leave the fit."""

    def state_dict(self) -> dict[str, Any]:
        """Return what shapes the rest of the run, as plain types and tensors."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""


def named(callbacks: Mapping[str, Callback] | Iterable[Callback]) -> dict[str, Callback]:
    """Return the callbacks by name: that of the class, numbered where it comes twice. Checkpoints know them by it."""
    if isinstance(callbacks, Mapping):
        return dict(callbacks)
    names: dict[str, Callback] = {}
    for callback in callbacks:
        name = type(callback).__name__
        names[f"{name}_{len(names)}" if name in names else name] = callback
    return names


class Hook(list[Callable[..., Any]]):
    """What the callbacks define for one moment; calling it calls each in turn."""

    def __call__(self, *arguments: Any) -> None:
        for function in self:
            function(*arguments)

    @contextmanager
    def also(self, function: Callable[..., None]) -> Iterator[None]:
        """Call a function too, for as long as the context lasts."""
        self.append(function)
        try:
            yield
        finally:
            self.remove(function)


class StepHook(list[Callable[..., Any]]):
    """The hook after each step, which leaves a callback alone until the step that it asked for."""

    def __init__(self, functions: Iterable[Callable[..., Any]] = ()) -> None:
        super().__init__(functions)
        self.wake()

    def wake(self) -> None:
        """Call each again after the next step, whichever number it has."""
        self._asleep_until = [0] * len(self)

    def __call__(self, trainer: Trainer, output: Output) -> None:
        step = trainer.counters.step
        for number, until in enumerate(self._asleep_until):
            if step >= until:
                asked = self[number](trainer, output)
                self._asleep_until[number] = asked if type(asked) is int else 0


class Hooks:
    """The hooks that the callbacks define, by moment, found once so that the others cost nothing."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        callbacks = list(callbacks)

        def defined(name: str, kind: type[Hook] | type[StepHook] = Hook) -> Any:
            return kind(getattr(c, name) for c in callbacks if getattr(type(c), name) is not getattr(Callback, name))

        self.fit_start: Hook = defined("on_fit_start")
        self.epoch_start: Hook = defined("on_epoch_start")
        self.gradients: Hook = defined("on_gradients")
        self.step_end: StepHook = defined("on_step_end", StepHook)
        self.validation_end: Hook = defined("on_validation_end")
        self.epoch_end: Hook = defined("on_epoch_end")
        self.fit_end: Hook = defined("on_fit_end")
        self.exception: Hook = defined("on_exception")

    def tell(self, trainer: Trainer, error: BaseException) -> None:
        """Call ``on_exception`` of each; what goes wrong there must not hide what went wrong first."""
        for hook in self.exception:
            try:
                hook(trainer, error)
            except Exception as second:  # noqa: BLE001 - whatever it is, the first one is raised
                name = getattr(hook, "__qualname__", "on_exception")
                trainer.warn(f"{name} failed as well: {type(second).__name__}: {second}")
