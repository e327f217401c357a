"""Pretrained weights into a model: all of them, or what the plan allows, or an error; never a part without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainkit.checkpoint.plain import are_finite
from trainkit.checkpoint.weights import Misfit, Versioned, optional, require_ties, shape_of, tied, unwrapped
from trainkit.errors import ConfigError, closest
from trainkit.transfer.misfit import Misfits, misfit_text
from trainkit.transfer.names import by_position as paired_by_position
from trainkit.transfer.names import matches, renamed, translated, under
from trainkit.transfer.report import LoadReport
from trainkit.transfer.sources import KEY, Pretrained

REVERSED_INPUTS = ("GoogLeNet_Weights.", "Inception_V3_Weights.")
"""Entries of torchvision whose networks take inputs in [-1, 1], and so convert what the preprocessing gives."""


@dataclass(slots=True)
class _Pairs:
    """Which of the file's tensors each name of the model's means, before shapes are looked at."""

    names: dict[str, str]
    """The file's name by what became of it: names of the model's, and those that it does not have."""
    left_out: list[str] = field(default_factory=list)
    prefixes: tuple[str, ...] = ()
    unchanged: bool = False


def load_pretrained(
    model: nn.Module,
    weights: Pretrained,
    *,
    prefix: str | None = None,
    rename: Mapping[str, str] | None = None,
    by_position: bool = False,
    allow: Sequence[str] = (),
    heads: Sequence[str] = (),
    keep_heads: bool = False,
) -> LoadReport:
    """Load pretrained weights into a model in place: tied ones stay tied, and dtype and device are the model's.

    Each of the model's tensors, buffers included, must be in the file in its shape, and each of the file's in the
    model, except for what ``allow`` and ``heads`` name. Wrappers' prefixes (``module.``, ``_orig_mod.``) are taken off,
    and modules that know old names of theirs are asked.

    Args:
        model: Left as it was if the weights do not fit.
        weights: What :func:`trainkit.transfer.read_source` returned.
        prefix: What the wanted names in the file begin with, such as ``backbone.``; it is taken off, and the file's
            other names are left out.
        rename: From names in the file, after the prefix, to the model's: :func:`trainkit.transfer.names.renamed`.
        by_position: Whether tensors are paired by their order alone, where all shapes agree in order.
        allow: Patterns, by :func:`trainkit.transfer.names.matches`, of the model's tensors that may keep their initial
            values, and of the file's that may be left over.
        heads: The names that :func:`trainkit.transfer.replace_heads` returned; they keep their new values.
        keep_heads: Whether the file's heads are of the same classes (:func:`trainkit.transfer.same_classes`): each is
            then loaded whole, if the file has it in its new shape, or not at all.

    Returns:
        What was done with each tensor.

    Raises:
        Misfit: If they do not fit, or not a single tensor does; a :class:`ConfigError` that says what would fit.
        ConfigError: If a prefix, rule or pattern matches nothing, or a network needs an option that it lacks.
    """
    own = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    given = {name: value for name, value in weights.tensors.items() if isinstance(value, Tensor)}
    _require_input_conversion(model, weights.name)
    if by_position and rename:
        raise ConfigError("weights.by_position=true: pairs by order alone, so weights.rename has no meaning with it")
    names = under(given, prefix)
    if by_position:
        own = {name: value for name, value in own.items() if not optional(name, value)}
        pairs = _Pairs(paired_by_position(own, {name: given[name] for name in names.values()}, [*allow, *heads]))
    else:
        pairs = _paired(model, own, given, names, rename or {}, getattr(weights.tensors, "_metadata", {}))
    pairs.left_out = _rest(given, names.values())
    _require_meaning(allow, [*own, *pairs.names, *given])
    fitting, found = _held(model, own, given, pairs)
    anew = _new_heads(own, heads, keep_heads, fitting, found)
    bad = found.without(_allowed([*allow, *heads]))
    if bad or all(optional(name, own[name]) for name in fitting):
        what = bad or found
        raise Misfit(misfit_text(model, weights.name, own, given, pairs.names, fitting, what, heads), what.sizes)
    require_ties(model, fitting, f"{KEY}={weights.name}: the weights")
    state = Versioned(fitting | _extras(model, weights), _versions(model, weights, pairs))
    model.load_state_dict(state, strict=False)
    return _report(weights.name, own, pairs, fitting, found, heads, anew)


def _rest(given: Mapping[str, Any], chosen: Iterable[str]) -> list[str]:
    taken = set(chosen)
    return [name for name in given if name not in taken]


def _paired(
    model: nn.Module,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    names: dict[str, str],
    rename: Mapping[str, str],
    metadata: Any,
) -> _Pairs:
    """Return the file's names by what the plan, wrappers and the model's own modules make of them."""
    names = renamed(names, rename)
    back, prefixes = unwrapped(own, names)
    names = {back[name]: original for name, original in names.items()}
    unchanged = all(name == original for name, original in names.items())
    if own.keys() - names.keys():
        known = metadata if unchanged and isinstance(metadata, Mapping) else {}
        today = translated(model, {name: given[original] for name, original in names.items()}, known)
        taken = set(names)
        names = {
            today[name] if today[name] in own and today[name] not in taken and name not in own else name: original
            for name, original in names.items()
        }
    return _Pairs(names, prefixes=prefixes, unchanged=unchanged)


def _held(
    model: nn.Module,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    pairs: _Pairs,
) -> tuple[dict[str, Any], Misfits]:
    """Hold the file's tensors against the model's; return those that fit, and what does not."""
    fitting: dict[str, Any] = {}
    found = Misfits()
    for name, original in pairs.names.items():
        if name not in own:
            found.unexpected[name] = original
        elif reason := _difference(given[original], own[name]):
            found.mismatched[name] = reason
        else:
            fitting[name] = given[original]
    if not are_finite(fitting):
        for name in [name for name, value in fitting.items() if not are_finite({name: value})]:
            found.mismatched[name] = ("not finite", shape_of(own[name]))
            del fitting[name]
    absent = own.keys() - pairs.names.keys() - tied(model, fitting)
    found.missing |= {n: shape_of(own[n]) for n in own if n in absent and not optional(n, own[n])}
    found.note_sizes(own, given, pairs.names)
    return fitting, found


def _new_heads(
    own: Mapping[str, Any], heads: Sequence[str], keep: bool, fitting: dict[str, Any], found: Misfits
) -> list[str]:
    """Take heads that stay new out of what fits; return those that the file has in their new shape."""
    anew: list[str] = []
    for head in heads:
        inside = [name for name in own if matches(head, name)]
        whole = all(name in fitting for name in inside)
        if not (whole and keep):
            anew += [head] * whole
            found.missing |= {name: shape_of(own[name]) for name in inside if fitting.pop(name, None) is not None}
    return anew


def _extras(model: nn.Module, weights: Pretrained) -> dict[str, Any]:
    """Return what the model's modules keep besides their tensors, where the file has it too."""
    own = {name for name, value in model.state_dict().items() if not isinstance(value, Tensor)}
    return {name: weights.tensors[name] for name in own if name in weights.tensors}


