"""What differs between the config of a checkpoint and that of the run that goes on from it, and what becomes of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from textwrap import shorten
from typing import Any, Literal

from trainkit.config.secrets import MASKED, is_secret
from trainkit.errors import ConfigError

Verdict = Literal["applied", "ignored", "refused"]

NOT_OF_THE_RUN = ("name", "tags", "run_dir", "resume", "recipe", "debug", "hydra", "check", "data.changed")
"""Keys that name, find or start a run, and shape nothing in it."""
WIDEST_KEY, WIDEST_VALUE = 44, 26

LAST_BITS = "the last bits may differ from an unbroken run"
ORDER = "it decides what a batch holds, and by batches the place in the epoch is known"

# The first pattern that matches a key has its verdict. What holds for a single value stands before its group.
RULES: tuple[tuple[str, Verdict, str], ...] = (
    ("seed", "refused", "all randomness is keyed by it"),
    ("optimizer._target_", "refused", "its moments mean nothing to another class"),
    ("optimizer.fused", "applied", f"another kernel: {LAST_BITS}"),
    ("optimizer.foreach", "applied", f"another kernel: {LAST_BITS}"),
    ("optimizer.capturable", "applied", f"another kernel: {LAST_BITS}"),
    ("optimizer.lr", "applied", "the new rate, along the schedule's curve; moments stay"),
    ("optimizer*", "applied", "from the next step on; moments stay"),
    ("parameter_groups*", "applied", "the new options, as long as each group holds the same parameters"),
    ("freeze*", "applied", "as long as each group holds the same parameters; what is frozen may thaw at another time"),
    ("weights*", "ignored", "the checkpoint has the weights"),
    ("head*", "applied", "if the weights fit: names and shapes decide"),
    ("model*", "applied", "if the weights fit: names and shapes decide"),
    ("schedule*", "applied", "the run goes on along the new curve"),
    ("trainer.max_epochs", "applied", "on to the new end, along the schedule's new curve"),
    ("trainer.max_steps", "applied", "on to the new end, along the schedule's new curve"),
    ("trainer.max_time", "applied", "time counts from the first start of the run"),
    ("trainer.precision", "applied", "other roundings: not bit for bit the unbroken run"),
    ("trainer.device", "applied", "other kernels: not bit for bit the unbroken run"),
    ("trainer.strategy", "applied", "other sums: not bit for bit the unbroken run"),
    ("trainer.compile", "applied", f"other kernels: {LAST_BITS}"),
    ("trainer.deterministic", "applied", f"other kernels: {LAST_BITS}"),
    ("trainer.threads", "applied", f"other sums: {LAST_BITS}"),
    ("trainer.accumulate_grad_batches", "applied", "from the next window of batches on"),
    ("trainer.limit_train_batches", "applied", "the present epoch ends at its new length"),
    ("trainer.overfit_batches", "applied", "from the next batch on"),
    ("trainer.gradient_clip*", "applied", "from the next step on"),
    ("trainer.*val*", "applied", "from the next validation on"),
    ("trainer.inference_mode", "applied", "from the next validation on"),
    ("trainer.limit_test_batches", "applied", "the test at the end goes by it"),
    ("trainer.log_every_n_steps", "applied", "records from now on; it changes no weight"),
    ("trainer*", "applied", "from the next step on"),
    ("monitor*", "applied", "the best so far starts anew"),
    ("objective*", "applied", "from the next step on; the best so far is that of the former loss"),
    ("penalty*", "applied", "from the next step on"),
    ("averaging*", "applied", "the average so far goes on by the new rule"),
    ("callbacks*", "applied", "its state goes on"),
    ("diagnostics*", "applied", "its state goes on; it changes no weight"),
    ("loggers*", "applied", "records from now on; it changes no weight"),
    ("checkpoint*", "applied", "from the next save on; it changes no weight"),
    ("metrics*", "applied", "from the next validation on; it changes no weight"),
    ("test", "applied", "what comes after the training; it changes no weight"),
    ("data.num_workers", "applied", "it changes no bit"),
    ("data.prefetch_factor", "applied", "it changes no bit"),
    ("data.persistent_workers", "applied", "it changes no bit"),
    ("data.pin_memory", "applied", "it changes no bit"),
    ("data.timeout", "applied", "it changes no bit"),
    ("data.val_batch_size", "applied", f"from the next validation on; {LAST_BITS} in its values"),
    ("data.on_error", "applied", "from the next sample on"),
    ("data.max_errors", "applied", "from the next sample on"),
    ("data.batch_size", "refused", ORDER),
    ("data.shuffle", "refused", ORDER),
    ("data.drop_last", "refused", "it decides how many batches an epoch has"),
    ("data.split_seed", "refused", "validation samples would become training samples"),
    ("data.datasets.split_seed", "refused", "validation samples would become training samples"),
    ("data.preprocessing*", "refused", "the model knows pictures as they were prepared before"),
    ("data.datasets.preprocessing*", "refused", "the model knows pictures as they were prepared before"),
    ("data.*augment*", "applied", "from the next sample on"),
    ("data.*download", "applied", "it changes no bit"),
    ("data.*folder", "applied", "if the data there are the same: the checkpoint knows them"),
    ("data.datasets*", "refused", "these are other samples, or in another order"),
    ("data*", "applied", "a fact of the data that the model is built by"),
    ("*", "applied", "taken from the config"),
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One key whose value is another one now."""

    key: str
    before: Any
    """None where the checkpoint's config does not have it."""
    after: Any
    """None where it was left out since."""
    verdict: Verdict
    reason: str


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two resolved configs, as plain values, in the order of the second.

    Args:
        saved: The config that the checkpoint was written under.
        now: That of the run which goes on from it.

    Returns:
        One difference for each key that differs. A node that is in one of them alone is one difference.
    """
    now = json.loads(json.dumps(now, default=str))  # as the saved one was: keys are texts, tuples lists
    allowed = (now.get("data") or {}).get("changed") == "allow"
    found = []
    for key, before, after in _changes("", saved, now):
        if not any(key == name or key.startswith(f"{name}.") for name in NOT_OF_THE_RUN):
            found.append(Difference(key, before, after, *_verdict(key, before, after, allowed)))
    return found


def require_no_refusal(found: Sequence[Difference]) -> None:
    """Raise a :class:`ConfigError` with the table of all differences if one of them is refused, and say the way out."""
    refused = [difference for difference in found if difference.verdict == "refused"]
    if not refused:
        return
    backwards = [shlex.quote(f"{d.key}={_text(d.key, d.before)}") for d in refused if not isinstance(d.before, dict)]
    ways = [f"take back what is refused ({' '.join(backwards)})" if backwards else "take back what is refused"]
    if all(difference.key.startswith("data.") for difference in refused):
        ways.append("allow it (data.changed=allow)")
    ways.append("begin anew with these weights (resume=weights:CHECKPOINT run_dir=NEW)")
    order = sorted(found, key=lambda difference: difference.verdict != "refused")
    keys = ", ".join(difference.key for difference in refused)
    raise ConfigError(f"{keys}: the run cannot go on with another one; {', or '.join(ways)}\n{table(order)}")


def table(found: Sequence[Difference]) -> str:
    """Return the differences as lines: key, old and new value, what becomes of it and why."""
    rows = [("key", "before", "now", "verdict"), *map(_cells, found)]
    columns = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    reasons = ["", *(difference.reason for difference in found)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, columns, strict=True)), reason]).rstrip()
        for row, reason in zip(rows, reasons, strict=True)
    )
    return "\n".join(lines)


def _cells(difference: Difference) -> tuple[str, str, str, str]:
    """Return the row of a difference without its reason, each cell short enough."""
    before, after = _cell(difference.key, difference.before), _cell(difference.key, difference.after)
    if difference.key.endswith("._target_") and before.rsplit(".", 1)[-1] != after.rsplit(".", 1)[-1]:
        before, after = before.rsplit(".", 1)[-1], after.rsplit(".", 1)[-1]  # the names of the classes tell enough
    shown = _shortened(before, WIDEST_VALUE), _shortened(after, WIDEST_VALUE)
    return _shortened(difference.key, WIDEST_KEY), *shown, difference.verdict


def _cell(key: str, value: Any) -> str:
    text = _text(key, value)
    if len(text) > WIDEST_VALUE and isinstance(value, Mapping) and "_target_" in value:
        return f"{text.partition('(')[0]}(...)"
    return text


def _shortened(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, its middle left out if need be."""
    if len(text) <= width:
        return text
    end = (width - 3) // 2
    return f"{text[: width - 3 - end]}...{text[-end:]}"


