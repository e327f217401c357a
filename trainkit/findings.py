"""What a check found: a rule that was broken, where, on what evidence, what it does to a training, and the cure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trainkit.errors import ConfigError

Severity = Literal["error", "warning", "info"]
ORDER: tuple[Severity, ...] = ("error", "warning", "info")
VERDICT = "learnability"
"""Rule and place of the finding that says in words what a deep check tried; it is told last."""
SHOWN = 12
"""Findings that a refusal lists; ``trainkit check`` lists all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or that may be."""

    rule: str
    """Name of the rule, such as ``unknown-key``."""
    severity: Severity
    place: str
    """The config path, such as ``trainer.max_epochs``; the path of a module; empty for the command line itself."""
    message: str
    """What is wrong, as the rest of a sentence that begins with place and value: ``must be a whole number``."""
    value: str | None = None
    """What stands there, where that says something."""
    file: str | None = None
    line: int | None = None
    evidence: str = ""
    """For a config, what set the value: ``override trainer.max_epochs=ten``; else numbers."""
    effect: str = ""
    """What it does to a training."""
    fix: str = ""
    """The close match, what is allowed, an override to try."""

    def __str__(self) -> str:
        shown = self.place if self.value is None else f"{self.place}={self.value}"
        text = f"{shown}: {self.message}" if shown else self.message
        origin = f" ({', '.join(part for part in (self._where, self.evidence) if part)})"
        cure = f" {self.fix}" if self.fix else ""
        effect = f"; {self.effect}" if self.effect else ""
        return f"{text}{effect}{'' if origin == ' ()' else origin}{'.' if cure else ''}{cure}"

    @property
    def _where(self) -> str:
        return "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for ``--json``."""
        return asdict(self)


class FindingsError(ConfigError):
    """All that is wrong with a config, in one message.

    Attributes:
        findings: The findings, errors first.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = ordered(findings)
        errors = [finding for finding in self.findings if finding.severity == "error"]
        shown = [str(finding) for finding in errors[:SHOWN]]
        if len(errors) > len(shown):
            shown.append(f"... and {len(errors) - len(shown)} more, which `trainkit check` lists")
        head = [f"{len(errors)} mistakes in the config"] if len(errors) > 1 else []
        super().__init__("\n  ".join([*head, *shown]))


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without repetitions, errors first, else in the order in which they were found."""
    unique = {(finding.rule, finding.place, finding.message): finding for finding in findings}
    return sorted(unique.values(), key=lambda finding: ORDER.index(finding.severity))


def errors_in(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that a run cannot start with."""
    return [finding for finding in findings if finding.severity == "error"]
