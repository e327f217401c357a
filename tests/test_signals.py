"""Signals: the first asks, the second insists, and the handlers are put back."""

import os
import signal
import threading
import time

import pytest

from trainkit.signals import SAVING, STOPPING, Interrupt, Interrupted, held_back


def send(number):
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())  # lets Python run the handler


def handlers():
    return [signal.getsignal(number) for number in (*STOPPING, SAVING)]


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


def test_a_hang_up_is_a_signal_too_unless_it_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with Interrupt() as interrupt:
            send(signal.SIGHUP)
            assert interrupt.received is signal.SIGHUP
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with Interrupt() as interrupt:
            send(signal.SIGHUP)
            assert interrupt.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_user_signal_asks_for_a_save_and_stops_nothing():
    asked = []
    interrupt = Interrupt()
    interrupt.save = lambda: asked.append(1)
    with interrupt:
        send(signal.SIGUSR1)
        send(signal.SIGUSR1)
        assert (asked, interrupt.received) == ([1, 1], None)


def test_the_grace_ends_like_a_second_signal():
    def never_end():
        with Interrupt(grace=0.2):
            send(signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        never_end()


def test_no_grace_is_left_running():
    with Interrupt(grace=0.2):
        send(signal.SIGTERM)
    time.sleep(0.5)  # a timer that was left would kill this process
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


class Slow:
    """Gives two items at once and then makes one wait."""

    def __init__(self, number):
        self.number, self.given = number, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.given += 1
        if self.given > 2:
            send(self.number)
            time.sleep(60)
        return self.given


def test_a_signal_ends_the_wait_for_a_batch():
    with Interrupt() as interrupt:
        assert list(interrupt.waits(Slow(signal.SIGTERM))) == [1, 2]
        assert interrupt.received is signal.SIGTERM
        assert list(interrupt.waits(iter([1]))) == []  # nothing more is fetched


def test_a_signal_outside_the_wait_lets_the_step_finish():
    with Interrupt() as interrupt:
        waiting = interrupt.waits(iter([1, 2, 3]))
        assert next(waiting) == 1
        send(signal.SIGINT)  # in the middle of a step
        assert list(waiting) == []


def test_an_error_of_the_source_comes_through():
    def broken():
        yield 1
        raise ValueError("broken")

    with Interrupt() as interrupt, pytest.raises(ValueError, match="broken"):
        list(interrupt.waits(broken()))


def test_a_section_is_finished_before_the_wait_is_given_up():
    done = []

    def starting():
        with held_back(), held_back():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # another thread would note it at some time
            done.append("started")
        done.append("never")
        yield 1

    with Interrupt() as interrupt:
        assert list(interrupt.waits(starting())) == []
    assert done == ["started"]
    with held_back():
        pass  # nothing is left of the signal


def test_a_forked_process_leaves_signals_to_the_main_one():
    with Interrupt() as interrupt:
        child = os.fork()
        if child == 0:
            try:
                send(signal.SIGINT)
                os._exit(7 if interrupt.received is None else 1)
            except Interrupted:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
