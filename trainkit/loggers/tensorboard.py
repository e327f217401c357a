"""TensorBoard: curves, pictures and hyper-parameters in its event files.

The files are written with tensorboard's own record writer. ``torch.utils.tensorboard.SummaryWriter`` would hold events
back in a thread for up to two minutes, which a killed run then lacks, and open a second run for the hyper-parameters.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainkit.checkpoint.files import write_atomically
from trainkit.loggers.logger import Axis

if TYPE_CHECKING:
    from trainkit.state import Counters

EPOCH = "epoch/"
"""What the tags of the epoch axis begin with, in place of an ``_epoch`` at the end; all others are on the step axis."""
HYPERPARAMETERS = "_hparams_/"


class TensorBoard:
    """Writes ``NAME`` against steps and ``epoch/NAME`` against epochs, so that each tag has one axis of its own.

    Each record is in the file as soon as it is logged. ``tensorboard`` is imported with the first one.

    Args:
        folder: The folder of the event files, a run in TensorBoard's eyes.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._path: Path | None = None
        self._records: Any = None
        self._tags: set[str] = set()

    def log(self, values: dict[str, float], counters: Counters, axis: Axis) -> None:
        """Write scalars, at the number of steps or of the epoch."""
        if axis == "epoch":
            self._write_scalars({_epoch_tag(name): value for name, value in values.items()}, counters.epoch_number)
        else:
            self._write_scalars(values, counters.step)

    def image(self, name: str, image: Any, counters: Counters) -> None:
        """Write a picture, a uint8 array or tensor of shape (height, width, 3), at the number of steps."""
        import numpy
        from PIL import Image

        picture, png = Image.fromarray(numpy.asarray(image)), io.BytesIO()
        picture.save(png, "PNG")
        content = {"height": picture.height, "width": picture.width, "colorspace": 3}
        self._write([{"tag": name, "image": {**content, "encoded_image_string": png.getvalue()}}], counters.step)

    def histogram(self, name: str, low: float, high: float, counts: Sequence[float], counters: Counters) -> None:
        """Write how many values lie in each of some equal parts of a range, at the number of steps."""
        from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
        from tensorboard.plugins.histogram.metadata import create_summary_metadata

        width = (high - low) / len(counts)
        flat = [n for i, count in enumerate(counts) for n in (low + i * width, low + (i + 1) * width, count)]
        shape = {"dim": [{"size": len(counts)}, {"size": 3}]}
        tensor = {"dtype": DT_DOUBLE, "tensor_shape": shape, "double_val": flat}
        self._write([{"tag": name, "metadata": create_summary_metadata(name, ""), "tensor": tensor}], counters.step)

    def text(self, name: str, text: str, counters: Counters) -> None:
        """Write a text in Markdown, at the number of steps."""
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        tensor = {"dtype": DT_STRING, "tensor_shape": {"dim": [{"size": 1}]}, "string_val": [text.encode()]}
        value = {"tag": name, "metadata": create_summary_metadata(name, ""), "tensor": tensor}
        self._write([value], counters.step)

    def hyperparameters(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
        """Write the table row of this run. Its metrics are the last points of the curves; what has none gets one.

        No list of columns is written: TensorBoard would take that of any one run for all runs beside it.
        """
        from tensorboard.plugins.hparams.api_pb2 import Status
        from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo, SessionStartInfo

        self._write_scalars({n: v for n, v in metrics.items() if self._tags.isdisjoint((n, _epoch_tag(n)))}, 0)
        start = SessionStartInfo(start_time_secs=time.time())
        for name, value in parameters.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float) and math.isfinite(value):
                start.hparams[name].number_value = value
            elif value is not None:
                start.hparams[name].string_value = str(value)
        end = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"), end_time_secs=time.time())
        self._write([_hyperparameters("session_start_info", start), _hyperparameters("session_end_info", end)], 0)

    def rewind(self, counters: Counters) -> None:
        """Drop what was logged after ``counters``, the table row, and a record that a crash cut off.

        TensorBoard's own way (``purge_step``) knows one axis only.
        """
        ended = counters.validated == counters.total_batches  # then the present epoch has its points already
        epochs = counters.epoch_number if ended else counters.epoch
        for path in sorted(self._folder.glob("*.tfevents.*")):
            records = []
            for event in _events(path):
                if event.HasField("summary"):
                    values, position = event.summary.value, event.step
                    kept = [value for value in values if _is_before(value.tag, position, counters.step, epochs)]
                    self._tags.update(value.tag for value in kept)
                    del values[:]
                    values.extend(kept)
                if not event.HasField("summary") or event.summary.value:
                    records.append(event.SerializeToString())
            _rewrite(path, records)

    def close(self) -> None:
        """Close the file; logging goes on in the same one."""
        if self._records is not None:
            self._records.close()
            self._records = None

    def _write_scalars(self, values: dict[str, float], position: int) -> None:
        self._tags.update(values)
        self._write([{"tag": tag, "simple_value": value} for tag, value in values.items()], position)

    def _write(self, values: list[Mapping[str, Any]], position: int) -> None:
        """Write one event with all values; protobuf takes dicts for messages."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._records is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = self._path is None
            self._path = self._path or self._folder / f"events.out.tfevents.{time.time_ns()}"
            self._records = RecordWriter(io.FileIO(self._path, "a"))  # unbuffered, so that a kill loses none
            if fresh:
                self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        if values:
            event = Event(wall_time=time.time(), step=position, summary={"value": values})
            self._records.write(event.SerializeToString())


def _epoch_tag(name: str) -> str:
    return EPOCH + name.removesuffix("_epoch")


def _hyperparameters(kind: str, info: Any) -> Mapping[str, Any]:
    """Return the value that carries a message of the hparams plugin; it stands in the metadata."""
    from tensorboard.plugins.hparams.metadata import PLUGIN_NAME
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = HParamsPluginData(**{kind: info}).SerializeToString()
    plugin = {"plugin_name": PLUGIN_NAME, "content": content}
    return {"tag": HYPERPARAMETERS + kind, "metadata": {"plugin_data": plugin}}


def _events(path: Path) -> list[Any]:
    """Return the events of a file, up to a record that was cut off."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    return [Event.FromString(record) for record in RawEventFileLoader(str(path)).Load()]


def _rewrite(path: Path, records: list[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write(file: Any) -> None:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)

    write_atomically(path, write)


def _is_before(tag: str, position: int, step: int, epoch: int) -> bool:
    return not tag.startswith(HYPERPARAMETERS) and position <= (epoch if tag.startswith(EPOCH) else step)
