"""Errors for people: an exit code each, and the nearest word."""

import pytest

from trainkit.errors import ConfigError, TrainingError, closest


def test_exit_codes_are_those_of_the_contract():
    assert (ConfigError.exit_code, TrainingError.exit_code) == (2, 1)


def test_closest_suggests_the_nearest_choice():
    assert closest("max_epoch", ["min_epochs", "max_epochs", "max_steps"]) == " Did you mean 'max_epochs'?"


@pytest.mark.parametrize("choices", [["cosine", "linear"], []])
def test_closest_is_silent_when_nothing_is_near(choices):
    assert closest("zzz", choices) == ""
