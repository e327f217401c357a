"""Parameters sorted by the rules of a freeze plan into the groups that they are frozen, thawed and rated in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from trainkit.errors import ConfigError, closest
from trainkit.optim.rules import Gate, Plateau, Rule, matches
from trainkit.optim.stages import Stage, stages
from trainkit.timing import Duration, Moment

START = Moment(0.0, 0, 0.0)


@dataclass(slots=True)
class Group:
    """Parameters that are frozen, thawed and rated together.

    Attributes:
        name: Of the group of the optimizer.
        rule: The first rule that matches them; None where no rule speaks of them.
        distance: Stages between theirs and the head; 0 where the rule does not go by stages.
        bare: Whether they have no weight decay because they are norms and biases.
        fixed: Whether the model froze them itself and no rule says otherwise.
        parameters: By their full names.
        trainable: Whether they train at the moment.
        thawed: The optimizer step at which that changed last, None where it is as it was from the start.
    """

    name: str
    rule: Rule | None
    distance: int = 0
    bare: bool = False
    fixed: bool = False
    parameters: dict[str, nn.Parameter] = field(default_factory=dict)
    trainable: bool = True
    thawed: int | None = None

    @property
    def changes(self) -> list[tuple[Gate, int, bool]]:
        """When it changes: a gate, how often it has to pass, and whether the group trains from then on."""
        rule = self.rule
        if rule is None:
            return []
        if rule.thaw_every is not None:
            return [(rule.thaw_every, self.distance, True)] if self.distance else []
        gates = [(rule.start, rule.trainable), (rule.until, not rule.trainable)]
        return [(gate, 1, trains) for gate, trains in gates if gate is not None]

    @property
    def ever_trainable(self) -> bool:
        """Whether the group trains at any moment."""
        return bool(self.changes) or self.holds(START, 0)

    @property
    def when(self) -> str:
        """When it changes, in words."""
        return ", ".join(
            f"{'thaws' if trains else 'freezes'} {_moment(gate, times)}" for gate, times, trains in self.changes
        )

    def holds(self, moment: Moment, plateaus: int) -> bool:
        """Say whether the group trains at ``moment``."""
        if self.rule is None:
            return not self.fixed
        return self.rule.holds(moment, plateaus, self.distance)

    def options(self, lr: float | None) -> dict[str, Any]:
        """Return the group as an optimizer takes it; ``lr`` is the optimizer's own rate.

        Raises:
            ConfigError: If its rate is a multiple of the optimizer's and that is not known.
        """
        options: dict[str, Any] = {"name": self.name, "params": list(self.parameters.values())}
        if self.bare:
            options["weight_decay"] = 0.0
        rule = self.rule
        if rule is None:
            return options
        if rule.weight_decay is not None:
            options["weight_decay"] = rule.weight_decay
        scale = (1.0 if rule.lr_scale is None else rule.lr_scale) * (rule.lr_decay or 1.0) ** self.distance
        rate = lr if rule.lr is None else rule.lr
        if scale != 1.0 and rate is None:
            raise ConfigError(f"freeze: the rate of {self.name} is a multiple of the optimizer's, which is not known")
        if rate is not None and (rule.lr is not None or scale != 1.0):
            options["lr"] = rate * scale
        return {**options, **rule.options}


def sort(
    model: nn.Module, rules: Sequence[Rule], head: Sequence[str], *, decay_norm_and_bias: bool = True
) -> list[Group]:
    """Sort the parameters of ``model`` by the rules; the first that matches one has it.

    Args:
        model: Any module; a shared parameter goes by its first name.
        rules: In their order.
        head: Names of the modules that ``@head`` stands for.
        decay_norm_and_bias: False gives biases, norms and all other parameters with fewer than two dimensions a
            ``weight_decay`` of 0 where no rule gives them one.

    Returns:
        The groups in the order of the rules, the stage next to the head first; what no rule speaks of is the last.

    Raises:
        ConfigError: If a rule matches nothing.
    """
    ladder, modules = stages(model), dict(model.named_modules())
    groups: dict[tuple[int, bool, int, bool], Group] = {}
    for name, parameter in model.named_parameters():
        number = rule_of(name, modules, rules, head)
        rule = rules[number] if number < len(rules) else None
        distance = _distance(name, ladder) if rule is not None and rule.staged else 0
        bare = not decay_norm_and_bias and parameter.ndim < 2 and (rule is None or rule.weight_decay is None)
        fixed = rule is None and not parameter.requires_grad
        label = str(rule) if rule is not None else "frozen by the model" if fixed else "rest"
        if rule is not None and rule.staged:
            label += f" [{ladder[len(ladder) - 1 - distance]}]"
        label += " (no decay)" * bare
        key = (number, fixed, distance, bare)
        group = groups.setdefault(key, Group(label, rule, distance, bare, fixed))
        group.parameters[name] = parameter
    for number, rule in enumerate(rules):
        if all(key[0] != number for key in groups):
            names = [name for name, _ in [*model.named_modules(), *model.named_parameters()] if name]
            near = closest(rule.match[0], names, cutoff=0.3)
            raise ConfigError(f"freeze.rules[{number}].match={rule}: no parameter is left for it to match.{near}")
    found = [groups[key] for key in sorted(groups)]
    for number, group in enumerate(found):  # two rules may be worded alike
        if any(other.name == group.name for other in found[:number]):
            group.name += f" #{number}"
    return found


def head_of(model: nn.Module, head: Sequence[str]) -> list[str]:
    """Return the names of the head's modules: ``head``, or those of the last stage where it says nothing.

    Raises:
        ConfigError: If there is no such module.
    """
    names = [name for name, _ in model.named_modules() if name]
    for name in head:
        if name not in names:
            raise ConfigError(f"freeze.head={name}: the model has no such module.{closest(name, names, 0.3)}")
    ladder = stages(model)
    return list(head) or (ladder[-1].names if ladder else [])


def rule_of(name: str, modules: Mapping[str, nn.Module], rules: Sequence[Rule], head: Sequence[str]) -> int:
    """Return the number of the first rule that matches a parameter or buffer; that of the rules where none does."""
    parts = name.split(".")[:-1]
    paths = [".".join(parts[:count]) for count in range(len(parts) + 1)]
    ancestors = [(path, modules[path]) for path in paths]
    for number, rule in enumerate(rules):
        if any(matches(pattern, name, ancestors, head) for pattern in rule.match):
            return number
    return len(rules)


def _distance(name: str, ladder: Sequence[Stage]) -> int:
    """Return how many stages lie between that of a parameter and the last."""
    distances = {part: len(ladder) - 1 - number for number, stage in enumerate(ladder) for part in stage.names}
    while name and name not in distances:
        name = name.rpartition(".")[0]
    return distances.get(name, 0)


def _moment(gate: Gate, times: int) -> str:
    if isinstance(gate, Plateau):
        return f"at plateau {gate.number * times}"
    return f"after {Duration(gate.value * times, gate.unit)}"
