"""The checkpoints of a run: always whole, read without running code, kept as long as they are needed."""

import builtins
import errno
import os
import pathlib
import random

import pytest
import torch

from trainkit.checkpoint import NoStore, Store, read
from trainkit.checkpoint.store import FORMAT, find
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Moment

START = Moment(0.0, 0, 0.0)


def state_of(step):
    return {"model": {"weight": torch.full((100,), float(step))}, "counters": {"step": step}}


def step_in(path):
    state = read(path)
    assert state["model"]["weight"].tolist() == [float(state["counters"]["step"])] * 100
    return state["counters"]["step"]


def checkpoints(store):
    return sorted(int(path.stem.removeprefix("step-")) for path in store.folder.glob("step-*.ckpt"))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "run" / "checkpoints", every=None)
    store.open(START)
    return store


def test_links_name_the_last_and_the_best(store):
    assert not store.last.exists()
    store.save(state_of(1), 1)
    assert (step_in(store.last), store.best.exists()) == (1, False)
    store.save(state_of(2), 2, best=True)
    path = store.save(state_of(3), 3)
    assert (step_in(store.last), step_in(store.best), step_in(path)) == (3, 2, 3)


def test_the_newest_and_the_best_are_kept(store):
    for step in range(1, 7):
        store.save(state_of(step), step, best=step == 2)
    assert checkpoints(store) == [2, 5, 6]
    assert (step_in(store.last), step_in(store.best)) == (6, 2)


@pytest.mark.parametrize("keep_last", [1, 3])
def test_so_many_are_kept(tmp_path, keep_last):
    store = Store(tmp_path, keep_last=keep_last)
    for step in (8, 9, 10, 11):
        store.save(state_of(step), step)
    assert checkpoints(store) == [8, 9, 10, 11][-keep_last:]


def test_after_going_on_from_an_older_one_the_last_is_never_pruned(store):
    for step in (10, 20, 3):
        store.save(state_of(step), step)
    assert step_in(store.last) == 3


def test_none_kept_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"checkpoint\.keep_last=0: must be at least 1"):
        Store(tmp_path, keep_last=0)


def test_regular_checkpoints_come_as_often_as_told(tmp_path):
    store = Store(tmp_path, every="3st")
    store.open(Moment(0.0, 4, 0.0))
    assert [step for step in range(5, 13) if store.is_due(Moment(0.0, step, 0.0))] == [6, 9, 12]
    assert not any(Store(tmp_path, every=None).is_due(Moment(1.0, step, 9.0)) for step in range(9))


def test_leftovers_of_a_crash_are_swept_out(store):
    store.save(state_of(1), 1)
    for name in (".tmp-123-step-00000002.ckpt", ".tmp-123-last.ckpt"):
        (store.folder / name).write_bytes(b"half")
    store.open(Moment(0.0, 1, 0.0))
    assert sorted(path.name for path in store.folder.iterdir()) == ["last.ckpt", "step-00000001.ckpt"]


def test_a_new_run_does_not_write_over_another(store):
    store.save(state_of(1), 1)
    with pytest.raises(ConfigError, match="holds the checkpoints of a run: resume it, or give another run_dir"):
        store.open(START)


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=rf"checkpoints cannot be written to {tmp_path}/file/checkpoints: Not a directory"
    ):
        Store(tmp_path / "file" / "checkpoints").open(START)


def fail_at(monkeypatch, owner, name, number, touches=lambda *_: True):
    """Let call ``number`` of a function that touches files raise, counted from 0."""
    function, calls = getattr(owner, name), []

    def failing(*arguments, **options):
        if touches(*arguments):
            calls.append(arguments)
            if len(calls) == number + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)
    return calls


OPERATIONS = {
    "open": (builtins, "open", 1),
    "torch.save": (torch, "save", 1),
    "fsync": (os, "fsync", 4),  # the file, and the folder after each of three renames
    "replace": (os, "replace", 3),  # the file and two links
    "symlink": (pathlib.Path, "symlink_to", 2),
    "unlink": (pathlib.Path, "unlink", 3),  # old leftovers of two links, and the pruned checkpoint
}


@pytest.mark.parametrize(
    ("operation", "number"), [(name, n) for name, (_, _, most) in OPERATIONS.items() for n in range(most)]
)
def test_whatever_fails_the_links_name_whole_files(tmp_path, monkeypatch, operation, number):
    store = Store(tmp_path, keep_last=1)
    store.open(START)
    store.save(state_of(1), 1, best=True)
    owner, name, _ = OPERATIONS[operation]
    with monkeypatch.context() as patch:
        calls = fail_at(patch, owner, name, number, lambda path, *_: ".ckpt" in str(path) or operation != "open")
        with pytest.raises(OSError, match="No space left"):
            store.save(state_of(2), 2, best=True)
        assert len(calls) >= number + 1
    last, best = step_in(store.last), step_in(store.best)
    assert (last, best) in [(1, 1), (1, 2), (2, 2)]  # never a last one whose best is lost
    store.open(Moment(0.0, last, 0.0))
    assert not list(tmp_path.glob(".tmp-*"))
    store.save(state_of(3), 3, best=True)
    assert (step_in(store.last), step_in(store.best), checkpoints(store)) == (3, 3, [3])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_not_saved(store, bad, dtype):
    store.save(state_of(1), 1)
    weight = torch.ones(5, dtype=dtype)
    weight[3] = bad
    with pytest.raises(TrainingError, match="step 2: a weight is not finite, so nothing was saved"):
        store.save({"model": {"fine": torch.ones(2), "weight": weight}}, 2, best=True)
    assert (step_in(store.last), checkpoints(store)) == (1, [1])


