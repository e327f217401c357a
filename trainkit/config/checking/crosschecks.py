"""What only shows when fields are held against each other: each rule is a function of the whole config.

The rules need no torch but those of the machine. Those of lengths say more once the data sets are built and
``Fields.batches`` is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainkit.config.checking import lengths, monitored
from trainkit.config.checking.fields import Fields, apply
from trainkit.config.paths import at
from trainkit.errors import ConfigError, closest
from trainkit.findings import Finding
from trainkit.values import shown

WIDTHS = ("model.out_features", "model.num_classes", "model.head.out_features")
"""Where the shipped models, torch's and torchvision's, keep the number of their outputs."""
OF_COLOURS = ("torchvision.models.",)
"""Models that take three channels."""
RESUMES = ("auto", "weights")
DEVICES = ("cuda", "cpu", "mps", "auto")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
WITHOUT_EFFECT = (
    ("trainer.gradient_clip_algorithm", "trainer.gradient_clip_val", None, "trainer.gradient_clip_val=1.0"),
    ("trainer.nonfinite_limit", "trainer.on_nonfinite", "stop", "trainer.on_nonfinite=skip"),
    ("data.max_errors", "data.on_error", "stop", "data.on_error=skip"),
    ("averaging.decay", "averaging.kind", "swa", "averaging.kind=ema"),
)
"""Keys that mean nothing as long as another one has some value, and what gives them a meaning."""


def cross_findings(fields: Fields, machine: bool = True) -> list[Finding]:
    """Return what is wrong across the fields of a config, errors and warnings.

    Args:
        fields: The config, and what is known of its data.
        machine: Look at what this machine has too, which imports torch.
    """
    return apply((*RULES, *monitored.RULES, *lengths.RULES, *(MACHINE if machine else ())), fields)


def data_facts(fields: Fields) -> Iterator[Finding]:
    """Refuse a model that takes a fact of the data which the data set does not have: images of a table, say."""
    node = at(fields.raw, "model")
    for path, text in _texts(node, "model"):
        fact = text[len("${data.") : -1] if text.startswith("${data.") and text.endswith("}") else ""
        if not fact.isidentifier() or at(fields.config, path) is not None or at(fields.config, f"data.{fact}"):
            continue
        if at(fields.config, "data") is None or fact not in fields.config["data"]:
            continue
        if fact in ("classes", "outputs") and str(at(fields.raw, "data.classes")).startswith("${class_folders:"):
            folder = fields.get("data.folder")
            there = isinstance(folder, str) and Path(folder).is_dir()
            message = "has no class folders" if there else "there is no such folder"
            yield fields.finding("unfit-data", "data.folder", message, fix="It must have one folder for each class")
            return
        image = fact in ("channels", "size")
        told = "these data are no images" if image else f"these data do not say their {fact}"
        fix = "Choose other data or another model" if image else f"Give data.{fact} or {path}"
        yield fields.finding("unfit-data", path, f"comes from data.{fact}=null: {told}", fix=fix)


def head(fields: Fields) -> Iterator[Finding]:
    """Hold the number of the model's outputs against the classes or outputs of the data."""
    outputs, classes = fields.number("data.outputs"), fields.number("data.classes")
    for path in _widths(fields):
        width = fields.number(path)
        wanted, key = (classes, "data.classes") if classes is not None else (outputs, "data.outputs")
        if width is None or wanted is None or width == wanted:
            continue
        kind = monitored.kind_of(fields)
        if kind == "classification" and width > wanted and classes is not None:
            message = f"the data have only {wanted:g} classes ({key})"
            yield fields.finding("unfit-head", path, message, severity="warning", effect="the rest is never right")
        elif kind in ("classification", "regression"):
            yield fields.finding(
                "unfit-head", path, f"the data want {wanted:g} outputs ({key})", fix=f"{path}={wanted:g}"
            )


def widths(fields: Fields) -> Iterator[int]:
    """Yield the numbers of outputs that the config gives the model, where it has them in a usual place."""
    for path in _widths(fields):
        if isinstance(width := at(fields.config, path), int):
            yield width


