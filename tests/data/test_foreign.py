"""Loaders of other makers: positions by ``state_dict``, streams, and what they say when they cannot go to a place."""

import logging
import os
import signal

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate, get_worker_info

from trainkit import Trainer, supervised
from trainkit.data import Foreign, Loader, as_source, keyed_stream
from trainkit.errors import ConfigError
from trainkit.keys import Streams


@pytest.fixture(autouse=True)
def _generators_kept():
    with Streams().kept():
        yield


class Stream(IterableDataset):
    """20 samples an epoch, with noise; ``read`` counts what was asked for."""

    def __init__(self):
        self.read, self.epoch = 0, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def sample(self, number):
        self.read += 1
        x = torch.full((2,), number / 20) + self.epoch + torch.rand(2)
        return x, x.sum(0, keepdim=True)

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        yield from (self.sample(number) for number in range(first, 20, step))


class Positioned(Stream):
    """A stream that knows how far it is."""

    def __init__(self):
        super().__init__()
        self.position = 0

    def __iter__(self):
        while self.position < 20:
            self.position += 1
            yield self.sample(self.position - 1)
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state_dict):
        self.position = state_dict["position"]


class StatefulLoader:
    """In the form of torchdata's StatefulDataLoader: it starts itself only to be asked, and goes on when iterated."""

    num_workers = 2

    def __init__(self):
        self.dataset = Stream()
        self.given, self.asked_early, self.start = None, False, 0

    def __iter__(self):
        self.given, self.start = self.start, 0
        while self.given < 5:
            self.given += 1
            yield default_collate([self.dataset.sample(number) for number in range(self.given * 4 - 4, self.given * 4)])
        self.given = 0

    def state_dict(self):
        self.asked_early |= self.given is None
        return {"given": self.given or 0}

    def load_state_dict(self, state_dict):
        self.start, self.given = state_dict["given"], None


def flat(batches):
    return [[part.tolist() for part in batch] for batch in batches]


SOURCES = {
    "a data set that knows its position": lambda: DataLoader(Positioned(), 4),
    "a loader that knows its position": lambda: StatefulLoader(),
    "neither": lambda: DataLoader(Stream(), 4),
    "workers": lambda: DataLoader(Stream(), 2, num_workers=2),
}


@pytest.mark.parametrize("start", [1, 3, 5])
@pytest.mark.parametrize("name", SOURCES)
def test_a_stream_goes_on_where_it_stopped(name, start, caplog):
    unbroken = as_source(SOURCES[name](), 5)
    expected = [flat(unbroken.batches(epoch)) for epoch in (0, 1, 2)]
    assert unbroken.loader.dataset.epoch == 2
    first = as_source(SOURCES[name](), 5)
    assert first.state_dict()["position"] == {}  # nothing was begun, so nothing is asked
    list(first.batches(0))
    iterator = first.batches(1)
    assert flat(next(iterator) for _ in range(start)) == expected[1][:start]
    state = first.state_dict()
    assert torch.save(state, "/dev/null") is None
    second = as_source(SOURCES[name](), 5)
    second.load_state_dict(state)
    assert second.state_dict() == state
    torch.manual_seed(99)
    assert flat(second.batches(1, start)) == expected[1][start:]
    assert flat(second.batches(2)) == expected[2]
    knows = "position" in name
    assert second.loader.dataset.read == {"neither": 40, "workers": 0}.get(name, 40 - 4 * start)
    assert ("fetched and thrown away" in caplog.text) == (not knows)


def test_a_state_is_not_asked_for_before_the_loader_began():
    source = as_source(StatefulLoader(), 5)
    source.state_dict()
    assert not source.loader.asked_early


def test_skipping_says_how_many_batches_it_costs(caplog):
    caplog.set_level(logging.WARNING)
    list(as_source([1, 2, 3], 0).batches(0, 2))
    assert "data.train cannot go to batch 2 at once" in caplog.text
    assert "2 batches are fetched and thrown away" in caplog.text
    caplog.clear()
    list(as_source([1, 2, 3], 0).batches(0))
    assert not caplog.text


@pytest.mark.parametrize("name", ["a data set that knows its position", "neither"])
def test_the_first_batch_is_a_look_that_moves_nothing(name):
    source = as_source(SOURCES[name](), 5)
    first = flat([source.first()])
    assert flat(source.batches(0))[:1] == first
    assert len(flat(source.batches(0))) == 5


