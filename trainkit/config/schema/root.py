"""The schema of a run's own keys: the root of the config and the groups that trainkit reads itself."""

from __future__ import annotations

import os
from typing import Any

from trainkit.config.schema.transferring import PREPROCESSING, Freeze, Head, Preprocessing, Weights
from trainkit.errors import nearest
from trainkit.forms import STEPS, Form
from trainkit.settings import Settings
from trainkit.values import key, part

LONGEST_NAME = 200
"""Bytes; file systems take 255."""
LONGEST_SLIP = 20
"""Letters; a longer text is no slip of auto or weights."""


FILE = "A data set's own file starts with defaults: [default, _self_], which brings them"


def is_plain_name(name: str) -> bool:
    """Say whether a name can name a folder under ``runs/``, and no other."""
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")
    return plain and 0 < len(name.encode()) <= LONGEST_NAME


def is_resume(text: str) -> bool:
    """Say whether ``resume=`` may mean something: auto, weights, weights:PATH, a path; slips do not."""
    word, colon, path = text.partition(":")
    if colon or "/" in text or "." in text or len(text) > LONGEST_SLIP or os.path.exists(text):  # never raises
        return bool(path) if word == "weights" and colon else True
    return text in ("auto", "weights") or not nearest(text, ("auto", "weights"), 0.5)