def objective(fields: Fields) -> Iterator[Finding]:
    """Hold the objective against the data: classes for a classification, none for a regression."""
    kind, classes, outputs = monitored.kind_of(fields), fields.get("data.classes"), fields.number("data.outputs")
    if kind == "classification" and classes is None and outputs == 1:
        message = "a classification, but the data are numbers to be predicted: data.classes=null"
        yield fields.finding("unfit-objective", "objective", message, fix="objective=regression suits them")
    elif kind in ("regression", "binary") and isinstance(classes, int) and outputs == classes:
        what = "a regression" if kind == "regression" else "a loss of yes or no"
        message = f"{what}, but the targets of these data are classes: data.classes={classes}"
        yield fields.finding("unfit-objective", "objective", message, fix="objective=classification suits them")


def inputs(fields: Fields) -> Iterator[Finding]:
    """Hold what the model takes against the data: channels of the images, numbers of a flattened input."""
    for place, fact in (("model.in_channels", "data.channels"), ("model.in_features", "data.features")):
        taken, given = fields.number(place), fields.number(fact)
        if fields.target("model").startswith("trainkit.") and None not in (taken, given) and taken != given:
            yield fields.finding("unfit-input", place, f"the data have {given:g} ({fact})", fix=f"{place}={given:g}")
    channels = fields.number("data.channels")
    if fields.target("model").startswith(OF_COLOURS) and channels not in (None, 3):
        message = f"takes images of 3 channels, but these data have {channels:g} (data.channels)"
        fix = "model=cnn takes any; or data=cifar10, or data of your own with 3 channels and data.channels=3"
        yield fields.finding("unfit-input", "model._target_", message, fix=fix)


def reduction(fields: Fields) -> Iterator[Finding]:
    """Refuse a loss that is no mean: windows of batches and epochs could not be weighted."""
    value = fields.text("objective.loss.reduction")
    if fields.target("objective") in monitored.SUPERVISED and value not in ("", "mean"):
        yield fields.finding("unfit-objective", "objective.loss.reduction", "supervised() needs the mean", fix="mean")


def nesterov(fields: Fields) -> Iterator[Finding]:
    """Refuse Nesterov's momentum without a momentum."""
    asked = fields.target("optimizer").endswith(".SGD") and fields.get("optimizer.nesterov") is True
    if asked and (not fields.get("optimizer.momentum") or fields.get("optimizer.dampening")):
        message = "requires a momentum, and no dampening"
        yield fields.finding("unfit-optimizer", "optimizer.nesterov", message, fix="optimizer.momentum=0.9")


def workers(fields: Fields) -> Iterator[Finding]:
    """Refuse options of workers where there are none; those of a file may stay when the line asks for no workers."""
    if fields.number("data.num_workers") != 0:
        return
    for name in ("prefetch_factor", "persistent_workers"):
        if not fields.get(f"data.{name}"):
            continue
        if fields.by_line(f"data.{name}") or not fields.by_line("data.num_workers"):
            message = "there are no workers: data.num_workers=0"
            fix = "Give data.num_workers=2 or so, or leave it out"
            yield fields.finding("no-workers", f"data.{name}", message, fix=fix)


def device(fields: Fields) -> Iterator[Finding]:
    """Refuse a device that this machine lacks, and warn of a number format that it is slow in; imports torch."""
    from trainkit.device import pick

    name = fields.text("trainer.device")
    if not name:
        return
    try:
        kind = pick(name).type
    except ConfigError as error:
        message = str(error).removeprefix(f"trainer.device={name}: ")
        fix = "trainer.device=cuda means a GPU" if name.lower() in ("gpu", "nvidia") else ""
        known = name.partition(":")[0] in DEVICES
        fix = fix or ("trainer.device=auto takes what is there" if known else closest(name, DEVICES).strip())
        yield fields.finding("no-device", "trainer.device", message, fix=fix)
        return
    if fields.text("trainer.precision") == "fp16" and kind == "cpu":
        yield fields.finding(
            "slow-precision",
            "trainer.precision",
            "a CPU has no fast half precision",
            severity="warning",
            effect="fp16 takes longer than fp32 there",
            fix="trainer.precision=bf16 or fp32",
        )
    if fields.text("trainer.precision") == "bf16" and kind == "cuda":
        import torch

        if not torch.cuda.is_bf16_supported(including_emulation=False):
            message = "this GPU has no bf16 of its own"
            yield fields.finding("slow-precision", "trainer.precision", message, severity="warning", fix="fp16 or fp32")


