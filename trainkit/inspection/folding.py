"""Findings of one cause become one, the cause, which says what followed from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trainkit.findings import Finding

FOLLOWS: dict[str, tuple[str, ...]] = {}
"""Rules by the rule that tells their cause: found anywhere beside it, they are part of its evidence."""


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those that follow from others, and without repetitions at one line."""
    kept: list[Finding] = []
    all_found = list(findings)
    causes = {finding.rule for finding in all_found}
    for finding in all_found:
        cause = next((rule for rule in causes if finding.rule in FOLLOWS.get(rule, ())), None)
        if cause is None:
            kept.append(finding)
    told = {rule: [f.rule for f in all_found if f.rule in follows] for rule, follows in FOLLOWS.items()}
    return [_with(finding, told.get(finding.rule, [])) for finding in kept]


def _with(finding: Finding, followers: list[str]) -> Finding:
    if not followers:
        return finding
    more = f"hence also {', '.join(dict.fromkeys(followers))}"
    return replace(finding, evidence=f"{finding.evidence}; {more}" if finding.evidence else more)
