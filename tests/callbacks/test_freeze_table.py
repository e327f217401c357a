"""The table of a freeze plan, as a person reads it on the terminal, in log.txt and in TensorBoard."""

import io
import logging
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import TensorDataset

from trainkit import Loader, Trainer, supervised
from trainkit.callbacks import FreezeTable
from trainkit.callbacks.freeze_table import freeze_table
from trainkit.loggers import TensorBoard
from trainkit.optim import FreezePlan


def fit(plan: FreezePlan | None, console: Console, folder: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    groups = model.parameters() if plan is None else plan.parameter_groups(model, 0.1)
    data = TensorDataset(torch.randn(8, 2), torch.randint(2, (8,)))
    Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        torch.optim.AdamW(groups, 0.1),
        Loader(data, 4),
        freeze=plan,
        callbacks=[FreezeTable(console)],
        loggers=[TensorBoard(folder)],
        max_epochs=3,
    ).fit()


def test_it_is_shown_at_the_start_and_at_each_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    plan = FreezePlan([{"match": "@head"}, {"match": "*", "from": "1ep", "lr_scale": 0.5}])
    with caplog.at_level(logging.INFO, "trainkit"):
        fit(plan, Console(file=out, width=200), tmp_path)
    assert out.getvalue().splitlines() == [
        "group  parameters  trained    lr  weight decay  norm   when",
        "@head           8  yes       0.1          0.01  train",
        "*               9  no       0.05          0.01  eval   thaws after 1ep",
        "group  parameters  trained    lr  weight decay  norm   when",
        "@head           8  yes       0.1          0.01  train",
        "*               9  yes      0.05          0.01  train  thaws after 1ep",
    ]
    assert [r.getMessage().splitlines()[0] for r in caplog.records if "group" in r.getMessage()] == [
        "step 0:",
        "step 3:",
    ]
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    texts = events.Tensors("freeze")
    assert [event.step for event in texts] == [0, 3]
    first = texts[0].tensor_proto.string_val[0].decode().splitlines()
    assert first[:2] == [
        "| group | parameters | trained | lr | weight decay | norm | when |",
        "| " + "--- | " * 6 + "--- |",
    ]
    assert first[3] == r"| \* | 9 | no | 0.05 | 0.01 | eval | thaws after 1ep |"


def test_a_run_without_a_plan_has_none(tmp_path: Path) -> None:
    out = io.StringIO()
    fit(None, Console(file=out), tmp_path)
    assert out.getvalue() == ""


def test_long_names_are_cut_and_what_never_trains_has_no_rate() -> None:
    row = {"group": "x" * 50, "parameters": 1234567, "trainable": False, "lr": None, "weight_decay": None}
    name, line = freeze_table([{**row, "norm": "eval", "when": ""}])
    assert line.split() == ["x" * 37 + "...", "1,234,567", "no", "eval"]
    assert len(name) > len(line) - 10
