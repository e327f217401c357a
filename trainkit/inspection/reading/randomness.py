"""Data sets that draw or seed in ``__getitem__``: workers with copies of one generator, one seed for all samples."""

from __future__ import annotations

import ast
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.findings import Finding
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.reading.parts import Part, assigned, known_names, parts_from
from trainkit.inspection.recording import mapped
from trainkit.inspection.source import Line, called, code_of, is_own, tree, unparse, walk
from trainkit.inspection.subject import Stuck, Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
MAKERS = ("default_rng", "RandomState", "Random", "manual_seed")
SEEDS = ("manual_seed", "seed", "seed_everything", "set_seed")
ORDERS = ("permutation", "randperm", "shuffle")
LONGEST, SECONDS = 3000, 0.3
"""Samples of a stream, and time, after which it is not read to its end."""


@dataclass(frozen=True, slots=True)
class Own:
    """A generator that a data set holds, or reads as a global."""

    name: str
    holder: Any
    attribute: str
    generator: Any


def worker_generators(subject: Subject) -> Iterator[Finding]:
    """Find generators made before the workers were started, from which ``__getitem__`` draws."""
    if subject.train_set is None or subject.num_workers < 1:
        return
    for own in _drawn_from(subject):
        yield found(
            "worker-generator",
            own.name,
            "is a generator of the data set's own: each worker process gets a copy of it in the same state",
            at=_made_at(own),
            evidence=f"num_workers={subject.num_workers}, and a sample draws from {own.name}",
            effect="all workers draw identical augmentations, and the same in every epoch: its seed never changes",
            fix="Draw with torch.randn(...) or np.random, seeded per worker, or seed it with torch.initial_seed()",
        )


def _drawn_from(subject: Subject) -> list[Own]:
    with kept_generators(), quiet():
        try:
            data = copied_data(subject.train_set)
        except Exception as error:
            raise Stuck(str(error)) from error
        before = [(own, _state(own.generator)) for own in _generators(data, "train_set", 5, set())]
        try:
            _draw(data, subject)
        except Exception as error:
            raise Stuck(str(error)) from error
        finally:
            moved = [own for own, state in before if not _is_same(_state(own.generator), state)]
            for own, state in before:
                _put_back(own.generator, state)
    return [] if _per_worker(subject.train_set) else moved


def _draw(data: Any, subject: Subject) -> None:
    if isinstance(data, IterableDataset):
        stream = iter(data)
        for _ in range(3):
            next(stream, None)
        return
    for index in subject.indices(4):
        data[index]


def _generators(
    thing: Any, name: str, depth: int, seen: set[int], anchor: tuple[Any, str] | None = None
) -> Iterator[Own]:
    if depth == 0 or id(thing) in seen or isinstance(thing, Tensor | np.ndarray | str | int | float | type):
        return
    seen.add(id(thing))
    if isinstance(thing, FunctionType | MethodType):
        yield from _of_function(getattr(thing, "__func__", thing), name, seen)
        thing = getattr(thing, "__self__", None)
    items: list[tuple[str, Any]] = []
    if isinstance(thing, Mapping):
        items = [(f"{name}.{key}", value) for key, value in thing.items()]
    elif isinstance(thing, list | tuple):
        items = [(f"{name}[{index}]", value) for index, value in enumerate(thing[:50])]
    elif hasattr(thing, "__dict__"):
        items = [(f"{name}.{key}", value) for key, value in vars(thing).items()]
        for method in ("__getitem__", "__iter__", "__call__", "__getitems__"):
            for part in parts_from(getattr(type(thing), method, None), type(thing)):
                yield from _of_function(part.function, name, seen)
    for path, value in items:
        held = (thing, path.rpartition(".")[2]) if hasattr(thing, "__dict__") or anchor is None else anchor
        if isinstance(value, GENERATORS):
            yield Own(path, *held, value)
        else:
            yield from _generators(value, path, depth - 1, seen, held)


