"""Several loggers as one: each hears everything, and one that fails is switched off."""

import pytest

from trainkit.errors import ConfigError
from trainkit.loggers import Loggers
from trainkit.state import Counters


class Book:
    def __init__(self, error=None):
        self.calls, self.error = [], error

    def _take(self, *arguments):
        self.calls.append(arguments)
        if self.error is not None:
            raise self.error

    log = image = hyperparameters = rewind = close = _take


def say_all(loggers: Loggers) -> None:
    loggers.log({"a": 1.0}, Counters(), "step")
    loggers.image("b", None, Counters())
    loggers.hyperparameters({}, {})
    loggers.rewind(Counters())
    loggers.close()


def test_each_logger_hears_everything() -> None:
    books, told = [Book(), Book()], list[str]()
    say_all(Loggers(books, told))
    assert [len(book.calls) for book in books] == [5, 5]
    assert told == []


def test_one_that_fails_is_told_once_and_left_out() -> None:
    bad, good, told = Book(OSError("no space left")), Book(), []
    loggers = Loggers([bad, good], told)
    say_all(loggers)
    assert (len(bad.calls), len(good.calls), list(loggers)) == (1, 5, [good])
    assert told == ["the logger Book failed and is switched off: OSError: no space left"]


@pytest.mark.parametrize("error", [ConfigError("wrong"), KeyboardInterrupt()])
def test_what_is_meant_for_the_user_comes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        say_all(Loggers([Book(error)], []))


def test_a_text_goes_to_those_that_take_such() -> None:
    class Reader(Book):
        text = Book._take

    book, reader, told = Book(), Reader(), list[str]()
    loggers = Loggers([book, reader], told)
    loggers.text("freeze", "| a |", counters := Counters())
    assert (book.calls, reader.calls, told) == ([], [("freeze", "| a |", counters)], [])
    bad = Reader(OSError("full"))
    loggers = Loggers([bad, reader], told)
    loggers.text("freeze", "", counters)
    assert list(loggers) == [reader]
    assert len(told) == 1
