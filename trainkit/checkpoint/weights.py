"""Weights into a model: names with the prefixes of wrappers, nested files, and one table where they do not fit."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainkit.errors import ConfigError

log = logging.getLogger("trainkit")

PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel and DistributedDataParallel, ``torch.compile``, and a module around the model put before names."""
NESTS = ("model", "state_dict", "model_state_dict", "module", "weights", "params", "net")
"""Where other programs keep the weights in their files."""
ROWS = 4


class Misfit(ConfigError):
    """Weights that do not fit a model. ``sizes`` holds each pair of lengths that differ, (checkpoint's, model's)."""

    def __init__(self, text: str, sizes: set[tuple[int, int]] | None = None) -> None:
        super().__init__(text)
        self.sizes = sizes


@dataclass(slots=True)
class Loaded:
    """What a load did, by the model's names."""

    loaded: list[str]
    skipped: list[str]
    """Names in the file that the model has no place for, or one of another shape."""
    fresh: list[str]
    """Names in the model that kept their initial values."""
    prefixes: tuple[str, ...] = ()
    """What was taken off the names in the file."""

    def __str__(self) -> str:
        parts = [f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.fresh)} tensors"]
        for what, names in (("skipped", self.skipped), ("newly initialised", self.fresh)):
            if names:
                parts.append(f"{what} {len(names)}: {_some(names)}")
        return "; ".join(parts)


@dataclass(slots=True)
class _Match:
    """Weights held against a model."""

    fitting: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, the checkpoint's shape, the model's shape of each that does not fit."""
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    sizes: set[tuple[int, int]] | None = field(default_factory=set)
    prefixes: tuple[str, ...] = ()


def load(
    model: nn.Module, weights: Mapping[str, Any], where: str = "the checkpoint's weights", *, strict: bool = True
) -> Loaded:
    """Load weights into a model in place, so that tied ones stay tied, and say what was done.

    Args:
        model: Left as it was if the weights do not fit.
        weights: A state dict, also under a name in another dict, also with the prefixes of wrappers.
        where: What the error calls them.
        strict: Whether each tensor of the model must be there and nothing else; False loads what fits.

    Raises:
        Misfit: If they do not fit; a :class:`ConfigError` with a table. Also if not a single tensor fits.
    """
    match = _match(model, unnested(weights, where), where)
    if strict and match.rows:
        if _migrated(model, weights):
            return Loaded(sorted(model.state_dict()), [], [])
        raise Misfit(_table(match, where), match.sizes)
    if not match.fitting:
        raise Misfit(_table(match, where), match.sizes)
    if match.prefixes:
        log.warning("%s carry %s before their names: taken off", where, " and ".join(map(repr, match.prefixes)))
    model.load_state_dict(match.fitting, strict=False)
    fresh = sorted(model.state_dict().keys() - match.fitting.keys() - tied(model, match.fitting))
    return Loaded(sorted(match.fitting), sorted([*match.unexpected, *match.mismatched]), fresh, match.prefixes)


def fit(model: nn.Module, weights: Mapping[str, Any], where: str = "the checkpoint's weights") -> dict[str, Any]:
    """Return the weights under the model's own names, complete and of the right shapes.

    Raises:
        Misfit: If they do not fit.
    """
    own = model.state_dict(keep_vars=True)
    if not any(isinstance(value, Tensor) for value in own.values()):
        return dict(weights)
    match = _match(model, unnested(weights, where), where)
    if match.rows:
        raise Misfit(_table(match, where), match.sizes)
    places = _places(model)
    by_place = {places[name]: value for name, value in match.fitting.items() if name in places}
    for name in own.keys() - match.fitting.keys():  # tied to another one, or what torch does without
        match.fitting[name] = by_place.get(places.get(name, (0, 0, ())), own[name])
    return match.fitting


def evaluated(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the weights to evaluate of a checkpoint's state: the averaged ones, where there are such."""
    averaged = {name.removeprefix("module."): value for name, value in state.get("averaging", {}).items()}
    if averaged.pop("n_averaged", 0):
        return averaged
    weights: Mapping[str, Any] = state["model"]
    return weights


def unnested(state: Any, where: str) -> Mapping[str, Any]:
    """Return the state dict in what a file held: the thing itself, or what stands under a usual name in it.

    Raises:
        ConfigError: If there is none.
    """
    for _ in range(4):
        if not isinstance(state, Mapping):
            break
        if any(isinstance(value, Tensor) for value in state.values()):
            return state
        inner = [state[name] for name in NESTS if isinstance(state.get(name), Mapping)]
        if not inner:
            break
        state = inner[0]
    names = f"; there are {_some([str(name) for name in state])}" if isinstance(state, Mapping) and state else ""
    raise ConfigError(f"{where} hold no tensors by name, neither at the top nor under {', '.join(NESTS)}{names}")