def _of_function(function: Any, name: str, seen: set[int]) -> Iterator[Own]:
    """Yield the generators that a function reads as globals or of its closure."""
    if not isinstance(function, FunctionType) or not is_own(function.__code__.co_filename):
        return
    names = known_names(function)
    for key in (*function.__code__.co_names, *function.__code__.co_freevars):
        value = names.get(key)
        if isinstance(value, GENERATORS) and id(value) not in seen:
            seen.add(id(value))
            yield Own(f"{name}: {key}", function, key, value)


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _is_same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else repr(one) == repr(other)


def _put_back(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def _per_worker(data: Any) -> bool:
    """Say whether the data set, or what it calls, asks which worker it is in."""
    words = ("get_worker_info", "initial_seed")
    entries = [getattr(type(data), name, None) for name in ("__getitem__", "__iter__")]
    parts = [part for entry in entries for part in parts_from(entry, type(data))]
    return any(called(call).rpartition(".")[2] in words for part in parts for call in part.calls())


def _made_at(own: Own) -> Line | None:
    if not isinstance(own.holder, FunctionType):
        at = assigned(type(own.holder), own.attribute)
        return at[0] if at else None
    code = code_of(own.holder)
    if code is None:
        return None
    whole = tree(code.file)
    for node in walk(whole) if whole is not None else ():
        if isinstance(node, ast.Assign) and any(called(target) == own.attribute for target in node.targets):
            return Line(code.file, node.lineno)
    return code.line(code.node)


def unsharded(subject: Subject) -> Iterator[Finding]:
    """Find an iterable data set of which every worker gives all samples."""
    data = subject.train_set
    if not isinstance(data, IterableDataset) or subject.num_workers < 2 or code_of(type(data)) is None:
        return
    if _per_worker(data):
        return
    first, second = _samples_of(data, 0), _samples_of(data, 1)
    same = first and _written(first) == _written(second)
    if same or _is_one_set(data):
        order = "" if same else ", in another order"
        yield found(
            "iterable-not-sharded",
            "train_set.__iter__",
            "gives the same samples in every worker: it does not ask torch.utils.data.get_worker_info()",
            at=subject.where_made(type(data).__iter__),
            evidence=f"num_workers={subject.num_workers}, and two workers with two seeds give the same samples{order}",
            effect=f"each sample is duplicated: an epoch holds it {subject.num_workers} times",
            fix="Write itertools.islice(samples, info.id, None, info.num_workers) with info = get_worker_info()",
        )


def _samples_of(data: Any, seed: int, count: int = 2) -> list[Any]:
    """Return the first samples of a stream; none of one that ends before."""
    with kept_generators(seed), quiet():
        try:
            taken = list(itertools.islice(iter(copied_data(data)), count))
        except Exception as error:
            raise Stuck(str(error)) from error
    return taken if len(taken) == count else []


def _is_one_set(data: Any) -> bool:
    """Say whether two workers give the same samples in different orders: whole streams, if they end soon."""
    started, streams = cpu_seconds(), []
    for seed in (0, 1):
        with kept_generators(seed), quiet():
            samples = []
            for sample in copied_data(data):
                samples.append(_written(sample))
                if len(samples) > LONGEST or cpu_seconds() - started > SECONDS:
                    return False
            streams.append(samples)
    return len(set(streams[0])) > 1 and sorted(streams[0]) == sorted(streams[1])


def _written(sample: Any) -> str:
    """Return a sample in characters, the same for equal ones; what torch shows of a tensor is slow and leaves out."""

    def listed(part: Any) -> Any:
        return (part.dtype, part.tolist()) if isinstance(part, Tensor | np.ndarray) else mapped(part, listed)

    return repr(listed(sample))


# ---------------------------------------------------------------------------- seeds


def seeds_in_samples(subject: Subject) -> Iterator[Finding]:
    """Find ``__getitem__``, its transforms and collate that seed, or make a generator with one seed for all samples."""
    told: set[Line] = set()
    for part in sample_parts(subject):
        for call in part.calls():
            line = part.line(call)
            kind = _kind(part, call)
            if kind is None or line in told or (kind == "index" and not isinstance(subject.train_set, IterableDataset)):
                continue  # a seed by index is looked for by reading samples
            told.add(line)
            yield _seed_finding(subject, part, call, kind, line)


def sample_parts(subject: Subject) -> list[Part]:
    """Return the functions of the user's that run when a training sample is read and a batch is made."""
    found_parts: dict[int, Part] = {}
    waiting: list[Any] = [subject.train_set, subject.collate]
    seen: set[int] = set()
    while waiting:
        thing = waiting.pop(0)
        if thing is None or id(thing) in seen or isinstance(thing, Tensor | np.ndarray | str | int | float):
            continue
        seen.add(id(thing))
        if isinstance(thing, FunctionType):
            parts = parts_from(thing)
        else:
            entries = [getattr(type(thing), name, None) for name in ("__getitem__", "__iter__", "__call__")]
            parts = [part for entry in entries for part in parts_from(entry, type(thing))]
            values = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
            waiting += [value for value in values if hasattr(value, "__dict__") or isinstance(value, FunctionType)]
            waiting += [item for value in values if isinstance(value, list | tuple) for item in value[:20]]
        found_parts |= {id(part.function): part for part in parts if id(part.function) not in found_parts}
    return list(found_parts.values())


def _kind(part: Part, call: ast.Call) -> str | None:
    """Return ``generator`` of one seed, ``seed`` of all processes, ``index`` seeds; None for what is no seed."""
    name = called(call)
    last = name.rpartition(".")[2]
    own_generator = (
        last == "manual_seed" and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call)
    )
    if not call.args and not call.keywords:
        return None
    fixed = _is_fixed(call)
    outer = part.around(call)
    if any(isinstance(item, ast.If) for item in outer) or any(
        isinstance(item, ast.With) and "fork_rng" in unparse(item) for item in outer
    ):
        return None
    if own_generator or last in ("default_rng", "RandomState", "Random"):
        return "generator" if fixed and not _only_orders(part) else None
    if seeds_process(call):
        return "seed" if fixed else "index"
    return None


