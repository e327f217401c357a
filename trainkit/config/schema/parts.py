"""The schema of what trainkit itself builds from a config, and of the recipes' models and data sets, by target."""

from __future__ import annotations

from typing import Any

from trainkit.config.schema.recipe_parts import TAKES_MORE, TRANSFER
from trainkit.config.schema.torch_parts import TORCH
from trainkit.config.schema.transferring import PREPROCESSING, Preprocessing
from trainkit.forms import DURATION, STEPS
from trainkit.values import REQUIRED, key, part

ACTIVATIONS = (
    *("ReLU", "GELU", "Tanh", "SiLU", "LeakyReLU", "ELU", "SELU", "CELU", "PReLU", "RReLU", "ReLU6", "Mish", "Sigmoid"),
    *("LogSigmoid", "Softplus", "Softsign", "Hardswish", "Hardsigmoid", "Hardtanh", "Hardshrink", "Softshrink"),
    *("Tanhshrink", "GLU", "Softmax", "Softmin", "Softmax2d", "LogSoftmax", "Identity"),
)
MEASURES = ("accuracy", "precision", "recall", "f1")


@part
class Progress:
    """Shows a bar on a terminal, else a line an epoch."""

    _target_: str = "trainkit.callbacks.Progress"
    console: Any = key(None, "Where to write, a rich Console; null: the standard output.", node=True)


@part
class EarlyStopping:
    """Stops the run when the monitored metric stops improving, is good enough, diverges, or is not finite."""

    _target_: str = "trainkit.callbacks.EarlyStopping"
    monitor: str | None = key(None, "Name of a metric of the validation; null: monitor.metric.")
    mode: str | None = key(None, "Which way is better; null: monitor.mode.", choices=("min", "max"))
    patience: int | None = key(3, "Validations without an improvement that are borne; null: any number.", least=0)
    patience_steps: int | None = key(None, "The same in optimizer steps.", least=0)
    min_delta: float = key(0.0, "Least change that counts as an improvement.", least=0)
    stopping_threshold: float | None = key(None, "Good enough: stop at once.", infinite=True)
    divergence_threshold: float | None = key(None, "Hopeless: stop at once.", infinite=True)
    check_finite: bool = key(True, "Stop when the metric is NaN or infinite.")


@part
class Predictions:
    """Draws the confusion matrix and the worst-predicted samples of the validation set."""

    _target_: str = "trainkit.callbacks.Predictions"
    worst: int = key(16, "Worst-predicted samples to show; 0 shows none.", least=0)
    every_n_epochs: int | None = key(None, "Draw after so many epochs too; null: at the end only.", least=1)


@part
class Profiler:
    """Times some steps, profiles as many, says what the training is bound by, and ends the run."""

    _target_: str = "trainkit.callbacks.Profiler"
    steps: int = key(20, "Steps to time, and again to profile.", least=1)
    warmup: int = key(5, "Steps before that.", least=0)
    console: Any = key(None, "Where to write, a rich Console; null: the standard output.", node=True)


EVERY, LAYERS = "Optimizer steps from one look to the next.", "Patterns of layers with curves of their own."


@part
class Activations:
    """Watches the outputs of the layers: mean and spread, zeros, saturation, dead units."""

    _target_: str = "trainkit.diagnostics.Activations"
    every: int = key(100, EVERY, least=1)
    layers: list[str] = key([], LAYERS)
    window: int = key(200, "Values in a row that must be zero, or saturated, before a unit is dead.", least=1)


@part
class Gradients:
    """Watches the gradient of each layer, and how it flows from head to stem."""

    _target_: str = "trainkit.diagnostics.Gradients"
    every: int = key(50, EVERY, least=1)
    layers: list[str] = key([], LAYERS)


@part
class Updates:
    """Watches how much a step changes the weights, measured against the weights."""

    _target_: str = "trainkit.diagnostics.Updates"
    every: int = key(50, EVERY, least=1)
    layers: list[str] = key([], LAYERS)


@part
class Histograms:
    """Draws how weights, gradients and outputs are spread, for loggers that take histograms."""

    _target_: str = "trainkit.diagnostics.Histograms"
    every: int = key(100, EVERY, least=1)
    layers: list[str] = key(["*"], "Patterns of the parameters and modules that are drawn.")
    bins: int = key(32, "Parts of the range from the least to the largest number.", least=2)


@part
class Clipping:
    """Watches how often the gradient is clipped, and by how much."""

    _target_: str = "trainkit.diagnostics.Clipping"
    every: int = key(50, EVERY, least=1)


@part
class Throughput:
    """Watches the share of the time that goes into waiting for data, and the time that a sample takes."""

    _target_: str = "trainkit.diagnostics.Throughput"
    every: int = key(50, EVERY, least=1)
    patience: float = key(60.0, "Seconds of waiting, in the whole run, that are not worth a word.", least=0)


@part
class Learning:
    """Watches the losses: divergence, over-fitting, plateaus, and runs that learn nothing."""

    _target_: str = "trainkit.diagnostics.Learning"
    every: int = key(50, EVERY, least=1)


