"""A look at the data sets of a config without a training: their sizes, and their labels against the model's outputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from trainkit.config.checking.check import fields_of, size_findings, without_auto
from trainkit.config.checking.crosschecks import widths
from trainkit.config.checking.monitored import kind_of
from trainkit.config.composing.composed import Composed
from trainkit.config.targets.instantiate import instantiate
from trainkit.data import Loader, Splits, inspection
from trainkit.errors import ConfigError, TrainingError
from trainkit.findings import Finding
from trainkit.keys import fold

SHIPPED = "trainkit.recipes.data."
"""Functions that read what is on the disk and, told so, fetch nothing."""


def data_findings(composed: Composed) -> list[Finding]:
    """Return what is wrong with the data sets, or says that they were not looked at.

    Those of trainkit's recipes are built where their files are there; code of one's own may take any time, and is not
    called.
    """
    node: dict[str, Any] = dict(without_auto(composed.plain)["data"]["datasets"])
    if is_own(composed):
        return [_unseen("not-looked-at", f"{node.get('_target_')} is called when a run starts")]
    fetches = bool(node.get("download", False))
    try:
        splits = instantiate({**node, "download": False} if "download" in node else node, "data.datasets")
    except ConfigError as error:
        return [fetched()] if fetches else [_error(str(error))]
    return splits_findings(composed, splits) if isinstance(splits, Splits) else []


def is_own(composed: Composed) -> bool:
    """Say whether a function of one's own gives the data sets."""
    return not str(composed.plain["data"]["datasets"].get("_target_")).startswith(SHIPPED)


def fetched() -> Finding:
    """Return that the data are not there yet, and hence not looked at."""
    return _unseen("not-here-yet", "the files are fetched when a run starts")


def splits_findings(composed: Composed, splits: Splits) -> list[Finding]:
    """Return what is wrong with data sets that are there: their sizes, their samples, their labels."""
    found = size_findings(composed, splits.train)
    if any(finding.severity == "error" for finding in found):
        return found
    try:
        for name in ("train", "val"):
            _look(composed, getattr(splits, name), name)
    except (ConfigError, TrainingError) as error:
        found.append(_error(str(error)))
    return found


def _look(composed: Composed, dataset: Any, name: str) -> None:
    if dataset is None or isinstance(dataset, IterableDataset):
        return
    loader = Loader(dataset, composed.plain["data"]["batch_size"], seed=fold(composed.plain["seed"], name), name=name)
    inspection.inspect(loader)
    fields = fields_of(composed, [])
    width = next(iter(widths(fields)), None)
    batch = loader.first()
    if kind_of(fields) != "classification" or width is None or not isinstance(batch, tuple | list) or len(batch) != 2:
        return
    targets = batch[1]
    if isinstance(targets, Tensor):
        ignored = composed.plain["objective"]["loss"].get("ignore_index", -100)
        scores = targets.new_empty((len(targets), width, *targets.shape[1:]))
        inspection.labels_fit(scores, targets, ignored, loader, 0, 0)


def _unseen(rule: str, why: str) -> Finding:
    return Finding(rule=rule, severity="info", place="data.datasets", message=f"not looked at: {why}")


def _error(message: str) -> Finding:
    place, _, told = message.partition(": ")
    if not told or " " in place:
        place, told = "data", message
    return Finding(rule="bad-data", severity="error", place=place, message=told)
