"""The Trainer's settings: one field a key of the ``trainer`` group, with its type, default, bounds and doc.

The names are Lightning's where they mean the same. The command line's help, the config schema and the Trainer's
signature are all read from here; the module imports no torch, so that help answers at once.
"""

from __future__ import annotations

import types
from dataclasses import dataclass, field, fields, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

from trainkit.errors import ConfigError, closest
from trainkit.timing import duration

SHARES = ("val_check_interval", "limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches")


def _setting(
    default: Any, doc: str, *, choices: tuple[Any, ...] = (), least: float | None = None, more_than: float | None = None
) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices, "least": least, "more_than": more_than})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; see the fields. Raises :class:`ConfigError` that names the key, the value and what is allowed."""

    max_epochs: int | None = _setting(None, "Stop after this many epochs.", least=0)
    min_epochs: int = _setting(0, "Do not let a callback stop the run before this many epochs.", least=0)
    max_steps: int | None = _setting(None, "Stop after this many optimizer steps.", least=0)
    max_time: str | None = _setting(None, "Stop after this much training time, such as 30min; resumes add up.")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:N or mps; auto takes the fastest there is.")
    strategy: str = _setting("auto", "How to spread over devices; auto is one device.", choices=("auto",))
    precision: str = _setting(
        "fp32", "Number format of the forward pass; fp16 scales the loss.", choices=("fp32", "bf16", "fp16")
    )
    accumulate_grad_batches: int = _setting(1, "Batches for one optimizer step, weighted by their targets.", least=1)
    gradient_clip_val: float | None = _setting(
        None, "Largest gradient (see the algorithm); null: no clipping.", more_than=0
    )
    gradient_clip_algorithm: str = _setting(
        "norm",
        "What gradient_clip_val bounds: the norm of all, of each parameter, or each value.",
        choices=("norm", "param_norm", "value"),
    )
    val_check_interval: int | float | str = _setting(
        1.0,
        "Validate every so many batches (int), share of an epoch (float), or a duration such as 500st.",
        more_than=0,
    )
    check_val_every_n_epoch: int = _setting(1, "Validate only in every n-th epoch.", least=1)
    limit_train_batches: int | float | None = _setting(
        None, "Batches (int) or share (float) of each training epoch.", least=0
    )
    limit_val_batches: int | float | None = _setting(
        None, "Batches (int) or share (float) of the validation set.", least=0
    )
    limit_test_batches: int | float | None = _setting(None, "Batches (int) or share (float) of the test set.", least=0)
    overfit_batches: int | float = _setting(0, "Train and validate on the same so many batches (or share).", least=0)
    fast_dev_run: bool | int = _setting(False, "Run n (true: 1) batches of everything, save nothing.", least=0)
    num_sanity_val_steps: int = _setting(2, "Validation batches to try before the first step.", least=0)
    log_every_n_steps: int = _setting(50, "Log training scalars every so many steps.", least=1)
    inference_mode: bool = _setting(True, "Evaluate under inference_mode; false: no_grad, for models that need it.")
    on_nonfinite: str = _setting(
        "stop",
        "On a NaN or infinite loss or gradient: end the run, leave the step out, or go back to the last checkpoint.",
        choices=("stop", "skip", "rollback"),
    )
    nonfinite_limit: int = _setting(10, "Steps in a row that may be left out or gone back over.", least=1)
    grace_period: float = _setting(25.0, "Seconds that SIGTERM leaves for the step and its checkpoint.", more_than=0)
    compile: bool | str = _setting(False, "true, or a mode of torch.compile such as max-autotune.")
    deterministic: bool = _setting(False, "Use deterministic kernels only; an operation without one raises.")
    detect_anomaly: bool = _setting(False, "Let autograd name the operation behind a NaN gradient; slow.")
    threads: int | str | None = _setting(
        None, "CPU threads: a number, auto (measured at the start), or null (as torch is set).", least=1
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for f in fields(self):
            _check(f.name, getattr(self, f.name), hints[f.name], f.metadata)
        if self.max_time is not None:
            duration(self.max_time)
        if isinstance(self.val_check_interval, str):
            duration(self.val_check_interval)
        for name in SHARES:
            value = getattr(self, name)
            if isinstance(value, float) and value > 1.0:
                raise ConfigError(f"trainer.{name}={value}: a float is a share and at most 1.0; batches are an integer")
        if isinstance(self.threads, str) and self.threads != "auto":
            raise ConfigError(f"trainer.threads={self.threads}: must be a number, auto or null")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Settings:
        """Return the settings with these values; an unknown name raises a :class:`ConfigError` with the closest one."""
        names = [f.name for f in fields(cls)]
        for name in values:
            if name not in names:
                raise ConfigError(f"trainer.{name}: no such setting of the Trainer.{closest(name, names)}")
        return cls(**values)

    def resolved(self) -> Settings:
        """Return the settings that the loop goes by: ``fast_dev_run`` spelled out, and an end to the training.

        Raises:
            ConfigError: If nothing would ever end the training.
        """
        if self.fast_dev_run:
            n = int(self.fast_dev_run)
            return replace(
                self,
                max_epochs=1,
                max_steps=n,
                limit_train_batches=n * self.accumulate_grad_batches,
                limit_val_batches=n,
                limit_test_batches=n,
                num_sanity_val_steps=0,
                val_check_interval=1.0,
                log_every_n_steps=1,
            )
        if self.max_epochs is None and self.max_steps is None and self.max_time is None:
            raise ConfigError("nothing ends the training: set max_epochs, max_steps or max_time")
        if self.overfit_batches:
            return replace(self, limit_val_batches=self.overfit_batches)
        return self

    def train_batches(self, total: int | None) -> int | None:
        """Return the batches of a training epoch, of ``total`` that the loader has; None where it is unknown."""
        if self.overfit_batches:
            return max(1, limited(total, self.overfit_batches) or 0)
        return limited(total, self.limit_train_batches)

    def steps_per_epoch(self, total: int | None) -> int | None:
        """Return the optimizer steps of an epoch; a last short window is one too."""
        batches = self.train_batches(total)
        return None if batches is None else -(-batches // self.accumulate_grad_batches)

    def total_steps(self, total: int | None) -> int | None:
        """Return the optimizer steps of the whole run; None where it is unknown."""
        per_epoch = self.steps_per_epoch(total)
        by_epochs = None if per_epoch is None or self.max_epochs is None else per_epoch * self.max_epochs
        known = [n for n in (by_epochs, self.max_steps) if n is not None]
        return min(known) if known else None


def limited(total: int | None, limit: int | float | None) -> int | None:
    """Return the number of batches that ``limit`` leaves of ``total``: an integer counts, a float is a share."""
    if limit is None:
        return total
    if isinstance(limit, float):
        if total is None:
            raise ConfigError(f"a share of batches ({limit}) needs a loader with a length; give a number of batches")
        return max(1, int(total * limit)) if limit else 0
    return limit if total is None else min(total, limit)


def _check(name: str, value: Any, annotation: Any, rules: Any) -> None:
    """Hold one value against its annotated type and its rules."""
    union = get_origin(annotation) in (types.UnionType, Union)
    allowed = get_args(annotation) if union else (annotation,)
    fits = any(
        type(value) is kind or (kind is float and type(value) is int) or (kind is type(None) and value is None)
        for kind in allowed
    )
    where = f"trainer.{name}={value}"
    if not fits:
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
        raise ConfigError(f"{where}: must be {wanted}, not {type(value).__name__}")
    if rules["choices"] and value not in rules["choices"]:
        near = closest(str(value), tuple(map(str, rules["choices"])))
        raise ConfigError(f"{where}: must be one of {', '.join(map(str, rules['choices']))}.{near}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if rules["least"] is not None and not value >= rules["least"]:
            raise ConfigError(f"{where}: must be at least {rules['least']:g}")
        if rules["more_than"] is not None and not value > rules["more_than"]:
            raise ConfigError(f"{where}: must be more than {rules['more_than']:g}")
