"""The keyed loader: batches that depend on the seed and on nothing else."""

import gc
import multiprocessing
import os
import random
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)

from trainkit.data import Loader, worker
from trainkit.data.loader import as_source, length, samples_in
from trainkit.errors import ConfigError, TrainingError
from trainkit.keys import Streams


class Noisy(Dataset):
    """Samples (index, draws of torch, numpy and random); ``fetched`` lists what was asked for."""

    def __init__(self, size=22):
        self.size, self.fetched = size, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        self.fetched.append(index)
        return index, torch.rand(2), numpy.random.rand(2), random.random()


class Listing(Noisy):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Whole(Noisy):
    def __getitems__(self, indices):
        self.fetched.extend(indices)
        return torch.tensor(indices), torch.rand(len(indices))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


def batches(loader, epoch, start, key):
    return as_source(loader, key).batches(epoch, start)


def flat(iterable):
    """Return the batches as nested lists of numbers."""
    return [[part.tolist() for part in batch] for batch in iterable]


@pytest.fixture(autouse=True)
def _generators_kept():
    with Streams().kept():
        yield


@pytest.fixture(scope="module")
def expected():
    with Streams().kept():
        return [flat(Loader(Noisy(), 4, shuffle=True, seed=7).batches(epoch)) for epoch in range(3)]


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": 1, "prefetch_factor": 1},
        {"num_workers": 2, "prefetch_factor": 4},
        {"num_workers": 2, "persistent_workers": True},
        {"num_workers": 4, "prefetch_factor": 3, "persistent_workers": True},
        {"num_workers": 2, "in_order": True, "multiprocessing_context": "fork"},
    ],
)
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
def test_workers_and_prefetching_change_nothing(expected, options):
    torch.manual_seed(99)
    loader = Loader(Noisy(), 4, shuffle=True, seed=7, **options)
    assert [flat(loader.batches(epoch)) for epoch in (0, 1)] == expected[:2]
    assert flat(loader.batches(2, start=3)) == expected[2][3:]
    assert flat(loader.batches(0)) == expected[0]  # also after a later one


def test_workers_end_with_their_loader():
    loader = Loader(Noisy(), 4, num_workers=2, persistent_workers=True)
    assert [len(list(loader.batches(0))), len(list(loader.batches(1)))] == [6, 6]
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert multiprocessing.active_children() == []


def test_workers_obey_a_signal_of_the_main_process_alone():
    loader = Loader(Noisy(), 4, num_workers=1, persistent_workers=True)
    batches = loader.batches(0)
    next(batches)
    (worker,) = multiprocessing.active_children()
    for name in ("-INT", "-TERM"):
        subprocess.run(["kill", name, str(worker.pid)], check=True)
    assert len(list(batches)) == 5
    worker.terminate()  # as Python does at its exit
    worker.join(10)
    assert worker.exitcode == 0


