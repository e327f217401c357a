"""TensorBoard's own readers say what is in the event files."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

from trainkit.loggers import Logger, TensorBoard
from trainkit.state import Counters


def read(folder: Path) -> Any:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = read(folder)
    return {tag: [(e.step, round(e.value, 4)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def at(step: int, *, epoch: int = 0, batch: int = 0) -> Counters:
    return Counters(step=step, epoch=epoch, batch=batch, total_batches=step)


def rows(folder: Path) -> tuple[list[str], list[Any]]:
    """Metric names and rows of the hparams tab, for all runs under ``folder``."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    context = Context(TBContext(data_provider=provider))
    request_context = RequestContext()
    metadata = context.hparams_metadata(request_context, "")
    experiment = context.experiment_from_metadata(request_context, "", True, metadata, [])
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=10, include_metrics=True)
    request.allowed_statuses.append(api_pb2.STATUS_SUCCESS)
    handler = list_session_groups.Handler(request_context, context, "", request)
    return [info.name.tag for info in experiment.metric_infos], list(handler.run().session_groups)


def values_of(row: Any) -> tuple[dict[str, Any], dict[str, float]]:
    parameters = {name: getattr(v, v.WhichOneof("kind")) for name, v in row.hparams.items()}
    return parameters, {v.name.tag: round(v.value, 4) for v in row.metric_values}


def test_it_is_a_logger(tmp_path: Path) -> None:
    logger: Logger = TensorBoard(tmp_path)
    logger.close()
    assert not list(tmp_path.iterdir()), "nothing is written before there is something to write"


def test_step_and_epoch_have_tags_and_axes_of_their_own(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path / "tensorboard")
    logger.log({"train/loss": 2.0, "train/learning_rate": 0.1}, at(50, batch=50), "step")
    logger.log({"val/loss": 1.5}, at(99, batch=99), "epoch")
    logger.log({"train/loss_epoch": 1.8}, at(99, batch=99), "epoch")
    logger.log({"val/loss": 1.25}, at(120, epoch=1, batch=21), "step")
    logger.log({"test/loss": 1.3}, at(198, epoch=2), "epoch")
    assert curves(tmp_path / "tensorboard") == {  # not closed yet: a killed run has its points
        "train/loss": [(50, 2.0)],
        "train/learning_rate": [(50, 0.1)],
        "epoch/val/loss": [(1, 1.5)],
        "epoch/train/loss": [(1, 1.8)],
        "val/loss": [(120, 1.25)],
        "epoch/test/loss": [(2, 1.3)],
    }
    logger.close()


