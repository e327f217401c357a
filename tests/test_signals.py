"""Signals: the first asks, the second insists, and the handlers are put back."""

import os
import signal
import threading

import pytest

from trainkit.signals import CAUGHT, Interrupt


def send(number):
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())  # lets Python run the handler


def handlers():
    return [signal.getsignal(number) for number in CAUGHT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted(number):
    with Interrupt() as interrupt:
        assert interrupt.received is None
        send(number)
        assert interrupt.received is number


def test_the_second_signal_interrupts():
    before = handlers()

    def insist():
        with Interrupt():
            send(signal.SIGTERM)
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="SIGINT"):
        insist()
    assert handlers() == before


def test_handlers_are_put_back_and_the_signal_is_forgotten():
    before = handlers()
    with Interrupt() as interrupt:
        assert handlers() != before
        send(signal.SIGTERM)
    assert handlers() == before
    assert interrupt.received is None  # or an evaluation after a preempted fit would break off


def test_each_entry_begins_anew():
    interrupt = Interrupt()
    for _ in range(2):
        with interrupt:
            assert interrupt.received is None
            send(signal.SIGTERM)


def test_another_thread_catches_nothing():
    before, seen = handlers(), []

    def enter():
        with Interrupt():
            seen.append(handlers())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
