"""Parameter groups by name pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from trainkit.errors import ConfigError, closest


def parameter_groups(
    model: nn.Module, rules: Sequence[Mapping[str, Any]] = (), *, decay_norm_and_bias: bool = True
) -> list[dict[str, Any]]:
    """Sort the trainable parameters of ``model`` into groups for a ``torch.optim`` optimizer.

    Args:
        model: Any module; a shared parameter goes by its first name.
        rules: Each has ``match``, a glob over parameter names (``"head.*"``), and options of the optimizer for those
            parameters (``lr``, ``weight_decay``, ...). The first rule that matches wins; what none matches keeps the
            optimizer's own options.
        decay_norm_and_bias: False gives biases, norms and all other parameters with fewer than two dimensions a
            ``weight_decay`` of 0, as is usual for transformers.

    Returns:
        Groups with ``name``, ``params`` and their options, in the order of the rules; none is empty.

    Raises:
        ConfigError: If a rule has no ``match``, or matches no trainable parameter.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for number, rule in enumerate(rules):
        if "match" not in rule:
            raise ConfigError(f"parameter_groups.rules[{number}]: has no 'match', the glob over parameter names")
    for name, parameter in named:
        index = next((i for i, rule in enumerate(rules) if fnmatchcase(name, rule["match"])), len(rules))
        rule = {"match": "rest", **(rules[index] if index < len(rules) else {})}
        label = rule.pop("match")
        bare = not decay_norm_and_bias and parameter.ndim < 2 and "weight_decay" not in rule
        if bare:
            rule["weight_decay"], label = 0.0, f"{label} (no decay)"
        groups.setdefault((index, bare), {"name": label, "params": [], **rule})["params"].append(parameter)
    for number, rule in enumerate(rules):
        if not groups.keys() & {(number, False), (number, True)}:
            near = closest(rule["match"], [name for name, _ in named], cutoff=0.3)
            raise ConfigError(
                f"parameter_groups.rules[{number}].match={rule['match']}: no trainable parameter left to match.{near}"
            )
    return [groups[key] for key in sorted(groups)]