def test_the_length_is_known_where_the_loader_knows_it():
    assert len(as_source([1, 2], 0)) == 2
    with pytest.raises(TypeError):
        len(as_source(DataLoader(Stream(), 4), 0))
    assert list(Foreign([1, 2], 0)) == [1, 2]


def test_a_source_stays_what_it_is():
    loader, foreign = Loader(TensorDataset(torch.zeros(3))), Foreign([1], 0)
    assert as_source(loader, 1) is loader
    assert as_source(foreign, 1) is foreign


def test_other_data_are_refused_here_as_well(caplog):
    def loader(samples, batch_size=4):
        return DataLoader(TensorDataset(torch.arange(samples)), batch_size)

    state = as_source(loader(10), 0).state_dict()
    as_source(loader(10), 0).load_state_dict(state)
    for other, told in ((loader(11), r"data\.train: samples 10 -> 11"), (loader(10, 5), r"data\.batch_size 4 -> 5")):
        with pytest.raises(ConfigError, match=f"the data changed since the checkpoint: {told}"):
            as_source(other, 0).load_state_dict(state)
    Foreign(loader(11), 0, changed="allow").load_state_dict(state)
    assert "going on all the same" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_of_a_config_is_keyed(workers):
    def flattened(seed):
        stream = keyed_stream(Stream(), 4, seed=seed, num_workers=workers)
        return [flat(stream.batches(epoch)) for epoch in (0, 1)]

    expected = flattened(3)
    torch.manual_seed(9)
    assert flattened(3) == expected
    assert flattened(4) != expected
    assert len({str(batch) for epoch in expected for batch in epoch}) == (10 if workers == 0 else 12)


def test_a_stream_cannot_leave_samples_out():
    with pytest.raises(ConfigError, match=r"data\.on_error=skip: Stream is iterable"):
        keyed_stream(Stream(), 4, seed=0, on_error="skip")


class Positionless(Stream):
    def __iter__(self):
        yield from (self.sample(number) for number in range(20))


@pytest.mark.parametrize("dataset", [Positioned, Positionless])
@pytest.mark.parametrize("stop", [2, 5, 7, 10])
def test_a_training_on_a_stream_ends_as_if_it_had_not_been_stopped(dataset, stop):
    def trainer(**options):
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        loader = keyed_stream(dataset(), 4, seed=3)
        return Trainer(model, supervised(nn.MSELoss()), optimizer, loader, device="cpu", **options)

    whole, half, rest = trainer(max_epochs=3), trainer(max_steps=stop), trainer(max_epochs=3)
    whole.fit()
    half.fit()
    rest.load_state_dict(half.state_dict())
    rest.fit()
    assert rest.counters.step == whole.counters.step == 15
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True))


class Stopped(Positioned):
    """Gets a signal in the midst of a batch, once."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def sample(self, number):
        if number == self.at and self.epoch == 1:
            self.at = None
            os.kill(os.getpid(), signal.SIGTERM)
        return super().sample(number)


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("at", [None, 0, 2, 6, 8, 19])
@pytest.mark.parametrize("anew", [True, False])
def test_no_sample_is_lost_with_a_window_that_a_signal_breaks_off(window, at, anew):
    def trainer(at=None):
        torch.manual_seed(0)
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        options = {"device": "cpu", "max_epochs": 3, "accumulate_grad_batches": window}
        return Trainer(model, supervised(nn.MSELoss()), optimizer, DataLoader(Stopped(at), 4), **options)

    whole, stopped = trainer(), trainer(at)
    whole.fit()
    stopped.fit()
    assert (stopped.ending.status == "preempted") == (at is not None)
    rest = trainer() if anew else stopped
    if anew:
        rest.load_state_dict(stopped.state_dict())
    rest.fit()
    assert rest.counters.samples == whole.counters.samples == 60
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True))


@pytest.mark.parametrize("name", SOURCES)
def test_an_epoch_that_was_read_to_its_end_stays_ended(name):
    unbroken = as_source(SOURCES[name](), 5)
    expected = [flat(unbroken.batches(epoch)) for epoch in (0, 1)]
    first, second = as_source(SOURCES[name](), 5), as_source(SOURCES[name](), 5)
    list(first.batches(0))
    second.load_state_dict(first.state_dict())  # a window that was cut short asked for one batch too many
    assert flat(second.batches(0, len(expected[0]))) == []
    assert flat(second.batches(1)) == expected[1]
