"""What the disk has to say, in words."""

import errno
import os

import pytest

from trainkit.checkpoint import disk


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (960, "960 bytes"),
        (1234, "1.23 kB"),
        (96_400_000, "96.4 MB"),
        (411_900_000, "412 MB"),
        (999_600_000, "1 GB"),
        (1.2e9, "1.2 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes(size, text):
    assert disk.in_words(int(size)) == text


def test_the_device_is_named(tmp_path):
    assert disk.device(tmp_path)
    assert disk.device(tmp_path / "not" / "there")
    assert disk.free(tmp_path) > 0
    assert disk.free(tmp_path / "not" / "there") == 0


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (errno.ENOSPC, "no space left on sda (F): needs 412 MB, 96 MB free"),
        (errno.EDQUOT, "the disk quota is used up on sda (F): needs 412 MB, 96 MB free"),
        (errno.EFBIG, "a file of this size is not allowed (see ulimit -f) on sda (F): needs 412 MB"),
        (errno.EROFS, "the file system is read-only on sda (F)"),
        (errno.EBUSY, "device or resource busy on sda (F)"),
    ],
)
def test_reasons(monkeypatch, tmp_path, code, text):
    monkeypatch.setattr(disk, "device", lambda folder: "sda")
    monkeypatch.setattr(disk, "free", lambda folder: 96_000_000)
    error = OSError(code, os.strerror(code))
    assert disk.reason(error, tmp_path, 412_000_000) == text.replace("(F)", f"({tmp_path})")


def test_an_error_without_a_number_says_what_it_says(tmp_path):
    assert disk.reason(OSError("Odd"), tmp_path, 1).startswith("odd on ")
