"""Checkpoints of former formats are read, and gone on with; those of later ones are refused.

The folders ``format_N`` hold what ``trainkit recipe=linear trainer.max_epochs=3 checkpoint.every=1ep`` saved after its
second and third epoch when format N was written.
"""

from pathlib import Path

import pytest
import torch

import trainkit
from trainkit.checkpoint import FORMAT, read
from trainkit.checkpoint.migrations import MIGRATIONS
from trainkit.errors import ConfigError

FOLDERS = sorted(Path(__file__).parent.glob("format_*"))


def test_each_former_format_has_its_sample() -> None:
    assert [folder.name for folder in FOLDERS] == [f"format_{number}" for number in range(1, FORMAT)]
    assert len(MIGRATIONS) == FORMAT - 1


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_run_of_a_former_format_goes_on_to_the_same_end(folder: Path, tmp_path: Path) -> None:
    middle, end = folder / "step-00000016.ckpt", read(folder / "step-00000024.ckpt")
    result = trainkit.run(
        "linear", "trainer.max_epochs=3", f"resume={middle}", f"run_dir={tmp_path / 'run'}", "loggers={}"
    )
    assert result.status == "completed"
    state = read(tmp_path / "run")
    assert state["format"] == FORMAT
    assert state["counters"]["step"] == 24
    for name, weight in end["model"].items():
        torch.testing.assert_close(state["model"][name], weight)
    assert state["best"]["value"] == pytest.approx(end["best"]["value"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_a_former_format_did_not_say_is_not_made_up(folder: Path) -> None:
    state = read(folder / "step-00000016.ckpt")
    assert state["optimizer"]["built"] is None
    assert state["schedule"]["initial"] is None
    assert (state["data"], state["about"]) == ({}, {})


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": FORMAT + 1}, tmp_path / "new.ckpt")
    with pytest.raises(ConfigError, match=f"format {FORMAT + 1}"):
        read(tmp_path / "new.ckpt")
