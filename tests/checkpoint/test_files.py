"""Files that appear whole or not at all."""

import errno
import os

import pytest

from trainkit.checkpoint.files import link_atomically, write_atomically, write_text


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
