"""Pictures of what an image classifier gets wrong: the confusion matrix and the worst-predicted samples."""

from __future__ import annotations

import logging
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from trainkit.callbacks.callback import Callback
from trainkit.data.loader import as_source, length
from trainkit.errors import ConfigError
from trainkit.keys import fold
from trainkit.settings import limited

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainkit.trainer import Trainer

MOST_CLASSES = 1000
"""A confusion matrix of more classes than this has no use as a picture."""
RIGHT, WRONG, PAPER, INK, SOFT_INK = (31, 98, 168), (196, 58, 40), (255, 255, 255), (32, 36, 42), (110, 118, 128)
Colour = tuple[int, int, int]


class Samples(NamedTuple):
    """Samples of a classification."""

    images: Tensor
    """(samples, channels, height, width)"""
    targets: Tensor
    predictions: Tensor
    losses: Tensor


class Predictions(Callback):
    """Draws the confusion matrix and the worst-predicted samples of the validation set, for every logger.

    For image classification: batches ``(images, targets)`` with one or three channels and scores (batch, classes). Of
    other data it says so once, as information in the log. The loss of a sample is its cross-entropy.

    Args:
        worst: Number of samples to show; 0 shows none.
        every_n_epochs: Draw after so many epochs too; None draws at the end of the fit only.
    """

    def __init__(self, worst: int = 16, every_n_epochs: int | None = None) -> None:
        if worst < 0:
            raise ConfigError(f"callbacks.predictions.worst={worst}: must not be negative")
        if every_n_epochs is not None and every_n_epochs < 1:
            raise ConfigError(f"callbacks.predictions.every_n_epochs={every_n_epochs}: must be at least 1")
        self.worst, self.every_n_epochs = worst, every_n_epochs
        self._drawn, self._applies = -1, True

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Draw in every n-th epoch."""
        if self.every_n_epochs is not None and trainer.counters.epoch % self.every_n_epochs == 0:
            self._log(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Draw the end, unless it is drawn already or the process must go."""
        if trainer.counters.step != self._drawn and trainer.ending.status != "preempted":
            self._log(trainer)

    def _log(self, trainer: Trainer) -> None:
        self._drawn = trainer.counters.step
        if not (self._applies and trainer.loggers) or trainer.val_loader is None:
            return
        found = examine(trainer, self.worst)
        if found is None:
            self._applies = False
            logging.getLogger(__name__).info("no pictures of predictions: the data are no image classification")
            return
        confusion, samples = found
        pictures = {}
        if 0 < len(confusion) <= MOST_CLASSES:
            pictures["val/confusion_matrix"] = draw_confusion(confusion)
        if len(samples.losses):
            pictures["val/worst_predictions"] = draw_samples(samples)
        import numpy

        for name, picture in pictures.items():
            trainer.loggers.image(name, numpy.asarray(picture), trainer.counters)


def examine(trainer: Trainer, worst: int) -> tuple[Tensor, Samples] | None:
    """Return the confusion matrix (row = target, column = prediction) and the worst samples of the validation set.

    Returns None where the batches are no images with scores and classes. The matrix is empty for too many classes.
    """
    confusion, kept = torch.zeros(0, 0), None
    loader = trainer.val_loader
    kind = getattr(trainer.objective, "kind", None)
    assert loader is not None
    number = limited(length(loader), trainer.settings.limit_val_batches)
    with trainer.evaluating() as model:
        for batch in islice(as_source(loader, fold(trainer.seed, "predictions")).batches(0, 0), number):
            with trainer.without_gradients():
                batch = trainer.to_device(batch)
                output = trainer.eval_step(model, batch)
                if not _is_image_classification(kind, batch, output.predictions, output.targets):
                    return None
                classes = output.predictions.shape[1]
                samples = _samples(batch[0], output.predictions, output.targets)  # host-device sync
            if classes <= MOST_CLASSES:
                pairs = samples.targets * classes + samples.predictions
                counts = torch.bincount(pairs, minlength=classes * classes).view(classes, classes)
                confusion = counts if not len(confusion) else confusion + counts
            kept = _worst(samples if kept is None else Samples(*map(torch.cat, zip(kept, samples, strict=True))), worst)
    return None if kept is None else (confusion.cpu(), Samples(*(tensor.cpu() for tensor in kept)))


def _is_image_classification(kind: str | None, batch: Any, predictions: Any, targets: Any) -> bool:
    """Say whether these are images with scores and classes; probabilities serve where the objective is known."""
    images = batch[0] if isinstance(batch, tuple | list) and batch else None
    if not (isinstance(images, Tensor) and isinstance(predictions, Tensor) and isinstance(targets, Tensor)):
        return False
    hard = targets.ndim == 1 and not targets.is_floating_point()
    soft = targets.shape == predictions.shape and targets.is_floating_point() and kind == "classification"
    return (
        kind in (None, "classification")
        and (hard or soft)
        and (images.ndim, predictions.ndim) == (4, 2)
        and images.shape[1] in (1, 3)
        and len(images) == len(predictions) == len(targets)
    )