def _is_package(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _as_resume(value: Any) -> str:
    near = nearest(str(value), ("auto", "weights"), 0.5)
    return f"Did you mean {near[0]!r}?" if near else ""


NAME = Form("a plain file name: it names a folder under runs/", "name", is_plain_name)
RESUME = Form(
    "auto, weights, weights:PATH, a run folder or a checkpoint", "auto | weights[:PATH] | path", is_resume, _as_resume
)
PACKAGE = Form("the name of a package, such as timm", "package", _is_package)


@part
class Monitor:
    """The metric that says which weights are best."""

    metric: str = key("val/loss", "Says which weights are best; early stopping and plateau schedules go by it too.")
    mode: str = key("min", "Whether the least or the largest value is best.", choices=("min", "max"))


@part
class Penalty:
    """Penalties on the weights, added to the training loss."""

    l1: float = key(0.0, "Times the sum of |w| over all weights, added to the training loss.", least=0)
    l2: float = key(0.0, "Times half the sum of w^2 over all weights, added to the training loss.", least=0)


@part
class ParameterGroups:
    """Which parameters have a weight decay; freeze.rules gives some of them options of their own."""

    decay_norm_and_bias: bool = key(True, "false: no weight decay on norms and biases.")


@part
class Data:
    """Data sets and batches."""

    datasets: Any = key("???", "Function that returns trainkit.data.Splits: the three data sets.", node=True)
    features: int | None = key(None, "Numbers in one input, flattened; models take it by ${data.features}.", least=1)
    channels: int | None = key(None, "Channels of an image; null when the input is none.", least=1)
    size: int | None = key(None, "Height and width of an image in pixels.", least=1)
    classes: int | None = key(None, "Number of classes; null for a regression.", least=1)
    outputs: int | None = key("${data.classes}", "Numbers that a model gives for one input.", least=1)
    batch_size: int = key(64, "Samples in a training batch.", least=1, needed=FILE)
    val_batch_size: int = key(512, "Samples in a validation or test batch.", least=1, needed=FILE)
    shuffle: bool = key(True, "Permute the training samples anew in every epoch.", needed=FILE)
    drop_last: bool = key(False, "Leave out a last training batch that is smaller.", needed=FILE)
    num_workers: int = key(0, "Processes that fetch batches; 0 fetches in the training process.", least=0)
    prefetch_factor: int | None = key(None, "Batches that each worker keeps ready; null: 2.", least=1)
    persistent_workers: bool = key(False, "Keep the workers alive between epochs.")
    pin_memory: bool | None = key(None, "Page-locked batches copy faster to a GPU; null: when the device is cuda.")
    timeout: float = key(300, "Seconds that workers may keep the training waiting; 0 for any time.", least=0)
    on_error: str = key("stop", "What a sample that raises does: stop the run, or skip it.", choices=("stop", "skip"))
    max_errors: int = key(100, "Samples that on_error=skip may leave out before the run is stopped.", least=0)
    changed: str = key("refuse", "When a resume finds other data than the checkpoint's.", choices=("refuse", "allow"))
    folder: str = key("data", "Where downloaded files are, or go; embedded data sets need none.")
    split_seed: int = key(0, "Which samples go to which set; the same for every seed of the training.", least=0)
    download: bool = key(True, "Fetch the files into data.folder if they are missing.", optional=True)
    augment: Any = key(None, "Random transform of the training images, or a list of them.", optional=True)
    cache_limit: int = key(512, "MiB of decoded pictures that may stay in memory.", least=0, optional=True)
    preprocessing: Any = key(
        None,
        "What is done to every picture, in training and after; auto: what belongs to weights.source.",
        kind=PREPROCESSING,
        within=Preprocessing,
        optional=True,
    )


@part
class Schedule:
    """The learning rate over time."""

    interval: str = key("step", "When the scheduler advances.", choices=("step", "epoch"))
    warmup: int | float | str | None = key(
        None, "Climb to the rate over so many steps (int), share of the run (float), or such as 500st, 1ep.",
        least=0, share=True, form=STEPS,
    )  # fmt: skip
    scheduler: Any = key(None, "Any of torch.optim.lr_scheduler; the optimizer is added.", node=True)


@part
class Check:
    """How `trainkit check` inspects the training."""

    ignore: list[Any] = key([], "Findings to leave out: RULE@PLACE, RULE or @PLACE, * for any.", kind=list[str])
    deep: bool = key(False, "Train copies for some tens of steps too: do they learn, from the inputs, at which rate.")


@part
class Root:
    """A run."""

    name: str = key("unnamed", "Names the folder of the run, runs/NAME/TIME.", form=NAME, numbers=True)
    tags: list[Any] = key([], "Words to find the run by.", kind=list[str], numbers=True)
    seed: int = key(0, "All randomness comes from it.", least=0)
    run_dir: str | None = key(None, "The run folder; null: runs/NAME/TIME.", numbers=True)
    resume: str | None = key(
        None,
        "auto (go on with run_dir), a run folder or a checkpoint; weights[:PATH]: its weights alone.",
        form=RESUME,
        numbers=True,
    )
    test: bool = key(True, "Test the best weights at the end.")
    trusted_packages: list[str] = key([], "Packages whose classes and functions a config may name too.", form=PACKAGE)
    check: Check = key(Check, "How `trainkit check` inspects the training.")
    monitor: Monitor = key(Monitor, "The metric that says which weights are best.")
    penalty: Penalty = key(Penalty, "Penalties on the weights, added to the training loss.")
    parameter_groups: ParameterGroups = key(ParameterGroups, "Which parameters have a weight decay.")
    weights: Weights = key(Weights, "What the model starts from.")
    head: Head = key(Head, "A new last layer.")
    model: Any = key(None, "The nn.Module; see configs/model.", node=True)
    data: Data | None = key(Data, "Data sets and batches.", open=True)
    objective: Any = key(None, "What a batch means for the loss.", node=True)
    optimizer: Any = key(None, "Any of torch.optim; the parameters are added.", node=True)
    schedule: Schedule | None = key(Schedule, "The learning rate over time.")
    freeze: Freeze | None = key(Freeze, "Which parameters train, when, and at what rate of their own.")
    averaging: Any = key(None, "Running average of the weights.", node=True)
    trainer: Settings = key(Settings, "The loop.")
    callbacks: Any = key(None, "Observers, by name.", entries="An observer of the training.")
    diagnostics: Any = key(None, "What watches the training from within, by name.", entries="A diagnostic.")
    loggers: Any = key(None, "Where numbers and pictures go, by name.", entries="Where numbers and pictures go.")
    checkpoint: Any = key(None, "What is kept of the state of a run.", node=True)
    metrics: Any = key(None, "What validation and test measure, by name.", entries="A metric of validation and test.")


GROUPS: dict[str, type] = {"trainer": Settings, "data": Data, "schedule": Schedule, "freeze": Freeze}
"""Config groups that trainkit reads itself."""