def test_it_goes_on_in_the_same_file_after_a_close(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    for step in (1, 2):
        logger.log({"train/loss": 1.0 / step}, at(step), "step")
        logger.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert curves(tmp_path) == {"train/loss": [(1, 1.0), (2, 0.5)]}


def test_non_finite_values_are_shown(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logger.log({"train/loss": float("nan"), "val/loss": float("inf")}, at(3), "step")
    assert numpy.isnan(read(tmp_path).Scalars("train/loss")[0].value)
    assert read(tmp_path).Scalars("val/loss")[0].value == float("inf")
    logger.close()


def test_images_come_back_as_they_went(tmp_path: Path) -> None:
    import io

    from PIL import Image

    picture = numpy.arange(4 * 6 * 3, dtype=numpy.uint8).reshape(4, 6, 3)
    logger = TensorBoard(tmp_path)
    logger.image("val/confusion_matrix", picture, at(7))
    logger.close()
    (event,) = read(tmp_path).Images("val/confusion_matrix")
    assert (event.step, event.width, event.height) == (7, 6, 4)
    assert numpy.array_equal(numpy.asarray(Image.open(io.BytesIO(event.encoded_image_string))), picture)


def test_hyperparameters_stand_in_the_same_run_with_the_final_metrics(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path / "mlp")
    for epoch in (1, 2):
        logger.log({"val/accuracy": 0.4 * epoch}, at(10 * epoch, epoch=epoch), "epoch")
    logger.log({"test/accuracy": 0.75}, at(20, epoch=2), "epoch")
    parameters = {
        "lr": 0.01,
        "seed": 3,
        "model.hidden": [128, 64],
        "nesterov": True,
        "name": "mlp",
        "clip": None,
    }
    logger.hyperparameters(parameters, {"val/accuracy": 0.8, "test/accuracy": 0.75, "score": 4.5})
    logger.close()
    names, (row,) = rows(tmp_path)
    assert names == ["epoch/test/accuracy", "epoch/val/accuracy", "score"]
    found, metrics = values_of(row)
    assert found == {"lr": 0.01, "seed": 3.0, "model.hidden": "[128, 64]", "nesterov": True, "name": "mlp"}
    assert metrics == {"epoch/val/accuracy": 0.8, "epoch/test/accuracy": 0.75, "score": 4.5}
    assert [path.name for path in tmp_path.iterdir()] == ["mlp"]
    assert len(list((tmp_path / "mlp").iterdir())) == 1, "no run beside the run"


def test_runs_with_different_hyperparameters_share_a_table(tmp_path: Path) -> None:
    for name, parameters in {"mlp": {"model.hidden": 64, "seed": 0}, "cnn": {"model.channels": 16, "seed": 0}}.items():
        logger = TensorBoard(tmp_path / name)
        logger.hyperparameters(parameters, {f"{name}/score": 1.0})
        logger.close()
    names, both = rows(tmp_path)
    assert names == ["cnn/score", "mlp/score"]
    assert sorted(sorted(values_of(row)[0]) for row in both) == [["model.channels", "seed"], ["model.hidden", "seed"]]


def write_run(folder: Path) -> None:
    """Three epochs of four steps, logged every two."""
    logger = TensorBoard(folder)
    for step in range(1, 13):
        epoch, batch = divmod(step, 4)
        if step % 2 == 0:
            logger.log({"train/loss": 1.0 / step}, at(step, epoch=epoch, batch=batch), "step")
        if batch == 0:
            logger.log({"val/loss": 1.0 / epoch}, at(step, epoch=epoch - 1, batch=4), "epoch")
    logger.image("val/confusion_matrix", numpy.zeros((2, 2, 3), numpy.uint8), at(12, epoch=3))
    logger.hyperparameters({"seed": 1}, {"val/loss": 0.3333})
    logger.close()


@pytest.mark.parametrize(
    ("counters", "steps", "epochs"),
    [
        (at(8, epoch=2), [2, 4, 6, 8], [1, 2]),
        (at(7, epoch=1, batch=3), [2, 4, 6], [1]),  # the end of epoch 2 is still to come
        (
            Counters(step=8, epoch=1, batch=4, total_batches=8, validated=8),
            [2, 4, 6, 8],
            [1, 2],
        ),  # a signal before the end
        (at(0), [], []),
        (at(12, epoch=3), [2, 4, 6, 8, 10, 12], [1, 2, 3]),
    ],
)
def test_rewind_drops_what_came_later_on_both_axes(
    tmp_path: Path, counters: Counters, steps: list[int], epochs: list[int]
) -> None:
    write_run(tmp_path)
    logger = TensorBoard(tmp_path)
    logger.rewind(counters)
    found = curves(tmp_path)
    assert [step for step, _ in found.get("train/loss", [])] == steps
    assert [epoch for epoch, _ in found.get("epoch/val/loss", [])] == epochs
    assert bool(read(tmp_path).Tags()["images"]) == (counters.step >= 12)
    assert rows(tmp_path)[1] == []
    logger.log({"train/loss": 9.0}, at(counters.step + 2), "step")
    logger.hyperparameters({"seed": 1}, {"val/loss": 0.1})
    logger.close()
    assert curves(tmp_path)["train/loss"][-1] == (counters.step + 2, 9.0)
    assert ("val/loss" in curves(tmp_path)) == (not epochs), "a metric that has a curve already gets no second one"


def test_rewind_drops_a_record_that_was_cut_off(tmp_path: Path) -> None:
    write_run(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b"\x20\x00\x00\x00\x00")
    logger = TensorBoard(tmp_path)
    logger.rewind(at(12, epoch=3))
    whole = path.read_bytes()
    logger.rewind(at(12, epoch=3))
    assert path.read_bytes() == whole
    assert whole[-5:] != b"\x20\x00\x00\x00\x00"
    assert len(curves(tmp_path)["train/loss"]) == 6


def test_rewind_of_a_run_without_files_does_nothing(tmp_path: Path) -> None:
    TensorBoard(tmp_path / "new").rewind(at(3))
    assert not (tmp_path / "new").exists()


def test_tensorboard_is_imported_only_when_something_is_logged(tmp_path: Path) -> None:
    program = (
        f"import sys, trainkit.loggers as l; l.TensorBoard({str(tmp_path)!r}); sys.exit('tensorboard' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2]).returncode == 0