@part
class Doctor:
    """Writes a note on what the diagnostics found, the weightiest first, with an override to try."""

    _target_: str = "trainkit.diagnostics.Doctor"
    every_n_epochs: int | None = key(None, "Write one after so many epochs too; null: at the end only.", least=1)
    sentences: int = key(5, "The most that it says.", least=1)
    console: Any = key(None, "Where to write, a rich Console; null: the standard output.", node=True)


@part
class TensorBoard:
    """Writes TensorBoard's event files."""

    _target_: str = "trainkit.loggers.TensorBoard"
    folder: str = key(REQUIRED, "The folder of the event files; left out, tensorboard/ of the run.")


@part
class Store:
    """Checkpoints: also saved when the best value is reached, at the end, and on signals."""

    _target_: str = "trainkit.checkpoint.Store"
    folder: str = key(REQUIRED, "The folder of the checkpoints; left out, checkpoints/ of the run.")
    every: str | None = key("1ep", "How often to save besides, such as 1ep, 500st or 10min.", form=DURATION)
    keep_last: int = key(2, "How many of the newest to keep, at least 2: the newest may be damaged.", least=2)
    keep_best: int = key(1, "How many of the best by monitor.metric to keep.", least=1)
    keep_every: str | None = key(None, "Keep one for each such duration for good, such as 10ep.", form=DURATION)
    background: bool = key(False, "true: a thread writes a copy of the state while training goes on.")


@part
class WeightAverage:
    """A running average of the weights, used for validation and the best checkpoint."""

    _target_: str = "trainkit.optim.WeightAverage"
    kind: str = key("ema", "Exponential moving average, or the equal average of SWA.", choices=("ema", "swa"))
    decay: float = key(0.999, "Share of the old average that an EMA update keeps.", least=0, less_than=1)
    start: str | None = key(None, "Train so long first, such as 2ep or 500st.", form=STEPS)
    every: int = key(1, "Optimizer steps between two updates.", least=1)


@part
class Classification:
    """Accuracy, and precision, recall and F1 averaged over classes."""

    _target_: str = "trainkit.metrics.Classification"
    names: list[str] = key(["accuracy"], "Which of them to log.", choices=MEASURES)
    ignore_index: int = key(-100, "Targets of this value do not count.")


@part
class BinaryAccuracy:
    """The share of right answers of a yes-or-no model."""

    _target_: str = "trainkit.metrics.BinaryAccuracy"


@part
class Regression:
    """Mean absolute error, root mean squared error and R2."""

    _target_: str = "trainkit.metrics.Regression"
    names: list[str] = key(["mae", "rmse", "r2"], "Which of them to log.", choices=("mae", "rmse", "r2"))


@part
class Supervised:
    """A plain loss as the objective of batches (inputs, targets)."""

    _target_: str = "trainkit.objectives.supervised"
    loss: Any = key(REQUIRED, "Mean loss of predictions and targets, such as one of torch.nn.", node=True)


@part
class MLP:
    """A fully connected network."""

    _target_: str = "trainkit.recipes.models.MLP"
    in_features: int = key(REQUIRED, "Numbers in one input, flattened.", least=1)
    hidden: list[int] = key(REQUIRED, "Width of each hidden layer; [] makes the model linear.", least=1)
    out_features: int = key(REQUIRED, "Numbers that the model gives for one input.", least=1)
    dropout: float = key(0.0, "Share of the hidden units that is dropped in training.", least=0, most=1)
    activation: str = key("ReLU", "Name of an activation of torch.nn.", choices=ACTIVATIONS)


@part
class ConvolutionalEncoder:
    """Turns images into feature vectors by 3x3 convolutions with BatchNorm."""

    _target_: str = "trainkit.recipes.models.ConvolutionalEncoder"
    in_channels: int = key(REQUIRED, "Channels of the images.", least=1)
    channels: list[int] = key(REQUIRED, "Channels of each stage; the last is the feature vector's length.", least=1)


@part
class Head:
    """Turns feature vectors into one score for each class."""

    _target_: str = "trainkit.recipes.models.Head"
    in_features: int = key(REQUIRED, "Length of the feature vector.", least=1)
    out_features: int = key(REQUIRED, "Number of classes.", least=1)
    dropout: float = key(0.0, "Share of the features that is dropped in training.", least=0, most=1)


@part
class Classifier:
    """An encoder and a head, each of which can be swapped."""

    _target_: str = "trainkit.recipes.models.Classifier"
    encoder: Any = key(REQUIRED, "Turns inputs into feature vectors, an nn.Module.", node=True)
    head: Any = key(REQUIRED, "Turns feature vectors into scores, an nn.Module.", node=True)


@part
class CNN:
    """A small convolutional network with BatchNorm for small images."""

    _target_: str = "trainkit.recipes.models.CNN"
    in_channels: int = key(REQUIRED, "Channels of the images.", least=1)
    out_features: int = key(REQUIRED, "Number of classes.", least=1)
    channels: list[int] = key([32, 64], "Channels of each stage; between two the image is halved.", least=1, shortest=1)
    dropout: float = key(0.0, "Share of the features dropped before the last layer.", least=0, most=1)