def test_large_weights_masks_and_integers_are_finite(store):
    mask = torch.full((3, 3), float("-inf")).triu(1)
    model = {"large": torch.full((4,), 3e38), "mask": mask, "count": torch.tensor(2**40), "none": torch.zeros(0)}
    store.save({"model": model, "counters": {}}, 1)
    assert torch.equal(read(store.last)["model"]["mask"], mask)
    store.save({"model": {}}, 2)


def test_a_run_folder_and_a_checkpoint_folder_mean_their_last_one(store):
    store.save(state_of(1), 1)
    path = store.save(state_of(2), 2)
    assert find(store.folder.parent) == store.last
    for meant in (store.folder, store.folder.parent, store.last, path, str(path)):
        assert step_in(meant) == 2


def test_a_missing_checkpoint_is_refused_with_those_there_are(store):
    store.save(state_of(1), 1)
    with pytest.raises(ConfigError, match=r"no checkpoint there; there are last\.ckpt, step-00000001\.ckpt"):
        find(store.folder / "step-9.ckpt")
    with pytest.raises(ConfigError, match=r"no checkpoint there; there are run/checkpoints/last\.ckpt$"):
        find(store.folder.parent.parent / "missing")
    with pytest.raises(ConfigError, match=r"resume=.*missing: no checkpoint there$"):
        find(store.folder.parent / "nowhere" / "missing")


def test_the_search_for_what_is_there_stays_near(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "deep.ckpt").write_text("")  # the folder may be the root of a disk
    with pytest.raises(ConfigError, match=r"no checkpoint there$"):
        find(tmp_path)


class Payload:
    """What a pickle can do: run a function when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_never_runs(tmp_path, zipped):
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    torch.save({"format": FORMAT, "model": Payload(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConfigError, match=r"evil\.ckpt: cannot be read as a checkpoint"):
        read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # it would have


@pytest.mark.parametrize("size", [0, 1, 10, 500, -100, -1])
def test_a_file_cut_short_is_refused(store, size):
    path = store.save(state_of(1), 1)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ConfigError, match=rf"{path.name}: cannot be read as a checkpoint: ."):
        read(path)


def test_a_flipped_bit_is_refused_or_harmless(store):
    state, path = state_of(1), store.save(state_of(1), 1)
    good, refused, draw = path.read_bytes(), 0, random.Random(0)
    for _ in range(300):
        bad = bytearray(good)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        try:
            found = read(path)
        except ConfigError:
            refused += 1
        else:  # in the padding
            assert torch.equal(found["model"]["weight"], state["model"]["weight"])
            assert found["counters"] == state["counters"]
    assert refused > 100


def test_a_flipped_bit_in_a_weight_is_refused(store):
    path = store.save(state_of(7), 1)
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((100,), 7.0).numpy().tobytes()) + 50] ^= 1
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="is damaged"):
        read(path)


@pytest.mark.parametrize("content", [torch.ones(2), {"weight": torch.ones(2)}, {"format": "pt"}, [1, 2]])
def test_a_checkpoint_of_others_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match=r"other\.ckpt: not a checkpoint of trainkit$"):
        read(tmp_path / "other.ckpt")


def test_a_newer_format_is_refused(tmp_path):
    torch.save({"format": FORMAT + 1}, tmp_path / "new.ckpt")
    with pytest.raises(
        ConfigError, match=rf"written by a newer trainkit \(format {FORMAT + 1}; this one reads up to {FORMAT}\)"
    ):
        read(tmp_path / "new.ckpt")


def test_the_best_of_the_run_resumed_from_is_adopted(store, tmp_path):
    store.save(state_of(1), 1, best=True)
    store.save(state_of(2), 2)
    assert store.adopt_best(store.last, 1)
    other = Store(tmp_path / "other")
    assert other.adopt_best(store.last, 1)
    assert step_in(other.best) == 1
    assert not other.adopt_best(store.last, 7)


def test_no_store_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.ckpt").write_text("of somebody else")
    store = NoStore()
    store.open(START)
    store.save({"model": {"weight": torch.tensor(float("nan"))}}, 1, best=True)
    assert not store.is_due(Moment(9.0, 9, 9.0))
    assert not store.best.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]
