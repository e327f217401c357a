"""Faults found when a checkpoint is read: damaged, missing, foreign, hostile files."""

import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainkit.checkpoint import Store, newest, problem, read
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Moment

GOOD, BAD = 2, 3
NAME = f"step-{BAD:08d}"


def state_of(step: int) -> dict[str, Any]:
    return {"model": {"weight": torch.full((200,), float(step))}, "counters": {"step": step}}


def step_in(path: Path) -> int:
    state = read(path)
    step = int(state["counters"]["step"])
    assert state["model"]["weight"].tolist() == [float(step)] * 200
    return step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the checkpoints 2, the best, and 3, the newest."""
    folder = tmp_path / "checkpoints"
    store = Store(folder)
    store.open(Moment(0.0, 0, 0.0))
    for step in (1, GOOD, BAD):
        store.save(state_of(step), Moment(float(step), step, 1.0), best=step == GOOD)
    return folder


def flip(path: Path, draw: random.Random) -> str:
    data = bytearray(path.read_bytes())
    place, bit = draw.randrange(len(data)), draw.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} of {path.name}"


def cut(path: Path, draw: random.Random) -> str:
    data = path.read_bytes()
    length = draw.randrange(len(data))
    path.write_bytes(data[:length])
    return f"{path.name} cut to {length}"


@pytest.mark.parametrize(
    ("damage", "suffix", "times"),
    [(flip, ".ckpt", 150), (flip, ".json", 50), (cut, ".ckpt", 75), (cut, ".json", 25)],
    ids=["flipped bits of the file", "of the manifest", "truncations of the file", "of the manifest "],
)
def test_13_damage_is_noticed_and_the_last_good_one_taken(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path, random.Random], str],
    suffix: str,
    times: int,
) -> None:
    """Case 13: 200 flips, 100 truncations: one warning with the reason, the bad one aside, the last good one read."""
    draw, path = random.Random(suffix + damage.__name__), folder / f"{NAME}{suffix}"
    good, untouched = path.read_bytes(), 0
    for _ in range(times):
        done = damage(path, draw)
        if suffix == ".json" and problem(folder / f"{NAME}.ckpt") is None:
            assert b"".join(path.read_bytes().split()) == b"".join(good.split()), done  # white space
            untouched += 1
            path.write_bytes(good)
            continue
        caplog.clear()
        found = newest(folder)
        assert found == folder / f"step-{GOOD:08d}.ckpt", done
        assert step_in(found) == step_in(folder / "last.ckpt") == step_in(folder / "best.ckpt") == GOOD
        (warning,) = caplog.records
        text = warning.getMessage()
        assert text.startswith(f"{NAME}.ckpt: "), done
        assert text.endswith(f"; set aside as {NAME}.ckpt.corrupt, going on from step-{GOOD:08d}.ckpt")
        assert len(text.split(": ", 1)[1]) > 80, text  # with a reason
        assert not path.exists()
        for ending in (".ckpt", ".json"):
            (folder / f"{NAME}{ending}.corrupt").rename(folder / f"{NAME}{ending}")
        path.write_bytes(good)
    assert untouched < times / 5
    assert newest(folder) == folder / f"{NAME}.ckpt"
    assert step_in(folder / "last.ckpt") == BAD


def lose(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("")


def make_link(path: Path) -> None:
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("suffix", [".ckpt", ".json"])
@pytest.mark.parametrize("damage", [lose, empty, make_folder, make_link, make_pipe])
def test_13_a_file_that_is_lost_or_no_file_is_passed_over(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], suffix: str
) -> None:
    """Case 13: file or manifest lost, empty, a folder, a link, a pipe: one warning, the last good one, no hang."""
    damage(folder / f"{NAME}{suffix}")
    assert newest(folder) == folder / f"step-{GOOD:08d}.ckpt"
    assert step_in(folder / "last.ckpt") == GOOD
    (warning,) = caplog.records
    assert f"{NAME}.ckpt: " in warning.getMessage()
    assert not (folder / f"{NAME}.ckpt").exists()
    caplog.clear()
    assert newest(folder) == folder / f"step-{GOOD:08d}.ckpt"
    assert not caplog.records  # said once
    store = Store(folder)
    store.open(Moment(2.0, GOOD, 1.0))
    store.save(state_of(BAD), Moment(3.0, BAD, 1.0))
    assert store.failure is None
    assert step_in(folder / "last.ckpt") == BAD


def test_13_several_bad_ones_are_each_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Case 13: one warning per file that is passed over; the same name set aside twice gets a number."""
    store = Store(folder, keep_last=4)
    store.open(Moment(3.0, BAD, 1.0))
    for step in (4, 5):
        store.save(state_of(step), Moment(float(step), step, 1.0))
    for step in (BAD, 4, 5):
        (folder / f"step-{step:08d}.ckpt").write_bytes(b"nothing")
    (folder / f"{NAME}.ckpt.corrupt").write_text("of an earlier time")
    assert newest(folder) == folder / f"step-{GOOD:08d}.ckpt"
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split(": ")[0] for text in texts] == [f"step-{step:08d}.ckpt" for step in (BAD, 4, 5)]
    assert "set aside as step-00000003.ckpt.corrupt-2," in texts[0]
    assert "step-00000005.ckpt has 7 bytes instead of " in texts[2]


