"""Heads: finding the last layer of a network, and putting a new one in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from torch import nn
from torch.nn.parameter import is_lazy

from trainkit.errors import ConfigError, closest

Init = Literal["default", "zero", "normal", "kaiming", "xavier"]
INITS: tuple[Init, ...] = get_args(Init)
NORMAL_STD = 0.01
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
KINDS = (nn.Linear, *CONVOLUTIONS)
NEAR = 6


def find_heads(model: nn.Module) -> list[str]:
    """Return the names of a classifier's last layers: the main one first, then those of auxiliary classifiers.

    Of a timm model, or any that has ``get_classifier``, it is what that returns. Of others it is the last ``Linear`` or
    convolution of kernel size 1, in the order of registration, outside children named ``aux...``; and, inside each of
    these children, the last one with as many outputs (GoogLeNet and Inception have such).

    Args:
        model: Any module; it may be on the meta device.

    Raises:
        ConfigError: If it has no such layer. A network whose heads were taken off by timm (``num_classes=0``) has none,
            but :func:`replace_heads` still gives it one.
    """
    candidates = {name: module for name, module in model.named_modules() if _may_be_last(module)}
    found = [layer for path in _told_by(model) if (layer := _layer_in(model, path)) is not None]
    found = found or [name for name in reversed(candidates) if not _is_auxiliary(name)][:1]
    if not found:
        raise ConfigError(
            f"head.name: no Linear or 1x1 convolution was found in the model ({type(model).__name__}); "
            f"name the layer to replace{_named_near('', model)}"
        )
    outputs = _outputs(model.get_submodule(found[0]))
    children = {name.partition(".")[0]: name for name in candidates if _is_auxiliary(name)}  # the last one in each
    more = [name for name in children.values() if _outputs(candidates[name]) == outputs]
    return list(dict.fromkeys([*found, *more]))


def replace_heads(
    model: nn.Module,
    outputs: int | None = None,
    *,
    name: str | Sequence[str] | Mapping[str, int] | None = None,
    init: Init = "default",
    dropout: float | None = None,
) -> list[str]:
    """Put new last layers into a model, in place, and return their names, for patterns of the freeze plan.

    A new layer has the inputs, kernel, device, dtype and mode of the old one, and a bias where that had one. Its
    initial weights are drawn from torch's global generator.

    Args:
        model: Any torchvision or timm classifier, or any module if its layers are named.
        outputs: Number of outputs of each head, at least 1; needed unless ``name`` says it.
        name: The path of the layer (``fc``, ``classifier.6``, ``heads.head``), several of them, or a mapping from path
            to outputs; None for what :func:`find_heads` finds.
        init: Of the weight: ``default`` (torch's own, of the bias too), ``zero``, ``normal`` with a standard deviation
            of 0.01, ``kaiming`` (normal, He et al. 2015) or ``xavier`` (uniform, Glorot and Bengio 2010); the bias is 0
            with these.
        dropout: Probability, 0 <= p < 1, of a dropout right before each new layer. One that stands there already, as in
            torchvision's EfficientNets, gets this probability; else the head becomes ``Sequential(Dropout, layer)``.

    Raises:
        ConfigError: If a layer does not exist (with the close match), is of another kind, or shares its weight with
            another module. The model is left as it was then.
    """
    if init not in INITS:
        raise ConfigError(f"head.init={init}: unknown.{closest(str(init), INITS)} It is one of {', '.join(INITS)}")
    if dropout is not None and (isinstance(dropout, bool) or not 0 <= dropout < 1):
        raise ConfigError(f"head.dropout={dropout}: must be a probability, at least 0 and less than 1")
    sizes = _sizes(model, outputs, name)
    kept = {path: _replaceable(model, path) for path in sizes}
    fresh = {path: _like(kept[path], size) for path, size in sizes.items()}
    for layer in fresh.values():
        _initialise(layer, init)
    for path, layer in fresh.items():  # nothing fails from here on
        _put(model, path, layer, dropout)
    _note_outputs(model, kept, sizes)
    return list(sizes)


def _sizes(model: nn.Module, outputs: int | None, name: Any) -> dict[str, int]:
    """Return the outputs of each head by its path."""
    if isinstance(name, Mapping):
        sizes = dict(name)
    else:
        if outputs is None:
            raise ConfigError("head.outputs: not given; it is the number of classes, such as head.outputs=10")
        if name is None:
            _require_size("head.outputs", outputs)
            _revive(model, outputs)
        paths = find_heads(model) if name is None else [name] if isinstance(name, str) else list(name)
        sizes = dict.fromkeys(paths, outputs)
    if not sizes:
        raise ConfigError("head.name: names no layer; null finds the last one")
    for path, size in sizes.items():
        _require_size(f"head.name.{path}" if isinstance(name, Mapping) else "head.outputs", size)
    return sizes


def _require_size(key: str, size: Any) -> None:
    if type(size) is not int or size < 1:
        raise ConfigError(f"{key}={size}: must be a whole number, at least 1")


def _revive(model: nn.Module, outputs: int) -> None:
    """Let a timm model whose classifier was taken off, or is of a kind not known here, make one itself."""
    reset = getattr(model, "reset_classifier", None)
    if not callable(reset) or any(_layer_in(model, path) for path in _told_by(model)):
        return
    like = next(model.parameters(), None)
    had = {id(module) for module in model.modules()}
    reset(outputs)
    for module in model.modules():
        if id(module) not in had:
            module.train(model.training)
            if like is not None and not like.is_meta:
                module.to(like.device, like.dtype)


def _replaceable(model: nn.Module, path: str) -> Layer:
    """Return the layer at a path, if a new one can take its place."""
    modules = dict(model.named_modules(remove_duplicate=False))
    module = modules.get(path)
    if not path or module is None:
        raise ConfigError(f"head.name={path}: the model has no such layer.{_near(path, model)}")
    if not isinstance(module, KINDS):
        inner = [f"{path}.{name}" for name, part in module.named_modules() if name and isinstance(part, KINDS)]
        meant = f" Did you mean {inner[-1]!r}?" if inner else _near(path, model)
        raise ConfigError(f"head.name={path}: is a {type(module).__name__}, not a Linear or convolution.{meant}")
    shared = [name for name, part in model.named_parameters(remove_duplicate=False) if part is module.weight]
    if others := [name for name in shared if name != f"{path}.weight"]:
        raise ConfigError(f"head.name={path}: shares its weight with {others[0]}, which a new layer would tear apart")
    return module


def _told_by(model: nn.Module) -> list[str]:
    """Return the paths of what a model itself says is its classifier, as timm's do."""
    ask = getattr(model, "get_classifier", None)
    if not callable(ask):
        return []
    try:
        given = ask()
    except AttributeError:  # some of timm's reach into a classifier that was taken off
        return []
    parts = list(given) if isinstance(given, tuple | list | nn.ModuleList) else [given]
    names = {id(module): name for name, module in model.named_modules(remove_duplicate=False)}
    return [names[id(part)] for part in parts if names.get(id(part))]


def _layer_in(model: nn.Module, path: str) -> str | None:
    """Return the path of the layer that a classifier is: itself, or the last one in it."""
    inner = [name for name, module in model.get_submodule(path).named_modules() if isinstance(module, KINDS)]
    return (f"{path}.{inner[-1]}" if inner[-1] else path) if inner else None


def _may_be_last(module: nn.Module) -> bool:
    if isinstance(module, CONVOLUTIONS):
        return module.groups == 1 and set(module.kernel_size) == {1}
    return isinstance(module, nn.Linear) and not isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear)


