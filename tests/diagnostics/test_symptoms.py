"""How symptoms become sentences."""

import pytest
from fits import mlp, trainer

from trainkit.diagnostics.symptoms import CAUSES, Symptom, other_rate, rounded, sentences


def symptom(rule: str, weight: int = 50, needs: tuple[str, ...] = ()) -> Symptom:
    return Symptom(rule, weight, f"What of {rule}", f"numbers of {rule}", f"cure of {rule}", needs)


def test_the_weightiest_comes_first_and_no_more_than_wanted() -> None:
    told = sentences([symptom("a", 10), symptom("b", 90), symptom("c", 50)], 2)
    assert told == ["What of b: numbers of b; try cure of b.", "What of c: numbers of c; try cure of c."]


def test_what_follows_from_another_is_told_with_it() -> None:
    told = sentences([symptom("updates-large", 10), symptom("unlearned", 70), symptom("a", 50)], 5)
    assert told[0] == (
        "What of updates-large: numbers of updates-large; hence what of unlearned (numbers of unlearned); "
        "try cure of updates-large."
    )
    assert len(told) == 2


def test_a_chain_of_causes_is_one_sentence() -> None:
    told = sentences([symptom("unlearned"), symptom("gradients-vanishing"), symptom("units-saturated")], 5)
    assert len(told) == 1
    assert told[0].startswith("What of units-saturated")


def test_what_may_be_harmless_is_told_only_with_its_harm() -> None:
    assert sentences([symptom("updates-small", needs=("unlearned",))], 5) == []
    assert len(sentences([symptom("updates-small", needs=("unlearned",)), symptom("unlearned")], 5)) == 1


@pytest.mark.parametrize("rule", CAUSES)
def test_nothing_causes_itself(rule: str) -> None:
    seen, waiting = set(), list(CAUSES[rule])
    while waiting:
        cause = waiting.pop()
        assert cause != rule
        if cause not in seen:
            seen.add(cause)
            waiting += CAUSES.get(cause, ())


def test_a_rate_is_that_of_the_config_times_a_factor() -> None:
    fitted = trainer(mlp(8, 4), [], lr=0.03)
    fitted.optimizer.param_groups[0]["lr"] = 1e-9  # a schedule is at its end
    assert other_rate(fitted, 0.1) == "optimizer.lr=0.003"


@pytest.mark.parametrize(("value", "one_digit"), [(0.000344, 0.0003), (27.0, 30.0), (0.0, 0.0), (9.7, 10.0)])
def test_numbers_to_try_have_one_digit(value: float, one_digit: float) -> None:
    assert rounded(value) == one_digit
