"""One batch, tried before anything is written: whether model, loss and metric suit the data. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from trainkit.autopsy import shapes_until_failure
from trainkit.config.build import Parts
from trainkit.data.inspection import shapes
from trainkit.errors import ConfigError
from trainkit.evaluator import Evaluator
from trainkit.metrics import read
from trainkit.objectives import Output, Penalised, Supervised
from trainkit.state import Best

OF_OTHERS = ("torch", "torchvision", "trainkit")
"""Packages whose models and losses are chosen by the config alone: an error in one is a mistake of the config."""
NOT_FITTING = (RuntimeError, ValueError, TypeError, IndexError)
"""What torch raises for shapes and number formats."""


def require_fitting(evaluator: Evaluator, parts: Parts, batch: Any) -> None:
    """Take a batch through model, loss and metrics as a validation does; leaves no trace.

    Code of one's own that fails is left for the first step, which tells it as it is.

    Args:
        evaluator: The model, the objective and the metrics.
        parts: What the config gave.
        batch: The first of the training, on the device.

    Raises:
        ConfigError: If the data do not suit the model or the loss, or the run will not log the monitored metric.
    """
    objective = evaluator.objective
    objective = objective.objective if isinstance(objective, Penalised) else objective
    pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor)
    if not isinstance(objective, Supervised) or not pair:
        return
    with evaluator.evaluating() as model, evaluator.without_gradients(), evaluator.precision.autocast():
        try:
            predictions = model(batch[0])
        except NOT_FITTING as error:
            if _is_of_others(model):
                failure = shapes_until_failure(model, batch[0])
                shown = f"\n{failure.table()}" if failure is not None else ""
                raise ConfigError(_misfit_of_model(parts.config, batch, error) + shown) from error
            return
        try:
            loss = objective.loss(predictions, batch[1])
        except NOT_FITTING as error:
            if _is_of_others(objective.loss):
                raise ConfigError(_misfit_of_loss(parts.config, predictions, batch, error)) from error
            return
        if parts.splits.val is not None:
            _require_monitored(evaluator, parts.config, Output(loss, 1, predictions, batch[1]))


def _is_of_others(built: Any) -> bool:
    """Say whether an object and all modules within it are none of the user's own code."""
    inner = built.modules() if isinstance(built, nn.Module) else [built]
    return all(type(module).__module__.partition(".")[0] in OF_OTHERS for module in inner)


def _misfit_of_model(config: Mapping[str, Any], batch: Any, error: Exception) -> str:
    target = config["model"].get("_target_", "")
    return (
        f"model={target}: does not take the data's batches, {shapes(batch[0])}: {_first_line(error)}. Other data, "
        "another model or other arguments of it do"
    )


def _misfit_of_loss(config: Mapping[str, Any], predictions: Any, batch: Any, error: Exception) -> str:
    target = (config["objective"].get("loss") or {}).get("_target_", "")
    whole = isinstance(batch[1], Tensor) and not batch[1].is_floating_point()
    cure = "; objective=classification suits class labels" if whole else "; objective=regression suits numbers"
    return (
        f"objective.loss={target}: does not suit the data: the model gives {shapes(predictions)}, the targets are "
        f"{shapes(batch[1])}: {_first_line(error)}{cure}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:250]


def _require_monitored(evaluator: Evaluator, config: Mapping[str, Any], output: Output) -> None:
    """Hold ``monitor.metric`` against the names that the metrics give.

    Raises:
        ConfigError: If it is none of them and nobody else can log it.
    """
    metric = config["monitor"]["metric"]
    own = any(
        node and str(node.get("_target_")).partition(".")[0] not in OF_OTHERS
        for node in (config.get("callbacks") or {}).values()
    )
    if own or not str(metric).startswith("val/"):
        return
    values = {"val/loss": 0.0}
    try:
        for name, each in evaluator.eval_metrics.items():
            tried = deepcopy(each)
            tried.reset()
            tried.update(output.predictions, output.targets)
            values |= read({name: tried}, "val")
    except Exception:  # noqa: BLE001 - of a metric that fails the first validation tells
        return
    Best(metric, config["monitor"]["mode"]).require(values)