@part
class AutoMPG:
    """Auto-MPG: the miles per gallon of 392 cars."""

    _target_: str = "trainkit.recipes.data.auto_mpg"
    fractions: list[float] = key(
        [0.6, 0.2, 0.2], "Shares of the training, validation and test sets.", least=0, most=1, length=3
    )
    split_seed: int = key(0, "Which samples go where.", least=0)


@part
class Digits:
    """UCI handwritten digits: 1,797 grey images of 8x8 pixels."""

    _target_: str = "trainkit.recipes.data.digits"
    fractions: list[float] = key(
        [0.6, 0.2, 0.2], "Shares of the training, validation and test sets.", least=0, most=1, length=3
    )
    split_seed: int = key(0, "Which images go where.", least=0)
    augment: Any = key(None, "Random transform of the training images, or a list of them.")
    only: list[int] | None = key(None, "The digits to read, such as [0, 1, 2]; null: all ten.", least=0, most=9)


@part
class TorchvisionImages:
    """MNIST, Fashion-MNIST or CIFAR-10, downloaded where missing."""

    _target_: str = "trainkit.recipes.data.torchvision_images"
    name: str = key(REQUIRED, "Which of torchvision's data sets.", choices=("mnist", "fashion_mnist", "cifar10"))
    folder: str = key("data", "Where its files are, or go.")
    validation: float = key(0.1, "Share of the training images that become the validation set.", least=0, less_than=1)
    split_seed: int = key(0, "Which images those are.", least=0)
    augment: Any = key(None, "Random transform of the training images, or a list of them.")
    preprocessing: Any = key(None, "What is done to every image.", kind=PREPROCESSING, within=Preprocessing)
    download: bool = key(True, "Whether missing files may be fetched.")


OWN: tuple[type, ...] = (
    *(Progress, EarlyStopping, Predictions, Profiler, TensorBoard, Store, WeightAverage),
    *(Activations, Gradients, Updates, Histograms, Clipping, Throughput, Learning, Doctor),
    *(Classification, BinaryAccuracy, Regression, Supervised),
    *(MLP, ConvolutionalEncoder, Head, Classifier, CNN, AutoMPG, Digits, TorchvisionImages),
    *TRANSFER,
)
OPEN = frozenset(known._target_ for known in TAKES_MORE)
"""Targets of trainkit's own that take more than the schema knows."""
MODULES = {
    **{f"torch.optim.{name.lower()}.{name}": f"torch.optim.{name}" for name in ("Adam", "AdamW", "RMSprop", "SGD")},
    **{f"torch.nn.modules.loss.{name}": f"torch.nn.{name}" for name in ("CrossEntropyLoss", "MSELoss")},
    "torch.nn.modules.linear.Linear": "torch.nn.Linear",
    "torch.nn.modules.flatten.Flatten": "torch.nn.Flatten",
    "torch.nn.modules.activation.ReLU": "torch.nn.ReLU",
    "torch.nn.modules.container.Sequential": "torch.nn.Sequential",
    "trainkit.supervised": "trainkit.objectives.supervised",
    "trainkit.callbacks.progress.Progress": "trainkit.callbacks.Progress",
    "trainkit.callbacks.early_stopping.EarlyStopping": "trainkit.callbacks.EarlyStopping",
    "trainkit.callbacks.predictions.Predictions": "trainkit.callbacks.Predictions",
    "trainkit.callbacks.profiler.Profiler": "trainkit.callbacks.Profiler",
    "trainkit.callbacks.freeze_table.FreezeTable": "trainkit.callbacks.FreezeTable",
    **{
        f"trainkit.diagnostics.{name.lower()}.{name}": f"trainkit.diagnostics.{name}"
        for name in (
            "Activations",
            "Gradients",
            "Updates",
            "Histograms",
            "Clipping",
            "Throughput",
            "Learning",
            "Doctor",
        )
    },
    "trainkit.loggers.tensorboard.TensorBoard": "trainkit.loggers.TensorBoard",
    "trainkit.checkpoint.store.Store": "trainkit.checkpoint.Store",
    "trainkit.optim.averaging.WeightAverage": "trainkit.optim.WeightAverage",
    "trainkit.recipes.data.embedded.auto_mpg": "trainkit.recipes.data.auto_mpg",
    "trainkit.recipes.data.embedded.digits": "trainkit.recipes.data.digits",
    "trainkit.recipes.data.folders.image_folder": "trainkit.recipes.data.image_folder",
    "trainkit.recipes.data.photographs.photographs": "trainkit.recipes.data.photographs",
    "trainkit.recipes.data.images.torchvision_images": "trainkit.recipes.data.torchvision_images",
}
"""Other names of the same targets: those of the modules that define them, which tools write that know the class."""
PARTS: dict[str, type] = {known._target_: known for known in (*OWN, *TORCH)}  # type: ignore[attr-defined]
"""What the schema knows, by ``_target_``."""
PARTS |= {name: PARTS[target] for name, target in MODULES.items()}
