"""Ways in which people write each bug, and correct programs that look like them: what reading tells of each.

A variation in ``variations/*.txt`` begins with ``### name | rule | severity | piece of the line``, without more for a
correct one; it defines ``Net``, and in ``MORE`` what differs from the usual parts of a training.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from trainkit.findings import Finding
from trainkit.inspection import reading
from trainkit.inspection.check import Subject, _attach
from trainkit.inspection.reading.contracts import uninitialised

HEAD = """import torch, copy, random, math
import numpy as np
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, TensorDataset, IterableDataset
def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y
MORE = {}
"""
TAIL = """
def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        **MORE,
    }
"""


def variations() -> dict[str, tuple[list[str], str]]:
    found = {}
    for path in sorted((Path(__file__).parent / "variations").glob("*.txt")):
        for block in f"\n{path.read_text()}".split("\n### ")[1:]:
            first, _, body = block.partition("\n")
            name, *wanted = [part.strip() for part in first.split("|", 3)]
            found[name] = (wanted, HEAD + body + TAIL)
    return found


ALL = variations()
BUGGY = [name for name in ALL if ALL[name][0]]
CORRECT = [name for name in ALL if not ALL[name][0]]


def told(name: str, source: str, folder: Path, data: bool = True) -> list[Finding]:
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(f"variation_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    parts: dict[str, Any] = module.build()
    model, make = parts.pop("model"), parts.pop("make_optimizer")
    if missing := uninitialised(model):
        return missing
    subject = Subject(model, given=model)
    for key, value in parts.items():
        if data or key not in ("train_set", "val_set"):
            setattr(subject, key, value)
    _attach(subject, make, None)
    return [finding for rule in reading.RULES for finding in rule(subject)]


@pytest.mark.parametrize("name", BUGGY)
@pytest.mark.filterwarnings("ignore")
def test_a_bug_is_told_at_its_line(name: str, tmp_path: Path) -> None:
    (rule, severity, piece), source = ALL[name]
    line = source[: source.index(piece)].count("\n") + 1
    found = [(f.rule, f.severity, f.line) for f in told(name, source, tmp_path)]
    assert (rule, severity, line) in found
    assert {f[0] for f in found if f[1] != "info"} <= {rule, *ALSO.get(rule, ())}


ALSO = {
    "made-in-forward": ("noise-in-eval",),
    "state-not-detached": ("graph-kept",),
    "mutable-default": ("repeated-layer",),
}


@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.filterwarnings("ignore")
def test_a_correct_program_is_not_suspected(name: str, tmp_path: Path) -> None:
    assert [str(f) for f in told(name, ALL[name][1], tmp_path) if f.severity != "info"] == []


@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.filterwarnings("ignore")
def test_a_correct_program_is_not_suspected_without_data(name: str, tmp_path: Path) -> None:
    assert [str(f) for f in told(name, ALL[name][1], tmp_path, data=False) if f.severity != "info"] == []
