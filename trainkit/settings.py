"""The Trainer's settings: one field a key of the ``trainer`` group, with its type, default, bounds and doc.

The names are Lightning's where they mean the same. The command line's help, the config schema and the Trainer's
signature are all read from here; the module imports no torch, so that help answers at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, get_type_hints

from trainkit.errors import ConfigError, closest
from trainkit.forms import STEPS, TIME, Form
from trainkit.values import judged, key, shown

DEVICE = Form(
    "auto, cpu, cuda, cuda:N or mps",
    "auto | cpu | cuda | cuda:N | mps",
    lambda text: re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", text) is not None,
    lambda value: closest(str(value), ("auto", "cpu", "cuda", "mps")).strip(),
)
THREADS = Form("auto", "auto", "auto".__eq__)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; see the fields. Raises :class:`ConfigError` that names the key, the value and what is allowed."""

    max_epochs: int | None = key(None, "Stop after this many epochs.", least=0)
    min_epochs: int = key(0, "Do not let a callback stop the run before this many epochs.", least=0)
    max_steps: int | None = key(None, "Stop after this many optimizer steps.", least=0)
    max_time: str | None = key(None, "Stop after this much training time, such as 30min; resumes add up.", form=TIME)
    device: str = key("auto", "auto, cpu, cuda, cuda:N or mps; auto takes the fastest there is.", form=DEVICE)
    strategy: str = key("auto", "How to spread over devices; auto is one device.", choices=("auto",))
    precision: str = key(
        "fp32", "Number format of the forward pass; fp16 scales the loss.", choices=("fp32", "bf16", "fp16")
    )
    accumulate_grad_batches: int = key(1, "Batches for one optimizer step, weighted by their targets.", least=1)
    gradient_clip_val: float | None = key(
        None, "Largest gradient (see the algorithm); null: no clipping.", more_than=0, infinite=True
    )
    gradient_clip_algorithm: str = key(
        "norm",
        "What gradient_clip_val bounds: the norm of all, of each parameter, or each value.",
        choices=("norm", "param_norm", "value"),
    )
    val_check_interval: int | float | str = key(
        1.0,
        "Validate every so many batches (int), share of an epoch (float), or a duration such as 500st.",
        more_than=0,
        share=True,
        form=STEPS,
    )
    check_val_every_n_epoch: int = key(1, "Validate only in every n-th epoch.", least=1)
    limit_train_batches: int | float | None = key(
        None, "Batches (int) or share (float) of each training epoch.", least=0, share=True
    )
    limit_val_batches: int | float | None = key(
        None, "Batches (int) or share (float) of the validation set.", least=0, share=True
    )
    limit_test_batches: int | float | None = key(
        None, "Batches (int) or share (float) of the test set.", least=0, share=True
    )
    overfit_batches: int | float = key(
        0, "Train and validate on the same so many batches (or share).", least=0, share=True
    )
    fast_dev_run: bool | int = key(False, "Run n (true: 1) batches of everything, save nothing.", least=0)
    num_sanity_val_steps: int = key(2, "Validation batches to try before the first step.", least=0)
    log_every_n_steps: int = key(50, "Log training scalars every so many steps.", least=1)
    inference_mode: bool = key(True, "Evaluate under inference_mode; false: no_grad, for models that need it.")
    on_nonfinite: str = key(
        "stop",
        "On a NaN or infinite loss or gradient: end the run, leave the step out, or go back to the last checkpoint.",
        choices=("stop", "skip", "rollback"),
    )
    nonfinite_limit: int = key(10, "Steps in a row that may be left out or gone back over.", least=1)
    grace_period: float = key(
        25.0, "Seconds that SIGTERM leaves for the step and its checkpoint.", more_than=0, infinite=True
    )
    compile: bool | str = key(
        False,
        "true, or a mode of torch.compile such as max-autotune.",
        choices=(False, True, "default", "lite", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    )
    deterministic: bool = key(False, "Use deterministic kernels only; an operation without one raises.")
    detect_anomaly: bool = key(False, "Let autograd name the operation behind a NaN gradient; slow.")
    threads: int | str | None = key(
        None,
        "CPU threads: a number, auto (measured at the start), or null (as torch is set).",
        least=1,
        form=THREADS,
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if found := judged(value, _hints()[f.name], f.metadata):
                fix = f". {found.fix}" if found.fix else ""
                raise ConfigError(f"trainer.{f.name}={shown(value)}: {found.message}{fix}")

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


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Settings)
