"""The profiler: what a step is spent on, and the verdict."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn
from torch._C._autograd import DeviceType
from torch.utils.data import Dataset, TensorDataset

from trainkit import Loader, Trainer, supervised
from trainkit.callbacks import Profiler
from trainkit.callbacks.profiler import DISPATCH, STEP, Times, times_of


@pytest.mark.parametrize(
    ("waiting", "computing", "on_device", "verdict"),
    [
        (0.5, 0.4, False, "data-bound"),
        (0.1, 0.7, False, "compute-bound"),
        (0.1, 0.3, False, "host-bound"),
        (0.5, 0.7, True, "compute-bound"),  # the host waits while the device computes
        (0.5, 0.3, True, "data-bound"),
        (0.1, 0.3, True, "host-bound"),
    ],
)
def test_the_verdict_goes_by_shares(waiting: float, computing: float, on_device: bool, verdict: str) -> None:
    times = Times(1.0, waiting, computing, 10, on_device, [("aten::mm", 2.0, 0.3)])
    assert times.verdict() == verdict
    lines = times.lines(0)
    assert lines[-1].startswith(f"{verdict}: ")
    assert f"waiting for data {1e3 * waiting:.2f} ms ({waiting:.0%})" in lines[-2]
    assert "30.0%" in lines[1]


def test_what_a_call_costs_is_no_computing() -> None:

    def event(key: str, start: float, end: float, micros: float) -> Any:
        when = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(key=key, time_range=when, self_cpu_time_total=micros, device_type=DeviceType.CPU)

    events = [event(STEP, 100 * n, 100 * n + 50, 1.0) for n in (1, 2)]
    events += [event("aten::mm", 100 * n + 1, 100 * n + 20, 1000.0) for n in (1, 1, 2, 2)]
    events += [event("aten::view", 100 * n + 30, 100 * n + 31, 1e6 * DISPATCH) for n in (1, 2)]
    events += [event("aten::mm", start, start + 1, 1e6) for start in (0, 160, 270)]  # of no step
    events += [event("autograd::engine", 110, 111, 1e6), event("Optimizer.step", 110, 111, 1e6)]
    times = times_of(events, 0.01, 0.001, "cpu")
    assert times.computing == pytest.approx(2e-3 - 2 * DISPATCH)
    assert times.calls == 3
    assert [name for name, *_ in times.rows] == ["aten::mm", "aten::view"]


class Slow(Dataset):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.005)
        return torch.ones(4), index % 3


def trained(dataset: Any, profiler: Profiler | None, folder: Path | None = None, **settings: Any) -> Trainer:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    callbacks = [] if profiler is None else [profiler]
    objective = supervised(nn.CrossEntropyLoss())
    settings = {"max_epochs": 4, "device": "cpu", "run_dir": folder, "callbacks": callbacks} | settings
    trainer = Trainer(net, objective, optimizer, Loader(dataset, 8, shuffle=True), **settings)
    trainer.fit()
    return trainer


def test_a_slow_data_set_is_data_bound_and_the_trace_is_kept(tmp_path: Path) -> None:
    with open(tmp_path / "said.txt", "w") as file:
        profiler = Profiler(steps=4, warmup=2, console=Console(file=file, width=200))
        trainer = trained(Slow(), profiler, tmp_path / "run")
    assert profiler.times.verdict() == "data-bound"
    assert profiler.times.waiting >= 8 * 0.005
    said = (tmp_path / "said.txt").read_text()
    assert "data-bound: the batches come too slowly; try data.num_workers=4" in said
    assert "aten::" in said
    assert len(list((tmp_path / "run/tensorboard").glob("*.pt.trace.json"))) == 1
    assert (trainer.counters.step, trainer.ending.reason) == (10, "profiled")
    assert "train_step" not in vars(trainer)


def test_the_bits_stay_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(64, 4, generator=generator), torch.randint(3, (64,), generator=generator))
    with_it = trained(data, Profiler(steps=4, warmup=2, console=Console(quiet=True)), max_steps=10)
    without = trained(data, None, max_steps=10)
    for one, other in zip(with_it.model.parameters(), without.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_that_is_too_short_says_so() -> None:
    profiler = Profiler(steps=4, warmup=2, console=Console(quiet=True))
    trainer = trained(Slow(), profiler, max_steps=8)
    assert trainer.warnings == ["profiler: the run took 8 steps, 10 are needed; nothing was profiled"]
    assert profiler.times is None
