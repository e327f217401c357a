"""Files that anyone may have written: nothing in them runs, no size in them is believed, good ones read as before."""

import collections
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
import torch

from trainkit.checkpoint.loading import PICKLE_BYTES, Unsafe, load


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, *reduced) -> None:
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def saved(tmp_path: Path):
    def save(content: object, **options) -> Path:
        torch.save(content, tmp_path / "file.pt", **options)
        return tmp_path / "file.pt"

    return save


def test_what_torch_saves_of_tensors_and_plain_values_comes_back(saved) -> None:
    content = {
        "tensor": torch.arange(6.0).reshape(2, 3),
        "types": [torch.zeros(3, dtype=kind) for kind in (torch.bool, torch.int64, torch.bfloat16, torch.complex64)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.zeros(0),
        "expanded": torch.ones(1).expand(1000),
        "plain": [None, True, -1, 10**30, 2.5, float("inf"), 3j, "text", b"bytes", (1, 2), {1}, torch.Size([2])],
        "names": [torch.device("cpu"), torch.float16],
        "text that looks like a pickle's call": "cos\nsystem\n(S'true'\ntR.",
        "ordered": collections.OrderedDict(a=1),
    }
    found = load(saved(content))
    assert found.keys() == content.keys()
    for name in ("tensor", "parameter", "empty", "expanded"):
        assert torch.equal(found[name], content[name])
    assert all(a.dtype == b.dtype for a, b in zip(found["types"], content["types"], strict=True))
    for name in ("plain", "names", "text that looks like a pickle's call", "ordered"):
        assert found[name] == content[name]


def test_tied_tensors_stay_tied_and_versions_of_modules_are_kept(saved) -> None:
    module = torch.nn.BatchNorm1d(2)
    weight = torch.ones(3)
    found = load(saved({"a": weight, "b": weight, "module": module.state_dict()}))
    assert found["a"].data_ptr() == found["b"].data_ptr()
    assert found["module"]._metadata == module.state_dict()._metadata


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Calls(os.system, ("true",)), "posix.system"),
        (Calls(eval, ("1",)), "builtins.eval"),
        (Calls(bytearray, (1 << 40,)), "bytearray"),
        (numpy.zeros(3), "numpy._core.multiarray._reconstruct"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (torch.zeros(2).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.empty(10**12, device="meta"), "_rebuild_meta_tensor_no_storage"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_whatever_a_pickle_would_call_is_named(saved, content: object, named: str, protocol: int) -> None:
    with pytest.raises(Unsafe) as error:
        load(saved({"deep": [{"er": content}]}, pickle_protocol=protocol))
    assert named in str(error.value)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)


def test_a_call_is_named_in_the_older_forms_too(saved, tmp_path: Path) -> None:
    call = Calls(os.system, ("true",))
    with pytest.raises(Unsafe, match=r"posix\.system"):
        load(saved(call, _use_new_zipfile_serialization=False))
    plain = tmp_path / "plain.pkl"
    plain.write_bytes(pickle.dumps(call))
    with pytest.raises(Unsafe, match=r"posix\.system"):
        load(plain)
    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        member = tarfile.TarInfo("storages")
        member.size = len(data := pickle.dumps(call))
        archive.addfile(member, io.BytesIO(data))
    with pytest.raises(Unsafe, match=r"oldest format \(tar\)"):
        load(tmp_path / "old.tar")
    with pytest.raises(Unsafe, match="save it anew"):
        load(saved({"a": torch.zeros(2)}, _use_new_zipfile_serialization=False))


def test_a_script_is_code(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(Unsafe, match="TorchScript"):
        load(path)


def _repacked(path: Path, change) -> Path:
    """Write the archive anew, each member as ``change(name, data)`` gives it: a list of (name, data, compression)."""
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            for new, content, compression in change(name, data):
                archive.writestr(zipfile.ZipInfo(new), content, compression)
    return path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda name, data: [(name, data, zipfile.ZIP_DEFLATED)], "compressed"),
        (lambda name, data: [(name, data, 0), (f"a/../../{name}", b"", 0)], r"a/\.\./\.\./file/.* lead out"),
        (lambda name, data: [(name, data, 0), (f"/etc/{name}", b"", 0)], "lead out"),
        (lambda name, data: [(name.replace("data.pkl", "other.pkl"), data, 0)], "not one that torch.save wrote"),
    ],
)
def test_an_archive_that_torch_does_not_write_is_refused(saved, change, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(_repacked(saved({"a": torch.zeros(2)}), change))


def test_entries_are_counted_as_often_as_they_are_named(saved) -> None:
    bomb: list = [1]
    for _ in range(60):
        bomb = [bomb, bomb]
    with pytest.raises(Unsafe, match="entries"):
        load(saved(bomb))
    circle: list = []
    circle.append(circle)
    with pytest.raises(Unsafe, match="nested"):
        load(saved(circle))
    deep: list = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(Unsafe, match="nested"):
        load(saved(deep))


def test_bytes_are_counted_as_often_as_they_are_named(saved) -> None:
    weight = torch.zeros(1_000_000)
    assert len(load(saved({f"{n}": weight for n in range(15)}))) == 15
    with pytest.raises(Unsafe, match="bytes of tensors"):
        load(saved({f"{n}": weight for n in range(400)}))
    with pytest.raises(Unsafe, match=r"tensor of 4,000,000,000,000 bytes, for which it has 4$"):
        load(saved({"a": torch.zeros(1).expand(10**12)}))


def test_a_large_pickle_is_refused_by_its_size(saved) -> None:
    with pytest.raises(Unsafe, match=f"at most {PICKLE_BYTES:,} are read"):
        load(saved({f"key {number:09}": number for number in range(700_000)}))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"PK\x03\x04" + b"\0" * 100, b"\x80\x02."])
def test_other_files_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError):
        load(tmp_path / "file")


def test_pipes_and_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match=r"no.* regular file"):
            load(path)


def test_each_flipped_byte_of_the_pickle_is_refused_or_read_within_bounds(saved) -> None:
    """None ends the process; what is read is still tensors and plain values."""
    path = saved({"weight": torch.ones(2, 2), "step": 3, "name": "x"})
    good = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("file/data.pkl")
    start, outcomes = good.index(pickled), collections.Counter()
    for offset in range(len(pickled)):
        flipped = bytearray(good)
        flipped[start + offset] ^= 1 << (offset % 8)
        path.write_bytes(flipped)
        try:
            load(path)
            outcomes["read"] += 1
        except (ValueError, OSError):
            outcomes["refused"] += 1
    assert outcomes["refused"] > outcomes["read"] / 10
