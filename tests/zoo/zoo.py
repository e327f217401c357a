"""Programs with one silent bug each, their repairs, and correct programs that a nervous checker flags.

A program of ``programs/`` has ``build()``, which gives model, data sets, loss, ``make_optimizer`` and more. ``BUG`` is
None in a correct one, else what a good finding has to say. ``FIX`` holds the smallest repair as replacements in the
source; a repaired program is a correct one too, but for those that are ``ODD``.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainkit.findings import Finding
from trainkit.inspection import inspect as inspected

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
TAKEN = set(inspect.signature(inspected).parameters)


@dataclass(frozen=True)
class Program:
    """One program, as it is or repaired."""

    path: Path
    parts: dict[str, Any]
    bug: dict[str, Any] | None
    source: str
    fix: list[tuple[str, str]]
    odd: bool

    @property
    def line(self) -> int:
        """The line at fault."""
        assert self.bug is not None
        start = self.source.index("\n}\n", self.source.index("BUG = {"))
        after = self.source.index("FIX = [", start) if "FIX = [" in self.source else start
        position = self.source.index(self.bug["code"], self.source.index("\n]\n", after) if self.fix else after)
        return self.source.count("\n", 0, position) + 1


def load(path: Path) -> Program:
    """Import a program and build what it trains."""
    spec = importlib.util.spec_from_file_location(f"zoo_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    torch.manual_seed(0)  # a network may begin badly by chance
    bug, fix = module.BUG, getattr(module, "FIX", [])
    return Program(path, module.build(), bug, path.read_text(), fix, getattr(module, "ODD", False))


def repaired(program: Program, folder: Path) -> Program:
    """Write the repaired program into a folder and load it."""
    head, _, body = program.source.partition("\nFIX = [")
    _, _, body = body.partition("\n]\n")
    for old, new in program.fix:
        assert body.count(old) == 1, f"{program.path.name}: {old!r} occurs {body.count(old)} times"
        body = body.replace(old, new)
    head = re.sub(r"BUG = \{.*?\n\}", "BUG = None", head, flags=re.DOTALL)
    path = folder / program.path.name
    path.write_text(f"{head}\nFIX: list = []\n{body}")
    return load(path)


def checked(program: Program, **more: Any) -> list[Finding]:
    """Check a program as a user would."""
    parts = {**program.parts, **more}
    parts["optimizer"] = parts.pop("make_optimizer", None)
    parts["scheduler"] = parts.pop("make_scheduler", None)
    return inspected(parts.pop("model"), **{name: value for name, value in parts.items() if name in TAKEN})


def finds(finding: Finding, program: Program) -> bool:
    """Say whether a finding is the one: severity, place or line, a word of the cause; and the rule where it is said."""
    bug = program.bug
    assert bug is not None
    text = f"{finding.place} {finding}"
    at_line = finding.file is not None and Path(finding.file).name == program.path.name and finding.line == program.line
    place = bug["where"].lower() in text.lower() or at_line
    words = any(word.lower() in text.lower() for word in bug["keywords"])
    return finding.severity == bug["severity"] and place and words and bug.get("rule") in (None, finding.rule)
