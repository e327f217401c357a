"""Whether a run's classes are those of another: then its head knows them, and need not begin anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INDIFFERENT = ("split_seed", "fractions", "size", "cache_limit", "download", "preprocessing", "augment")
"""Arguments of functions that return data sets which do not say what the classes are."""


def same_classes(config: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Say whether two runs tell the same classes apart, by the function of their data sets and its arguments.

    The folder is one of these: another one may hold other classes, so a run whose data moved counts as another.

    Args:
        config: That of the run which takes weights, as plain values.
        other: That of the run which they come from; None where they come from no run of trainkit.
    """
    return other is not None and bool(own := _classes(config)) and own == _classes(other)


def _classes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says of which classes the data of a config are; empty where nothing does."""
    data = config.get("data")
    datasets = data.get("datasets") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(datasets, Mapping):
        return {}
    said = {name: value for name, value in datasets.items() if name not in INDIFFERENT and value is not None}
    return {**said, "outputs": data.get("outputs")}