def _match(model: nn.Module, weights: Mapping[str, Any], where: str) -> _Match:
    own = model.state_dict(keep_vars=True)
    match = _Match()
    names, match.prefixes = unwrapped(own, weights)
    given = {names[name]: value for name, value in weights.items()}
    for name, value in given.items():
        if name not in own:
            match.unexpected.append(name)
            match.rows.append((name, shape_of(value), "-"))
        elif not isinstance(own[name], Tensor) or not isinstance(value, Tensor):
            match.fitting[name] = value  # what a module keeps besides its tensors is its own affair
        elif not is_lazy(own[name]) and (
            value.shape != own[name].shape or value.is_complex() != own[name].is_complex()
        ):
            match.mismatched.append(name)
            match.rows.append((name, shape_of(value), shape_of(own[name])))
            _note(match, value, own[name])
        else:
            match.fitting[name] = value
    absent = own.keys() - given.keys() - tied(model, match.fitting)
    match.missing = [name for name in own if name in absent and not optional(name, own[name])]
    match.rows += [(name, "-", shape_of(own[name])) for name in match.missing]
    order = {name: place for place, name in enumerate([*match.mismatched, *match.missing, *match.unexpected])}
    match.rows.sort(key=lambda row: order[row[0]])
    if match.missing or match.unexpected:
        match.sizes = None
    if not match.prefixes and isinstance(metadata := getattr(weights, "_metadata", None), dict):
        match.fitting = Versioned(match.fitting, metadata)
    require_ties(model, match.fitting, where)
    return match


class Versioned(dict[str, Any]):
    """A state dict with the versions of the modules that wrote it, which torch looks for in this attribute."""

    def __init__(self, values: Mapping[str, Any], metadata: Mapping[Any, Any]) -> None:
        super().__init__(values)
        plain = ((name, entry) for name, entry in metadata.items() if isinstance(name, str) and isinstance(entry, dict))
        self._metadata = {name: {"version": v} for name, entry in plain if isinstance(v := entry.get("version"), int)}

    def copy(self) -> Versioned:
        return Versioned(self, self._metadata)


