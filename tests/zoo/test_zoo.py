"""The zoo: each bug is found at its place, no correct or repaired program is suspected, and no check leaves a trace."""

from pathlib import Path

import pytest
from zoo import PROGRAMS, checked, finds, load, repaired, traces

BUGGY = [path for path in PROGRAMS if "\nBUG = None" not in path.read_text()]
CORRECT = [path for path in PROGRAMS if path not in BUGGY]


@pytest.mark.parametrize("path", BUGGY, ids=lambda path: path.stem)
def test_a_bug_is_found_at_its_place(path: Path) -> None:
    program = load(path)
    before = traces(program)
    found = checked(program)
    assert traces(program) == before, "it left a trace"
    assert any(finds(finding, program) for finding in found), "\n".join(f"{f.severity} {f}" for f in found)


@pytest.mark.parametrize("path", BUGGY, ids=lambda path: path.stem)
def test_a_repaired_program_is_not_suspected(path: Path, tmp_path: Path) -> None:
    program = load(path)
    if program.odd:
        pytest.skip("repaired, it keeps another oddity")
    assert [str(f) for f in checked(repaired(program, tmp_path)) if f.severity != "info"] == []


@pytest.mark.parametrize("path", CORRECT, ids=lambda path: path.stem)
def test_a_correct_program_is_not_suspected(path: Path) -> None:
    program = load(path)
    before = traces(program)
    found = checked(program)
    assert traces(program) == before, "it left a trace"
    assert [str(f) for f in found if f.severity != "info" or f.rule == "rule-failed"] == []