def test_13_a_folder_that_cannot_be_changed_is_read_all_the_same(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 13: what cannot be set aside is passed over and said."""
    (folder / f"{NAME}.ckpt").write_bytes(b"nothing")

    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "symlink", refuse)
    assert newest(folder) == folder / f"step-{GOOD:08d}.ckpt"
    assert "it cannot be set aside (Read-only file system), going on from" in caplog.text


def test_14_if_all_are_bad_the_run_does_not_start_over(folder: Path) -> None:
    """Case 14: an error that lists each with its reason, nothing changed; the same again at the next try."""
    (folder / f"{NAME}.ckpt").write_bytes(b"nothing")
    (folder / "step-00000002.json").write_text("{}")
    before = sorted((path.name, os.readlink(path) if path.is_symlink() else "") for path in folder.iterdir())
    for _ in range(2):
        with pytest.raises(TrainingError) as caught:
            newest(folder)
        lines = str(caught.value).splitlines()
        assert lines[0] == f"{folder}: none of its checkpoints is whole, so the run cannot go on:"
        assert lines[1].startswith("  step-00000002.ckpt: its manifest step-00000002.json is damaged: ")
        assert lines[2].startswith("  step-00000003.ckpt: step-00000003.ckpt has 7 bytes instead of ")
        assert lines[3] == "Nothing was changed. Put a good copy back, or start anew with another run_dir"
    assert before == sorted((path.name, os.readlink(path) if path.is_symlink() else "") for path in folder.iterdir())
    with pytest.raises(ConfigError, match="holds the checkpoints of a run"):
        Store(folder).open(Moment(0.0, 0, 0.0))


def test_14_bad_ones_that_were_set_aside_are_not_forgotten(folder: Path) -> None:
    """Case 14: the one good checkpoint goes bad too, later: still an error, never a fresh start."""
    (folder / f"{NAME}.ckpt").write_bytes(b"nothing")
    assert newest(folder) is not None
    for path in folder.glob("step-00000002.*"):
        path.unlink()
    with pytest.raises(TrainingError, match=r"step-00000003\.ckpt\.corrupt: it was set aside before"):
        newest(folder)


def test_14_a_very_first_save_that_was_cut_short_does_not_block_the_run(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 14: one file without a manifest and nothing else: gone on from if it is whole; a start is not refused."""
    for path in folder.iterdir():
        if path.name != f"{NAME}.ckpt":
            path.unlink()
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy)
    store = Store(copy)
    store.open(Moment(0.0, 0, 0.0))  # of a script that goes by last.ckpt
    assert store.save(state_of(BAD), Moment(3.0, BAD, 1.0)) == copy / f"{NAME}.ckpt"
    assert newest(folder) == folder / f"{NAME}.ckpt"
    (warning,) = caplog.records
    assert warning.getMessage().startswith(f"{NAME}.ckpt: it has no manifest: ")
    assert warning.getMessage().endswith("; it is whole by its own checksums, so it is gone on from")
    assert step_in(folder / "last.ckpt") == BAD
    caplog.clear()
    assert newest(folder) == folder / f"{NAME}.ckpt"
    assert not caplog.records
    (folder / f"{NAME}.json").unlink()
    (folder / f"{NAME}.ckpt").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"step-00000003\.ckpt: "):
        newest(folder)


