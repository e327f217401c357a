"""What loading weights did, as a short table, as values for ``summary.json``, and as text for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 3
WIDTH = 100


@dataclass(slots=True)
class LoadReport:
    """What a load did with each tensor of the file and of the model. All names are full."""

    source: str
    """What the weights were called, such as ``ResNet18_Weights.IMAGENET1K_V1``."""
    total: int = 0
    """Number of the model's tensors, buffers included."""
    matched: dict[str, str] = field(default_factory=dict)
    """The name in the file for each of the model's tensors that was loaded."""
    missing: list[str] = field(default_factory=list)
    """The model's tensors that the file lacks, and may."""
    mismatched: list[tuple[str, str, str]] = field(default_factory=list)
    """Those that have another shape or kind in the file, and may: name, the file's shape, the model's."""
    unexpected: list[str] = field(default_factory=list)
    """The file's tensors that the model has no place for, and that may be left over."""
    left_out: list[str] = field(default_factory=list)
    """The file's tensors that were not asked for: those outside ``prefix``."""
    fresh: list[str] = field(default_factory=list)
    """The model's tensors that kept their initial values: the missing and the mismatched ones together."""
    heads: list[str] = field(default_factory=list)
    """The replaced heads that were loaded all the same, since the file's are of the same classes."""
    anew: list[str] = field(default_factory=list)
    """The replaced heads that keep their new values although the file has some of that shape, of other classes."""
    prefixes: tuple[str, ...] = ()
    """What wrappers put before the names in the file."""

    def table(self) -> str:
        """Return the report as lines for people, at most one for each kind."""
        rows = [(label, str(count), shown) for label, count, shown in self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        lines = [f"  {label:<{widths[0]}}  {count:>{widths[1]}}  {shown}".rstrip() for label, count, shown in rows]
        return "\n".join([f"weights of {self.source}: {len(self.matched)} of {self.total} tensors loaded", *lines])

    def markdown(self) -> str:
        """Return the report as a Markdown table, which TensorBoard shows as text."""
        rows = [f"| {label} | {count} | {shown} |" for label, count, shown in self._rows()]
        return "\n".join([f"Weights of `{self.source}`", "", "| | tensors | |", "|---|---|---|", *rows])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for ``summary.json``: the counts of all kinds, and the names of what was not loaded."""
        return {
            "source": self.source,
            "total": self.total,
            "matched": len(self.matched),
            "newly_initialised": list(self.fresh),
            "missing": list(self.missing),
            "mismatched": [list(row) for row in self.mismatched],
            "unexpected": list(self.unexpected),
            "left_out": len(self.left_out),
            "heads_loaded": list(self.heads),
            "heads_made_anew": list(self.anew),
        }

    def __str__(self) -> str:
        return self.table()

    def _rows(self) -> list[tuple[str, int, str]]:
        shapes = [f"{name} {given} (model {own})" for name, given, own in self.mismatched]
        renamed = [f"{name} from {other}" for name, other in self.matched.items() if name != other]
        rows = [
            ("matched", len(self.matched), some(renamed)),
            ("newly initialised", len(self.fresh), some(self.fresh)),
            ("of another shape", len(self.mismatched), some(shapes)),
            ("left over in the file", len(self.unexpected), some(self.unexpected)),
            ("outside the prefix", len(self.left_out), some(self.left_out)),
            ("heads of these classes", len(self.heads), some(self.heads)),
            ("heads made anew", len(self.anew), f"{some(self.anew)} (head.outputs=null takes the file's)"),
            ("taken off the names", len(self.prefixes), some(self.prefixes)),
        ]
        return [row for row in rows if row[1]]


def some(names: Sequence[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name[:WIDTH] for name in names[:SHOWN]) + more
