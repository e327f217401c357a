"""What a person reads of a replayed step, and what a program does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from trainkit.autopsy.seeing import BatchSeen, Layer, Seen
from trainkit.commands.ckpt.line import printable, table

SAMPLES, LAYERS, INDICES = 8, 40, 16
"""How many a person is shown."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A step, where it comes from, and what may be other than it was."""

    seen: Seen
    source: str
    """The run folder or the bundle."""
    start: str | None
    """The checkpoint that it was rebuilt from; None for the start of the run."""
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; numbers that are not finite are text, since JSON knows none."""
        values = asdict(self.seen)
        values["autopsy"] = self.seen.autopsy.as_dict() if self.seen.autopsy is not None else None
        whole: dict[str, Any] = _finite({"source": self.source, "start": self.start, "notes": self.notes, **values})
        return whole

    def text(self) -> str:
        """Return what a person reads."""
        return "\n".join(printable(line) for part in self._parts() for line in part.split("\n"))

    def _parts(self) -> Iterator[str]:
        seen = self.seen
        yield f"step {seen.step} of {self.source}: epoch {seen.epoch + 1}, batch {seen.batch}"
        yield f"rebuilt from {self.start or 'the start of the run'}"
        if seen.agrees and not seen.differs:
            yield f"held against the run: the same loss, bit for bit, at step {', '.join(map(str, seen.agrees[-3:]))}"
        yield from (f"note: {note}" for note in self.notes)
        if seen.attempt > 1:
            yield f"attempt {seen.attempt}: the ones before it were left out"
        for batch in seen.batches:
            yield ""
            yield from _batch(batch)
        yield ""
        yield from self._gradients()
        if seen.failed:
            yield ""
            yield f"not taken: {seen.failed}"
        if seen.autopsy is not None:
            yield f"first: {seen.autopsy.text()}"

    def _gradients(self) -> Iterator[str]:
        seen = self.seen
        clip = f", before clipping ({seen.clip})" if seen.clip else ""
        if seen.norm is not None and any(layer.gradient is not None for layer in seen.layers):
            yield f"gradient norm {seen.norm:.6g}{clip}"
        shown = sorted(seen.layers, key=lambda layer: layer.gradient is None)[:LAYERS]
        names = {id(layer) for layer in shown}
        rows: list[tuple[object, ...]] = [("parameter", "shape", "weights", "gradient", "zeros", "update/weights")]
        rows += [_row(layer) for layer in seen.layers if id(layer) in names]
        yield table(rows)
        if len(seen.layers) > LAYERS:
            yield f"and {len(seen.layers) - LAYERS} more; --json has all"


def _batch(batch: BatchSeen) -> Iterator[str]:
    """Yield the lines on a batch."""
    loss = "" if batch.loss is None else f", loss {batch.loss:.6g} over {batch.count:g} targets"
    yield f"batch {batch.number}{loss}"
    if batch.samples:
        more = f", ... ({len(batch.samples)})" if len(batch.samples) > INDICES else ""
        yield f"  samples  {', '.join(map(str, batch.samples[:INDICES]))}{more}"
    for numbers in (*batch.tensors, *batch.outputs):
        yield f"  {numbers}"
    if batch.predictions:
        rows: list[tuple[object, ...]] = [("sample", "target", "prediction")]
        for one in batch.predictions[:SAMPLES]:
            sure = "" if one.probability is None else f" ({one.probability:.3f})"
            rows.append((one.sample, _short(one.target), f"{_short(one.predicted)}{sure}"))
        yield table(rows, "  ")


def _row(layer: Layer) -> tuple[object, ...]:
    shape = "x".join(map(str, layer.shape)) or "scalar"
    zeros = "-" if layer.zeros is None else f"{100 * layer.zeros:.1f} %"
    return layer.name, shape, *map(_number, (layer.weight, layer.gradient)), zeros, _number(layer.update)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value[:4])) + (", ...]" if len(value) > 4 else "]")
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)[:60]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