def test_14_an_empty_folder_holds_nothing_to_go_on_from(tmp_path: Path) -> None:
    """Case 14: none, or an empty folder: None, so that resume=auto starts afresh."""
    assert newest(tmp_path) is None
    assert newest(tmp_path / "none") is None
    (tmp_path / "notes.txt").write_text("step-00000001.ckpt")
    (tmp_path / ".tmp-1-step-00000001.ckpt").write_text("half")
    assert newest(tmp_path) is None


def test_14_a_best_one_taken_over_is_not_where_the_run_stands(folder: Path, tmp_path: Path) -> None:
    """Case 14: a run from elsewhere that died before it saved anything has nothing to go on from here."""
    store = Store(tmp_path / "new")
    assert store.adopt_best(folder / "last.ckpt", GOOD)
    assert step_in(store.best) == GOOD
    assert newest(store.folder) is None
    store.open(Moment(0.0, 0, 0.0))
    assert not list(store.folder.glob("*.ckpt"))


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/notes.txt", "hello")


BADS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("my notes\n" * 20),
    "zip": a_zip,
    "plain pickle": lambda path: path.write_bytes(b"\x80\x04}."),
    "weights of someone": lambda path: torch.save({"weight": torch.ones(2)}, path),
    "list": lambda path: torch.save([1], path),
}


@pytest.mark.parametrize("kind", BADS)
def test_15_an_explicit_path_that_is_bad_is_refused_without_fallback(folder: Path, kind: str) -> None:
    """Case 15: exit 2 (a ConfigError) that names the file and says what is wrong with it."""
    path = folder / f"{NAME}.ckpt"
    (folder / f"{NAME}.json").unlink()
    path.unlink()
    BADS[kind](path)
    for given in (path, folder, folder / "last.ckpt", folder.parent):
        with pytest.raises(
            ConfigError, match=r"(cannot be read as a checkpoint: .|not a checkpoint of trainkit)"
        ) as caught:
            read(given)
        assert len(str(caught.value).splitlines()) == 1
    assert path.exists()  # nothing is set aside


