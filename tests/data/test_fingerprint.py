"""The fingerprint of the data: what it notices, what it does not mind, and what it costs."""

import time
from pathlib import Path

import numpy
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from trainkit.data import Loader, fingerprint
from trainkit.data.fingerprint import Fingerprint, content, fingerprint_of, paths_of
from trainkit.errors import ConfigError


class Held(Dataset):
    """Samples in attributes, as torchvision has them."""

    def __init__(self, data, targets=()):
        self.data, self.targets = data, targets

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.data[index]


class Own(Held):
    version = 1

    def fingerprint(self):
        return self.version


def table(**changes):
    x, y = torch.linspace(0, 1, 24).reshape(6, 4), torch.arange(6)
    return TensorDataset(x.to(changes.get("dtype", x.dtype)) + changes.get("more", 0), y.flip(0) if changes else y)


class Files(Dataset):
    def __init__(self, *paths, name="files"):
        setattr(self, name, list(paths))
        self.number = len(paths)

    def __len__(self):
        return self.number


PAIRS = {
    "a value": (table(), TensorDataset(table().tensors[0], torch.tensor([0, 1, 2, 3, 4, 6]))),
    "a type": (table(), TensorDataset(table().tensors[0].double(), table().tensors[1])),
    "a shape": (table(), TensorDataset(table().tensors[0].reshape(6, 2, 2), table().tensors[1])),
    "an order": (table(), TensorDataset(table().tensors[0].flip(0), table().tensors[1].flip(0))),
    "a subset": (Subset(table(), [0, 1]), Subset(table(), [0, 2])),
    "an order of a subset": (Subset(table(), [0, 1]), Subset(table(), [1, 0])),
    "a subset of files": (Subset(Files("/d/a", "/d/b"), [0]), Subset(Files("/d/a", "/d/b"), [1])),
    "an attribute": (Held(torch.zeros(6)), Held(torch.ones(6))),
    "an array": (Held(numpy.zeros(6)), Held(numpy.ones(6))),
    "a class": (Held([0] * 6), Own([0] * 6)),
    "a name": (Files("/d/a.png", "/d/b.png"), Files("/d/a.png", "/d/c.png")),
    "a label": (Files(("a", 0), ("b", 1), name="samples"), Files(("a", 0), ("b", 0), name="samples")),
}
SAME = {
    "a table": lambda: table(),
    "a table of bfloat16": lambda: TensorDataset(table().tensors[0].bfloat16(), table().tensors[1]),
    "nested subsets": lambda: Subset(Subset(table(), [5, 4, 3]), torch.tensor([0, 2])),
    "arrays": lambda: Held(numpy.zeros((6, 2)), torch.ones(6)),
    "arrays of objects": lambda: Held(numpy.array([None] * 6)),
    "a list": lambda: [torch.zeros(2), torch.zeros(2)],
    "files": lambda: Files("/d/a.png", "/d/b.png"),
    "no samples as such": lambda: object(),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_difference_is_noticed(name):
    first, second = PAIRS[name]
    assert content(first) != content(second)


@pytest.mark.parametrize("name", SAME)
def test_the_same_data_have_the_same_content(name):
    state = torch.get_rng_state()
    assert content(SAME[name]()) == content(SAME[name]())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_subset_is_that_of_its_rows():
    changed = TensorDataset(table().tensors[0].clone(), table().tensors[1])
    changed.tensors[0][5] = 7
    assert content(Subset(table(), [0, 1])) == content(Subset(changed, [0, 1]))
    assert content(Subset(table(), [0, 5])) != content(Subset(changed, [0, 5]))


def test_a_data_set_may_have_a_fingerprint_of_its_own():
    first, second = Own(torch.zeros(6)), Own(torch.ones(6))
    assert content(first) == content(second)
    second.version = 2
    assert content(first) != content(second)


def test_only_evenly_chosen_rows_of_large_tensors_are_read(monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 400)
    large = torch.zeros(1000, 10)
    before = content(TensorDataset(large))
    large[1] = 1
    assert content(TensorDataset(large)) == before
    large[999] = 1
    assert content(TensorDataset(large)) != before
    assert content(Subset(TensorDataset(large), range(999))) != content(Subset(TensorDataset(large), range(1, 1000)))


def test_a_large_data_set_costs_no_more_than_a_moment():
    started = time.monotonic()
    content(TensorDataset(torch.zeros(2**20, 64)))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("root", ["", "/d", "d/e", "/d/e f"])
def test_names_are_those_below_the_common_folder(root):
    def at(folder):
        return Files(*(str(Path(folder) / name) for name in ("a/1.png", "a/2.png", "b/1.png")))

    assert content(at(root)) == content(at("/elsewhere"))
    assert content(Files("a/1.png", "/b/2.png")) != content(Files("a/1.png", "/b/3.png"))


def test_paths_are_found_where_data_sets_keep_them():
    assert paths_of(Files(Path("a"), Path("b"), name="paths")) == [("a", ()), ("b", ())]
    assert paths_of(Files(("a", 3), name="imgs")) == [("a", (3,))]
    assert paths_of(Files((torch.zeros(1), 3), name="samples")) == paths_of(Files(name="files")) == []


def test_sizes_are_looked_up_for_so_many_files_only(tmp_path, monkeypatch):
    for name in "abcd":
        (tmp_path / name).write_text(name)
    files = Files(*(str(tmp_path / name) for name in "abcd"))
    before = content(files)
    monkeypatch.setattr(fingerprint, "MOST_FILES", 2)
    some = content(files)
    (tmp_path / "b").write_text("longer")
    assert content(files) == some != before
    (tmp_path / "c").write_text("longer")
    assert content(files) != some


def test_it_is_computed_once(monkeypatch):
    calls = []
    monkeypatch.setattr("trainkit.data.loader.fingerprint_of", lambda loader: calls.append(1) or fingerprint_of(loader))
    loader = Loader(table(), 2)
    loader.load_state_dict(loader.state_dict())
    loader.state_dict()
    assert calls == [1]


def test_facts_of_other_loaders_are_those_that_they_show():
    known = fingerprint_of(DataLoader(table(), 4, drop_last=True))
    assert (known.samples, known.batch_size, known.shuffle, known.drop_last) == (6, 4, None, True)
    unknown = fingerprint_of(iter([]))
    assert (unknown.samples, unknown.batch_size, unknown.shuffle, unknown.drop_last) == (None,) * 4


FACTS = Fingerprint(10, 4, True, False, "abc")


def test_a_checkpoint_that_lost_a_fact_is_refused():
    with pytest.raises(ConfigError, match=r"incomplete: of the data it has no content, samples"):
        FACTS.compare({"batch_size": 4, "shuffle": True, "drop_last": False}, "train", "allow")


def test_a_checkpoint_without_any_is_of_an_earlier_format(caplog):
    FACTS.compare({}, "train", "refuse")
    assert "does not say what data.train was" in caplog.text


def test_each_difference_is_listed():
    other = {**FACTS.state_dict(), "samples": 9, "batch_size": 8, "content": "xyz"}
    with pytest.raises(ConfigError) as refused:
        FACTS.compare(other, "train", "refuse")
    told = "the data changed since the checkpoint: data.train: samples 9 -> 10; data.batch_size 8 -> 4. Restore"
    assert str(refused.value).startswith(told)
