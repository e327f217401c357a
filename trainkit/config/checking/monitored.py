"""What a run will log, as far as its config tells, and whoever goes by it: best weights, early stopping, plateaus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainkit.config.checking.fields import Fields
from trainkit.config.paths import at
from trainkit.errors import ConfigError, closest
from trainkit.findings import Finding, Severity
from trainkit.timing import duration

SUPERVISED = ("trainkit.objectives.supervised", "trainkit.supervised")
CLASSIFICATION = ("CrossEntropyLoss", "NLLLoss")
BINARY = ("BCEWithLogitsLoss",)
REGRESSION = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")
USUAL = {"classification": ("accuracy",), "binary": ("accuracy",), "regression": ("mae", "rmse", "r2"), "other": ()}
"""The metrics that suit the kinds of objectives, where no others are configured."""
OFFERED = {"Classification": ("accuracy", "precision", "recall", "f1"), "Regression": ("mae", "rmse", "r2")}
"""What trainkit's metrics of several names can give."""
OF_TRAINING = ("train/loss", "train/learning_rate", "train/gradient_norm", "train/clipped", "train/samples_per_second")
"""What every run logs before its first validation ends, or may log by then."""
LARGE_IS_GOOD = ("accuracy", "precision", "recall", "f1", "r2")
SMALL_IS_GOOD = ("loss", "mae", "rmse")
WAITING = ("patience", "patience_steps", "stopping_threshold", "divergence_threshold")
"""Settings of an early stopping of which at least one makes it wait for a metric."""


@dataclass(frozen=True, slots=True)
class Logged:
    """The names that a validation gives, and whether there may be others."""

    names: tuple[str, ...]
    is_open: bool = False


def kind_of(fields: Fields) -> str | None:
    """Return the kind of the objective: ``classification``, ``binary``, ``regression`` or ``other``; None: unknown."""
    if fields.target("objective") not in SUPERVISED:
        return None
    target = fields.target("objective.loss")
    if not target.startswith("torch.nn."):
        return "other" if target and not target.startswith("torch.") else None
    name = target.rpartition(".")[2]
    kinds = {"classification": CLASSIFICATION, "binary": BINARY, "regression": REGRESSION}
    return next((kind for kind, names in kinds.items() if name in names), "other")


def logged(fields: Fields) -> Logged:
    """Return what a validation will give."""
    node = fields.get("metrics")
    if not node:
        kind = kind_of(fields)
        return Logged(("val/loss", *(f"val/{name}" for name in USUAL.get(kind or "", ()))), kind is None)
    names, is_open = ["val/loss"], False
    for path in fields.entries("metrics"):
        target = fields.target(path)
        given = _given_by(fields, path, target)
        is_open |= given is None
        names += [f"val/{name}" for name in given or (path.rpartition(".")[2],)]
    return Logged(tuple(dict.fromkeys(names)), is_open)


def _given_by(fields: Fields, path: str, target: str) -> tuple[str, ...] | None:
    """Return the names that a metric gives its values, None where only its code knows."""
    if target == "trainkit.metrics.BinaryAccuracy":
        return (path.rpartition(".")[2],)
    module, _, name = target.rpartition(".")
    if module != "trainkit.metrics" or name not in OFFERED:
        return None
    names = fields.get(f"{path}.names")
    if names is None:
        return ("accuracy",) if name == "Classification" else OFFERED[name]
    return tuple(map(str, names)) if isinstance(names, list) else None


def monitored_metric(fields: Fields) -> Iterator[Finding]:
    """Hold ``monitor.metric`` against what the run will log."""
    metric, there = fields.text("monitor.metric"), logged(fields)
    own = [path for path in fields.entries("callbacks") if not _is_trainkits(fields, path)]
    if metric.startswith("train/"):
        if metric in OF_TRAINING or own:
            return
        names: tuple[str, ...] = (*OF_TRAINING, *there.names)
    elif metric in there.names or not metric or (there.is_open and metric.startswith("val/")):
        return
    else:
        names = there.names
    yield fields.finding("unknown-metric", "monitor.metric", _among(names), fix=_cure(fields, metric, names))


