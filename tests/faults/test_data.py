"""Faults of the data: samples that fail, workers that die or hang, and data that changed. With real processes."""

import faulthandler
import gc
import json
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from hashlib import blake2b
from pathlib import Path

import numpy
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from trainkit.data import Loader, explained, inspection
from trainkit.errors import ConfigError, TrainingError
from trainkit.keys import Streams

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="needs a system with sigtimedwait"),
    pytest.mark.timeout(60),
]


@pytest.fixture(autouse=True)
def _leaves_nothing():
    """No process, no thread and no generator is left other than before."""
    threads = set(threading.enumerate())
    with Streams().kept():
        yield
    gc.collect()
    assert multiprocessing.active_children() == []
    deadline = time.monotonic() + 5
    while left := {t for t in threading.enumerate() if t not in threads and "Feeder" not in t.name}:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


class Pictures(Dataset):
    """64 samples with file names; ``fault(index)`` is called for those in ``bad`` and may give another sample."""

    def __init__(self, fault, bad=(37,)):
        self.fault, self.bad = fault, bad
        self.files = [f"img_{index:04d}.png" for index in range(64)]

    def __len__(self):
        return 64

    def __getitem__(self, index):
        if index in self.bad and (sample := self.fault(index)) is not None:
            return sample
        return torch.full((3,), float(index)) + torch.rand(3), index


def raises(error):
    def fault(index):
        raise error

    return fault


def failure_of(dataset, workers, *, epoch=0, **options):
    """Return the message with which reading an epoch ends."""
    loader = Loader(dataset, 4, num_workers=workers, **options)
    with pytest.raises(TrainingError) as failure:
        list(loader.batches(epoch))
    return str(failure.value)


def digest_of(batches):
    whole = blake2b()
    for batch in batches:
        for part in batch:
            whole.update(part.numpy().tobytes())
    return whole.hexdigest()


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
def test_18_batches_are_the_same_for_any_workers_prefetch_and_persistence():
    """The batches of an epoch are bit-identical for any number of workers, any prefetch depth, persistent or not."""
    options = [
        {"num_workers": workers, "prefetch_factor": depth, "persistent_workers": persistent}
        for workers in (1, 2, 4)
        for depth in (1, 2, 3, 4)
        for persistent in (False, True)
    ]
    dataset = Pictures(lambda index: None)
    digests = set()
    for chosen in [{"num_workers": 0}, *options]:
        loader = Loader(dataset, 5, shuffle=True, seed=3, **chosen)
        whole = digest_of([*loader.batches(0), *loader.batches(1, start=9)])
        digests.add(whole)
        del loader
    assert len(digests) == 1


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def local_error():
    class Local(Exception):
        """Of a class that no other process can load."""

    return Local(lambda: 0)