def test_starting_workers_draws_nothing_from_the_global_generator():
    state = torch.get_rng_state()
    list(Loader(Noisy(), 4, num_workers=1).batches(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_epoch_left_early_does_not_disturb_the_next(expected):
    loader = Loader(Noisy(), 4, shuffle=True, seed=7, num_workers=2, persistent_workers=True)
    iterator = loader.batches(0)
    next(iterator)
    assert flat(loader.batches(1)) == expected[1]


def test_the_global_generators_do_not_matter(expected):
    torch.manual_seed(3)
    numpy.random.seed(3)
    random.seed(3)
    assert flat(Loader(Noisy(), 4, shuffle=True, seed=7).batches(0)) == expected[0]


@pytest.mark.parametrize("start", [0, 1, 5, 6, 7])
def test_a_later_start_gives_the_tail_and_fetches_nothing_before_it(expected, start):
    dataset = Noisy()
    loader = Loader(dataset, 4, shuffle=True, seed=7)
    assert flat(loader.batches(1, start=start)) == expected[1][start:]
    assert dataset.fetched == [index for batch in expected[1][start:] for index in batch[0]]


def test_samples_keep_their_draws_in_another_batch_size(expected):
    def samples(epoch):
        return [sample for batch in epoch for sample in zip(*batch, strict=True)]

    assert samples(flat(Loader(Noisy(), 5, shuffle=True, seed=7).batches(0))) == samples(expected[0])


def test_each_epoch_has_its_own_order_and_draws(expected):
    orders = [[index for batch in epoch for index in batch[0]] for epoch in expected]
    draws = [
        dict(zip(order, (row[0] for batch in epoch for row in batch[1]), strict=True))
        for order, epoch in zip(orders, expected, strict=True)
    ]
    assert all(sorted(order) == list(range(22)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert all(draws[0][index] != draws[1][index] for index in range(22))


def test_the_seed_decides():
    assert flat(Loader(Noisy(), 4, shuffle=True, seed=8).batches(0)) != flat(
        Loader(Noisy(), 4, shuffle=True, seed=7).batches(0)
    )


def test_without_shuffling_the_order_is_that_of_the_data_set():
    assert [batch[0] for batch in flat(Loader(Noisy(5), 2).batches(3))] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_last_batch_may_be_dropped(drop_last, sizes, num_workers):
    loader = Loader(TensorDataset(torch.arange(10)), 4, drop_last=drop_last, num_workers=num_workers)
    assert len(loader) == len(sizes)
    assert [len(batch[0]) for batch in loader.batches(0)] == sizes
    assert [len(batch[0]) for batch in loader.batches(0, start=1)] == sizes[1:]


def test_each_iteration_is_the_next_epoch(expected):
    loader = Loader(Noisy(), 4, shuffle=True, seed=7)
    assert [flat(loader), flat(loader), flat(loader)] == expected


def test_the_first_batch_is_that_of_epoch_zero_and_starts_no_epoch(expected):
    loader = Loader(Noisy(), 4, shuffle=True, seed=7, num_workers=2)
    assert flat([loader.first()]) == expected[0][:1]
    assert flat(loader) == expected[0]


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_tensor_dataset_gives_whole_batches_that_equal_the_samples(drop_last):
    class Plain(Dataset):
        def __init__(self, whole):
            self.whole = whole

        def __len__(self):
            return len(self.whole)

        def __getitem__(self, index):
            return self.whole[index]

    whole = TensorDataset(torch.randn(11, 3), torch.arange(11))
    fast, slow = (
        list(Loader(data, 4, shuffle=True, drop_last=drop_last, seed=1).batches(1, start=1))
        for data in (whole, Plain(whole))
    )
    assert len(fast) == len(slow) == (1 if drop_last else 2)
    for a, b in zip(fast, slow, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_batch_of_a_tensor_dataset_is_a_copy():
    data = torch.zeros(4)
    for (batch,) in Loader(TensorDataset(data), 2):
        batch.fill_(1)
    assert data.sum() == 0


def test_a_tensor_dataset_with_its_own_collate_goes_by_samples():
    loader = Loader(TensorDataset(torch.arange(4)), 2, collate_fn=lambda samples: [int(x) for (x,) in samples])
    assert list(loader) == [[0, 1], [2, 3]]


def test_getitems_may_return_a_list_of_samples():
    dataset = Listing()
    found = flat(Loader(dataset, 4, shuffle=True, seed=7).batches(0))
    assert found == flat(Loader(Listing(), 4, shuffle=True, seed=7, num_workers=2).batches(0))
    assert [len(batch[0]) for batch in found] == [4] * 5 + [2]


def test_getitems_may_return_a_whole_batch():
    found = flat(Loader(Whole(), 4, shuffle=True, seed=7).batches(0))
    assert found == flat(Loader(Whole(), 4, shuffle=True, seed=7, num_workers=2).batches(0))
    assert found[2:] == flat(Loader(Whole(), 4, shuffle=True, seed=7).batches(0, start=2))


def test_a_subset_is_keyed_by_sample():
    part = Subset(Noisy(), range(10, 22))
    a, b = ([row for batch in flat(Loader(part, size, seed=7).batches(0)) for row in batch[1]] for size in (2, 5))
    assert a == b
    inner, _ = random_split(part, [6, 6])
    assert len(flat(Loader(inner, 2).batches(0))) == 3


def test_a_subset_of_whole_batches_stays_whole():
    (batch,) = Loader(Subset(Whole(), [3, 5]), 2).batches(0)
    assert batch[0].tolist() == [3, 5]


def test_pinning_waits_for_a_cuda_device():
    loader = Loader(TensorDataset(torch.arange(4)), 2, pin_memory=True)
    assert [batch[0].is_pinned() for batch in loader] == [torch.cuda.is_available()] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_pinned(num_workers):
    loader = Loader(Noisy(4), 2, pin_memory=True, num_workers=num_workers)
    assert all(batch[1].is_pinned() for batch in loader)


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (TensorDataset(torch.zeros(0)), {}, "a data set of 0 samples gives no batch of 1"),
        (TensorDataset(torch.zeros(3)), {"batch_size": 4, "drop_last": True}, "3 samples gives no batch of 4"),
        (TensorDataset(torch.zeros(3)), {"batch_size": 0}, "batch_size=0: must be at least 1"),
        (Stream(), {}, "needs a data set with an index; give a torch DataLoader"),
    ],
)
def test_data_that_gives_no_batch_is_refused(dataset, options, message):
    with pytest.raises(ConfigError, match=message):
        Loader(dataset, **options)


def test_an_unknown_length_is_none():
    assert length(Loader(Noisy(), 4)) == 6
    assert length(DataLoader(Noisy(), 4)) == 6
    assert length(iter([])) is length(None) is None


# Loaders of other makers.


FOREIGN = {
    "shuffle": lambda: DataLoader(Noisy(), 4, shuffle=True),
    "workers": lambda: DataLoader(Noisy(), 4, shuffle=True, num_workers=2),
    "own generator": lambda: DataLoader(Noisy(), 4, shuffle=True, generator=torch.Generator().manual_seed(1)),
    "distributed": lambda: DataLoader(Noisy(), 4, sampler=DistributedSampler(Noisy(), num_replicas=2, rank=1)),
    "batch sampler": lambda: DataLoader(
        Noisy(), batch_sampler=BatchSampler(DistributedSampler(Noisy(), num_replicas=2, rank=1), 4, False)
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_loader_repeats_its_epochs_from_any_batch(name):
    unbroken = FOREIGN[name]()
    first, second = (flat(batches(unbroken, epoch, 0, 5)) for epoch in (0, 1))
    assert first != second
    assert [batch[0] for batch in first] != [batch[0] for batch in second]
    torch.manual_seed(99)
    assert flat(batches(FOREIGN[name](), 1, 2, 5)) == second[2:]


def test_any_iterable_is_a_loader():
    assert list(batches([1, 2, 3], 0, 1, 5)) == [2, 3]
    assert list(batches((x for x in "ab"), 0, 0, 5)) == ["a", "b"]


def test_an_iterable_that_draws_is_keyed():
    class Drawing:
        def __iter__(self):
            for _ in range(3):
                yield [torch.rand(1), torch.rand(1)]

    assert flat(batches(Drawing(), 1, 2, 5)) == flat(batches(Drawing(), 1, 0, 5))[2:]
    assert flat(batches(Drawing(), 0, 0, 5)) != flat(batches(Drawing(), 1, 0, 5))
    assert flat(batches(Drawing(), 0, 0, 6)) != flat(batches(Drawing(), 0, 0, 5))


# Windows.


@pytest.mark.parametrize(
    ("start", "stop", "size", "windows"),
    [
        (0, None, 1, [[0], [1], [2], [3], [4]]),
        (0, None, 2, [[0, 1], [2, 3], [4]]),
        (2, None, 2, [[2, 3], [4]]),
        (0, 3, 2, [[0, 1], [2]]),
        (2, 3, 1, [[2]]),
        (3, 3, 2, []),
        (4, 3, 1, []),
    ],
)
def test_windows(start, stop, size, windows):
    assert [list(window) for window in as_source(range(5), 0).windows(0, start, stop, size)] == windows


class Watched(Dataset):
    """Whole batches that must be gone before the next one is asked for."""

    def __init__(self):
        self.given = []

    def __len__(self):
        return 4

    def __getitems__(self, indices):
        assert all(batch() is None for batch in self.given)
        batch = torch.zeros(len(indices))
        self.given.append(weakref.ref(batch))
        return batch


@pytest.mark.parametrize("foreign", [False, True])
def test_a_batch_is_let_go_before_the_next_is_fetched(foreign):
    watched = Watched()
    loader = (watched.__getitems__([i]) for i in range(4)) if foreign else Loader(watched, 1)
    for window in as_source(loader, 0).windows(0, 0, None, 1):
        del window
    assert len(watched.given) == 4


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.zeros(5, 2), 5),
        ((torch.zeros(4, 2), torch.zeros(4)), 4),
        ({"x": [torch.zeros(3), torch.zeros(9)]}, 3),
        (torch.tensor(1.0), 1),
        ("text", 1),
        ([], 1),
        ({}, 1),
    ],
)
def test_samples_in_a_batch(batch, samples):
    assert samples_in(batch) == samples


# One loader read twice at once, and what the Trainer asks of it.


@pytest.mark.parametrize("persistent", [False, True])
def test_two_iterations_at_once_do_not_disturb_each_other(expected, persistent):
    loader = Loader(Noisy(), 4, shuffle=True, seed=7, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        outer, found = loader.batches(1), []
        for batch in outer:
            found += flat([batch])
            if len(found) in (2, 4):
                assert flat(loader.batches(2)) == expected[2]
        assert found == expected[1]
    assert len(multiprocessing.active_children()) == (4 if persistent else 0)
    del loader, outer
    assert multiprocessing.active_children() == []


def test_a_loader_in_a_reference_cycle_ends_its_workers_without_a_wait():
    loader = Loader(Noisy(200), 4, num_workers=2, persistent_workers=True)
    next(loader.batches(0))
    cycle = [loader]
    cycle.append(cycle)
    del loader, cycle
    started = time.monotonic()
    gc.collect()
    assert time.monotonic() - started < 5
    assert multiprocessing.active_children() == []


def test_an_iteration_that_never_began_starts_no_process():
    iterator = Loader(Noisy(), 4, num_workers=2).batches(0)
    assert multiprocessing.active_children() == []
    del iterator


def test_no_file_stays_open_when_epochs_are_left_early():
    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    under_way = 3  # batches that may have come before the one asked for, each a tensor with a file
    data = TensorDataset(torch.arange(22))
    for persistent in (False, True):
        loader, counts = Loader(data, 4, num_workers=2, persistent_workers=persistent), []
        for epoch in range(2 * under_way + 2):
            next(loader.batches(epoch))
            counts.append(descriptors())
        assert counts[-1] <= counts[0] + under_way
        del loader


class Box:
    """An object with a tensor in it."""

    def __init__(self, samples):
        self.tensor, self.open_files = torch.tensor([index for index, *_ in samples]), len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_looking_whether_an_object_can_be_sent_leaves_no_file_open():
    boxes = list(Loader(Noisy(200), 2, num_workers=1, collate_fn=Box, multiprocessing_context="fork"))
    assert torch.cat([box.tensor for box in boxes]).tolist() == list(range(200))
    assert boxes[-1].open_files < boxes[0].open_files + 20


@pytest.mark.parametrize("workers", [0, 2])
def test_any_batch_can_be_fetched_by_itself(expected, workers):
    loader = Loader(Noisy(), 4, shuffle=True, seed=7, num_workers=workers)
    assert flat([loader.fetch(2, 3)]) == [expected[2][3]]
    assert loader.where(2, 3) == expected[2][3][0]
    assert multiprocessing.active_children() == []


def test_workers_read_what_a_look_reads():
    """What the main process opened would be of no use to its children, so it opens nothing."""
    dataset = Noisy()
    Loader(dataset, 4, num_workers=2).first()
    assert dataset.fetched == []


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_each_way_of_starting_a_process_will_do(context):
    data = TensorDataset(torch.arange(8.0))
    options = {"num_workers": 2, "multiprocessing_context": context, "persistent_workers": True}
    loader = Loader(Subset(data, range(8)), 4, shuffle=True, seed=7, **options)
    assert flat(loader.batches(0)) == flat(Loader(Subset(data, range(8)), 4, shuffle=True, seed=7).batches(0))
    (workers,) = loader._workers
    pids = {process.pid for process in workers._processes}
    assert {note.pid for note in workers._board.read()} == pids
    del loader, workers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "stopp"}, r"data\.on_error=stopp: must be stop or skip Did you mean 'stop'\?"),
        ({"changed": True}, r"data\.changed=True: must be refuse or allow"),
        ({"max_errors": -1}, r"data\.max_errors=-1: must be a whole number, at least 0"),
        ({"max_errors": 2.5}, r"data\.max_errors=2\.5: must be a whole number"),
        ({"timeout": -1}, r"data\.timeout=-1: must be a number of seconds, 0 for no limit"),
        ({"timeout": "1h"}, r"data\.timeout=1h: must be a number of seconds"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Loader(Noisy(), 4, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_worker_init_fn_that_fails_is_told(workers):
    def broken(worker):
        raise ValueError("no licence")

    loader = Loader(Noisy(), 4, num_workers=workers, **({"worker_init_fn": broken} if workers else {}))
    if workers:
        with pytest.raises(TrainingError, match=r"data\.train: worker_init_fn raised ValueError: no licence"):
            list(loader)
    else:
        assert len(list(loader)) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="goes by /proc")
@pytest.mark.parametrize("alive", [True, False])
def test_a_worker_whose_main_process_died_before_it_was_ready_ends(alive: bool) -> None:
    """Its parent is another one by then, and no signal of the kernel will come."""
    main_process = subprocess.Popen(["sleep", "30" if alive else "0"])
    if not alive:
        while Path(f"/proc/{main_process.pid}/stat").read_text().split()[2] != "Z":  # nobody took note of its end yet
            time.sleep(0.01)
    child = os.fork()
    if child == 0:
        worker._die_with(main_process.pid, False)
        os._exit(7)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    main_process.kill()
    main_process.wait()
    assert code == (7 if alive else 0)