def early_stopping_metric(fields: Fields) -> Iterator[Finding]:
    """Hold what each early stopping monitors against what a validation gives."""
    there = logged(fields)
    for path in _early_stoppings(fields):
        metric = fields.text(f"{path}.monitor")
        if not metric or metric in there.names or (there.is_open and metric.startswith("val/")):
            continue
        fix = _cure(fields, metric, there.names)
        yield fields.finding("unknown-metric", f"{path}.monitor", _among(there.names, "the validation gives"), fix=fix)


def directions(fields: Fields) -> Iterator[Finding]:
    """Refuse a metric that is to become worse, accuracy with ``min``, a loss with ``max``; early stopping is warned."""
    metric, mode = fields.text("monitor.metric"), fields.text("monitor.mode")
    if _is_upside_down(metric, mode):
        effect = "the worst weights would count as the best"
        yield _upside_down(fields, "monitor.mode", metric, mode, effect, "error")
    for path in _early_stoppings(fields):
        watched = fields.text(f"{path}.monitor") or metric
        usual = mode if watched == metric else "min"
        chosen = fields.text(f"{path}.mode") or usual
        explicit = bool(fields.get(f"{path}.monitor") or fields.get(f"{path}.mode"))
        if explicit and _is_upside_down(watched, chosen) and waits(fields, path):
            effect = "a run that gets better would be stopped"
            yield _upside_down(fields, f"{path}.mode", watched, chosen, effect)


def plateau_mode(fields: Fields) -> Iterator[Finding]:
    """Warn of a plateau schedule whose mode is another one than that of the metric that it goes by."""
    if not on_plateau(fields):
        return
    mode, monitors = fields.text("schedule.scheduler.mode") or "min", fields.text("monitor.mode")
    if mode in ("min", "max") and monitors in ("min", "max") and mode != monitors:
        yield fields.finding(
            "mode-conflict",
            "schedule.scheduler.mode",
            f"the schedule goes by monitor.metric={fields.text('monitor.metric')}, whose mode is {monitors}",
            severity="warning",
            effect="the rate would fall while the metric improves",
            fix=f"schedule.scheduler.mode={monitors}",
        )


def waiting_for_validations(fields: Fields) -> Iterator[Finding]:
    """Refuse an early stopping or a plateau schedule that waits for validations which never come."""
    waiting = [path for path in _early_stoppings(fields) if waits(fields, path)]
    waiting += ["schedule"] if on_plateau(fields) else []
    if not waiting or fields.get("trainer.fast_dev_run"):
        return
    named = " and ".join(waiting)
    if fields.number("trainer.limit_val_batches") == 0 and not fields.get("trainer.overfit_batches"):
        yield fields.finding(
            "no-validation",
            "trainer.limit_val_batches",
            f"there is no validation, which {named} would go by",
            fix="Allow some batches, or leave that out",
        )
        return
    epochs, place = _epochs_between_validations(fields)
    limit = fields.number("trainer.max_epochs")
    if limit is not None and 0 < limit < epochs:
        yield fields.finding(
            "no-validation",
            place,
            f"no validation happens before the end, which {named} would go by",
            effect=f"the run ends after trainer.max_epochs={limit:g}",
            fix=f"{place}={max(1, int(limit // 4))}",
        )


def without_patience(fields: Fields) -> Iterator[Finding]:
    """Warn of an early stopping that was set up but stops nothing, because all that it could go by is null."""
    for path in _early_stoppings(fields):
        touched = [name for name in ("monitor", "mode", "min_delta") if fields.by_line(f"{path}.{name}")]
        if touched and not waits(fields, path):
            yield fields.finding(
                "no-effect",
                f"{path}.{touched[0]}",
                f"has no effect, for nothing makes it stop: {path}.patience is null",
                severity="warning",
                fix=f"{path}.patience=5 stops after five validations without an improvement",
            )


