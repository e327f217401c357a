"""Numbers of words: one vocabulary for both sets, and numbers that no rounding makes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.passes import PROBED
from trainkit.inspection.probes.integers import harmless
from trainkit.inspection.probes.origins import Origin, made_at, origin, stored, whole_of
from trainkit.inspection.probes.tables import Table, table
from trainkit.inspection.recording import flat
from trainkit.inspection.source import Line, called, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found, unpacked
from trainkit.inspection.untouched import kept_generators

SHARED = 4
"""Words that two vocabularies must share to be held against each other."""
MANY = 50_000
"""Words of a list that are looked at."""
KINDS = 10
"""Different ids from which their order of first occurrence is no accident."""
UNKNOWN = 0.3
"""Share of validation tokens from which one id stands for words that are not known."""
WHOLE = {torch.float16: 2**11, torch.bfloat16: 2**8, torch.float32: 2**24}
"""The number up to which a type holds all whole numbers."""
FITTING = ("fit", "fit_transform", "fit_on_texts", "factorize", "build_vocab", "build_vocab_from_iterator", "Counter")
"""Functions that number what they are given."""


def one_vocabulary(subject: Subject) -> Iterator[Finding]:
    """Hold the numbers of words in the two sets against each other, by the vocabularies that they keep or show."""
    train, val = subject.train_set, subject.val_set
    if train is None or val is None or whole_of(train) is whole_of(val):
        return
    told = _by_mappings(subject) or _by_first_use(subject)
    if told is None:
        return
    line, evidence = told
    yield found(
        "vocabulary-per-split",
        "val_set: vocabulary",
        "has a vocabulary of its own: one word has different ids (indices) in the training set (train_set) and here",
        at=line or made_at(subject, "val_set"),
        evidence=evidence,
        effect="the embedding looks up other words than it has learned: validation is at chance",
        fix="Build the vocabulary once, of the training texts, and pass that mapping to both: vocab=train.vocab",
    )


def _by_mappings(subject: Subject) -> tuple[Line | None, str] | None:
    """Find a mapping of words that both sets keep under one name, with other numbers."""
    mine, theirs = (dict(_mappings(whole_of(data))) for data in (subject.train_set, subject.val_set))
    for path, words in mine.items():
        others = theirs.get(path)
        if others is None or others is words:
            continue
        both = [word for word in words if word in others]
        apart = [word for word in both if words[word] != others[word]]
        if len(both) < SHARED or not apart or not _are_looked_up(_tokens(table(subject, "val_set")), others):
            continue
        word = apart[0]
        numbers = f"{word!r}: {words[word]} and {others[word]}"
        return None, f"{path}: {len(apart)} of {len(both)} shared words differ, such as {numbers}"
    return None


def _mappings(thing: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Yield the mappings of strings to numbers that an object keeps, and lists of strings as such."""
    for name, value in vars(thing).items() if hasattr(thing, "__dict__") else ():
        place = f"{path}.{name}".lstrip(".")
        if isinstance(value, Mapping) and value and all(isinstance(key, str) for key in value):
            if all(type(number) is int for number in value.values()):
                yield place, value
        elif isinstance(value, list | tuple | np.ndarray) and SHARED <= len(value) <= MANY:
            words = list(value)
            if all(isinstance(word, str) for word in words) and len(set(words)) == len(words):
                yield place, {str(word): number for number, word in enumerate(words)}
        elif depth < 2 and hasattr(value, "__dict__") and not isinstance(value, type):
            yield from _mappings(value, place, depth + 1)


def _tokens(rows: Table | None) -> set[int]:
    """Return the whole numbers that the first inputs of samples hold."""
    given = [sample.inputs[0].flatten() for sample in rows.samples] if rows is not None else []
    whole = [tensor for tensor in given if not tensor.is_floating_point() and not tensor.is_complex()]
    return set(torch.cat(whole).tolist()) if whole else set()


def _are_looked_up(used: set[int], words: Mapping[str, int]) -> bool:
    """Say whether the samples are made of a mapping's numbers, which then are no names of samples."""
    known = set(words.values())
    return len(used & known) >= max(SHARED, 0.5 * len(known)) and len(used - known) <= SHARED


def _by_first_use(subject: Subject) -> tuple[Line | None, str] | None:
    """Find ids in the order of each set's first use, or of its own counts, made by a function that numbers words."""
    call = _numbering_call(subject)
    train, val = (table(subject, name) if call is not None else None for name in ("train_set", "val_set"))
    if train is None or val is None or train.raw is None or val.raw is None or not (train.complete and val.complete):
        return None
    how = None
    if _counts_up(train.raw) and _counts_up(val.raw):
        how = "count up in the order of first use"
    elif _own_call(subject) is not None and _ranks(train.raw) and _ranks(val.raw):
        how = "are ranks of how often words occur"
    if call is None or how is None:
        return None
    size = min(train.raw.shape[0], val.raw.shape[0])
    if torch.equal(train.raw[:size], val.raw[:size]):
        return None
    return call, f"in both sets ids {how}: each was numbered by itself"


