"""The zoo: each bug is found at its place, and no correct or repaired program is suspected."""

from pathlib import Path

import pytest
from zoo import PROGRAMS, checked, finds, load, repaired

BUGGY = [path for path in PROGRAMS if "\nBUG = None" not in path.read_text()]
CORRECT = [path for path in PROGRAMS if path not in BUGGY]


@pytest.mark.parametrize("path", BUGGY, ids=lambda path: path.stem)
def test_a_bug_is_found_at_its_place(path: Path) -> None:
    program = load(path)
    found = checked(program)
    assert any(finds(finding, program) for finding in found), "\n".join(f"{f.severity} {f}" for f in found)


@pytest.mark.parametrize("path", BUGGY, ids=lambda path: path.stem)
def test_a_repaired_program_is_not_suspected(path: Path, tmp_path: Path) -> None:
    program = load(path)
    if program.odd:
        pytest.skip("repaired, it keeps another oddity")
    assert [str(f) for f in checked(repaired(program, tmp_path)) if f.severity != "info"] == []


@pytest.mark.parametrize("path", CORRECT, ids=lambda path: path.stem)
def test_a_correct_program_is_not_suspected(path: Path) -> None:
    assert [str(f) for f in checked(load(path)) if f.severity != "info"] == []
    assert not [str(f) for f in checked(load(path)) if f.rule == "rule-failed"]
