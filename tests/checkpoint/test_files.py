"""Files that appear whole or not at all."""

import errno
import hashlib
import os

import pytest
import torch

from trainkit.checkpoint.files import CHUNK, link_atomically, make_folder, probe, write_atomically, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_over_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new, and longer: ö")
    assert path.read_text(encoding="utf-8") == "new, and longer: ö"
    assert names(tmp_path) == ["a.txt"]


def test_the_old_file_is_there_while_the_new_one_is_written(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"

    write_atomically(path, write)
    assert path.read_text() == "new"


def test_the_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, function=function: (calls.append(name), function(*a))[1])
    write_text(tmp_path / "a.txt", "new")
    assert calls == ["fsync", "replace", "fsync"]  # the file, the rename, the folder


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write(file):
        file.write(b"half of the ne")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_file_system_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_missing_folder_is_the_callers_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "missing" / "a.txt", "new")


def test_a_link_goes_over_the_old_one_and_over_a_leftover(tmp_path):
    link = tmp_path / "last"
    for target in ("a", "b"):
        write_text(tmp_path / target, target)
        (tmp_path / f".tmp-{os.getpid()}-last").symlink_to("nowhere")
        link_atomically(link, target)
        assert os.readlink(link) == target  # relative, so that the folder may be moved
        assert link.read_text() == target
    assert names(tmp_path) == ["a", "b", "last"]


def test_a_link_that_fails_still_names_the_old_file(tmp_path, monkeypatch):
    link = tmp_path / "last"
    write_text(tmp_path / "a", "a")
    link_atomically(link, "a")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        link_atomically(link, "b")
    assert link.read_text() == "a"


@pytest.mark.parametrize(
    "sizes", [[], [0], [1, 2, 3], [CHUNK - 1, 1, 1], [CHUNK], [5, 3 * CHUNK + 7, 5], [700_000] * 3]
)
def test_what_was_written_is_counted_and_hashed(tmp_path, sizes):
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    written = write_atomically(tmp_path / "a", lambda stream: [stream.write(part) for part in parts])
    content = (tmp_path / "a").read_bytes()
    assert content == b"".join(parts)
    assert written == (len(content), hashlib.sha256(content).hexdigest())


def test_a_file_system_that_takes_a_part_at_a_time_gets_it_all(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:1000]))
    write_atomically(tmp_path / "a", lambda stream: stream.write(bytes(range(256)) * 100))
    assert (tmp_path / "a").read_bytes() == bytes(range(256)) * 100


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt("SIGTERM")])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_true_error_comes_out_of_torch_save(tmp_path, monkeypatch, error, number):
    count = 0

    def write(descriptor, data):
        nonlocal count
        count += 1
        if count == number:
            raise error
        return len(data)

    monkeypatch.setattr(os, "write", write)
    state = {"a": torch.zeros(CHUNK // 2), "b": torch.zeros(10)}
    with pytest.raises(type(error)) as caught:
        write_atomically(tmp_path / "a", lambda stream: torch.save(state, stream))
    assert caught.value is error
    assert names(tmp_path) == []


def test_an_error_of_the_writer_itself_comes_out_as_it_is(tmp_path):
    with pytest.raises(Exception, match="pickle") as caught:
        write_atomically(tmp_path / "a", lambda stream: torch.save({"a": lambda: 1}, stream))
    assert not isinstance(caught.value, OSError)
    assert names(tmp_path) == []


def test_a_folder_is_made_with_its_parents_each_of_which_is_synced(tmp_path, monkeypatch):
    synced, real = [], os.open

    def note(path, *arguments):
        synced.append(os.fspath(path))
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", note)
    make_folder(tmp_path / "a" / "b")
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} == set(synced)
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert not synced
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        make_folder(tmp_path / "file" / "b")


def test_a_probe_leaves_nothing(tmp_path):
    probe(tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "missing")


def test_a_temporary_name_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f".tmp-{os.getpid()}-a").symlink_to("precious")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "precious").read_text() == "precious"