def compile_mode(fields: Fields) -> Iterator[Finding]:
    """Hold a mode of ``torch.compile`` against those that there are: torch itself looks in the first step only."""
    mode = fields.text("trainer.compile")
    if not mode or mode in COMPILE_MODES:
        return
    from torch import _inductor  # takes a second: only for a mode that is misspelt, or new

    modes = list(_inductor.list_mode_options())
    if mode not in modes:
        fix = f"{closest(mode, modes)} Allowed: true, false, {', '.join(modes)}".strip()
        yield fields.finding("unknown-choice", "trainer.compile", "torch.compile has no such mode", fix=fix)


def resuming(fields: Fields) -> Iterator[Finding]:
    """Hold ``resume`` against ``run_dir``, ``fast_dev_run`` and what lies on the disk."""
    value, run_dir = fields.get("resume"), fields.get("run_dir")
    if value is None or not isinstance(value, str | int | float):
        return
    text = str(value)
    mode, colon, source = text.partition(":")
    if fields.get("trainer.fast_dev_run") and mode != "weights":
        message = (
            "trainer.fast_dev_run saves nothing and takes its batches from the start: there is nothing to go on with"
        )
        yield fields.finding("resume-conflict", "resume", message, fix="Leave out one of the two")
    elif text in RESUMES and run_dir is None:
        yield fields.finding(
            "resume-conflict", "resume", "goes on with the run in run_dir", fix="Give run_dir=PATH too"
        )
    elif text not in RESUMES and not (mode == "weights" and colon and _exists(source)) and not _exists(text):
        near = closest(mode, RESUMES).strip()
        if near and colon:
            near = near.replace("'?", f":{source}'?")
        fix = near or "resume=auto goes on with run_dir; a run folder or a checkpoint may be named too"
        yield fields.finding("no-checkpoint", "resume", "no checkpoint there", fix=fix)


def overfitting(fields: Fields) -> Iterator[Finding]:
    """Warn of limits that ``overfit_batches`` takes the place of."""
    if not fields.get("trainer.overfit_batches") or fields.get("trainer.fast_dev_run"):
        return
    for name in ("limit_train_batches", "limit_val_batches"):
        if fields.get(f"trainer.{name}") is not None:
            message = "has no effect beside trainer.overfit_batches, which training and validation go by"
            yield fields.finding(
                "no-effect", f"trainer.{name}", message, severity="warning", fix="Leave out one of the two"
            )


def without_effect(fields: Fields) -> Iterator[Finding]:
    """Warn of a key that the command line sets although another one leaves it without a meaning."""
    for place, other, value, fix in WITHOUT_EFFECT:
        if at(fields.config, place) is not None and fields.by_line(place) and fields.get(other) == value:
            message = f"has no effect while {other}={shown(value)}"
            yield fields.finding("no-effect", place, message, severity="warning", fix=f"{fix} gives it one")


def _widths(fields: Fields) -> list[str]:
    """Return the paths where the number of the model's outputs may stand: a new head has its own."""
    if fields.get("head.outputs") is not None:
        return ["head.outputs"]
    return [*WIDTHS, *_last_layer(fields)]


def _last_layer(fields: Fields) -> list[str]:
    """Return the path of the width of a ``torch.nn.Sequential``'s last layer, where that is a linear one."""
    layers = at(fields.config, "model._args_")
    if fields.target("model") != "torch.nn.Sequential" or not isinstance(layers, list) or not layers:
        return []
    path = f"model._args_[{len(layers) - 1}]"
    return [f"{path}.out_features"] if fields.target(path) == "torch.nn.Linear" else []


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _texts(value, f"{path}.{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _texts(value, f"{path}[{number}]")
    elif isinstance(node, str):
        yield path, node


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):  # a name that is too long, or has a null in it
        return False


RULES = (data_facts, head, inputs, objective, reduction, nesterov, workers, resuming, overfitting, without_effect)
MACHINE = (device, compile_mode)