def _counts_up(tokens: Tensor) -> bool:
    """Say whether new ids come in ascending order and without a gap."""
    flat = tokens.flatten().numpy()
    _, first = np.unique(flat, return_index=True)
    kinds = flat[np.sort(first)]
    kinds = kinds[kinds > 1]
    return len(kinds) >= KINDS and bool((np.diff(kinds) == 1).all())


def _ranks(tokens: Tensor) -> bool:
    """Say whether an id is the rarer the larger it is, without exception; the first may be of unknown words."""
    if tokens.is_floating_point() or int(tokens.min()) < 0:
        return False
    kinds, counts = np.unique(tokens.flatten().numpy(), return_counts=True)
    kinds, counts = kinds[kinds > 0], counts[kinds > 0]
    return len(kinds) >= KINDS and int(kinds[-1]) == len(kinds) and bool((np.diff(counts) <= 0).all())


def _numbering_call(subject: Subject) -> Line | None:
    """Return the line that calls, for the validation set alone, what numbers words; else that of the set."""
    val = origin(subject, "val_set")
    if val is None or not any(_numbers(part) for part in val.parts):
        return None
    return _own_call(subject) or val.line


def _own_call(subject: Subject) -> Line | None:
    """Return the line that calls what numbers words in making the validation set, and not the other."""
    train, val = origin(subject, "train_set"), origin(subject, "val_set")
    if train is None or val is None:
        return None
    names = _numbering(val)
    for part in [val.entry, *val.parts]:
        if part in train.parts or isinstance(part, ast.FunctionDef | ast.ClassDef):
            continue
        for node in walk(part):
            if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in names:
                return Line(val.file, node.lineno)
    return None


def _numbering(made: Origin) -> set[str]:
    """Return the names of the functions and classes that number words, be it by calling another."""
    functions = [part for part in made.parts if isinstance(part, ast.FunctionDef | ast.ClassDef)]
    names = {part.name for part in functions if _numbers(part)}
    for _ in functions:
        names |= {part.name for part in functions if {called(c) for c in walk(part) if isinstance(c, ast.Call)} & names}
    return names | set(FITTING)


def _numbers(part: ast.AST) -> bool:
    """Say whether a piece of source gives words their numbers."""
    for node in walk(part):
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in (*FITTING, "setdefault"):
            return True
        if isinstance(node, ast.DictComp) and "enumerate" in unparse(node):
            return True
        grows = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript)
        if grows and isinstance(node, ast.Assign) and called(node.value) == "len":
            return True
    return False


def unknown_words(subject: Subject) -> Iterator[Finding]:
    """Find one id that stands for a large part of the validation tokens, and for hardly any in training."""
    train, val = table(subject, "train_set"), table(subject, "val_set")
    if train is None or val is None or train.raw is None or val.raw is None or len(train.shape) != 1:
        return
    if val.raw.numel() < 200 or train.raw.dtype not in (torch.int64, torch.int32) or not _is_embedded(subject):
        return
    token = int(val.raw.flatten().mode().values)
    there, here = (float((rows == token).double().mean()) for rows in (train.raw, val.raw))
    at_end = float((val.raw[:, -1] == token).double().mean())
    if here < UNKNOWN or there > UNKNOWN / 15 or at_end > 2 * here or len(train.raw.unique()) < SHARED:
        return
    yield found(
        "words-unknown",
        "val_set: tokens",
        f"are mostly id {token} (unknown, <unk>), which hardly occurs in the training set (train_set): their words are "
        "not in its vocabulary, so their distribution differs",
        at=made_at(subject, "val_set"),
        evidence=f"{here:.0%} of the validation tokens are {token}, {there:.1%} of the training tokens",
        effect="validation shows the model words that it has never seen; its embedding of them is untrained",
        fix="Treat both texts alike before the look-up (lower case, punctuation, the same tokenizer)",
    )


def _is_embedded(subject: Subject) -> bool:
    if not subject.runs:
        return False
    calls = subject.trace.recording.calls
    return any(isinstance(call.module, nn.Embedding | nn.EmbeddingBag) for call in calls)