def _is_auxiliary(name: str) -> bool:
    return name.lower().startswith("aux")


def _outputs(module: Any) -> int:
    size: int = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    return size


def _like(old: Layer, outputs: int) -> Layer:
    """Return a new layer of the kind of an old one, with other outputs."""
    options: dict[str, Any] = {"bias": old.bias is not None, "device": old.weight.device, "dtype": old.weight.dtype}
    if isinstance(old, nn.Linear):
        fresh: Layer = (
            nn.LazyLinear(outputs, **options) if is_lazy(old.weight) else nn.Linear(old.in_features, outputs, **options)
        )
        return fresh.train(old.training)
    if old.groups != 1:
        raise ConfigError(f"head.name: a convolution of {old.groups} groups cannot be a head of {outputs} outputs")
    kind = next(kind for kind in CONVOLUTIONS if isinstance(old, kind))
    make: Callable[..., Layer] = kind
    shape = {key: getattr(old, key) for key in ("stride", "padding", "dilation", "padding_mode")}
    return make(old.in_channels, outputs, old.kernel_size, **shape, **options).train(old.training)


def _initialise(layer: Layer, init: Init) -> None:
    """Draw the initial weights; torch's own were drawn already, when the layer was made."""
    if init == "default":
        return
    if is_lazy(layer.weight):
        raise ConfigError(f"head.init={init}: the inputs of the old layer are not known yet; only default works there")
    if init == "zero":
        nn.init.zeros_(layer.weight)
    elif init == "normal":
        nn.init.normal_(layer.weight, std=NORMAL_STD)
    elif init == "kaiming":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _put(model: nn.Module, path: str, layer: Layer, dropout: float | None) -> None:
    """Set the new layer, with its dropout, at the path of the old one."""
    parent_path, _, leaf = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    if dropout is None:
        setattr(parent, leaf, layer)
        return
    siblings = list(parent._modules.items()) if isinstance(parent, nn.Sequential) else []
    place = next((number for number, (name, _) in enumerate(siblings) if name == leaf), 0)
    before = siblings[place - 1][1] if place else None
    if isinstance(before, nn.Dropout):
        before.p = dropout
        setattr(parent, leaf, layer)
    else:
        setattr(parent, leaf, nn.Sequential(nn.Dropout(dropout), layer).train(layer.training))


def _note_outputs(model: nn.Module, old: Mapping[str, Layer], sizes: Mapping[str, int]) -> None:
    """Keep a model's own note of its number of classes true; timm's and some of torchvision's have one."""
    for path, layer in old.items():
        holders: list[Any] = [model, model.get_submodule(path.rpartition(".")[0])]
        for holder in holders:
            if type(getattr(holder, "num_classes", None)) is int and holder.num_classes in (_outputs(layer), 0):
                holder.num_classes = sizes[path]


def _near(path: str, model: nn.Module) -> str:
    names = [name for name, module in model.named_modules() if isinstance(module, KINDS)]
    return closest(path, names) or _named_near(" It has", model)


def _named_near(opening: str, model: nn.Module) -> str:
    """Return the last of the layers that can be named."""
    names = [name for name, module in model.named_modules() if name and isinstance(module, KINDS)]
    if not names:
        return " It has no Linear and no convolution" if opening else ""
    return f"{opening or ', such as'} {', '.join(reversed(names[-NEAR:]))}"
