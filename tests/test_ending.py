"""Why and when a run ends."""

import signal

import pytest

from trainkit.ending import Ending
from trainkit.settings import Settings
from trainkit.signals import Interrupt
from trainkit.state import Counters


def ending_of(**settings):
    return Ending(Settings(**settings), Interrupt())


@pytest.mark.parametrize(
    ("settings", "before", "at", "reason"),
    [
        ({"max_steps": 5}, (0, 4, 0.0), (0, 5, 0.0), "max_steps=5 reached"),
        ({"max_epochs": 2}, (1, 99, 0.0), (2, 99, 0.0), "max_epochs=2 reached"),
        ({"max_time": "2min"}, (9, 9, 119.9), (9, 9, 120.0), "max_time=2min reached"),
        ({"max_epochs": 0}, None, (0, 0, 0.0), "max_epochs=0 reached"),
        ({"max_epochs": 2, "max_steps": 5}, (1, 4, 0.0), (1, 5, 0.0), "max_steps=5 reached"),
    ],
)
def test_the_settings_complete_a_run(settings, before, at, reason):
    ending = ending_of(**settings)
    if before:
        assert not ending.reached(Counters(epoch=before[0], step=before[1]), before[2])
        assert ending.reason == ""
    assert ending.reached(Counters(epoch=at[0], step=at[1]), at[2])
    assert (ending.status, ending.reason) == ("completed", reason)


def test_the_first_wish_stops_the_run():
    ending = ending_of(max_epochs=9)
    ending.wish("enough")
    ending.wish("more than enough")
    assert ending.reached(Counters(), 0.0)
    assert (ending.status, ending.reason) == ("stopped", "enough")


def test_a_wish_waits_for_min_epochs_also_over_a_resume():
    ending, resumed = (ending_of(min_epochs=2, max_epochs=9) for _ in range(2))
    ending.wish("enough")
    assert not ending.reached(Counters(epoch=1), 0.0)
    resumed.load_state_dict(ending.state_dict())
    resumed.reopen()
    assert not resumed.reached(Counters(epoch=1), 0.0)
    assert resumed.reached(Counters(epoch=2), 0.0)
    assert (resumed.status, resumed.reason) == ("stopped", "enough")


def test_a_granted_wish_does_not_stop_the_next_fit():
    ending = ending_of(max_epochs=9)
    ending.wish("enough")
    assert ending.reached(Counters(), 0.0)
    ending.reopen()
    assert not ending.reached(Counters(), 0.0)


def test_the_reason_given_first_stays():
    ending = ending_of(max_steps=5)
    ending.wish("enough")
    assert ending.reached(Counters(step=5), 0.0)
    assert ending.reached(Counters(step=5), 0.0)
    assert (ending.status, ending.reason) == ("stopped", "enough")


def test_a_signal_comes_before_everything_else():
    interrupt = Interrupt()
    ending = Ending(Settings(max_steps=0, min_epochs=5), interrupt)
    ending.wish("enough")
    interrupt.received = signal.SIGTERM
    assert ending.reached(Counters(), 0.0)
    assert (ending.status, ending.reason) == ("preempted", "SIGTERM")


def test_an_error_fails_the_run():
    ending = ending_of(max_epochs=1)
    ending.fail(ValueError("no"))
    assert (ending.status, ending.reason) == ("failed", "ValueError: no")
    ending.reopen()
    assert (ending.status, ending.reason) == ("completed", "")