def unwrapped(own: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the model's name for each name in the file, and the prefixes that the file's names lost."""
    if own.keys() == given.keys():
        return {name: name for name in given}, ()
    ours, _ = _bare(own)
    theirs, prefixes = _bare(given)
    back = {bare: name for name, bare in ours.items()}
    if len(back) < len(ours) or len(set(theirs.values())) < len(theirs) or not back.keys() & set(theirs.values()):
        return {name: name for name in given}, ()
    names = {name: back.get(bare, bare) for name, bare in theirs.items()}
    changed = any(name != names[name] for name in given)
    return names, prefixes if changed else ()


def _bare(names: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return each name without the prefixes that all carry, and without ``_orig_mod.`` anywhere."""
    bare, taken = {name: name.replace("_orig_mod.", "") for name in names}, []
    if any("_orig_mod." in name for name in names):
        taken.append("_orig_mod.")
    while found := [p for p in PREFIXES if bare and all(name.startswith(p) for name in bare.values())]:
        taken.append(found[0])
        bare = {name: rest.removeprefix(found[0]) for name, rest in bare.items()}
    return bare, tuple(dict.fromkeys(taken))


def _places(model: nn.Module) -> dict[str, tuple[int, int, tuple[int, ...]]]:
    """Return where each tensor of the model lies; tied ones lie at one place."""
    tensors = {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    return {
        name: (value.untyped_storage().data_ptr(), int(value.storage_offset()), tuple(value.shape))
        for name, value in tensors.items()
        if not is_lazy(value) and value.numel() and value.device.type != "meta"
    }


def tied(model: nn.Module, given: Mapping[str, Any]) -> set[str]:
    """Return the names that get their values through another name of the same tensor."""
    places = _places(model)
    filled = {places[name] for name in given if name in places}
    return {name for name, place in places.items() if place in filled and name not in given}


def require_ties(model: nn.Module, given: Mapping[str, Any], where: str) -> None:
    """Refuse two values for one tensor, of which the later would win without a word."""
    first: dict[tuple[int, int, tuple[int, ...]], str] = {}
    for name, place in _places(model).items():
        if name in given and (other := first.setdefault(place, name)) != name:
            one, two = given[other], given[name]
            if one is not two and not bool(((one == two) | ((one != one) & (two != two))).all()):
                raise Misfit(
                    f"{where} do not fit the model: {other} and {name} are one tensor in the model, but two there"
                )


def optional(name: str, own: Any) -> bool:
    """Say whether torch itself does without it: files from before batch norm counted its batches."""
    return name.endswith("num_batches_tracked") or not isinstance(own, Tensor)


def _migrated(model: nn.Module, weights: Mapping[str, Any]) -> bool:
    """Let a module that knows its own old names load them; say whether it could."""
    if not any(module._load_state_dict_pre_hooks for module in model.modules()):
        return False
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    before = {name: value.clone() for name, value in own.items()}
    try:
        model.load_state_dict(dict(weights))
    except (RuntimeError, KeyError, TypeError):
        for name, value in own.items():  # not by the module, whose hooks know old names only
            value.copy_(before[name])
        return False
    return True


def _note(match: _Match, given: Tensor, own: Tensor) -> None:
    """Note which lengths differ, as long as they may be those of one number."""
    if match.sizes is not None and given.ndim == own.ndim:
        match.sizes |= {(a, b) for a, b in zip(given.shape, own.shape, strict=True) if a != b}
    else:
        match.sizes = None


def _table(match: _Match, where: str) -> str:
    counts = {"of another shape": match.mismatched, "missing": match.missing, "unexpected": match.unexpected}
    told = ", ".join(f"{len(names)} {what}" for what, names in counts.items() if names)
    rows = [("name", "checkpoint", "model"), *match.rows[:ROWS]]
    widths = [min(max(len(row[column]) for row in rows), 60) for column in range(2)]
    lines = [f"  {name[:60]:<{widths[0]}}  {given:<{widths[1]}}  {own}" for name, given, own in rows]
    more = len(match.rows) - ROWS
    fits = f"{len(match.fitting)} fit" if match.fitting else "none fits"
    return "\n".join([f"{where} do not fit the model: {told}, {fits}", *lines, *[f"  and {more} more"] * (more > 0)])


def shape_of(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return "any" if is_lazy(value) else "x".join(map(str, value.shape)) or "scalar"


def _some(names: list[str]) -> str:
    return ", ".join(name[:80] for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# ---------------------------------------------------------------------- which key would make them fit


@contextmanager
def hinted(config: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[None]:
    """Add to a :class:`Misfit` the keys of the config that would make the weights fit.

    Args:
        config: The config that the model was built from.
        state: The checkpoint's, which may know the config that it was made with.
    """
    try:
        yield
    except Misfit as error:
        if keys := _made_with(config, state):
            hint = f"the checkpoint was made with {' '.join(keys)}"
        elif key := _explaining(config, error.sizes):
            hint = f"{key} would fit"
        else:
            raise
        raise Misfit(f"{error}\n{hint}", error.sizes) from None


def _made_with(config: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    """Return the model's keys as the checkpoint was made with, where they differ from these."""
    try:
        made = json.loads(state["about"]["config"])
        then, now = _leaves(made["model"], "model."), _leaves(config["model"], "model.")
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    differing = {key: f"{key}={_value(value)}" for key, value in then.items() if now.get(key) != value}
    if "model._target_" in differing:
        return [differing["model._target_"]]
    return list(differing.values()) if len(differing) <= 3 else []


def _explaining(config: Mapping[str, Any], sizes: set[tuple[int, int]] | None) -> str:
    """Return the one key of the model whose number, changed, accounts for each length that differs."""
    if not sizes:
        return ""
    found: dict[str, tuple[bool, str]] = {}
    for key, value in _leaves(config.get("model") or {}, "model.").items():
        items = value if isinstance(value, list) else [value]
        for number in sorted({item for item in items if type(item) is int and item > 0}):
            given, own = min(sizes)
            wanted, rest = divmod(given * number, own)
            if rest or not wanted or any(a * number != b * wanted for a, b in sizes):
                continue
            changed = [wanted if item == number else item for item in items]
            exact = any(b == number for _, b in sizes)
            text = f"{key}={_value(changed if isinstance(value, list) else changed[0])}"
            found[key] = max(found.get(key, (False, "")), (exact, text))
    best = [text for exact, text in found.values() if exact] or [text for _, text in found.values()]
    return best[0] if len(best) == 1 else ""


def _leaves(node: Any, prefix: str) -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def _value(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace('"', "")
