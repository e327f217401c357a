"""Holding the journals of two runs against each other: what is the same, where they part first, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainkit.callbacks.digests import digests
from trainkit.callbacks.recorder import OF_THE_CLOCK, is_of_the_clock, read_journal
from trainkit.checkpoint import read

ORDER, CONTENT, GRADIENTS = "order of samples", "content of batches", "loss and gradients"
VALIDATIONS, RECORDS, CHECKPOINTS = "validations", "metrics.jsonl", "last and best checkpoint"
STATES = {
    "model": "weights and buffers",
    "optimizer": "optimizer moments",
    "schedule": "schedule",
    "averaging": "weight average",
    "precision": "loss scale",
    "callbacks": "callbacks",
    "data": "state of the data",
}
REST = "counters and metrics"
PARTS = (ORDER, CONTENT, GRADIENTS, *STATES.values(), REST, VALIDATIONS, RECORDS, CHECKPOINTS)
"""What is compared, in the order in which one leads to the next within a step."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs part."""

    part: str
    """One of ``PARTS``."""
    name: str
    """The tensor, sample or record."""
    where: str
    """Such as ``step 17 (batch 16 of epoch 1)``."""
    short: str
    """Such as ``step 17``."""
    process: int = 0
    """How many kills the run had been through."""


@dataclass(slots=True)
class Comparison:
    """What a run has in common with another one."""

    items: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    """How many things were compared, by part."""
    first: dict[str, Difference] = field(default_factory=dict)
    """The first difference of each part that has one, the very first of all at the front."""

    @property
    def very_first(self) -> Difference | None:
        """The difference that came before all others, None if there is none."""
        return next(iter(self.first.values()), None)

    def note(self, part: str, items: int, difference: Difference | None) -> None:
        """Count what was compared, and keep the difference if it is the part's first."""
        self.items[part] += items
        if difference is not None:
            self.first.setdefault(part, difference)


def compare(expected: Path, other: Path) -> Comparison:
    """Compare the run recorded in a folder with the one in another: each line of the journal, then what is left.

    Lines that a run wrote more than once, because it had to repeat a step, must all agree.
    """
    comparison = Comparison()
    lines = read_journal(expected)
    parameters: list[str] = next((line["parameters"] for line in lines if line["kind"] == "start"), [])
    reference = {(line["kind"], line["position"]): line for line in lines}
    reached = set()
    for line in read_journal(other):
        key = line["kind"], line["position"]
        reached.add(key)
        if line["kind"] in ("step", "validation", "epoch"):
            for part, items, name in _parted(reference.get(key), line, parameters):
                difference = None if name is None else Difference(part, name, _where(line), *_short(line))
                comparison.note(part, items, difference)
    for kind, position in reference:
        if kind in ("step", "epoch") and (kind, position) not in reached:
            line = reference[kind, position]
            difference = Difference(REST, f"the {kind} is missing", _where(line), *_short(line))
            comparison.note(REST, 1, difference)
            break
    for part, items, name, where in _left(expected / "run", other / "run", parameters):
        comparison.note(part, items, None if name is None else Difference(part, name, where, where, -1))
    return comparison


def _parted(expected: Line | None, line: Line, parameters: Sequence[str]) -> Iterator[tuple[str, int, str | None]]:
    """Yield each part of a line, the number of things in it, and the name of the first that differs."""
    if expected is None:
        yield REST, 1, f"the other run has no such {line['kind']}"
    elif line["kind"] == "validation":
        name = _differing(expected["metrics"], line["metrics"])
        yield VALIDATIONS, len(line["metrics"]), name
    elif line["kind"] == "epoch":
        yield REST, 1, None if expected["epoch"] == line["epoch"] else "the number of the epoch"
    else:
        yield ORDER, len(line["indices"]), _order(expected, line)
        yield CONTENT, len(line["batches"]), _content(expected, line)
        gradients = _differing(expected.get("gradients", {}), line.get("gradients", {}))
        loss = None if expected["loss"] == line["loss"] else "the loss"
        name = loss or (gradients and f"the gradient of {gradients}")
        yield GRADIENTS, 1 + len(line.get("gradients", {})), name
        yield from _states(expected["state"], line["state"], parameters)


def _states(
    expected: Mapping[str, str], state: Mapping[str, str], parameters: Sequence[str]
) -> Iterator[tuple[str, int, str | None]]:
    for prefix, part in (*STATES.items(), (None, REST)):
        ours, theirs = (
            {path: value for path, value in either.items() if _prefix(path) == prefix} for either in (state, expected)
        )
        if ours or theirs:
            name = _differing(theirs, ours)
            yield part, len(ours), None if name is None else _readable(name, parameters)


def _prefix(path: str) -> str | None:
    top = path.partition(".")[0]
    return top if top in STATES else None


def _readable(path: str, parameters: Sequence[str]) -> str:
    """Return the path of an item of a state, with the parameter's name where an optimizer numbers it."""
    match path.split("."):
        case ["optimizer", "state", number, *rest] if number.isdigit() and int(number) < len(parameters):
            return f"optimizer {'.'.join(rest)} of {parameters[int(number)] or f'parameter {number}'}"
        case ["model", *rest]:
            return ".".join(rest)
    return path


def _differing(expected: Mapping[str, Any], values: Mapping[str, Any]) -> str | None:
    """Return the first key whose values differ or that one of the two lacks, None if there is none."""
    return next((key for key in {**expected, **values} if expected.get(key) != values.get(key)), None)


def _order(expected: Line, line: Line) -> str | None:
    for number, (wanted, got) in enumerate(zip(expected["indices"], line["indices"], strict=False)):
        if wanted != got:
            return (
                f"batch {line['batch'] - len(line['indices']) + number} holds samples {_few(got)}, not {_few(wanted)}"
            )
    return None if len(expected["indices"]) == len(line["indices"]) else "the number of batches in the window"


