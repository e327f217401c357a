"""The pages of the rules of ``trainkit check``: what each finds, an example, why, the fix, and a source."""

from __future__ import annotations

from pathlib import Path

from trainkit.commands.help.layout import columns, section

FOLDER = Path(__file__).parents[2] / "inspection" / "pages"


def page(rule: str) -> str | None:
    """Return the page of a rule; None if there is no such rule."""
    return FOLDER.joinpath(f"{rule}.md").read_text(encoding="utf-8").strip() if rule in names() else None


def names() -> list[str]:
    """Return the names of all rules that inspect a training."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def rows() -> dict[str, str]:
    """Return the first sentence of each rule's page."""
    return {name: _sentence(FOLDER / f"{name}.md") for name in names()}


def table() -> str:
    """Return the rules with what each finds."""
    return section("rules of `trainkit check` (help RULE says more)", columns(rows()))


def _sentence(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.strip() and not line.startswith("#")), "")
