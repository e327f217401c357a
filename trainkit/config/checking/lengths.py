"""The lengths of a run held against each other: its epochs and steps, schedules, averages, checkpoints, batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainkit.config.checking.fields import Fields
from trainkit.errors import ConfigError
from trainkit.findings import Finding
from trainkit.timing import Duration, duration


def an_end(fields: Fields) -> Iterator[Finding]:
    """Refuse a training that nothing ends."""
    limits = [fields.get(f"trainer.{name}") for name in ("max_epochs", "max_steps", "max_time", "fast_dev_run")]
    if fields.get("trainer") and limits[:3] == [None] * 3 and not limits[3]:
        message = "nothing ends the training"
        yield fields.finding("no-end", "trainer.max_epochs", message, fix="Give max_epochs, max_steps or max_time")


def least_and_most(fields: Fields) -> Iterator[Finding]:
    """Refuse ``min_epochs`` above ``max_epochs``."""
    least, most = fields.number("trainer.min_epochs") or 0, fields.number("trainer.max_epochs")
    if most is not None and least > most and not fields.get("trainer.fast_dev_run"):
        fix = f"trainer.min_epochs={most:g} or less, or more of the other"
        yield fields.finding(
            "length-conflict", "trainer.min_epochs", f"is more than trainer.max_epochs={most:g}", fix=fix
        )


def schedule_length(fields: Fields) -> Iterator[Finding]:
    """Hold a scheduler's own length against the run's; null takes the run's."""
    units, word = _units(fields)
    if units is None:
        return
    name = fields.target("schedule.scheduler").rpartition(".")[2]
    for key, short, long in (
        ("T_max", "the rate climbs again after it", "the rate does not come down to the end of the curve"),
        ("total_steps", "", "the rate does not come down to the end of the curve"),
        ("total_iters", "", "the rate does not reach the end of the line" if name == "LinearLR" else ""),
    ):
        place = f"schedule.scheduler.{key}"
        length = fields.number(place)
        if length is None or length == units or not fields.set_by_user(place):
            continue
        is_end = name == "OneCycleLR" and length < units
        effect = short if length < units else long
        if effect or is_end:
            yield fields.finding(
                "schedule-length",
                place,
                f"the schedule has {units} {word} of this run" + ("; torch raises after its own" if is_end else ""),
                severity="error" if is_end else "warning",
                effect=effect,
                fix=f"{place}=null takes the run's",
            )


def known_length(fields: Fields) -> Iterator[Finding]:
    """Refuse a schedule that takes the run's length where only a time ends the run."""
    limits = [fields.get(f"trainer.{name}") for name in ("max_epochs", "max_steps", "fast_dev_run")]
    if limits[:2] != [None] * 2 or limits[2] or fields.get("trainer.max_time") is None:
        return
    node = fields.get("schedule.scheduler")
    for name in ("T_max", "total_steps", "total_iters") if isinstance(node, Mapping) else ():
        if name in node and node[name] is None:
            message = "takes the length of the run, which only trainer.max_time ends"
            fix = "Give it, or trainer.max_epochs or max_steps"
            yield fields.finding("schedule-length", f"schedule.scheduler.{name}", message, fix=fix)


def schedule_steps(fields: Fields) -> Iterator[Finding]:
    """Warn of a rate that falls at times which the run does not reach."""
    units, word = _units(fields)
    if units is None:
        return
    for key in ("step_size", "milestones"):
        place = f"schedule.scheduler.{key}"
        value = fields.get(place)
        first = min(value, default=None) if key == "milestones" and _are_numbers(value) else fields.number(place)
        if first is not None and first >= units:
            message = f"the schedule has {units} {word} of this run"
            effect = "the rate never falls"
            fix = f"{place}={max(1, units // 3)}" if key == "step_size" else ""
            yield fields.finding("schedule-length", place, message, severity="warning", effect=effect, fix=fix)


