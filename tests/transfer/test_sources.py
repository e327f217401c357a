"""Sources: torchvision's entries and their cache, files, run folders, folders; and what is said where there is none."""

import collections
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights, resnet18

from trainkit.checkpoint.loading import Unsafe, load
from trainkit.checkpoint.migrations import FORMAT
from trainkit.errors import ConfigError
from trainkit.transfer import find_source, read_source
from trainkit.transfer.sources import torchvision_entries

ENTRY = "ResNet18_Weights.IMAGENET1K_V1"


def tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5, -2.0])}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Path:
    """An empty cache of torch.hub, and a server that is a folder: an entry whose file's name holds its hash."""
    torch.save(tensors(), tmp_path / "served")
    digest = hashlib.sha256((tmp_path / "served").read_bytes()).hexdigest()
    served = tmp_path / f"resnet18-{digest[:8]}.pth"
    (tmp_path / "served").rename(served)
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", served.as_uri())
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


# ---------------------------------------------------------------------- torchvision's entries


def test_finding_an_entry_downloads_nothing(hub: Path) -> None:
    source = find_source(ENTRY)
    assert (source.name, source.entry, source.is_here) == (ENTRY, ResNet18_Weights.IMAGENET1K_V1, False)
    assert source.file.parent == hub
    assert not hub.exists()


def test_an_entry_is_downloaded_by_torchvision_once_and_then_read_from_its_cache(hub: Path, capfd, monkeypatch) -> None:
    calls = collections.Counter()
    fetch = torch.hub.download_url_to_file

    def counted(url, target, hash_prefix, progress):
        calls[hash_prefix] += 1
        fetch(url, target, hash_prefix, progress)

    monkeypatch.setattr(torch.hub, "download_url_to_file", counted)
    source = find_source(ENTRY)
    for _ in range(2):
        weights = read_source(source)
        assert same(weights.tensors, tensors())
        assert (weights.name, weights.entry) == (ENTRY, ResNet18_Weights.IMAGENET1K_V1)
    assert source.is_here
    assert calls == {source.file.stem.rpartition("-")[2]: 1}  # held against the hash
    assert capfd.readouterr().out == ""


def test_an_alias_becomes_the_entrys_own_name() -> None:
    assert find_source("ResNet50_Weights.DEFAULT").name == "ResNet50_Weights.IMAGENET1K_V2"
    assert find_source("ResNet50_Weights.DEFAULT").entry is ResNet50_Weights.IMAGENET1K_V2


def test_every_entry_of_torchvision_is_known() -> None:
    entries = torchvision_entries()
    assert len(entries) > 200
    assert "VGG16_Weights.IMAGENET1K_FEATURES" in entries
    assert "ResNet18_QuantizedWeights.DEFAULT" in entries


def test_offline_one_message_says_which_file_goes_where(hub: Path, tmp_path: Path) -> None:
    source = find_source(ENTRY)
    (tmp_path / source.file.name).unlink()
    with pytest.raises(ConfigError) as error:
        read_source(source)
    text = str(error.value)
    assert text.startswith(f"weights.source={ENTRY}: not in the cache, and it cannot be downloaded (")
    assert f"Put the file {source.file.name} (from {(tmp_path / source.file.name).as_uri()}) into {hub}" in text
    assert "\n" not in text
    assert not source.is_here


def test_a_file_of_another_hash_is_refused_wherever_it_came_from(hub: Path, tmp_path: Path) -> None:
    source = find_source(ENTRY)
    (tmp_path / source.file.name).write_bytes(b"other")
    with pytest.raises(ConfigError, match="cannot be downloaded"):
        read_source(source)
    assert not source.is_here
    hub.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.zeros(2)}, source.file)
    with pytest.raises(ConfigError, match=r"is damaged or another file: its SHA-256 begins with [0-9a-f]{8}, not"):
        read_source(source)


