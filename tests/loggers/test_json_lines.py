"""metrics.jsonl: one whole object a line, and none from a future that did not happen."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from trainkit.loggers import JSONLines, Logger
from trainkit.state import Counters


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def write(folder: Path, steps: int) -> None:
    logger = JSONLines(folder)
    for step in range(1, steps + 1):
        epoch, batch = divmod(step, 4)
        logger.log({"train/loss": 1.0 / step}, Counters(step=step, epoch=epoch, batch=batch), "step")
    logger.close()


def test_a_record_has_step_epoch_time_and_the_values(tmp_path: Path) -> None:
    logger: Logger = JSONLines(tmp_path / "run")
    logger.log({"train/loss": 0.5, "train/learning_rate": 0.1}, Counters(step=7, epoch=1, batch=3), "step")
    (record,) = records(tmp_path / "run")  # not closed yet: a killed run has its records
    assert record.pop("time") > 1.6e9
    assert record == {"step": 7, "epoch": 2, "train/loss": 0.5, "train/learning_rate": 0.1}
    logger.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_is_null_with_its_name(tmp_path: Path, value: float) -> None:
    logger = JSONLines(tmp_path)
    logger.log({"train/loss": value, "val/loss": 1.0}, Counters(), "step")
    logger.close()
    (record,) = records(tmp_path)
    assert record["train/loss"] is None
    assert record["val/loss"] == 1.0
    assert float(record["non_finite"]["train/loss"]) == pytest.approx(value, nan_ok=True)


def test_rewind_drops_later_records_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    write(tmp_path, 10)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 11, "tr')
    logger = JSONLines(tmp_path)
    logger.rewind(Counters(step=6, epoch=1, batch=2, logged_step=6, logged=1))
    assert [record["step"] for record in records(tmp_path)] == [1, 2, 3, 4, 5, 6]
    logger.log({"train/loss": 9.0}, Counters(step=7, epoch=1, batch=3), "step")
    logger.close()
    assert records(tmp_path)[-1]["train/loss"] == 9.0


def test_rewind_keeps_what_was_logged_at_the_step_before_the_checkpoint(tmp_path: Path) -> None:
    logger, counters = JSONLines(tmp_path), Counters(step=3)
    for name in ("a", "b", "c"):
        logger.log({name: 1.0}, counters, "step")
    logger.rewind(Counters(step=3, logged_step=3, logged=2))
    assert ["a" in record or "b" in record for record in records(tmp_path)] == [True, True]
    logger.rewind(Counters(step=3, logged_step=2, logged=1))
    assert records(tmp_path) == []


def test_a_logger_that_was_rewound_while_open_goes_on_in_the_new_file(tmp_path: Path) -> None:
    logger = JSONLines(tmp_path)
    for step in (1, 2):
        logger.log({"train/loss": 1.0}, Counters(step=step), "step")
    logger.rewind(Counters(step=1, logged_step=1, logged=1))
    logger.log({"train/loss": 2.0}, Counters(step=2), "step")
    logger.close()
    assert [(record["step"], record["train/loss"]) for record in records(tmp_path)] == [(1, 1.0), (2, 2.0)]


def test_a_line_that_is_no_record_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, 2)
    path = tmp_path / "metrics.jsonl"
    deep, huge = "[" * 100_000, '{"step": Infinity}'
    path.write_text(f"[1]\n{{}}\nnull\n{deep}\n{huge}\n{path.read_text()}")
    JSONLines(tmp_path).rewind(Counters(step=9))
    assert [record["step"] for record in records(tmp_path)] == [1, 2]


def test_rewind_before_the_first_record_does_nothing(tmp_path: Path) -> None:
    JSONLines(tmp_path).rewind(Counters())
    assert not list(tmp_path.iterdir())


def test_it_leaves_pictures_and_hyperparameters_to_others(tmp_path: Path) -> None:
    logger = JSONLines(tmp_path)
    logger.image("picture", None, Counters())
    logger.hyperparameters({"seed": 1}, {})
    logger.close()
    assert not list(tmp_path.iterdir())