def numbered_by_batch(subject: Subject) -> Iterator[Finding]:
    """Collate samples in another order: tokens of a sample that change, but for their names, are numbered by batch."""
    if subject.train_set is None or subject.collate is None:
        return
    samples = subject.samples(PROBED)
    try:
        with kept_generators():
            batches = [subject.collated(part) for part in (samples, samples, samples[::-1])]
        with kept_generators(1):
            drawn = next(flat(unpacked(subject.collated(samples))[0]), None)
    except Exception:  # noqa: BLE001 - the user's collate; another rule tells what it raises
        return
    given = [next(flat(unpacked(batch)[0]), None) for batch in batches]
    one, again, other = (x if x is not None and x.dim() == 2 and len(x) == len(samples) else None for x in given)
    if one is None or again is None or other is None or one.dtype not in (torch.int64, torch.int32):
        return
    if not torch.equal(one, again) or one.shape != other.shape or len(samples) < 8:
        return
    if drawn is None or not torch.equal(one, drawn):
        return  # permuted at random, as an augmentation
    rows = [(a.tolist(), b.tolist()) for a, b in zip(one, other.flip(0), strict=True)]
    apart = sum(a != b for a, b in rows)
    if apart < 0.5 * len(rows) or any(_pattern(a) != _pattern(b) for a, b in rows):
        return
    code = code_of(subject.collate)
    numbering = [node for node in walk(code.node) if _numbers(node)] if code is not None else []
    lines = (
        [node for node in numbering if hasattr(node, "lineno") and node is not code.node] if code is not None else []
    )
    yield found(
        "numbered-by-batch",
        "collate: vocabulary",
        "numbers words anew in each batch: one word has different ids (indices) from batch to batch",
        at=code.line(lines[0]) if code is not None and lines else subject.where_made(subject.collate),
        evidence=f"with the same samples in another order {apart} of {len(rows)} rows hold other ids, with the same "
        "pattern",
        effect="the embedding cannot learn what a word means: its row is another word's in the next batch",
        fix="Build the vocabulary (mapping) once, of all training texts, outside of collate",
    )


def _pattern(row: list[int]) -> list[int]:
    """Return a row with its numbers replaced by the order of their first occurrence."""
    order: dict[int, int] = {}
    return [order.setdefault(number, len(order)) for number in row]


def rounded(subject: Subject) -> Iterator[Finding]:
    """Find whole numbers that a data set stores, or a step casts, in a type that does not hold them all."""
    if subject.train_set is None:
        return
    for path, value in stored(subject.train_set).items():
        if not isinstance(value, Tensor) or value.dtype not in WHOLE or value.numel() < 2:
            continue
        told = _rounded(value)
        if told is not None and not (value.is_floating_point() and harmless(subject.train_set, value)):
            yield _finding(subject, f"train_set.{path}", _stored_at(subject, path), value.dtype, told)
            return
    if not subject.runs:
        return
    for op in subject.trace.recording.ops:
        given, cast = (op.inputs[0].tensor, op.outputs[0].tensor) if op.inputs and op.outputs else (None, None)
        if given is None or cast is None or given.dtype not in (torch.int64, torch.int32) or cast.dtype not in WHOLE:
            continue
        if given.shape == cast.shape and given.numel() and int(given.abs().max()) > WHOLE[cast.dtype]:
            lost = int((cast.to(torch.float64) != given.to(torch.float64)).sum())
            if lost and op.own:
                place = f"{op.module or type(subject.model).__name__}: {op.name}"
                yield _finding(subject, place, op.line, cast.dtype, int(given.abs().max()))
                return


def _rounded(value: Tensor) -> int | None:
    """Return the greatest of whole numbers that were rounded, if they are."""
    flat = value.flatten()[:100_000].double()
    greatest = float(flat.abs().max())
    if greatest <= WHOLE[value.dtype] or not bool(flat.isfinite().all()) or bool((flat != flat.round()).any()):
        return None
    large = flat[flat.abs() > WHOLE[value.dtype]]
    return int(greatest) if len(large) >= 8 and len(large) > 0.1 * len(flat) else None


def _finding(subject: Subject, place: str, line: Line | None, dtype: torch.dtype, greatest: int) -> Finding:
    name = str(dtype).removeprefix("torch.")
    return found(
        "ids-rounded",
        place,
        f"holds whole numbers up to {greatest:,} (ids, timestamps) in {name}, which is exact up to {WHOLE[dtype]:,} "
        "only: precision is lost, and neighbours collide",
        at=line,
        evidence=f"the resolution of {name} at {greatest:,} is {_step(greatest, dtype):g}",
        effect="different ids share a row of the embedding; differences of times are rounding",
        fix="Keep them as int64 (torch.long), and subtract a start before casting times to floats",
    )


def _step(greatest: int, dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps * 2 ** int(np.log2(greatest)))


def _stored_at(subject: Subject, path: str) -> Line | None:
    """Return the line of the data set's class that stores an attribute, else where the set is made."""
    made, name = origin(subject, "train_set"), path.partition(".")[0]

    def sets(node: ast.AST) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else []
        return any(isinstance(item, ast.Attribute) and item.attr == name for each in targets for item in walk(each))

    def casts(node: ast.AST) -> bool:
        text = unparse(node) if isinstance(node, ast.Call) else ""
        return any(
            word in text.rpartition("(")[0][-9:] or word in text[-16:]
            for word in ("half", "float16", "float32", "float")
        )

    return (made.find(sets) or made.find(casts)) if made is not None else made_at(subject, "train_set")


RULES = (one_vocabulary, unknown_words, numbered_by_batch, rounded)