def _samples(images: Tensor, scores: Tensor, targets: Tensor) -> Samples:
    """Return the samples of a batch that have a target, classes also where the targets are probabilities."""
    if targets.is_floating_point():
        targets = targets.argmax(1)
    losses = cross_entropy(scores.float(), targets, reduction="none", ignore_index=-100)
    has_target = targets >= 0
    samples = Samples(images, targets, scores.argmax(1), losses.nan_to_num(nan=math.inf))
    return Samples(*(tensor[has_target] for tensor in samples))


def _worst(samples: Samples, number: int) -> Samples:
    order = samples.losses.argsort(descending=True, stable=True)[:number]
    return Samples(*(tensor[order] for tensor in samples))


# ---------------------------------------------------------------------- drawing


def draw_confusion(confusion: Tensor) -> Image:
    """Draw the counts, row = target and column = prediction: right ones blue, wrong ones red, as shares of the row."""
    from PIL import Image, ImageDraw

    classes = len(confusion)
    cell = max(1, min(48, 960 // classes))
    left, top, rest, size = 72, 64, 24, max(9, min(16, cell * 2 // 5))
    picture = Image.new("RGB", (left + cell * classes + rest, top + cell * classes + rest), PAPER)
    draw, font, title = ImageDraw.Draw(picture), _font(size), _font(16)
    counts = confusion.tolist()
    for row, numbers in enumerate(counts):
        total = max(sum(numbers), 1)
        for column, number in enumerate(numbers):
            x, y, share = (
                left + column * cell,
                top + row * cell,
                math.sqrt(number / total),
            )  # a root shows rare mistakes
            colour = _mix(PAPER, RIGHT if row == column else WRONG, share)
            gap = 1 if cell > 8 else 0
            if number or cell > 8:
                draw.rectangle((x, y, x + cell - 1 - gap, y + cell - 1 - gap), colour if number else (246, 247, 249))
            if number and cell >= 24:
                ink = PAPER if share > 0.6 else INK
                draw.text((x + cell / 2, y + cell / 2), str(number), ink, font, anchor="mm")
    for number in range(0, classes, max(1, math.ceil(24 / cell))):
        middle = (number + 0.5) * cell
        draw.text((left + middle, top - 8), str(number), SOFT_INK, _font(13), anchor="ms")
        draw.text((left - 8, top + middle), str(number), SOFT_INK, _font(13), anchor="rm")
    draw.text((left + cell * classes / 2, 16), "predicted", INK, title, anchor="mt")
    sideways = Image.new("RGB", (64, 24), PAPER)
    ImageDraw.Draw(sideways).text((32, 12), "true", INK, title, anchor="mm")
    picture.paste(sideways.rotate(90, expand=True), (8, top + cell * classes // 2 - 32))
    return picture


def draw_samples(samples: Samples) -> Image:
    """Draw the samples in a grid, each with its true and its predicted class and its loss; at least one."""
    from PIL import Image, ImageDraw

    side, margin, caption = 136, 12, 40
    columns = math.ceil(math.sqrt(len(samples.losses)))
    rows = math.ceil(len(samples.losses) / columns)
    size = (margin + columns * (side + margin), margin + rows * (side + caption + margin))
    picture = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(picture), _font(13)
    texts = zip(samples.targets.tolist(), samples.predictions.tolist(), samples.losses.tolist(), strict=True)
    for number, (target, prediction, loss) in enumerate(texts):
        x = margin + number % columns * (side + margin)
        y = margin + number // columns * (side + caption + margin)
        picture.paste(_tile(samples.images[number], side), (x, y))
        colour = RIGHT if target == prediction else WRONG
        draw.text((x, y + side + 5), f"true {target}", INK, font)
        draw.text((x + side, y + side + 5), f"predicted {prediction}", colour, font, anchor="ra")
        draw.text((x, y + side + 22), f"loss {loss:#.3g}", SOFT_INK, font)
    return picture


def _tile(image: Tensor, side: int) -> Image:
    """Return an image (channels, height, width) of any range of values as a square that shows all of that range."""
    from PIL import Image

    image = image.float().nan_to_num(0.0, 0.0, 0.0)
    low, high = image.min(), image.max()
    image = ((image - low) / (high - low).clamp(min=1e-12)).expand(3, -1, -1)
    grows = max(image.shape[1:]) <= side
    scale = side / max(image.shape[1:])
    shape = [max(1, round(length * scale)) for length in image.shape[1:]]
    mode = {"mode": "nearest"} if grows else {"mode": "bilinear", "antialias": True}  # pixels stay pixels
    image = interpolate(image[None], shape, **mode)[0]
    tile = Image.new("RGB", (side, side), PAPER)
    pixels = Image.fromarray((image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())
    tile.paste(pixels, ((side - pixels.width) // 2, (side - pixels.height) // 2))
    return tile


def _mix(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
