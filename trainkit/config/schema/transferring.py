"""The schema of transfer learning: the freeze plan, pretrained weights, new heads and the preprocessing of images."""

from __future__ import annotations

from typing import Any, Literal

from trainkit.errors import closest
from trainkit.forms import STEPS, Form
from trainkit.values import REQUIRED, key, part

GLOB = "Write such as match: 'head.*', a glob over names of parameters and modules, or match: '@head'"
GATE = Form(
    "a duration in epochs or steps, such as 3ep, or plateau",
    "duration in ep or st | plateau",
    lambda text: text == "plateau" or STEPS.fits(text),
    lambda value: STEPS.cure(value) or closest(str(value), ["plateau"]).strip(),
)
INITS = ("default", "zero", "normal", "kaiming", "xavier")
INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "box", "hamming")


@part
class Rule:
    """What is said of the parameters that match; the first rule that matches a parameter has it."""

    match: Any = key(
        REQUIRED,
        "Globs over names of parameters and modules, re:..., type:BatchNorm2d, or @head for the head.",
        kind=str | list[str],
        needed=GLOB,
    )
    trainable: bool = key(True, "Whether they are trained.")
    start: str | None = key(
        None, "When trainable begins to hold; before it, its opposite does.", form=GATE, called="from"
    )
    until: str | None = key(None, "When trainable ceases to hold; after it, its opposite does.", form=GATE)
    lr: float | None = key(None, "Their learning rate.", least=0)
    lr_scale: float | None = key(None, "The same as a multiple of optimizer.lr.", least=0)
    lr_decay: float | None = key(None, "Rate of a stage as a multiple of that of the one above it.", least=0, most=1)
    thaw_every: str | None = key(None, "How much later each stage thaws than the one above it.", form=GATE)
    weight_decay: float | None = key(None, "Theirs, in place of the optimizer's.", least=0)
    norm: str | None = key(None, "eval keeps the statistics of norms still.", choices=("eval", "train"))
    warmup: str | None = key(None, "Over how much training the rate of what thawed climbs.", form=STEPS)
    grad_clip: float | None = key(None, "Largest joint norm of their gradients.", least=0)
    options: dict[str, Any] | None = key({}, "More options of the optimizer for them, such as {betas: [0.9, 0.95]}.")


@part
class Freeze:
    """Which parameters train, when, and at what rate of their own."""

    rules: list[Any] = key([], "Such as [{match: layer4.*, lr: 1e-4}]; the first that matches wins.", each=Rule)
    patience: int = key(3, "Validations without an improvement of monitor.metric until plateau.", least=1, rare=True)
    min_delta: float = key(0.0, "Least change that counts as an improvement.", least=0, rare=True)
    lr_decay: float = key(
        0.75, "Rate of a stage, as a multiple of that of the stage above it.", least=0, most=1, optional=True
    )
    lr_scale: float = key(0.1, "Rate of what the preset thaws or lowers, over optimizer.lr.", least=0, optional=True)
    thaw_every: str = key("1ep", "How much later each stage thaws than the one above it.", form=GATE, optional=True)
    thaw: str = key("5ep", "When the rest thaws.", form=GATE, optional=True)
    warmup: str | None = key(None, "How long the rate of what thawed climbs.", form=STEPS, optional=True)


@part
class Weights:
    """What the model starts from."""

    source: str | None = key(
        None, "Weights of torchvision, a file, a run folder, a folder, or package:NAME/PATH.", numbers=True
    )
    prefix: str | None = key(None, "What the wanted names in the file begin with; it is taken off.")
    rename: dict[str, Any] = key({}, "Names in the file to those of the model, plain or globs.", kind=dict[str, str])
    by_position: bool = key(False, "Pair tensors by their order alone, where all shapes agree.")
    allow: list[str] = key([], "Patterns of what may keep its initial values, or be left over in the file.")


@part
class Head:
    """A new last layer."""

    name: Any = key(
        None,
        "Path of the layer, several, or {path: outputs}; null: found.",
        kind=str | list[str] | dict[str, int] | None,
        least=1,
    )
    outputs: int | None = key(None, "Its size, such as ${data.outputs}; null: the model keeps its own.", least=1)
    init: str = key("default", "Of its weights; default is torch's own.", choices=INITS)
    dropout: float | None = key(None, "Probability of a dropout right before it.", least=0, less_than=1)


@part
class Preprocessing:
    """What is done to every picture, in training and after."""

    size: Any = key(None, "Pixels of the shorter side, or [height, width].", kind=int | list[int] | None, least=1)
    crop: Any = key(None, "Pixels of a square in the middle, or [height, width].", kind=int | list[int] | None, least=1)
    mean: list[float] = key(REQUIRED, "Of each channel, of values from 0 to 1.")
    std: list[float] = key(REQUIRED, "Of each channel, of values from 0 to 1.", more_than=0)
    interpolation: str = key("bilinear", "How pixels are resampled.", choices=INTERPOLATIONS)
    antialias: bool = key(True, "Whether to smooth before making smaller.")


PREPROCESSING = dict[str, Any] | Literal["auto"] | None
"""What ``data.preprocessing`` takes."""