def _changes(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, old and new value wherever two nodes differ; a list is one value.

    Where the class differs, so do its arguments: only those that both have are differences of their own.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping) and ((before and after) or not path):
        other_class = not _equal(before.get("_target_"), after.get("_target_"))
        for name in [*after, *(name for name in before if name not in after)]:
            if name == "_target_" or not other_class or (name in before and name in after):
                yield from _changes(f"{path}.{name}" if path else str(name), before.get(name), after.get(name))
    elif not _equal(before, after):
        yield path, before, after


def _equal(before: Any, after: Any) -> bool:
    """Say whether two values are the same; 1 (a number of batches) is not 1.0 (a share), and a null is no value."""
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_equal, before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return all(_equal(before.get(name), after.get(name)) for name in before.keys() | after.keys())
    if _absent(before) or _absent(after):
        return _absent(before) and _absent(after)
    return type(before) is type(after) and bool(before == after or (before != before and after != after))


def _absent(value: Any) -> bool:
    return value is None or value == {}


def _verdict(key: str, before: Any, after: Any, allowed: bool) -> tuple[Verdict, str]:
    """Return what becomes of a difference, and why."""
    depth, group = key.count("."), key.split(".")[0]
    if group in ("callbacks", "diagnostics") and depth <= 1:
        if _absent(before):
            return "applied", "it begins anew"
        if _absent(after):
            return "ignored", "its state stays in the checkpoint"
    if group == "averaging" and depth == 0:
        return "applied", "it begins with the next step" if _absent(before) else "the average so far is left out"
    verdict, reason = next((verdict, reason) for pattern, verdict, reason in RULES if fnmatchcase(key, pattern))
    if verdict == "refused" and group == "data":
        if before is None and not isinstance(after, Mapping):  # such as one that an older release did not have
            return "applied", "the checkpoint's config does not have it; its data are compared all the same"
        if allowed:
            return "applied", "data.changed=allow: in the present epoch samples may come twice or never"
    return verdict, reason


def _text(key: str, value: Any) -> str:
    """Return a value as on the command line, an object as a call, and ``***`` for what stands under a secret's key."""
    if value is None:
        return "null"
    if is_secret(key):
        return MASKED
    if isinstance(value, str):
        return shorten(value, 10**6) or "''"  # a line's end in it would break the table
    if isinstance(value, Mapping) and "_target_" in value:
        arguments = [f"{k}={_text(k, v)}" for k, v in value.items() if k != "_target_" and v is not None]
        return f"{str(value['_target_']).rsplit('.', 1)[-1]}({', '.join(arguments)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_text(k, v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(key, item) for item in value) + "]"
    return json.dumps(value)