def test_a_server_that_is_silent_is_given_up(hub: Path, monkeypatch) -> None:
    import socket

    found = []

    def silent(*arguments, **options):
        found.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(torch.hub, "download_url_to_file", silent)
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(timed out\)"):
        read_source(find_source(ENTRY))
    assert found == [30.0]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ResNet18_Weigths.IMAGENET1K_V1", r"Did you mean 'ResNet18_Weights\.IMAGENET1K_V1'\?"),
        ("ResNet18_Weights.IMAGENET1K_V2", r"ResNet18_Weights has IMAGENET1K_V1, DEFAULT\. Did you mean 'ResNet18_W"),
        ("ResNet18_Weights", r"ResNet18_Weights has IMAGENET1K_V1, DEFAULT\. Did you mean 'ResNet18_Weights\.D"),
        ("resnet18_weights.default", r"the case of the letters differs\. Did you mean 'ResNet18_Weights\.DEFAULT'\?"),
        ("resnet18", r"is the name of a network\. Did you mean 'ResNet18_Weights\.DEFAULT'\?"),
        ("nonsense", r"is no file, no folder, and no weights of torchvision\. Those are such as ResNet18"),
        ("", "must be the name of torchvision weights, a file or a folder"),
        (3, "must be the name of torchvision weights, a file or a folder"),
    ],
)
def test_what_names_nothing_is_refused_with_the_close_match(text, told: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told) as error:
        find_source(text)
    assert str(error.value).startswith("weights.source=")
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_a_file_is_read_by_its_suffix(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(tensors(), path)
    else:
        torch.save(tensors(), path)
    weights = read_source(find_source(str(path)))
    assert same(weights.tensors, tensors())
    assert (weights.name, weights.config, weights.entry) == (str(path), None, None)


@pytest.mark.parametrize("nest", [("model",), ("state_dict",), ("checkpoint", "x"), ("model", "state_dict")])
def test_weights_inside_other_things_are_found(nest: tuple[str, ...], tmp_path: Path) -> None:
    content = tensors()
    for name in reversed(nest):
        content = {name: content, "epoch": 3}
    torch.save(content, tmp_path / "x.pt")
    if nest[0] == "checkpoint":
        with pytest.raises(ConfigError, match=r"hold no tensors by name.*there are checkpoint, epoch"):
            read_source(find_source(str(tmp_path / "x.pt")))
    else:
        assert same(read_source(find_source(str(tmp_path / "x.pt"))).tensors, tensors())


def test_torchs_format_from_before_1_6_is_read(tmp_path: Path) -> None:
    model = resnet18()
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found = read_source(find_source(str(tmp_path / "old.pth"))).tensors
    assert same(found, model.state_dict())


class Payload:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("make", [lambda p: p, lambda p: {"model": {"a": torch.zeros(1)}, "b": p}])
def test_code_in_a_file_never_runs_and_is_named(make, old: bool, tmp_path: Path) -> None:
    content = make(Payload(tmp_path / "ran"))
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(
        ConfigError, match=r"weights\.source=.*x\.pth: .*refused: it would call 'posix\.mkdir'"
    ) as error:
        read_source(find_source(str(tmp_path / "x.pth")))
    assert "\n" not in str(error.value)
    (tmp_path / "y.pth").write_bytes(pickle.dumps(content))
    with pytest.raises(ConfigError, match="refused"):
        read_source(find_source(str(tmp_path / "y.pth")))
    assert not (tmp_path / "ran").exists()


def test_an_old_file_may_name_no_more_than_a_new_one(tmp_path: Path) -> None:
    torch.save({"a": torch.eye(2).to_sparse()}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(Unsafe, match=r"it would call 'torch\._utils\._rebuild_sparse_tensor'"):
        load(tmp_path / "x.pth", old=True)


def test_a_small_file_of_the_old_format_cannot_ask_for_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.zeros(70_000)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    count = (70_000).to_bytes(4, "little")
    at = data.index(b"J" + count)  # the number of elements of the storage
    path.write_bytes(data[: at + 1] + (2_000_000_000).to_bytes(4, "little") + data[at + 5 :])
    with pytest.raises(Unsafe, match=r"names 8,000,000,000 bytes of tensors in a file of"):
        load(path, old=True)


def test_each_cut_of_an_old_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.arange(5.0)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    for end in [*range(0, len(data), 7), len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(ValueError):
            load(path, old=True)
    path.write_bytes(data)
    assert torch.equal(load(path, old=True)["a"], torch.arange(5.0))


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02.", b"PK\x03\x04"])
def test_a_file_that_is_none_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^weights\.source=.*x\.pth: cannot be read as a checkpoint"):
        read_source(find_source(str(tmp_path / "x.pth")))


def test_names_must_be_text(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(2)}, tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="holds tensors by int, not by name"):
        read_source(find_source(str(tmp_path / "x.pt")))


def test_paths_that_are_wrong_are_refused_without_torchvision(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "resnet.pt").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.setattr("trainkit.transfer.sources.torchvision_entries", None)
    for text, told in [
        ("resnet.pth", r"no such file or folder\. Did you mean 'resnet\.pt'\?"),
        ("nowhere/resnet.pt", r"no such file or folder; there is no folder .*nowhere"),
        ("notes.txt", r"is no file of weights by its suffix; these are \.pt, \.pth, \.ckpt, \.safetensors"),
    ]:
        with pytest.raises(ConfigError, match=told):
            find_source(str(tmp_path / text))


def test_a_file_inside_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "some_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    torch.save(tensors(), package / "models" / "one.pth")
    monkeypatch.syspath_prepend(tmp_path)
    for text in ("package:some_weights/models/one.pth", "package:some_weights/models"):
        source = find_source(text)
        assert (source.name, source.file) == (text, package / "models" / "one.pth")
        assert same(read_source(source).tensors, tensors())
    for text, told in [
        ("package:some_weights/models/oen.pth", r"no such file or folder\. Did you mean 'one\.pth'\?"),
        ("package:other_weights/x.pth", r"the package other_weights is not installed: pip install other-weights$"),
        ("package:some_weights/../x.pth", "must be package:NAME/PATH"),
        ("package:some_weights//etc/x.pth", "must be package:NAME/PATH"),
        ("package:some.weights/x.pth", "must be package:NAME/PATH"),
    ]:
        with pytest.raises(ConfigError, match=told):
            find_source(text)


# ---------------------------------------------------------------------- folders


def test_a_folder_with_one_file_means_that_file(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "one.pth")
    (tmp_path / "README.md").write_text("")
    assert same(read_source(find_source(str(tmp_path))).tensors, tensors())
    torch.save(tensors(), tmp_path / "two.pt")
    with pytest.raises(ConfigError, match=r"has 2 files of weights, name one of them: one\.pth, two\.pt$"):
        find_source(str(tmp_path))
    for name in ("one.pth", "two.pt"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="is a folder without a file of weights"):
        find_source(str(tmp_path))


def run(folder: Path, config: str | None = None, names: tuple[str, ...] = ("best", "last"), averaged: int = 0) -> Path:
    """Write a run folder whose best and last checkpoints differ."""

    (folder / "checkpoints").mkdir(parents=True)
    for name in names:
        state = {"format": FORMAT, "model": {"name": torch.tensor([float(len(name) + (name == "best"))])}}
        state["about"] = {} if config is None else {"config": config}
        if averaged:
            state["averaging"] = {"module.name": torch.tensor([9.0]), "n_averaged": torch.tensor(averaged)}
        torch.save(state, folder / "checkpoints" / f"{name}.ckpt")
    return folder


def test_a_run_folder_means_its_best_checkpoint_else_its_last(tmp_path: Path) -> None:
    assert read_source(find_source(str(run(tmp_path / "a")))).tensors["name"] == 5
    assert find_source(str(tmp_path / "a")).file.name == "best.ckpt"
    assert find_source(str(tmp_path / "a" / "checkpoints")).file.name == "best.ckpt"
    assert find_source(str(run(tmp_path / "b", names=("last",)))).file.name == "last.ckpt"
    run(tmp_path / "c", names=())
    with pytest.raises(ConfigError, match=r"is a run folder, but its checkpoints hold neither best\.ckpt nor last"):
        find_source(str(tmp_path / "c"))


def test_of_a_run_with_averaging_the_averages_are_taken(tmp_path: Path) -> None:
    weights = read_source(find_source(str(run(tmp_path / "a", averaged=4))))
    assert same(weights.tensors, {"name": torch.tensor([9.0])})


def test_the_config_of_a_run_comes_with_its_weights(tmp_path: Path) -> None:
    config = {"data": {"preprocessing": None}, "seed": 3}
    assert read_source(find_source(str(run(tmp_path / "a", json.dumps(config))))).config == config
    for number, text in enumerate(["{", "[]", "[" * 100_000]):
        assert read_source(find_source(str(run(tmp_path / str(number), text)))).config is None


def test_a_stored_run_is_read_through_its_links(tmp_path: Path) -> None:

    folder = run(tmp_path / "a", names=("best",))
    checkpoints = folder / "checkpoints"
    (checkpoints / "best.ckpt").rename(checkpoints / "other.ckpt")
    (checkpoints / "best.ckpt").symlink_to("other.ckpt")
    assert read_source(find_source(str(folder))).tensors["name"] == 5
    (checkpoints / "best.ckpt").unlink()
    (checkpoints / "best.ckpt").symlink_to(tmp_path / "elsewhere.ckpt")
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "elsewhere.ckpt")
    with pytest.raises(ConfigError, match=r"^weights\.source=.*leads out of its folder"):
        find_source(str(folder))


@pytest.mark.parametrize("text", ["x" * 5000, "x" * 5000 + "/y.pt"])
def test_a_text_that_no_path_can_be_is_refused_like_any_other(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no such file or folder|is no"):
        find_source(text)
