"""The stages of a network from stem to head, found from the modules it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

MOST_COMPOSITES = 2
"""A network with more units than this that are made of several others has shown its stages."""


@dataclass(slots=True)
class Stage:
    """Parts of a network that are frozen and thawed together.

    Attributes:
        names: Of its modules and of parameters that stand beside modules, such as ``["conv1", "bn1"]``.
    """

    names: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "+".join(self.names)


def stages(model: nn.Module) -> list[Stage]:
    """Return the stages of ``model`` in the order in which its modules were registered, which is from stem to head.

    A module that only holds others is opened, as ``encoder.layers`` of a transformer or ``features`` of an
    EfficientNet, until there are more than two units that are made of several others: the blocks of a transformer,
    ``layer1`` to ``layer4`` of a ResNet. A norm goes with what stands before it, and parameters beside modules, such
    as position embeddings, go with the first.
    """
    units: list[tuple[str, nn.Module]] = list(_parts("", model))
    loose = [name for name, _ in model.named_parameters(recurse=False)]
    while 0 < len(composites := [name for name, module in units if len(_parts(name, module)) > 1]) <= MOST_COMPOSITES:
        opened: list[tuple[str, nn.Module]] = []
        for name, module in units:
            if name in composites:
                opened += _parts(name, module)
                loose += [f"{name}.{own}" for own, _ in module.named_parameters(recurse=False)]
            else:
                opened.append((name, module))
        units = opened
    found = [Stage(loose)] if loose and not units else []
    for name, module in units:
        if found and all(p.ndim < 2 for p in module.parameters()):
            found[-1].names.append(name)
        else:
            found.append(Stage([*loose, name] if not found else [name]))
    return found


def _parts(name: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the children that have parameters, by their full names."""
    prefix = f"{name}." if name else ""
    return [(prefix + own, child) for own, child in module.named_children() if any(True for _ in child.parameters())]
