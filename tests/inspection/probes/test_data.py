"""The audit of the data: what leaks, what overlaps, what a collate loses; and that nature is left alone."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from trainkit.findings import Finding
from trainkit.inspection import Subject, inspect
from trainkit.inspection.probes import agreement, builds, collation, columns, defects, leaks, overlap, pairs, windows
from trainkit.inspection.probes.overlap import neighbours
from trainkit.inspection.probes.tables import FEWEST, table

SEEDS = range(25)


def told(rules: tuple[Any, ...], **parts: Any) -> dict[str, Finding]:
    """Return what some rules find, by rule."""
    width = len(torch.as_tensor(parts["train_set"][0][0]).flatten())
    parts = {"model": nn.Sequential(nn.Flatten(), nn.Linear(width, 3)), "loss": nn.CrossEntropyLoss(), **parts}
    subject = Subject(**parts)
    return {finding.rule: finding for rule in rules for finding in rule(subject)}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_without_a_fault_are_left_alone(seed: int) -> None:
    x = drawn(seed, 500, 6) * torch.linspace(0.5, 2, 6) + torch.linspace(-1, 1, 6)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + 0.2 * drawn(seed + 99, 500) > 0).long()
    parts = {"train_set": TensorDataset(x[:350], y[:350]), "val_set": TensorDataset(x[350:], y[350:])}
    families = (agreement, columns, defects, leaks, overlap, pairs, windows)
    assert told(tuple(rule for family in families for rule in family.RULES), **parts) == {}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_time_series_without_a_fault_is_left_alone(seed: int) -> None:
    series = drawn(seed, 800).cumsum(0) * 0.1
    x, y = series.unfold(0, 16, 1)[:-1], series[16:, None]
    parts = {"train_set": TensorDataset(x[:550], y[:550]), "val_set": TensorDataset(x[570:], y[570:])}
    assert told((*leaks.RULES, *windows.RULES, *overlap.RULES), loss=nn.MSELoss(), **parts) == {}


@pytest.mark.parametrize(
    ("column", "severity"),
    [
        (lambda y, noise: y, "error"),
        (lambda y, noise: -4 * y + 1, "error"),
        (lambda y, noise: y.exp(), "error"),
        (lambda y, noise: y + 0.01 * noise, "warning"),
        (lambda y, noise: y + noise, None),
        (lambda y, noise: y.square(), None),
    ],
    ids=["itself", "scaled", "function", "noisy", "related", "even"],
)
def test_a_column_that_gives_the_target_away(column: Any, severity: str | None) -> None:
    x, noise = drawn(0, 400, 6), drawn(1, 400, 1)
    y = x[:, :1] * x[:, 1:2] + 0.5 * x[:, 2:3] + 0.3 * drawn(2, 400, 1)
    rows = TensorDataset(torch.cat([x, column(y, noise)], 1), y)
    found = told(leaks.RULES, train_set=rows, loss=nn.MSELoss(), model=nn.Linear(7, 1)).get("target-in-inputs")
    assert (found.severity if found else None) == severity
    assert found is None or "input 6" in found.place


def test_columns_that_all_give_the_target_away_are_the_task() -> None:
    t = torch.arange(400.0) / 100
    ramp = TensorDataset(t.unfold(0, 8, 1)[:-1], t[8:, None])
    assert told(leaks.RULES, train_set=ramp, loss=nn.MSELoss(), model=nn.Linear(8, 1)) == {}


def test_near_copies_are_told_from_neighbours() -> None:
    x = drawn(0, 400, 12)
    for noise, share in ((0.05, 1.0), (3.0, 0.0)):
        assert neighbours(x, x[:80] + noise * drawn(1, 80, 12)).near(0.3)[0] == share


@pytest.mark.parametrize("change", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.roll(3, -1), lambda x: x])
def test_rearranged_pictures_are_found(change: Any) -> None:
    x, y = drawn(0, 200, 3, 8, 8), torch.arange(200) % 3
    parts = {"train_set": TensorDataset(x, y), "val_set": TensorDataset(change(x[:60]), y[:60])}
    assert told(overlap.RULES, **parts)["leak-between-splits"].severity == "error"


def test_a_share_of_a_large_training_set_stands_for_the_whole() -> None:
    x, y = drawn(0, 12_000, 8), torch.arange(12_000) % 3
    parts = {"train_set": TensorDataset(x, y), "val_set": TensorDataset(x[::12], y[::12])}
    found = told(overlap.RULES, **parts)["leak-between-splits"]
    assert "17% of training was looked at" in found.evidence
    assert found.severity == "error"


def test_indices_of_one_source_are_compared_without_reading() -> None:
    class Unread(Dataset[Any]):
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> Any:
            raise AssertionError("it was read")

    data = Unread()
    one, other = Subset(data, range(800)), Subset(Subset(data, range(500, 1000)), range(100, 500))
    assert overlap._by_index(Subject(nn.Linear(1, 1), train_set=one, val_set=other)) == (
        0.5,
        "200 indices of one source are in both",
    )


def test_periodic_series_recur_by_nature() -> None:
    tone = torch.tensor([0.1, 0.5, 0.9, 0.4, -0.3, -0.8, -0.2, 0.0]).repeat(100)
    x, y = tone.unfold(0, 16, 1)[:-1], tone[16:, None]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    parts = {
        "train_set": TensorDataset(x[order[:500]], y[order[:500]]),
        "val_set": TensorDataset(x[order[500:]], y[order[500:]]),
    }
    assert "windows-overlap" not in told(windows.RULES, loss=nn.MSELoss(), **parts)


def stacked(samples: list[Any]) -> Any:
    return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])


@pytest.mark.parametrize(
    ("collate", "rule"),
    [
        (stacked, None),
        (lambda samples: stacked(samples[: max(len(samples) - 1, 1)]), "collate-drops"),
        (lambda samples: (stacked(samples)[0].flip(0), stacked(samples)[1]), "collate-misaligns"),
        (lambda samples: stacked(samples[::-1]), None),
        (lambda samples: (stacked(samples)[0].T.reshape(len(samples), -1), stacked(samples)[1]), "collate-mixes"),
        (lambda samples: (stacked(samples)[0] + torch.randn(len(samples), 6), stacked(samples)[1]), None),
        (lambda samples: (stacked(samples)[0].long(), stacked(samples)[1]), "collate-truncates"),
        (lambda samples: (stacked(samples)[0], stacked(samples)[1].float()), None),
    ],
    ids=["plain", "drops", "misaligns", "reorders", "mixes", "noise", "truncates", "to floats"],
)
def test_a_collate_keeps_samples(collate: Any, rule: str | None) -> None:
    data = TensorDataset(drawn(0, 100, 6), torch.arange(100))
    found = told(collation.RULES, train_set=data, collate=collate)
    assert set(found) == ({rule} if rule else set())


class Slow(Dataset[Any]):
    """Counts its reads; each takes a while."""

    reads = 0

    def __len__(self) -> int:
        return 5000

    def __getitem__(self, index: int) -> Any:
        type(self).reads += 1
        time.sleep(0.05)
        return drawn(index, 6), index % 3


def test_slow_samples_are_few() -> None:
    Slow.reads = 0
    rows = table(Subject(nn.Linear(6, 3), train_set=Slow()), "train_set")
    assert rows is not None
    assert FEWEST <= len(rows.samples) <= 20
    assert Slow.reads <= 21


class Torn(Dataset[Any]):
    """One sample raises, one is short, one is not finite."""

    def __len__(self) -> int:
        return 90

    def __getitem__(self, index: int) -> Any:
        if index == 11:
            raise ValueError("no such file")
        x = drawn(index, 5 if index == 22 else 6)
        return x / 0 if index == 33 else x, index % 3


def test_samples_at_fault_are_named_by_index() -> None:
    found = told(defects.RULES, train_set=Torn())
    assert {finding.place for finding in found.values()} == {
        "train_set[11]",
        "train_set[22]: input shape",
        "train_set[33]: input",
    }
    assert "infinity" in found["not-finite"].message


KEPT: list[nn.Module] = []


class Grows(nn.Module):
    """Each instance takes the layers of those before it."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        KEPT.append(nn.Linear(width, width))
        self.body = nn.ModuleList(KEPT)

    def forward(self, x: Tensor) -> Tensor:
        return self.body[-1](x)


def test_fresh_builds_leave_no_trace() -> None:
    data = TensorDataset(drawn(0, 60, 6), torch.arange(60) % 6)
    model = Grows()
    before = list(KEPT)
    found = told(builds.RULES, model=model, train_set=data)
    assert found["builds-differ"].severity == "error"
    assert [id(layer) for layer in KEPT] == [id(layer) for layer in before]


def test_all_of_it_together_is_silent_on_pictures() -> None:
    y = torch.arange(300) % 3
    x = drawn(0, 300, 3, 8, 8) + drawn(9, 3, 3, 8, 8)[y]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    parts = {"train_set": TensorDataset(x[:200], y[:200]), "val_set": TensorDataset(x[200:], y[200:])}
    findings = inspect(net, loss=nn.CrossEntropyLoss(), optimizer=torch.optim.Adam(net.parameters()), **parts)
    assert [str(finding) for finding in findings if finding.severity != "info"] == []