def _versions(model: nn.Module, weights: Pretrained, pairs: _Pairs) -> Any:
    """Return the versions of the modules that the weights are of; what has today's names is of today's."""
    own = getattr(weights.tensors, "_metadata", None) if pairs.unchanged else None
    return own or getattr(model.state_dict(), "_metadata", {})


def _difference(given: Tensor, own: Tensor) -> tuple[str, str] | None:
    """Return how the file's tensor and the model's are shown, if the one cannot become the other."""
    if not is_lazy(own) and given.shape != own.shape:
        return shape_of(given), shape_of(own)
    if (given.is_complex(), given.is_floating_point()) != (own.is_complex(), own.is_floating_point()):
        return str(given.dtype).removeprefix("torch."), str(own.dtype).removeprefix("torch.")
    return None


def _allowed(patterns: Sequence[str]) -> Callable[[str], bool]:
    return lambda name: any(matches(pattern, name) for pattern in patterns)


def _require_meaning(allow: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a pattern that matches nothing at all: it was meant for something."""
    for pattern in allow:
        if not isinstance(pattern, str) or not any(matches(pattern, name) for name in names):
            tops = [".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)]
            near = closest(str(pattern), list(dict.fromkeys([*tops, *(f"{top}.*" for top in tops)])))
            raise ConfigError(f"weights.allow={pattern}: matches no tensor of the model and none of the file.{near}")


def _require_input_conversion(model: nn.Module, source: str) -> None:
    if source.startswith(REVERSED_INPUTS) and getattr(model, "transform_input", None) is False:
        raise ConfigError(
            f"{KEY}={source}: these weights take inputs from -1 to 1, to which the network converts them "
            "with model.transform_input=true only"
        )


def _report(
    source: str,
    own: Mapping[str, Any],
    pairs: _Pairs,
    fitting: Mapping[str, Any],
    found: Misfits,
    heads: Sequence[str],
    anew: list[str],
) -> LoadReport:
    return LoadReport(
        source,
        total=len(own),
        matched={name: pairs.names[name] for name in own if name in fitting},
        missing=list(found.missing),
        mismatched=[(name, *shapes) for name, shapes in found.mismatched.items()],
        unexpected=list(found.unexpected.values()),
        left_out=pairs.left_out,
        fresh=[name for name in own if name in found.missing or name in found.mismatched],
        heads=[head for head in heads if any(matches(head, name) for name in fitting)],
        anew=anew,
        prefixes=pairs.prefixes,
    )
