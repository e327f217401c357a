"""Low-rank adapters: a few trainable numbers beside the frozen weights of a network, merged into them at the end.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models": a weight W becomes W + alpha / rank * up @ down,
where ``down`` has ``rank`` rows and ``up`` as many columns. ``up`` begins at zero, so that nothing is changed at first.

The weights of the network keep their names, so that files of the network without adapters still fit: only the names in
:data:`PARTS` are new. Which parameters are trained is the freeze plan's to say, as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainkit.errors import ConfigError, closest

DOWN, UP, SCALE = PARTS = ("adapter_down", "adapter_up", "adapter_scale")
"""What an adapted module holds beside weight and bias; the last is a buffer, so that weights alone can be merged."""
BYPASSING = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Modules that read the weights of their linear layers without calling them, so that an adapter would do nothing."""


class AdaptedLinear(nn.Linear):
    """A linear layer with a low-rank adapter.

    Args:
        layer: Whose weight and bias become this one's own.
        rank: Rows of ``adapter_down``.
        alpha: Times 1 / rank, what the adapter's product is multiplied with.
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        _add(self, rank, alpha)

    def forward(self, inputs: Tensor) -> Tensor:
        low = functional.linear(inputs, self.adapter_down)
        return super().forward(inputs) + functional.linear(low, self.adapter_up) * self.adapter_scale


class AdaptedConv2d(nn.Conv2d):
    """A convolution with a low-rank adapter: one of the same kernel into ``rank`` channels, and a 1x1 one out of them.

    Args:
        layer: Whose weight and bias become this one's own; of one group.
        rank: Channels between the two.
        alpha: Times 1 / rank, what the adapter's product is multiplied with.
    """

    def __init__(self, layer: nn.Conv2d, rank: int, alpha: float) -> None:
        shape = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "padding_mode")}
        channels = layer.in_channels, layer.out_channels
        super().__init__(*channels, layer.kernel_size, bias=layer.bias is not None, device="meta", **shape)
        self.weight, self.bias = layer.weight, layer.bias
        _add(self, rank, alpha)

    def forward(self, images: Tensor) -> Tensor:
        low = self._conv_forward(images, self.adapter_down.view(-1, *self.weight.shape[1:]), None)
        out = functional.conv2d(low, self.adapter_up[:, :, None, None])
        return super().forward(images) + out * self.adapter_scale


ADAPTED = {nn.Linear: AdaptedLinear, nn.Conv2d: AdaptedConv2d}


def _add(module: nn.Module, rank: int, alpha: float) -> None:
    weight = module.weight
    down = torch.empty(rank, weight[0].numel(), dtype=weight.dtype, device=weight.device)
    nn.init.kaiming_uniform_(down, a=5**0.5)  # as torch begins its linear layers
    module.register_parameter(DOWN, nn.Parameter(down))
    module.register_parameter(UP, nn.Parameter(weight.new_zeros(weight.shape[0], rank)))
    module.register_buffer(SCALE, weight.new_tensor(alpha / rank))


def adapted(
    model: nn.Module, match: str | Sequence[str] = "*", rank: int = 4, alpha: float = 8.0, skip: Sequence[str] = ()
) -> nn.Module:
    """Give linear layers and convolutions of a network low-rank adapters; return the network, changed in place.

    Args:
        model: Any module; its first outputs are what they would be without adapters.
        match: Globs over the names of modules, such as ``"encoder.*"``. Of what matches, the layers of the classes in
            :data:`ADAPTED` are adapted, convolutions of several groups not.
        rank: Rank of the change that each weight can undergo.
        alpha: Strength: the change is multiplied with ``alpha / rank``.
        skip: Globs over the names of modules that stay as they are, such as the head that is trained as a whole.

    Raises:
        ConfigError: If a pattern matches no such layer, a number cannot be, or a layer is never called.
    """
    globs = [match] if isinstance(match, str) else list(match)
    if type(rank) is not int or rank < 1:
        raise ConfigError(f"model.rank={rank}: must be a whole number, at least 1")
    layers = dict(_adaptable(model))
    for key, patterns in (("match", globs), ("skip", skip)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in layers):
                parents = {name.rsplit(".", n)[0] for name in layers for n in range(name.count(".") + 1)}
                near = closest(pattern.removesuffix(".*"), sorted(parents), cutoff=0.3)
                raise ConfigError(f"model.{key}={pattern}: matches no linear layer or convolution of one group.{near}")
    wanted = [name for name in layers if _any(name, globs) and not _any(name, skip)]
    if not wanted:
        raise ConfigError("model.skip: leaves no layer to adapt")
    replaced: dict[int, nn.Module] = {}  # a layer that stands at two places stays one layer
    for name in wanted:
        layer, (parent, _, leaf) = layers[name], name.rpartition(".")
        owner = model.get_submodule(parent)
        if isinstance(owner, BYPASSING):
            raise ConfigError(
                f"model.match: {name} is inside a {type(owner).__name__}, which reads its weight without calling it, "
                f"so an adapter there would do nothing; model.skip=['{name}'] leaves it out"
            )
        if id(layer) not in replaced:
            replaced[id(layer)] = ADAPTED[type(layer)](layer, rank, alpha)
        if not name:  # the network is that layer
            return replaced[id(layer)]
        setattr(owner, leaf, replaced[id(layer)])
    return model


def _adaptable(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that can have an adapter, by name; not their subclasses, which may compute something else."""
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) in ADAPTED and getattr(module, "groups", 1) == 1:
            yield name, module


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def merged(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of the network without adapters that computes the same.

    Args:
        weights: A state dict of an adapted network. It is left as it is.

    Raises:
        ConfigError: If it has no adapters.
    """
    places = [name.removesuffix(UP) for name in weights if name.endswith(UP)]
    if not places:
        raise ConfigError(f"there are no adapters to merge: no name ends with {UP}")
    result = {name: value for name, value in weights.items() if not name.endswith(PARTS)}
    for place in places:
        weight, up, down, scale = (weights[f"{place}{part}"] for part in ("weight", UP, DOWN, SCALE))
        change = (up.double() @ down.double()).view_as(weight) * scale.double()
        result[f"{place}weight"] = (weight.double() + change).to(weight.dtype)
    return result


def main(arguments: Sequence[str]) -> int:
    """Merge the adapters of a run's best weights and write those of the plain network; return the exit code."""
    from trainkit.checkpoint.foreign import read_any, write_weights
    from trainkit.checkpoint.weights import evaluated

    if len(arguments) != 2:
        raise ConfigError("usage: python -m trainkit.recipes.adapters RUN_OR_CHECKPOINT OUT.pt|OUT.safetensors")
    weights = merged(evaluated(read_any(arguments[0], "best")))
    write_weights(Path(arguments[1]), weights)
    print(f"{arguments[1]}: {len(weights)} tensors, the adapters of {arguments[0]} merged")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ConfigError as problem:
        print(problem, file=sys.stderr)
        sys.exit(ConfigError.exit_code)
