"""A manifest says what a checkpoint holds, and is believed only as far as it can be."""

import json
import os
from contextlib import suppress

import pytest

from trainkit.checkpoint.files import Written
from trainkit.checkpoint.manifest import MOST_BYTES, Manifest, _checksum, manifest_path, read_manifest
from trainkit.timing import Moment

NAME = "step-00000340.ckpt"
MANIFEST = Manifest(NAME, 12, Moment(20.5, 340, 3.25), 0.98, True, False, {NAME: Written(3933, "a" * 64)})


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / NAME
    manifest_path(path).write_text(MANIFEST.text())
    return path


def rewrite(checkpoint, **changes):
    """Change a manifest as someone does who knows how its checksum is made."""
    content = json.loads(MANIFEST.text())
    del content["checksum"]
    content |= changes
    content = {key: value for key, value in content.items() if value is not ...}
    manifest_path(checkpoint).write_text(json.dumps({**content, "checksum": _checksum(content)}))


def test_a_manifest_is_read_as_it_was_written(checkpoint):
    assert manifest_path(checkpoint).name == "step-00000340.json"
    assert read_manifest(checkpoint) == MANIFEST
    assert (MANIFEST.step, MANIFEST.size) == (340, 3933)
    rewrite(checkpoint)
    assert read_manifest(checkpoint) == MANIFEST


def test_without_one_there_is_none(tmp_path):
    assert read_manifest(tmp_path / NAME) is None


def test_a_flipped_bit_in_any_byte_is_noticed(checkpoint):
    path = manifest_path(checkpoint)
    good = path.read_bytes()
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path.write_bytes(bad)
        found = None
        with suppress(ValueError):
            found = read_manifest(checkpoint)
        assert found in (None, MANIFEST), place  # the same: one kind of white space for another


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "written by a newer trainkit"),
        ({"format": "1"}, "it is no manifest"),
        ({"format": True}, "it is no manifest"),
        ({"serial": ...}, "it has "),
        ({"more": 1}, "it has "),
        ({"serial": -1}, "serial must be a whole number from 0 on"),
        ({"serial": 1.0}, "serial must be"),
        ({"serial": 2**70}, "serial must be"),
        ({"step": True}, "step must be"),
        ({"epochs": -0.5}, "epochs must be a number from 0 on"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"score": "high"}, "score must be a number or null"),
        ({"score": float("inf")}, "score must be"),
        ({"best": 1}, "best must be true or false"),
        ({"regular": None}, "regular must be"),
        ({"files": {}}, "files must name"),
        ({"files": []}, "files must name"),
        ({"files": {NAME: 3}}, "must have a size and a sha256"),
        ({"files": {NAME: {"size": -1, "sha256": "a" * 64}}}, "must have a size"),
        ({"files": {NAME: {"size": 1e9, "sha256": "a" * 64}}}, "must have a size"),
        ({"files": {NAME: {"size": 1, "sha256": "A" * 64}}}, "must have a sha256 of 64 digits"),
        ({"files": {NAME: {"size": 1, "sha256": "a" * 64, "path": "/"}}}, "must have a size"),
        ({"files": {"step-00000341.ckpt": {"size": 1, "sha256": "a" * 64}}}, "it is the manifest of step-00000341"),
        ({"files": {f"{n}": {"size": 1, "sha256": "a" * 64} for n in range(5000)}}, "files must name"),
    ],
)
def test_what_cannot_be_is_refused_even_with_a_right_checksum(checkpoint, changes, reason):
    rewrite(checkpoint, **changes)
    with pytest.raises(ValueError, match=reason):
        read_manifest(checkpoint)


@pytest.mark.parametrize(
    "name", ["../other.ckpt", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\\b", "a\0b", "x" * 300, "a\n", "é"]
)
def test_a_name_that_leads_elsewhere_is_refused(checkpoint, name):
    rewrite(checkpoint, files={NAME: {"size": 1, "sha256": "a" * 64}, name: {"size": 1, "sha256": "a" * 64}})
    with pytest.raises(ValueError, match="is no plain file name"):
        read_manifest(checkpoint)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"format": 1}', "[" * 100_000, '{"format": 1' + "0" * 5000 + "}", "\ud800", "1e999"],
)
def test_what_is_no_manifest_is_refused(checkpoint, text):
    manifest_path(checkpoint).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"its manifest step-00000340\.json is damaged: ."):
        read_manifest(checkpoint)


def test_a_large_one_is_refused_before_it_is_parsed(checkpoint):
    with open(manifest_path(checkpoint), "wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no space
    with pytest.raises(ValueError, match=f"it is larger than {MOST_BYTES} bytes"):
        read_manifest(checkpoint)


def test_only_a_plain_file_is_read(checkpoint, tmp_path):
    path = manifest_path(checkpoint)
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(OSError, match="symbolic links"):
        read_manifest(checkpoint)
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    with pytest.raises(ValueError, match="is no file"):
        read_manifest(checkpoint)
    path.unlink()
    path.mkdir()
    with pytest.raises((ValueError, OSError)):
        read_manifest(checkpoint)