def test_15_a_missing_path_names_what_is_near(folder: Path) -> None:
    """Case 15: a typo, a folder without checkpoints."""
    with pytest.raises(ConfigError) as caught:
        read(folder / "step-0000003.ckpt")
    assert str(caught.value) == (
        f"resume={folder}/step-0000003.ckpt: no checkpoint there; there are best.ckpt, last.ckpt, step-00000002.ckpt, "
        "step-00000003.ckpt. Did you mean 'step-00000003.ckpt'?"
    )
    (folder.parent / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: no checkpoint there$"):
        read(folder.parent / "empty")


def test_15_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    """Case 15: a run folder from elsewhere may hold links to anything."""
    (folder.parent / "other.ckpt").write_bytes((folder / f"{NAME}.ckpt").read_bytes())
    for target in ("../other.ckpt", str(folder.parent / "other.ckpt"), "best.ckpt"):
        (folder / "last.ckpt").unlink()
        (folder / "last.ckpt").symlink_to(target)
        with pytest.raises(ConfigError, match=f"is a link that leads out of its folder, to {target}; name that file"):
            read(folder)
    copy = folder.parent / "copy.ckpt"
    shutil.copy(folder / f"{NAME}.ckpt", copy)
    assert step_in(copy) == BAD  # a copy without a manifest is held against its own checksums
    data = bytearray(copy.read_bytes())
    data[data.index(torch.full((200,), float(BAD)).numpy().tobytes()) + 50] ^= 1
    copy.write_bytes(data)
    with pytest.raises(ConfigError, match=r"cannot be read as a checkpoint: .*data/0 is damaged"):
        read(copy)


# Each file is read in a process of little memory. What it prints for a file is its error, or its size in memory.
HOSTILE = """
import io, json, os, pickle, resource, struct, sys, time, zipfile
from pathlib import Path
import torch
from trainkit.checkpoint import FORMAT, Store, newest, problem, read
from trainkit.checkpoint.manifest import Manifest, Written, manifest_path
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Moment
import hashlib

torch.set_num_threads(1)
home = Path(sys.argv[1])
store = Store(home / "good", every=None)
store.open(Moment(0.0, 0, 0.0))
good = store.save({"model": {"weight": torch.arange(1000.0)}, "counters": {}}, Moment(0.0, 1, 0.0))
read(good)
with zipfile.ZipFile(good) as archive:
    members = {info.filename: archive.read(info) for info in archive.infolist()}
root = next(name for name in members if name.endswith("data.pkl")).removesuffix("data.pkl")


def packed(path, compression=zipfile.ZIP_STORED, **changed):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in (members | {root + name: data for name, data in changed.items()}).items():
            archive.writestr(name, data)


def with_pickle(path, data):
    packed(path, **{"data.pkl": data})


def tensor(size, numel=1000, stride=1, dtype="FloatStorage"):
    storage = f"ctorch\\n{dtype}\\n".encode()
    size, numel, stride = (b"\\x8a\\x08" + struct.pack("<q", n) for n in (size, numel, stride))
    begin = b"ctorch._utils\\n_rebuild_tensor_v2\\n((X\\x07\\0\\0\\0storage" + storage
    key = b"X\\x01\\0\\0\\x000X\\x03\\0\\0\\0cpu" + numel + b"tQK\\0"
    return begin + key + size + b"\\x85" + stride + b"\\x85\\x89ccollections\\nOrderedDict\\n)RtR"


def state(value):
    return state_with(b"}X\\x01\\0\\0\\0w" + value + b"s")


def state_with(value):
    begin = b"\\x80\\x02}(X\\x06\\0\\0\\0formatK" + bytes([FORMAT])
    return begin + b"X\\x05\\0\\0\\0model" + value + b"u."


def claims(path):
    data = good.read_bytes()
    end = data.rindex(b"PK\\5\\6")
    start = len(data)
    record = struct.pack("<4sQ2H2L4Q", b"PK\\6\\6", 44, 45, 45, 0, 0, 2**40, 2**40, 2**44, 0)
    path.write_bytes(data[:end] + record + struct.pack("<4sLQL", b"PK\\6\\7", 0, end, 1)
                     + struct.pack("<4s4H2LH", b"PK\\5\\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


def torch_saved(path, value):
    torch.save({"format": FORMAT, "model": value}, path)


class Calls:
    def __init__(self, function, *arguments):
        self.made = function, arguments
    def __reduce__(self):
        return self.made


deep = []
for _ in range(100_000):
    deep = [deep]
cases = {
    "a compressed member": lambda path: packed(path, zipfile.ZIP_DEFLATED, **{"data/0": bytes(200_000_000)}),
    "a compressed pickle": lambda path: packed(path, zipfile.ZIP_DEFLATED, **{"data.pkl": bytes(200_000_000)}),
    "a claim of 2**40 members": claims,
    "a hole of a terabyte": lambda path: sparse(path, 1 << 40),
    "a tensor of 2**60": lambda path: with_pickle(path, state(tensor(2**60))),
    "a tensor of 2**62 of 8 bytes": lambda path: with_pickle(path, state(tensor(2**62, 2**62, 1, "DoubleStorage"))),
    "a tensor of a negative size": lambda path: with_pickle(path, state(tensor(-1))),
    "a tensor beyond its file": lambda path: with_pickle(path, state(tensor(2**20, 2**20))),
    "an expanded tensor": lambda path: with_pickle(path, state(tensor(2**40, 1000, 0))),
    "a tensor of negative stride": lambda path: with_pickle(path, state(tensor(10, 1000, -1))),
    "a bytearray of a terabyte": lambda path: torch_saved(path, Calls(bytearray, 1 << 40)),
    "a text of 4 GB": lambda path: with_pickle(path, b"\\x80\\x02X\\xff\\xff\\xff\\xffabc."),
    "nested deep": lambda path: with_pickle(path, state(b"]" * 100_000 + b"a" * 99_999)),
    "holding itself": lambda path: with_pickle(path, state_with(b"]q\\0(h\\0h\\0h\\0e")),
    "a billion laughs": lambda path: with_pickle(path, state_with(
        b"](]q\\0" + b"".join(b"](" + b"h%c" % n * 10 + b"eq%c" % (n + 1) for n in range(60)) + b"e")),
    "a memo out of bounds": lambda path: with_pickle(path, state(b"j\\xff\\xff\\xff\\xff")),
    "an unknown operation": lambda path: with_pickle(path, state(b"\\xf0")),
    "an empty stack": lambda path: with_pickle(path, b"\\x80\\x02aR0."),
    "no end": lambda path: with_pickle(path, b"\\x80\\x02}"),
    "a sparse tensor": lambda path: torch_saved(path, torch.eye(2).to_sparse()),
    "a call of print": lambda path: torch_saved(path, Calls(print, "PAYLOAD")),
    "a call of os.system": lambda path: torch_saved(path, Calls(os.system, "echo PAYLOAD")),
}
for numel in (1000, 2**60):  # the pickles made here are well-formed; of a claim no more is read than there is
    with_pickle(home / "control.ckpt", state(tensor(10, numel)))
    assert read(home / "control.ckpt")["model"]["w"].tolist() == list(range(10))
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + (1 << 30),) * 2)
for number, (name, make) in enumerate(cases.items()):
    for with_manifest in (False, True):
        folder = home / f"{number}-{with_manifest}"
        folder.mkdir()
        path = folder / "step-00000001.ckpt"
        make(path)
        if with_manifest:
            size = path.stat().st_size
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if size < 1 << 30 else "0" * 64
            written = {path.name: Written(size if size < 1 << 40 else 10, digest)}
            manifest = Manifest(path.name, 1, Moment(0.0, 1, 0.0), None, False, False, written)
            manifest_path(path).write_text(manifest.text())
        start = time.monotonic()
        try:
            found = read(path)
            print(f"{name}: READ {type(found)}")
        except ConfigError as error:
            print(f"{name}: ConfigError: {str(error).replace(str(path), 'PATH')}")
        try:
            newest(folder)
            print(f"{name}: PICKED")
        except TrainingError:
            pass
        seconds = time.monotonic() - start
        print(f"{name}: {'slow' if seconds > 20 else 'quick'}", flush=True)
for suffix, make in {"a manifest of a terabyte": lambda path: sparse(path, 1 << 40),
                     "a manifest nested deep": lambda path: path.write_text("[" * 1_000_000)}.items():
    folder = home / suffix
    folder.mkdir()
    path = folder / "step-00000001.ckpt"
    path.write_bytes(good.read_bytes())
    make(manifest_path(path))
    try:
        read(path)
        print(f"{suffix}: READ")
    except ConfigError as error:
        print(f"{suffix}: ConfigError: {str(error).replace(str(path), 'PATH')}")
print("done", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


def test_49_hostile_sizes_and_payloads_cost_neither_memory_nor_time_and_run_nothing(tmp_path: Path) -> None:
    """Case 49: each is refused with a ConfigError, in a process with 1 GiB to spare, and nothing in them runs."""
    run = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(tmp_path)], capture_output=True, text=True, timeout=110, env=os.environ
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 0, (lines[-1:], run.stderr[-2000:])
    assert lines[-1].startswith("done ")
    assert "PAYLOAD" not in run.stdout.replace("'PAYLOAD'", "")
    refused = [line for line in lines if ": ConfigError: PATH: cannot be read as a checkpoint: " in line]
    rest = [line for line in lines[:-1] if line not in refused and not line.endswith(": quick")]
    assert not rest, rest
    assert len(refused) == 2 * 22 + 2
    assert all(len(line) < 500 for line in refused)
