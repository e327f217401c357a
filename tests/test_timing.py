"""Durations, what is due, and when to validate."""

import pytest

from trainkit.errors import ConfigError
from trainkit.state import Counters
from trainkit.timing import Cadence, Duration, Every, Moment, duration


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("10ep", 10, "ep"),
        ("0.5ep", 0.5, "ep"),
        (".5ep", 0.5, "ep"),
        (" 500 st ", 500, "st"),
        ("90s", 90, "s"),
        ("90sec", 90, "s"),
        ("30min", 1800, "s"),
        ("1.5h", 5400, "s"),
        ("2d", 172800, "s"),
        ("01:30", 90, "s"),
        ("01:00:05", 3605, "s"),
        ("1:02:03:04", 93784, "s"),
    ],
)
def test_durations_are_read(text, value, unit):
    assert duration(text) == Duration(value, unit)


@pytest.mark.parametrize("text", ["", "10", "ep", "0st", "-1ep", "10 apples", "1e3st", "0:00", "1:2:3:4:5", 500, True])
def test_other_texts_are_refused_with_examples(text):
    with pytest.raises(ConfigError, match=r"is no duration; write such as '10ep'"):
        duration(text)


@pytest.mark.parametrize(("text", "steps"), [("500st", 500), ("2ep", 20), ("0.25ep", 2)])
def test_duration_in_steps(text, steps):
    assert duration(text).steps(10) == steps


@pytest.mark.parametrize(("text", "steps_per_epoch"), [("10min", 10), ("2ep", None)])
def test_duration_of_unknown_steps_is_refused(text, steps_per_epoch):
    with pytest.raises(ConfigError, match=r"cannot be told in steps here"):
        duration(text).steps(steps_per_epoch)


def test_duration_prints_as_it_is_written():
    assert [str(duration(text)) for text in ("0.5ep", "500st", "2min")] == ["0.5ep", "500st", "120s"]


@pytest.mark.parametrize(
    ("text", "count"), [("1ep", 3), ("0.7ep", 5), ("0.1ep", 35), ("20st", 1), ("40st", 0), ("7s", 2)]
)
def test_count_is_of_whole_durations(text, count):
    assert duration(text).count(Moment(epochs=3.5, steps=39, seconds=20.9)) == count


def test_count_forgives_the_rounding_of_floats():
    assert [duration("0.1ep").count(Moment(tenths / 10, 0, 0)) for tenths in range(30)] == list(range(30))


def at(steps):
    return Moment(0.0, steps, 0.0)


def test_every_is_due_once_a_period():
    every = Every(duration("3st"))
    assert [step for step in range(1, 11) if every.is_due(at(step))] == [3, 6, 9]
    assert not every.is_due(at(10))


def test_every_makes_up_for_a_leap_only_once():
    every = Every(duration("3st"))
    assert [step for step in (2, 11, 12, 13, 14) if every.is_due(at(step))] == [11, 12]


def test_every_counts_from_where_a_run_goes_on():
    every = Every(duration("3st"))
    every.start(at(6))
    assert [step for step in range(7, 13) if every.is_due(at(step))] == [9, 12]


def test_never_is_never_due():
    every = Every(None)
    every.start(at(5))
    assert not any(every.is_due(at(step)) for step in range(10))


def validations(cadence, epochs=2, batches=10, window=1):
    """Return (epoch, batch) of each validation of a run."""
    found, counters = [], Counters()
    for epoch in range(epochs):
        counters.epoch, counters.batch = epoch, 0
        while counters.batch < batches:
            trained = min(window, batches - counters.batch)
            counters.batch, counters.total_batches = counters.batch + trained, counters.total_batches + trained
            counters.step += 1
            if cadence.is_due(counters):
                found.append((epoch, counters.batch))
                counters.validated = counters.total_batches
        if cadence.is_due_after_epoch(counters):
            found.append((epoch, "end"))
            counters.validated = counters.total_batches
    return found


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (1.0, [(0, "end"), (1, "end")]),
        ("1ep", [(0, "end"), (1, "end")]),
        ("2ep", [(1, "end")]),
        (4, [(0, 4), (0, 8), (1, 4), (1, 8)]),
        (0.5, [(0, 5), (0, 10), (1, 5), (1, 10)]),
        ("0.5ep", [(0, 5), (0, 10), (1, 5), (1, 10)]),
        ("7st", [(0, 7), (1, 4)]),
        (0.01, [(epoch, batch) for epoch in (0, 1) for batch in range(1, 11)]),
    ],
)
def test_validations_come_when_the_interval_says(interval, expected):
    assert validations(Cadence(interval, 10, 1, 1)) == expected


def test_an_interval_inside_a_window_waits_for_its_end():
    assert validations(Cadence(4, 10, 3, 1), epochs=1, window=3) == [(0, 6), (0, 9)]


def test_only_every_nth_epoch_is_validated():
    assert validations(Cadence(1.0, 10, 1, 3), epochs=7) == [(2, "end"), (5, "end")]
    assert validations(Cadence(5, 10, 1, 2), epochs=3) == [(1, 5), (1, 10)]
    assert validations(Cadence(1.0, 10, 1, 0)) == validations(Cadence(5, 10, 1, 0)) == []


def test_a_validated_position_is_not_due_again():
    cadence, counters = Cadence(5, 10, 1, 1), Counters(batch=5, step=5, total_batches=5)
    assert cadence.is_due(counters)
    counters.validated = 5
    assert not cadence.is_due(counters)


def test_intervals_without_a_length_are_refused():
    with pytest.raises(ConfigError, match=r"val_check_interval=0\.5: the loader has no length"):
        Cadence(0.5, None, 1, 1)
    assert validations(Cadence(5, None, 1, 1), epochs=1) == [(0, 5), (0, 10)]


@pytest.mark.parametrize("interval", ["30min", "1.5ep"])
def test_impossible_intervals_are_refused(interval):
    with pytest.raises(ConfigError, match=r"trainer\.val_check_interval=.*must be"):
        Cadence(interval, 10, 1, 1)