def waits(fields: Fields, path: str) -> bool:
    """Say whether the early stopping at a path stops a run by its metric; NaN aside."""
    if at(fields.config, path) is not None and "patience" not in at(fields.config, path):
        return True  # of its own default
    return any(fields.get(f"{path}.{name}") is not None for name in WAITING)


def on_plateau(fields: Fields) -> bool:
    """Say whether the schedule goes by validations."""
    return fields.target("schedule.scheduler").endswith(".ReduceLROnPlateau")


def _epochs_between_validations(fields: Fields) -> tuple[float, str]:
    """Return the least number of epochs between two validations, and the key that says so."""
    every = fields.number("trainer.check_val_every_n_epoch") or 1
    interval: Any = fields.get("trainer.val_check_interval")
    if not isinstance(interval, str):
        return every, "trainer.check_val_every_n_epoch"
    try:
        length = duration(interval)
    except ConfigError:
        return every, "trainer.check_val_every_n_epoch"
    epochs = length.value if length.unit == "ep" else 0.0
    return max(epochs, every), "trainer.val_check_interval" if epochs > every else "trainer.check_val_every_n_epoch"


def _early_stoppings(fields: Fields) -> Iterator[str]:
    for path in fields.entries("callbacks"):
        if fields.target(path).startswith("trainkit.") and fields.target(path).endswith(".EarlyStopping"):
            yield path


def _is_trainkits(fields: Fields, path: str) -> bool:
    return fields.target(path).startswith("trainkit.callbacks.")


def _among(names: tuple[str, ...], what: str = "the run logs") -> str:
    return f"{what} {', '.join(sorted(names))}"


def _cure(fields: Fields, metric: str, names: tuple[str, ...]) -> str:
    """Return the close match, or what makes the run log such a metric."""
    leaf = metric.replace("\\", "/").rpartition("/")[2]
    kind = kind_of(fields)
    if kind == "classification" and leaf in OFFERED["Classification"] and f"val/{leaf}" not in names:
        return _would_log(fields, leaf)
    spelt = (
        metric.replace("_", "/", 1).replace("valid/", "val/").replace("validation/", "val/").replace("test/", "val/")
    )
    leaves = {name.rpartition("/")[2]: name for name in reversed(names)}
    exact = next((name for name in (spelt, leaves.get(leaf), leaves.get(leaf.rpartition("_")[2])) if name in names), "")
    starts = [name for short, name in leaves.items() if len(leaf) > 2 and short.startswith(leaf)]
    return f"Did you mean {exact or starts[0]!r}?" if exact or starts else closest(metric, list(names)).strip()


def _would_log(fields: Fields, leaf: str) -> str:
    """Return what has a metric of classification logged, beside those that are there."""
    given = [path for path in fields.entries("metrics") if fields.target(path) == "trainkit.metrics.Classification"]
    path = next(iter(given), "metrics.classification")
    there = (_given_by(fields, path, fields.target(path)) or ()) if given else ("accuracy",)
    names = f"{path}.names=[{','.join(dict.fromkeys([*there, leaf]))}]"
    return f"{names} would have it logged" if given else f"metrics=classification and {names} would have it logged"


def _is_upside_down(metric: str, mode: str) -> bool:
    leaf = metric.rpartition("/")[2]
    return (mode == "min" and leaf in LARGE_IS_GOOD) or (mode == "max" and leaf in SMALL_IS_GOOD)


def _upside_down(
    fields: Fields, place: str, metric: str, mode: str, effect: str, severity: Severity = "warning"
) -> Finding:
    good, other = ("smaller", "min") if mode == "max" else ("larger", "max")
    message = f"{metric} is the better the {good} it is, but its mode is {mode}"
    return fields.finding("mode-conflict", place, message, severity=severity, effect=effect, fix=f"{place}={other}")


RULES = (
    monitored_metric,
    early_stopping_metric,
    directions,
    plateau_mode,
    waiting_for_validations,
    without_patience,
)