ERRORS = {
    "ValueError": (lambda: ValueError("cannot identify image file"), "ValueError: cannot identify image file"),
    "without a text": (KeyError, "KeyError"),
    "StopIteration": (lambda: StopIteration(3), "StopIteration: 3"),
    "RuntimeError": (lambda: RuntimeError("DataLoader is unhappy"), "RuntimeError: DataLoader is unhappy"),
    "MemoryError": (MemoryError, "MemoryError"),
    "of a local class": (local_error, "Local: <function"),
    "holding a lock": (lambda: ValueError(threading.Lock()), "ValueError: <unlocked"),
    "whose text fails": (Unspeakable, "Unspeakable: (its text cannot be had)"),
    "with a custom constructor": (lambda: UnicodeDecodeError("utf8", b"x", 0, 1, "odd"), "UnicodeDecodeError: 'utf8'"),
    "a TrainingError": (lambda: TrainingError("mine"), "TrainingError: mine"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_34_a_sample_that_raises_is_named_alike_by_every_process(name):
    """Data set, index, file, error, epoch and the user's frames are told, in the same words for 0 and 2 workers."""
    make, told = ERRORS[name]
    dataset = Pictures(lambda index: raises(make())(index))
    alone, by_workers = (failure_of(dataset, workers, epoch=2) for workers in (0, 2))
    assert re.sub("0x[0-9a-f]+", "", alone) == re.sub("0x[0-9a-f]+", "", by_workers)
    first, *rest = alone.splitlines()
    assert first.startswith(f"data.train[37] raised {told}")
    assert first.endswith("(sample 'img_0037.png', epoch 3)")
    assert rest[0].startswith(f'  File "{__file__}", line ')
    assert rest[0].endswith("in __getitem__")
    assert "raise error" in rest[-2]
    assert "data.on_error=skip" in rest[-1]
    assert "torch" not in alone
    assert "trainkit/" not in alone


@pytest.mark.parametrize("workers", [0, 2])
def test_34_the_place_is_that_of_the_run_and_the_name_that_of_the_file(workers):
    """Through subsets, the index is that of the data set given and the file the one that it stands for."""
    inner = Subset(Pictures(raises(OSError("truncated"))), range(30, 64))
    message = failure_of(Subset(inner, [1, 3, 7, 9]), workers, name="val")
    assert message.startswith("data.val[2] raised OSError: truncated (sample 'img_0037.png', epoch 1)")


class AtOnce(Pictures):
    """Fetches all samples of a batch in one call, as a list of samples or as a finished batch."""

    def __init__(self, fault, bad=(37,), whole=False):
        super().__init__(fault, bad)
        self.whole = whole

    def __getitems__(self, indices):
        samples = [self[index] for index in indices]
        return torch.stack([first for first, _ in samples]) if self.whole else samples


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_34_the_culprit_of_a_whole_batch_is_found(workers, whole):
    """Where a data set fetches many samples at once, the one that fails is named all the same, and can be left out."""
    dataset = AtOnce(raises(ValueError("bad")), whole=whole)
    assert failure_of(dataset, workers).startswith("data.train[37] raised ValueError: bad (sample 'img_0037.png'")
    loader = Loader(dataset, 4, num_workers=workers, on_error="skip")
    sizes = [len(batch if whole else batch[0]) for batch in loader]
    assert sizes == [4] * 9 + [3] + [4] * 6
    assert loader.errors == 1


def test_34_a_batch_that_fails_only_as_a_whole_is_named():
    """Where each sample alone can be had, the batch is what failed."""

    class Greedy(AtOnce):
        def __getitems__(self, indices):
            if len(indices) > 1:
                raise MemoryError
            return super().__getitems__(indices)

    message = failure_of(Greedy(None, ()), 0)
    assert message.startswith("data.train[[0, 1, 2, 3]] raised MemoryError (epoch 1)")


@pytest.mark.parametrize("prefetch", [1, 4])
def test_34_skipping_leaves_samples_out_and_counts_them(prefetch, caplog):
    """``on_error=skip``: the others stay bit for bit, the count is that of the batches used, and it is resumed."""
    bad = (5, 6, 37)
    whole = [*Loader(Pictures(lambda index: None), 4, shuffle=True, seed=3).batches(0)]
    kept = [[part[[i not in bad for i in batch[1].tolist()]] for part in batch] for batch in whole]
    expected = digest_of(kept)
    for options in ({}, {"num_workers": 2, "prefetch_factor": prefetch}):
        loader = Loader(Pictures(raises(ValueError("bad")), bad), 4, shuffle=True, seed=3, on_error="skip", **options)
        iterator, found, counts = loader.batches(0), [], []
        for batch in iterator:
            found.append(batch)
            counts.append(loader.errors)
        assert digest_of(found) == expected
        assert counts == [sum(i in bad for b in whole[: n + 1] for i in b[1].tolist()) for n in range(16)]
        assert len(caplog.messages) == 3
        assert "data.train[37] raised ValueError: bad (sample 'img_0037.png', epoch 1)" in caplog.text
        caplog.clear()
        list(loader.batches(1))
        assert (loader.errors, caplog.messages) == (3, [])  # the same ones again
        resumed = Loader(Pictures(raises(ValueError("bad")), bad), 4, shuffle=True, seed=3, on_error="skip")
        resumed.load_state_dict(loader.state_dict())
        assert (resumed.errors, loader.state_dict()["errors"]) == (3, [5, 6, 37])


@pytest.mark.parametrize("workers", [0, 2])
def test_34_skipping_has_a_limit(workers, caplog):
    """More than ``max_errors`` samples left out end the run, and so does a batch of which nothing is left."""
    caplog.set_level(logging.CRITICAL)
    bad = range(1, 64, 4)
    options = {"on_error": "skip", "max_errors": 7}
    message = failure_of(Pictures(raises(ValueError("bad")), bad), workers, **options)
    assert message.startswith(
        "data.train: 8 samples had to be left out, more than data.max_errors=7; the last one: data."
    )
    assert "data.train[29] raised ValueError: bad" in message
    message = failure_of(Pictures(raises(ValueError("bad")), range(8, 12)), workers, on_error="skip")
    assert message.startswith(
        "data.train: none of the 4 samples of a batch can be fetched (epoch 1); the first one: data"
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (
            lambda index: (torch.zeros(4), index),
            "its part [0] has float32 of shape (4,), where 3 others have float32 of",
        ),
        (lambda index: (torch.zeros(3), None), "its part [1] has NoneType, where 3 others have int"),
        (lambda index: torch.zeros(3), "has float32 of shape (3,), where 3 others have (float32 of shape (3,), int)"),
    ],
)
def test_34_a_sample_that_does_not_fit_its_batch_is_named(odd, told, workers):
    """The odd one is named, with how it differs from the others; ``on_error=skip`` leaves it out."""
    message = failure_of(Pictures(odd), workers)
    assert message.startswith("data.train[37] does not fit its batch: " + told)
    assert "(sample 'img_0037.png', epoch 1)" in message
    loader = Loader(Pictures(odd), 4, num_workers=workers, on_error="skip")
    assert [len(batch[0]) for batch in loader] == [4] * 9 + [3] + [4] * 6


@pytest.mark.parametrize("workers", [0, 2])
def test_34_one_batch_may_lack_samples_for_two_reasons(workers):
    """One sample raises and another one of the same batch does not fit: each is counted by its own index."""
    faults = {36: raises(ValueError("bad")), 38: lambda index: (torch.zeros(4), 0)}
    loader = Loader(Pictures(lambda index: faults[index](index), faults), 4, num_workers=workers, on_error="skip")
    assert [batch[1].tolist() for batch in loader][9] == [37, 39]
    assert loader.state_dict()["errors"] == [36, 38]


@pytest.mark.parametrize("workers", [0, 2])
def test_34_samples_that_make_no_batch_are_told_as_such(workers):
    """Where no sample is the odd one, the message says what they are and that a collate_fn can join them."""
    message = failure_of(Pictures(lambda index: (torch.zeros(index), 0), range(64)), workers)
    assert message.startswith("data.train: no batch can be made of 4 samples from 0 on (epoch 1): RuntimeError: stack")
    assert "samples of 4 forms: (float32 of shape (0,), int); " in message
    assert "collate_fn" in message


def keep(samples):
    return [sample for sample, _ in samples]


class Local:
    """Holds what cannot be pickled."""

    def __init__(self):
        self.function = lambda: 0


def grown(index):
    weight = torch.ones(2, requires_grad=True)
    return weight * 2


UNSENDABLE = {
    "lambda": (lambda index: lambda: 0, "function: "),
    "file": (lambda index: open(os.devnull), "TextIOWrapper: TypeError: cannot pickle"),  # noqa: SIM115
    "lock": (lambda index: threading.Lock(), "lock: TypeError: cannot pickle"),
    "generator": (lambda index: (i for i in range(3)), "generator: TypeError: cannot pickle"),
    "object of a local class": (lambda index: type("Hidden", (), {})(), "Hidden: "),
    "inside an object": (lambda index: Local(), "Local: "),
    "array of objects": (lambda index: numpy.array([lambda: 0]), "ndarray: "),
    "inside a dict": (lambda index: {"x": [1, lambda: 0]}, "function: "),
    "tensor with a graph": (grown, "a tensor that knows how it was computed"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", UNSENDABLE)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_35_a_batch_that_cannot_be_sent_is_an_error_within_seconds(name):
    """What no process can send to another is named with its place in the batch; without workers it is no fault."""
    make, told = UNSENDABLE[name]
    dataset = Pictures(lambda index: (make(index), index))
    assert len(list(Loader(dataset, 4, collate_fn=keep))) == 16
    started = time.monotonic()
    message = failure_of(dataset, 2, collate_fn=keep)
    assert time.monotonic() - started < 10
    place = "[1]['x'][1]" if name == "inside a dict" else "[1]"
    assert message.startswith(f"data.train: a worker cannot send its batch to the main process: part {place} {told}")
    assert "data.num_workers=0" in message


class Sly:
    """Can be pickled once, which is how often it is tried."""

    left = 1

    def __reduce__(self):
        if not Sly.left:
            raise ValueError("not twice")
        Sly.left -= 1
        return int, (3,)


class Poison:
    """Can be pickled, but not put together again."""

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(20)
@pytest.mark.parametrize(("fault", "told"), [(Sly, "ValueError: not twice"), (Poison, "ValueError: invalid literal")])
def test_35_no_batch_that_is_lost_on_its_way_keeps_the_training_waiting(fault, told):
    """Also what slips through the trial is an error within seconds, for a queue that drops an item ends its worker."""
    assert told in failure_of(Pictures(lambda index: (fault(), index)), 2, collate_fn=keep)


def ends(how):
    def fault(index):
        if multiprocessing.parent_process() is None:
            raise AssertionError("not in a worker")
        how()

    return fault


DEATHS = {
    "SIGKILL": (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL {}, most likely because the mach"),
    "exit 0": (lambda: os._exit(0), "ended itself with exit code 0 {}: something in it called exit()"),
    "exit 3": (lambda: os._exit(3), "ended itself with exit code 3 {}: something in it called exit()"),
    "segmentation fault": (lambda: faulthandler._sigsegv(), "crashed with SIGSEGV {}, inside compiled code"),
    "abort": (os.abort, "crashed with SIGABRT {}, inside compiled code"),
    "bus error": (lambda: os.kill(os.getpid(), signal.SIGBUS), "was killed by SIGBUS {}: /dev/shm, through which work"),
}


# torch raises from its signal handler, also in the midst of a clean-up, which cannot pass that on.
unraisable = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@unraisable
@pytest.mark.timeout(30)
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", DEATHS)
def test_36_a_dead_worker_is_told_with_its_cause_and_what_it_did(name, persistent):
    """Within 10 s: which worker, which process, which signal or code, which sample, the likely cause, what to do."""
    how, told = DEATHS[name]
    started = time.monotonic()
    message = failure_of(Pictures(ends(how)), 2, persistent_workers=persistent, prefetch_factor=4)
    assert time.monotonic() - started < 10
    told = told.format("while it fetched data.train[37] (sample 'img_0037.png', epoch 1)")
    assert re.match(rf"data\.train: worker 1 \(pid \d+\) {re.escape(told)}", message)
    if name in ("segmentation fault", "abort", "bus error"):
        assert f'  File "{__file__}", line ' in message
        assert "in __getitem__" in message
        assert "test_36" not in message  # the frames of the main process, which the worker's stack begins with
    if name == "SIGKILL":
        assert re.search(r"2 workers of up to \d\.\d GB each; fewer data\.num_workers", message)


@unraisable
def test_36_an_error_that_is_kept_holds_no_threads_and_no_queues():
    """Whoever keeps the error, such as a debugger, does not keep alive what fed the workers."""
    with pytest.raises(TrainingError) as failure:
        list(Loader(Pictures(ends(DEATHS["exit 3"][0])), 4, num_workers=2))
    deadline = time.monotonic() + 10
    while (left := [t for t in threading.enumerate() if "Feeder" in t.name]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert "exit code 3" in str(failure.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_36_a_sample_that_exits_is_named(workers):
    """``sys.exit`` in a data set does not end a worker, or the training, with its own code."""
    message = failure_of(Pictures(lambda index: sys.exit(4)), workers)
    assert message.startswith("data.train[37] raised SystemExit: 4 (sample 'img_0037.png', epoch 1)")


@unraisable
def test_36_a_death_that_is_noticed_in_a_training_step_is_told_as_well():
    """torch tells of a dead worker wherever the main thread stands; ``explained`` finds the words."""
    loader = Loader(Pictures(lambda index: None), 4, num_workers=2, persistent_workers=True)
    iterator = loader.batches(0)
    next(iterator), next(iterator)
    victim = loader._workers[0]._board.read()[1].pid
    assert victim in {process.pid for process in multiprocessing.active_children()}
    threading.Timer(0.3, os.kill, (victim, signal.SIGKILL)).start()
    with pytest.raises(RuntimeError) as failure:
        time.sleep(20)
    told = explained(failure.value, [1, 2], loader)
    assert isinstance(told, TrainingError)
    assert re.match(rf"data\.train: worker 1 \(pid {victim}\) was killed by SIGKILL while it ", str(told))
    stranger = explained(failure.value)
    assert str(stranger).startswith(f"a process that loads data (pid {victim}) died: DataLoader worker")
    assert explained(ValueError("other"), loader) is explained(RuntimeError("other"), loader) is None
    failure.value.__traceback__ = None
    iterator.close()
    del iterator, loader


def test_36_the_death_of_another_loaders_worker_is_no_failing_sample():
    """A sample that is being fetched when torch tells of a death elsewhere is neither blamed nor left out."""
    death = RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. ")
    for dataset in (Pictures(raises(death)), AtOnce(raises(death))):
        loader = Loader(dataset, 4, on_error="skip")
        with pytest.raises(RuntimeError, match="pid 4711"):
            list(loader)
        assert loader.errors == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_36_full_shared_memory_is_said_as_such(workers):
    """An error about shared memory, as torch raises it in a worker, tells how full /dev/shm is and what to do."""

    def collate(samples):
        raise RuntimeError("unable to write to file </torch_42_7_0>: No space left on device (28)")

    message = failure_of(Pictures(lambda index: None), workers, collate_fn=collate)
    assert message.startswith("data.train: a worker has no room for a batch: /dev/shm, through which workers hand over")
    assert "--shm-size" in message


@unraisable
@pytest.mark.timeout(40)
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("sample", "while it fetched data.train[37] (sample 'img_0037.png', epoch 1)"),
        ("collate", "while it made a batch of its samples (epoch 1)"),
    ],
)
def test_37_a_worker_that_hangs_is_told_with_its_stack(place, told, persistent):
    """After ``timeout`` seconds without a batch: which worker, which sample, and where in the user's code it hangs."""

    def hang(index):
        time.sleep(1000)

    def collate(samples):
        return hang(0) if place == "collate" and samples[0][1] == 36 else [len(samples)]

    dataset = Pictures(hang if place == "sample" else lambda index: None)
    started = time.monotonic()
    message = failure_of(dataset, 2, timeout=2, collate_fn=collate, persistent_workers=persistent)
    assert 2 <= time.monotonic() - started < 15
    assert re.match(
        r"data\.train: no batch came for 2 s \(data\.timeout\): worker 1 \(pid \d+\) hangs " + re.escape(told), message
    )
    assert "in hang\n    time.sleep(1000)\n" in message
    assert "test_37" not in message


@unraisable
def test_37_a_worker_that_hangs_between_two_epochs_is_told_too():
    """Workers that stay have to finish what they were at before the next epoch begins; one that never does is told."""
    dataset = Pictures(lambda index: time.sleep(1000), bad=(6,))
    loader = Loader(dataset, 4, num_workers=2, persistent_workers=True, timeout=1)
    next(loader.batches(0))
    with pytest.raises(TrainingError, match=r"no batch came for 1 s .* hangs while it fetched data\.train\[6\]"):
        next(loader.batches(1))


@unraisable
def test_37_a_worker_that_was_stopped_from_outside_is_ended_too():
    """A worker that stands still writes no stack, and is ended all the same."""
    loader = Loader(Pictures(lambda index: os.kill(os.getpid(), signal.SIGSTOP)), 4, num_workers=2, timeout=1)
    with pytest.raises(TrainingError, match=r"no batch came for 1 s .*: worker 1 \(pid \d+\) hangs while it fetched"):
        list(loader)


def test_37_slow_workers_and_a_slow_training_are_no_hang():
    """The timeout counts the time that the training waits for one batch, not that of an epoch or of a step."""

    def slow(index):
        time.sleep(0.2)

    loader = Loader(Pictures(slow, range(16)), 1, num_workers=2, timeout=1)
    numbers = []
    for batch in loader:
        numbers.append(int(batch[1]))
        if len(numbers) == 20:
            time.sleep(1.5)
    assert numbers == list(range(64))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("persistent", [False, True])
def test_37_a_signal_ends_the_wait_for_a_worker(persistent):
    """What a signal's handler raises comes through at once, and no process is left."""

    class Stop(BaseException):
        pass

    def stop(number, frame):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    iterator = Loader(
        Pictures(lambda index: time.sleep(1000)), 4, num_workers=2, persistent_workers=persistent
    ).batches(0)
    started = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        with pytest.raises(Stop):
            list(iterator)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 10
    assert multiprocessing.active_children() == []


# ---------------------------------------------------------------------- processes of their own

HEAD = """
import ctypes, os, sys, threading, time
import torch
from torch.utils.data import Dataset
from trainkit.data import Loader
"""
FULL = (
    HEAD
    + """
class Big(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.ones(1024, 1024)

list(Loader(Big(), 4, num_workers=2))
"""
)
ORPHANS = (
    HEAD
    + """
class Slow(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
        if sys.argv[2] == "stuck" and index > 3:
            time.sleep(0.5)  # the batch before is on its way
            ctypes.PyDLL(None).sleep(1000)  # and no other thread of this process gets its turn
        if sys.argv[2] == "thread" and index > 3:
            time.sleep(1000)
        return torch.ones(3)

def prey(worker):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece, whoever writes beside

def main():
    loader = Loader(Slow(), 4, num_workers=2, persistent_workers=True, worker_init_fn=prey)
    iterator = loader.batches(0)
    next(iterator)
    os.write(1, b"ready\\n")
    time.sleep(1000)

if sys.argv[2] == "thread":
    threading.Thread(target=main).start()
    time.sleep(1000)
main()
"""
)


def unshared(command):
    """Return the command that runs a shell line with mounts of its own, None where that is not allowed."""
    line = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    try:
        ready = subprocess.run([*line, "mount -t tmpfs tmpfs /dev/shm"], capture_output=True, timeout=10)
    except OSError:
        return None
    return [*line, command] if ready.returncode == 0 else None


def test_36_truly_full_shared_memory_is_said_as_such(tmp_path):
    """With a /dev/shm of 20 MB that two workers fill, the error says so, and what to do."""
    (tmp_path / "full.py").write_text(FULL)
    command = unshared(f"mount -t tmpfs -o size=20m tmpfs /dev/shm && exec {sys.executable} {tmp_path / 'full.py'}")
    if command is None:
        pytest.skip("this system lets nobody mount anything")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    told = ended.stderr[ended.stderr.rindex("TrainingError: ") :]
    assert re.match(r"TrainingError: data\.train: .*/dev/shm, through which workers hand over batches, has", told)
    assert re.search(r"has \d+ of 20 MB left: data\.num_workers=0 needs none", told)


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("state", ["idle", "stuck", "thread"])
def test_40_workers_are_gone_when_their_parent_was_killed(tmp_path, state):
    """After a kill -9 of the main process its workers are gone within 5 s, also those stuck in compiled code."""
    (tmp_path / "orphans.py").write_text(ORPHANS)
    command = [sys.executable, tmp_path / "orphans.py", tmp_path, state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        guard = threading.Timer(30, parent.kill)  # so that nothing can keep the lines below waiting
        guard.start()
        told = [parent.stdout.readline().strip() for _ in range(3)]
        workers = [int(line) for line in told if line != "ready"]
        assert len(workers) == 2
        assert all(alive(pid) for pid in workers)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):  # which a group may be sent
            os.kill(workers[0], number)
        time.sleep(1)
        assert all(alive(pid) for pid in workers)
        guard.cancel()
        guard.join()
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


# ---------------------------------------------------------------------- before the first step


def table_of(**changes):
    inputs, labels = torch.linspace(-2, 2, 200).reshape(50, 4), torch.arange(50) % 10
    for place, value in changes.get("inputs", {}).items():
        inputs[place] = value
    for place, value in changes.get("labels", {}).items():
        labels[place] = value
    return TensorDataset(inputs, labels)


class Rows(Dataset):
    """The same samples one by one."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        return self.table[index]


@pytest.mark.parametrize(("value", "shown"), [(float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf")])
def test_38_a_number_that_is_not_finite_is_found_before_the_first_step(value, shown):
    """Sample, column and value are told: of a table wherever they are, of other data if in the first batch."""
    table = table_of(inputs={(37, 2): value})
    told = rf"data\.val: sample 37 has {shown} in column 2 of its inputs; a training cannot"
    with pytest.raises(ConfigError, match=told):
        inspection.inspect(Loader(table, 8, shuffle=True, name="val"))
    with pytest.raises(ConfigError, match=rf"data\.train: sample 1 has {shown} in column 2"):
        inspection.inspect(Loader(Subset(Subset(table, range(30, 50)), [3, 7, 9]), 8))
    with pytest.raises(ConfigError, match=rf"data\.train: sample 37 has {shown} in column 2 of its part \[0\]"):
        inspection.inspect(Loader(Rows(table), 50, shuffle=True))
    inspection.inspect(Loader(Subset(table, range(37)), 8))
    with pytest.raises(ConfigError, match=rf"data\.train: sample 37 has {shown} at \[1, 0\] of its inputs"):
        inspection.inspect(Loader(TensorDataset(table.tensors[0].reshape(50, 2, 2), table.tensors[1]), 8))


def test_38_large_finite_numbers_are_no_fault():
    """A sum that overflows is no number that is not finite."""
    inspection.inspect(Loader(TensorDataset(torch.full((9, 3), 3e38)), 4))
    inspection.inspect(Loader(TensorDataset(torch.full((9,), 60000.0, dtype=torch.float16)), 4))


def test_38_a_look_at_the_data_leaves_no_trace():
    """No generator moves, and what can be read once only is not touched."""
    loader = Loader(Pictures(lambda index: None), 4, shuffle=True)
    state = torch.get_rng_state()
    inspection.inspect(loader)
    assert torch.equal(torch.get_rng_state(), state)
    once = iter([torch.zeros(2)])
    inspection.inspect(once)
    assert len(list(once)) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_38_a_sample_of_another_form_in_the_first_batch_is_found(workers):
    """The first batch is made before the first step, and the odd sample in it is named."""
    loader = Loader(Pictures(lambda index: (torch.zeros(4), 0), bad=(2,)), 4, num_workers=workers)
    with pytest.raises(
        TrainingError, match=r"data\.train\[2\] does not fit its batch: its part \[0\] has float32 of shape"
    ):
        inspection.inspect(loader)


@pytest.mark.parametrize("wrap", [lambda table: table, Rows])
def test_38_a_label_that_the_model_has_no_output_for_is_named(wrap):
    """Sample, label and the allowed range are told."""
    dataset, ignored = wrap(table_of(labels={37: 10, 40: -1, 3: -100})), -100
    loader = Loader(dataset, 50, shuffle=True)
    _, labels = loader.first()
    first = "sample 37 has label 10" if wrap is not Rows else r"sample (37 has label 10|40 has label -1)"
    told = (
        rf"data\.train: {first}, but the model gives 10 outputs: labels go from 0 to 9; so it is with 2 of 50 samples"
    )
    with pytest.raises(ConfigError, match=told):
        inspection.labels_fit(torch.zeros(50, 10), labels, ignored, loader)
    inspection.labels_fit(torch.zeros(50, 11), labels.clamp(min=0), ignored, Loader(wrap(table_of(labels={3: 10})), 50))
    inspection.labels_fit(torch.zeros(50), torch.zeros(50), ignored, loader)  # a regression
    inspection.labels_fit(torch.zeros(50, 3), torch.zeros(50, 3, dtype=torch.int64), ignored, loader)  # multi-label


def test_38_all_labels_of_a_table_are_looked_at():
    """A wrong label far behind the first batch is found before the first step; one that starts from 1 is guessed."""
    loader = Loader(Subset(table_of(labels={37: 10}), range(20, 50)), 2)
    _, labels = loader.first()
    with pytest.raises(ConfigError, match="sample 17 has label 10"):
        inspection.labels_fit(torch.zeros(2, 10), labels, -100, loader)
    shifted = TensorDataset(torch.zeros(50, 4), torch.arange(50) % 10 + 1)
    with pytest.raises(ConfigError, match=r"sample 9 has label 10.* \(do they count from 1\?\); so it is with 5 of 50"):
        inspection.labels_fit(torch.zeros(2, 10), torch.tensor([1, 2]), -100, Loader(shifted, 2))


def test_38_a_wrong_label_of_pixels_is_found():
    """Class indices of many dimensions: the sample counts."""
    labels = torch.zeros(50, 2, 2, dtype=torch.int64)
    labels[37, 1, 0] = 3
    loader = Loader(TensorDataset(torch.zeros(50, 1, 2, 2), labels), 5)
    with pytest.raises(
        ConfigError, match="sample 37 has label 3, but the model gives 3 outputs: labels go from 0 to 2"
    ):
        inspection.labels_fit(torch.zeros(5, 3, 2, 2), labels[:5], -100, loader)


@pytest.mark.parametrize("loader", [[], ()])
def test_38_no_batch_at_all_is_told(loader):
    """An empty split or loader is refused."""
    with pytest.raises(ConfigError, match=r"data\.train: the loader gives no batch"):
        inspection.inspect(loader)
    with pytest.raises(ConfigError, match=r"data\.val: a data set of 0 samples gives no batch of 4"):
        Loader(TensorDataset(torch.zeros(0)), 4, name="val")


# ---------------------------------------------------------------------- between stop and resume


class Folder(Dataset):
    """Files in folders of classes, as torchvision lists them."""

    def __init__(self, root):
        self.classes = sorted(path.name for path in root.iterdir())
        self.samples = [(str(f), i) for i, c in enumerate(self.classes) for f in sorted((root / c).iterdir())]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        return len(Path(path).read_bytes()), label


@pytest.fixture
def pictures(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / "root" / kind).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "root" / kind / f"{number}.png").write_bytes(bytes(number + 1))
    return tmp_path / "root"


CHANGES = {
    "a file more": (lambda root: (root / "cat" / "9.png").write_bytes(b"x"), "data.train: samples 10 -> 11"),
    "a file less": (lambda root: (root / "dog" / "0.png").unlink(), "data.train: samples 10 -> 9"),
    "a file edited": (lambda root: (root / "dog" / "0.png").write_bytes(b"other"), "the content of data.train differs"),
    "a file renamed": (
        lambda root: (root / "dog" / "0.png").rename(root / "dog" / "00.png"),
        "the content of data.train",
    ),
    "a class renamed": (lambda root: (root / "dog").rename(root / "wolf"), "the content of data.train differs"),
    "a file in another class": (lambda root: (root / "dog" / "0.png").rename(root / "cat" / "z.png"), "the content of"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_39_files_that_changed_are_refused(pictures, change, caplog):
    """Files added, removed, edited, renamed or moved since the checkpoint are refused, or allowed with a warning."""
    state = Loader(Folder(pictures), 4).state_dict()
    moved = pictures.rename(pictures.parent / "moved")
    Loader(Folder(moved), 4).load_state_dict(state)  # elsewhere, but the same
    make, told = CHANGES[change]
    make(moved)
    with pytest.raises(ConfigError) as refused:
        Loader(Folder(moved), 4).load_state_dict(state)
    assert str(refused.value).startswith(f"the data changed since the checkpoint: {told}")
    assert "data.changed=allow" in str(refused.value)
    assert "resume=weights:CHECKPOINT" in str(refused.value)
    Loader(Folder(moved), 4, changed="allow").load_state_dict(state)
    assert f"the data changed since the checkpoint: {told}" in caplog.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch_size": 5}, "data.batch_size 4 -> 5"),
        ({"shuffle": True}, "data.shuffle False -> True"),
        ({"drop_last": True, "batch_size": 3}, "data.batch_size 4 -> 3; data.drop_last False -> True"),
    ],
)
def test_39_another_division_into_batches_is_refused(options, told):
    """What decides which samples a batch holds must not change within a run."""
    state = Loader(table_of(), 4).state_dict()
    with pytest.raises(ConfigError, match=rf"the data changed since the checkpoint: {told}\. "):
        Loader(table_of(), **{"batch_size": 4, **options}).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"the content of data\.train differs"):
        Loader(table_of(inputs={(7, 2): 0.5}), 4).load_state_dict(state)


# ---------------------------------------------------------------------- on the command line

MINE = """
import os, signal, time

import torch
from torch.utils.data import Dataset

from trainkit.data import Splits


class Rows(Dataset):
    def __init__(self, bad=None, how=None):
        self.bad, self.how = bad, how
        self.files = [f"img_{index:04d}.png" for index in range(48 + (how == "longer"))]

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        if index == self.bad:
            if self.how == "raise":
                raise OSError(f"cannot identify image file {self.files[index]}")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                time.sleep(1000)
        return torch.rand(4), torch.tensor(index % 3 + 5 * (index == self.bad and self.how == "label"))


def splits(bad=None, how=None, val_bad=None):
    return Splits(Rows(bad, how), Rows(), Rows())
"""


@pytest.fixture
def mine(faulty, trainkit):
    """Run ``trainkit`` on rows of which one makes trouble; give the code and what it wrote to stderr."""
    (faulty / "mine.py").write_text(MINE)

    def run(how, *arguments):
        trouble = ("data.datasets._target_=mine.splits", f"data.datasets.how={how}", "data.datasets.bad=37")
        done = trainkit("--config-dir", "configs", "recipe=faulty", *trouble, *arguments)
        return done.code, done.err

    return run


def test_34_the_command_ends_with_1_and_the_same_words_for_any_workers(mine, faulty):
    """Exit 1 with the data set, index, file and error and what to do, no traceback; skipping ends with 0."""
    code, alone = mine("raise", "run_dir=a")
    assert code == 1
    told = (
        "trainkit: data.train[37] raised OSError: cannot identify image file img_0037.png (sample 'img_0037.png', epoch"
    )
    assert alone.startswith(told)
    assert f'  File "{faulty}/mine.py", line 21, in __getitem__' in alone
    assert len(alone.splitlines()) <= 10
    assert "Traceback" not in alone
    assert mine("raise", "run_dir=b", "data.num_workers=2") == (1, alone)
    code, _ = mine("raise", "run_dir=c", "data.num_workers=2", "data.on_error=skip")
    assert code == 0
    assert "data.train[37] raised OSError" in (faulty / "c" / "log.txt").read_text()
    warnings = json.loads((faulty / "c" / "summary.json").read_text())["warnings"]
    assert "data.train: samples left out because they raised: 1" in warnings


@unraisable
def test_36_and_37_the_command_ends_with_1_when_a_worker_dies_or_hangs(mine):
    """Exit 1 and one message, whatever the training was doing."""
    code, told = mine("kill", "run_dir=a", "data.num_workers=2")
    assert code == 1
    assert re.search(
        r"^trainkit: data\.train: worker \d \(pid \d+\) was killed by SIGKILL while it fetched", told, re.M
    )
    code, told = mine("hang", "run_dir=b", "data.num_workers=2", "data.timeout=2")
    assert code == 1
    assert re.search(
        r"^trainkit: data\.train: no batch came for 2 s .* hangs while it fetched data\.train\[37\]", told, re.M
    )


def test_38_a_wrong_label_ends_the_command_before_the_first_step(mine, faulty):
    """Exit 2 if it is found before the first step; else exit 1 with the sample, its label and what is allowed."""
    code, told = mine("label", "run_dir=a", "data.batch_size=48")
    assert code == 2
    assert re.match(
        r"trainkit: data\.train: sample 37 has label 6, but the model gives 3 outputs: labels go from 0 to 2", told
    )
    assert not (faulty / "a" / "checkpoints").exists() or not [*(faulty / "a" / "checkpoints").glob("step-*")]
    code, told = mine("label", "run_dir=b", "data.shuffle=false")
    assert code == 1
    assert re.match(r"trainkit: step 5: data\.train: sample 37 has label 6, but the model gives 3 outputs", told)


def test_39_data_that_changed_end_the_command_before_the_first_step(mine):
    """Exit 2 for a resume on other data, which ``data.changed=allow`` goes on with."""
    assert mine("null", "run_dir=a", "trainer.max_epochs=1")[0] == 0
    resume = ("run_dir=a", "resume=auto")
    code, told = mine("longer", *resume)
    assert code == 2
    assert told.startswith("trainkit: the data changed since the checkpoint: data.train: samples 48 -> 49. ")
    assert mine("longer", *resume, "data.changed=allow")[0] == 0