def _few(numbers: Sequence[int]) -> str:
    return f"[{', '.join(map(str, numbers[:4]))}{', ...' if len(numbers) > 4 else ''}]"


def _content(expected: Line, line: Line) -> str | None:
    path = _differing(expected["batches"], line["batches"])
    if path is None:
        return None
    for wanted, got, indices in zip(expected["samples"], line["samples"], line["indices"], strict=False):
        differing = [index for index, a, b in zip(indices, wanted, got, strict=False) if a != b]
        if differing:
            others = f", as do {len(differing) - 1} more of the {len(indices)} in the batch" if differing[1:] else ""
            return f"sample {differing[0]} of the training set{others}"
    number, _, leaf = path.partition(".")
    return f"{leaf or 'the batch'} of batch {number} of the window"


def _where(line: Line) -> str:
    if line["kind"] == "step":
        return f"step {line['step']} (batch {line['batch'] - 1} of epoch {line['epoch']}, both counted from 0)"
    return f"the {'end of the ' if line['kind'] == 'epoch' else ''}{line['kind']} after step {line['step']}"


def _short(line: Line) -> tuple[str, int]:
    return f"step {line['step']}", line["process"]


def _left(expected: Path, other: Path, parameters: Sequence[str]) -> Iterator[tuple[str, int, str | None, str]]:
    """Compare what two runs left in their folders."""
    wanted, got = (records(folder) for folder in (expected, other))
    number = next((n for n, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), None)
    if number is not None:
        name = _differing(wanted[number], got[number])
        was, is_ = (records[number].get(name or "", "missing") for records in (wanted, got))
        yield RECORDS, len(got), f"{name}: {is_}, not {was}", f"record {number + 1}, step {got[number]['step']}"
    else:
        uneven = f"{len(got)} records, not {len(wanted)}"
        yield RECORDS, len(got), None if len(wanted) == len(got) else uneven, "the end"
    for which in ("last", "best"):
        before, after = (checkpoint(folder, which) for folder in (expected, other))
        path = _differing(before, after)
        yield CHECKPOINTS, len(after), None if path is None else _readable(path, parameters), f"{which}.ckpt"


def records(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    records = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
    return [{name: value for name, value in record.items() if not is_of_the_clock(name)} for record in records]


def checkpoint(folder: Path, which: str) -> dict[str, str]:
    """Return the digests of a checkpoint's items, of the best one those that an evaluation reads."""
    path = folder / "checkpoints" / f"{which}.ckpt"
    if not path.exists():
        return {}
    state = {
        name: value for name, value in read(path).items() if name != "about"
    }  # about: command line, folder, versions
    if which == "best":
        state = {name: state[name] for name in ("model", "averaging")}
    return {path: value for path, value in digests(state).items() if not is_of_the_clock(path)}


# ---------------------------------------------------------------------- why


def cause(first: Difference, again: Comparison, journal: Sequence[Line]) -> tuple[str, str]:
    """Return the likely cause of a difference and how to mend it.

    Args:
        first: The difference of the cut run, or of the second unbroken one.
        again: What the two unbroken runs have in common.
        journal: That of the first run, which tells what no checkpoint holds.
    """
    moved, generators = (
        {k: v for line in journal for k, v in line.get(of, {}).items()} for of in ("moved", "generators")
    )
    unkept = moved | {path: f"{kind}, private" for path, kind in generators.items()}
    always = again.very_first is not None
    if first.part in (ORDER, CONTENT):
        why, mend = _of_the_data(always, first.part)
        roots: tuple[str, ...] = ("data.",)
    elif first.part == GRADIENTS or (first.part == STATES["model"] and not always):
        why, mend = _of_the_model(always)
        roots = ("model", "objective")
    else:
        why, mend = _of_the_rest(always, first.name)
        roots = ("callbacks.",)
    suspects = [f"{path} ({kind})" for path, kind in unkept.items() if path.startswith(roots)]
    return why + ("; look at " + ", ".join(suspects[:4]) if suspects else ""), mend


def _of_the_data(always: bool, part: str) -> tuple[str, str]:
    if always:
        why = (
            "two unbroken runs differ there too: the data set draws from the operating system's entropy (a generator "
            "without a seed), or reads the clock"
        )
    else:
        what = "the order of the samples" if part == ORDER else "an unkeyed draw in the data set: what it gives"
        why = (
            f"two unbroken runs agree: {what} depends on what was fetched before, by a private generator or a counter, "
            "which no checkpoint holds"
        )
    return why, (
        "draw from torch's, numpy's or random's global generators: they are keyed by seed, epoch and sample before "
        "each sample, in workers too"
    )


def _of_the_model(always: bool) -> tuple[str, str]:
    if always:
        why = (
            "two unbroken runs differ there too, on the same batch and weights: a non-deterministic kernel, or a draw "
            "in the model or objective from a generator without a seed"
        )
        return why, "try trainer.deterministic=true, and draw from torch's global generator, keyed before each batch"
    return (
        "two unbroken runs agree: the model or objective keeps something between steps that no checkpoint holds",
        "register_buffer() puts a tensor into the checkpoint; draw from torch's global generator, which is keyed",
    )


def _of_the_rest(always: bool, name: str) -> tuple[str, str]:
    if always:
        why = (
            "two unbroken runs differ there too: a time-dependent value, or one from the operating system's entropy, "
            f"in what computes {name}"
        )
        return why, f"numbers of a clock are left out if their names end in {', '.join(OF_THE_CLOCK)}"
    return (
        f"two unbroken runs agree: what computes {name} keeps something that no checkpoint holds",
        "give a callback a state_dict() and load_state_dict() for all that it counts",
    )