def seeds_process(call: ast.Call) -> bool:
    """Say whether a call seeds a generator that the whole process draws from."""
    name = called(call)
    last = name.rpartition(".")[2]
    own = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call)
    if last not in SEEDS or own or not (call.args or call.keywords):
        return False
    return name.startswith(("torch.", "np.", "numpy.", "random.")) or last in ("seed_everything", "set_seed")


def told_by_reading(part: Part, call: ast.Call) -> bool:
    """Say whether a call's seed is one for all samples, on all ways through its function."""
    return _kind(part, call) == "seed"


def _is_fixed(call: ast.Call) -> bool:
    """Say whether the arguments are the same for every sample: constants, and attributes of ``self``."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    nodes = [node for value in values for node in walk(value)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return not any(isinstance(node, ast.Call) for node in nodes) and all(
        name == "self" or name.isupper() for name in names
    )


def _only_orders(part: Part) -> bool:
    draws = {called(call).rpartition(".")[2] for call in part.calls()} & {*ORDERS}
    others = {
        "normal",
        "standard_normal",
        "random",
        "uniform",
        "randn",
        "rand",
        "integers",
        "randint",
        "choice",
        "bernoulli",
    }
    return bool(draws) and not others & {called(call).rpartition(".")[2] for call in part.calls()}


def _seed_finding(subject: Subject, part: Part, call: ast.Call, kind: str, line: Line) -> Finding:
    text = unparse(call)
    message = {
        "generator": f"makes a generator with one seed for every sample, {text}",
        "seed": f"sets the seed of the whole process to one value for every sample, {text}",
        "index": f"sets the seed of the whole process for each sample, {text}",
    }[kind]
    effect = "a sample is augmented alike in all epochs, and the dropout of the next step follows from its last sample"
    if kind != "index":
        effect = "all samples get identical random numbers: the augmentation is one constant"
    return found(
        "seed-in-sample",
        f"{part.place}: {called(call) or text}",
        message,
        severity="info" if kind == "index" else "error",
        at=line,
        effect=effect,
        fix="Seed once before training; for noise that repeats, draw from torch.Generator().manual_seed(seed + index)",
    )


RULES = (worker_generators, unsharded, seeds_in_samples)
