"""Files of weights alone, read and written."""

import sys
from pathlib import Path

import pytest
import torch

from trainkit.checkpoint.foreign import read_any, write_weights
from trainkit.errors import ConfigError

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2]), "scalar": torch.tensor(3.5)}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    weights = {**WEIGHTS, "view": torch.arange(8.0).reshape(2, 4)[:, 1:3], "transposed": WEIGHTS["a"].T}
    assert write_weights(tmp_path / f"w{suffix}", weights) == {}
    found = read_any(tmp_path / f"w{suffix}")["model"]
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_tied_weights_are_stored_once_and_come_back_under_both_names(tmp_path: Path, suffix: str) -> None:
    shared = torch.randn(300, 300)
    path = tmp_path / f"w{suffix}"
    tied = write_weights(path, {"embed": shared, "head": shared, "other": shared.clone()})
    assert tied == ({"head": "embed"} if suffix == ".safetensors" else {})
    assert path.stat().st_size < 2.1 * shared.numel() * 4
    found = read_any(path)["model"]
    assert found["head"].data_ptr() == found["embed"].data_ptr()
    assert torch.equal(found["other"], shared)


def test_the_rest_of_a_storage_is_not_written(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.pt", {"part": torch.zeros(1_000_000)[:10]})
    assert (tmp_path / "w.pt").stat().st_size < 10_000


def test_safetensors_files_are_those_of_the_package(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    write_weights(tmp_path / "w.safetensors", WEIGHTS)
    found = safetensors.load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


def test_without_the_package_the_way_to_get_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'trainkit\[safetensors\]'"):
        write_weights(tmp_path / "w.safetensors", WEIGHTS)
    write_weights(tmp_path / "w.pt", WEIGHTS)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be \.pt or \.safetensors"):
        write_weights(tmp_path / "w.bin", WEIGHTS)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_text("before")
    with pytest.raises(Exception, match="cannot pickle"):
        write_weights(tmp_path / "w.pt", {"a": WEIGHTS["a"], "b": (number for number in range(3))})
    assert (tmp_path / "w.pt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, (1 << 60).to_bytes(8, "little") + b"{}", b"\2\0\0\0\0\0\0\0{}"]
)
def test_damaged_and_oversized_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    if content.endswith(b"{}") and content[0] == 2:
        assert read_any(path)["model"] == {}
        return
    with pytest.raises(ConfigError, match=r"w\.safetensors: cannot be read as safetensors"):
        read_any(path)


def test_what_is_no_file_of_weights_keeps_its_own_message(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_text("text")
    with pytest.raises(ConfigError, match=r"w\.pt: "):
        read_any(tmp_path / "w.pt")
    torch.save({"format": 99, "model": WEIGHTS}, tmp_path / "new.ckpt")
    with pytest.raises(ConfigError, match="format 99"):
        read_any(tmp_path / "new.ckpt")
