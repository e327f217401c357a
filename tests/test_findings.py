import json

import pytest

from trainkit.errors import ConfigError
from trainkit.findings import SHOWN, Finding, FindingsError, errors_in, ordered


def finding(place: str = "trainer.max_epochs", severity="error", **rest) -> Finding:
    return Finding(rule="wrong-type", severity=severity, place=place, **{"message": "must be a whole number"} | rest)


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ({}, "trainer.max_epochs: must be a whole number"),
        ({"value": "ten"}, "trainer.max_epochs=ten: must be a whole number"),
        ({"evidence": "override a=b"}, "trainer.max_epochs: must be a whole number (override a=b)"),
        ({"file": "mine.yaml", "line": 3}, "trainer.max_epochs: must be a whole number (mine.yaml:3)"),
        ({"file": "mine.yaml", "evidence": "7 of 9"}, "trainer.max_epochs: must be a whole number (mine.yaml, 7 of 9)"),
        ({"effect": "no step is taken"}, "trainer.max_epochs: must be a whole number; no step is taken"),
        ({"fix": "Did you mean 10?"}, "trainer.max_epochs: must be a whole number. Did you mean 10?"),
        ({"place": "", "message": "no recipe"}, "no recipe"),
    ],
)
def test_a_finding_reads_as_a_sentence(rest: dict, text: str) -> None:
    assert str(finding(**rest)) == text


def test_a_finding_is_plain_values_for_tools() -> None:
    told = json.loads(json.dumps(finding(value="ten", file="mine.yaml", line=3).as_dict()))
    assert told == {
        "rule": "wrong-type",
        "severity": "error",
        "place": "trainer.max_epochs",
        "message": "must be a whole number",
        "value": "ten",
        "file": "mine.yaml",
        "line": 3,
        "evidence": "",
        "effect": "",
        "fix": "",
    }


def test_errors_come_first_each_once_and_else_in_their_order() -> None:
    found = [finding("b", "info"), finding("c"), finding("a"), finding("d", "warning"), finding("c", value="other")]
    assert [f.place for f in ordered(found)] == ["c", "a", "d", "b"]
    assert [f.place for f in errors_in(found)] == ["c", "a", "c"]


def test_a_single_error_is_told_alone() -> None:
    error = FindingsError([finding("a", "warning"), finding("b")])
    assert str(error) == "b: must be a whole number"
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2


def test_several_errors_are_told_at_once_and_a_flood_is_cut() -> None:
    assert str(FindingsError([finding("a"), finding("b")])).splitlines() == [
        "2 mistakes in the config",
        "  a: must be a whole number",
        "  b: must be a whole number",
    ]
    error = FindingsError([finding(f"key_{n}") for n in range(40)])
    lines = str(error).splitlines()
    assert lines[0] == "40 mistakes in the config"
    assert lines[-1].strip() == f"... and {40 - SHOWN} more, which `trainkit check` lists"
    assert len(lines) <= 15
    assert len(error.findings) == 40