def warmup(fields: Fields) -> Iterator[Finding]:
    """Warn of a warm-up that takes the whole run or more."""
    value, epochs = fields.get("schedule.warmup"), fields.number("trainer.max_epochs")
    if not value or isinstance(value, bool) or fields.get("trainer.fast_dev_run"):
        return
    run = fields.run_steps()
    length = _read(value) if isinstance(value, str) else None
    message = ""
    if length is not None and length.unit == "ep" and epochs is not None and length.value >= epochs:
        message = f"the run ends after trainer.max_epochs={epochs:g}"
    elif run is not None:
        steps = value if isinstance(value, int) else _in_steps(fields, length)
        message = f"the run has {run} steps" if steps is not None and steps >= run else ""
    if message:
        yield fields.finding(
            "schedule-length",
            "schedule.warmup",
            message,
            severity="warning",
            effect="the rate climbs to the end and never reaches its full value",
            fix="schedule.warmup=0.05 is a share of the run",
        )


def average_and_checkpoints(fields: Fields) -> Iterator[Finding]:
    """Warn of a weight average or checkpoints that the run is too short for."""
    epochs = fields.number("trainer.max_epochs")
    if epochs is None or fields.get("trainer.fast_dev_run"):
        return
    run = fields.run_steps()
    for place, effect, fix in (
        ("averaging.start", "nothing is averaged", "averaging.start=1ep"),
        ("checkpoint.every", "a run that is killed starts over", "checkpoint.every=1ep"),
    ):
        length = _read(fields.get(place))
        steps = _in_steps(fields, length)
        beyond = length is not None and length.unit == "ep" and length.value >= epochs + (place == "checkpoint.every")
        if beyond or (steps is not None and run is not None and steps > run):
            ends = f"the run ends before, after trainer.max_epochs={epochs:g}" if beyond else f"the run has {run} steps"
            yield fields.finding("beyond-the-end", place, ends, severity="warning", effect=effect, fix=fix)


def batches(fields: Fields) -> Iterator[Finding]:
    """Hold sizes that are told in batches against those of the training set, once it is known."""
    samples, size = fields.samples, fields.number("data.batch_size")
    if samples is not None and size and size > samples and fields.get("data.drop_last"):
        message = f"the training set has {samples:,} samples, and data.drop_last=true leaves out a smaller batch"
        yield fields.finding("no-batch", "data.batch_size", message, fix=f"At most {samples}")
    settings = fields.settings()
    epoch = fields.epoch_batches()
    if not fields.batches or epoch is None or settings.fast_dev_run:
        return
    interval = settings.val_check_interval
    if isinstance(interval, int) and interval > epoch:
        message = f"an epoch has {epoch} batches"
        fix = "1.0 validates at its end, a text such as 500st in every so many steps"
        yield fields.finding("beyond-the-end", "trainer.val_check_interval", message, fix=fix)
    if settings.accumulate_grad_batches > epoch:
        place, message = "trainer.accumulate_grad_batches", f"an epoch has {epoch} batches"
        effect = "each epoch is one step"
        yield fields.finding("beyond-the-end", place, message, severity="warning", effect=effect)


def _units(fields: Fields) -> tuple[int | None, str]:
    """Return how often the scheduler advances in this run, and the word for it; None where that is not known."""
    settings = fields.settings()
    if settings.fast_dev_run or fields.get("trainer.fast_dev_run") or not fields.target("schedule.scheduler"):
        return None, ""
    per_epoch, total = fields.epoch_steps(), fields.run_steps()
    if (fields.text("schedule.interval") or "step") == "epoch":
        if total is not None and per_epoch:
            return -(-total // per_epoch), "epochs"
        only_epochs = settings.max_steps is None and settings.max_time is None
        return (settings.max_epochs if only_epochs else None), "epochs"
    if total is None:
        return None, ""
    value = fields.get("schedule.warmup") or 0
    share = isinstance(value, float)
    steps = round(value * total) if share else value if isinstance(value, int) else _in_steps(fields, _read(value))
    return (None if steps is None else total - steps), "steps"


def _in_steps(fields: Fields, length: Duration | None) -> int | None:
    if length is None or length.unit == "s":
        return None
    per_epoch = fields.epoch_steps()
    return length.steps(per_epoch) if length.unit == "st" or per_epoch is not None else None


def _read(value: object) -> Duration | None:
    try:
        return duration(value) if isinstance(value, str) else None
    except ConfigError:
        return None  # whoever holds the single value says so


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


RULES = (
    an_end,
    least_and_most,
    schedule_length,
    known_length,
    schedule_steps,
    warmup,
    average_and_checkpoints,
    batches,
)
