"""All that is wrong with a config, found before anything is built: the line, the schema, the targets, across fields."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from trainkit.config.checking.crosschecks import cross_findings
from trainkit.config.checking.fields import MISSING, Fields, apply
from trainkit.config.checking.masking import masked_finding, secrets_of, typed_secrets
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.origins import Origins
from trainkit.config.paths import at, related
from trainkit.config.schema.keys import DIRECTIVES, schema_findings, target_keys
from trainkit.errors import closest
from trainkit.findings import Finding, FindingsError, errors_in, ordered

if TYPE_CHECKING:
    from torch.utils.data import Dataset

CHOSEN = ("model", "data", "objective", "optimizer")
"""Groups that no training goes without."""

TRANSFER = {
    "freeze": ("rules",),
    "weights": ("source", "prefix", "rename", "by_position", "allow"),
    "head": ("name", "outputs", "init", "dropout"),
    "data": ("preprocessing",),
}
"""Keys that mean something to the checks of transfer learning, which import torch."""

NOTHING: tuple[Any, ...] = (None, False, [], {}, "default")
"""What they say where they mean nothing."""

log = logging.getLogger("trainkit")


def check(composed: Composed) -> list[Finding]:
    """Return all that is wrong with a config, or may be: errors first.

    The targets, whose look-up imports torch, are left for the next time where there is a mistake already and no target
    that a person set, or gave arguments, is one that the schema does not know.
    """
    plain, origins = composed.plain, composed.origins
    found = [*composed.findings, *schema_findings(plain, origins, raw_of(composed))]
    found += [] if errors_in(composed.findings) else _unchosen(plain)
    deep = not errors_in(found) or _has_own_targets(composed, found) or _sets_transfer(composed)
    found += [] if deep else _unknown_arguments(composed, found)
    if deep:
        from trainkit.config.targets.nodes import target_findings
        from trainkit.config.targets.trusted import Trusted

        trusted = Trusted.of(plain, [Path.cwd(), *composed.folders])
        found += target_findings(without_auto(plain), origins, trusted)
    found += cross_findings(fields_of(composed, found), machine=deep)
    if deep and _transfers(plain):
        from trainkit.config.checking.transfer import transfer_findings

        found += transfer_findings(fields_of(composed, found), trusted)
    secrets = secrets_of(plain) | typed_secrets(composed.overrides)
    return ordered(masked_finding(finding, secrets) for finding in _one_a_place(found))


def sound(composed: Composed) -> list[Finding]:
    """Return what a config may be wrong in, warnings and information.

    Raises:
        FindingsError: That lists all that is wrong with it.
    """
    findings = check(composed)
    if errors_in(findings):
        raise FindingsError(findings)
    return findings


def require_sound(composed: Composed) -> DictConfig:
    """Return the config, and log its warnings.

    Raises:
        FindingsError: That lists all that is wrong with it.
    """
    for finding in sound(composed):
        if finding.severity == "warning":
            log.warning("%s", finding)
    return composed.config


def size_findings(composed: Composed, dataset: Dataset[Any]) -> list[Finding]:
    """Return what shows once the training set is there: batches, and schedules that count in steps."""
    known = cross_findings(fields_of(composed, []), machine=False)
    fields = fields_of(composed, [])
    fields.samples = len(dataset) if hasattr(dataset, "__len__") else None
    size = fields.config["data"]["batch_size"]
    if fields.samples is not None:
        rest = 0 if fields.config["data"]["drop_last"] else fields.samples % size > 0
        fields.batches = (fields.samples // size + rest) or None  # none at all is told as such
    found = cross_findings(fields, machine=False)
    if _transfers(composed.plain):
        from trainkit.config.checking.freezing import gate_findings

        known += apply([gate_findings], fields_of(composed, []))
        found += apply([gate_findings], fields)
    return [finding for finding in found if finding not in known]


def without_auto(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a config in which no data set is given ``preprocessing: auto``, in whose place a run puts values."""
    data = plain.get("data")
    node = data.get("datasets") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(node, Mapping) or node.get("preprocessing") != "auto":
        return plain
    return {**plain, "data": {**data, "datasets": {**node, "preprocessing": None}}}


def fields_of(composed: Composed, found: Sequence[Finding]) -> Fields:
    """Return the values of a config for the rules across fields; what was found wrong already is unclear to them."""
    wrong = frozenset(finding.place for finding in errors_in(found) if finding.place)
    return Fields(composed.plain, composed.origins, wrong, raw_of(composed))


def raw_of(composed: Composed) -> dict[str, Any]:
    """Return the config before interpolations were resolved, as plain dicts and lists."""
    raw: Any = {} if composed.raw is None else OmegaConf.to_container(composed.raw, resolve=False)
    return raw  # type: ignore[no-any-return]


def _transfers(plain: Mapping[str, Any]) -> bool:
    """Say whether a config freezes something, starts from weights, has a new head or prepares its images."""
    options = [at(plain, f"{group}.{name}") for group, names in TRANSFER.items() for name in names]
    return any(value not in NOTHING for value in options)


def _sets_transfer(composed: Composed) -> bool:
    """Say whether a person set something of a plan, of weights or a head, which the network's names judge."""
    paths = [f"{group}.{name}" for group, names in TRANSFER.items() for name in names]
    return any(composed.origins.set_by_user(path) and at(composed.plain, path) not in NOTHING for path in paths)


def _has_own_targets(composed: Composed, found: Sequence[Finding]) -> bool:
    """Say whether a person set a target that the schema does not know, or something in one, that is not told yet."""
    told = [finding.place for finding in errors_in(found) if finding.place]
    return any(
        _is_of_unknown_target(composed.plain, path)
        for path in _set_by_user(composed.plain, "", composed.origins)
        if not any(related(path, place) for place in told)
    )


def _is_of_unknown_target(plain: Mapping[str, Any], path: str) -> bool:
    """Say whether a value is judged by a target that the schema does not know."""
    while path:
        node = at(plain, path)
        target = str(node["_target_"]) if isinstance(node, Mapping) and "_target_" in node else MISSING
        if target != MISSING:
            return target_keys(target) is None
        path = path.rpartition("[")[0] if path.endswith("]") else path.rpartition(".")[0]
    return False


def _unknown_arguments(composed: Composed, found: Sequence[Finding]) -> Iterator[Finding]:
    """Find what a person gave to a target whose arguments the schema knows, and which is none of them."""
    plain = composed.plain
    told = {finding.place for finding in found}
    for path in _set_by_user(plain, "", composed.origins):
        parent, _, name = path.rpartition(".")
        node = at(plain, parent) if parent else None
        target = str(node["_target_"]) if isinstance(node, Mapping) and "_target_" in node else ""
        known = target_keys(target) if not path.endswith("]") else None  # an item is no argument, its list is
        if known is not None and name not in known and name not in DIRECTIVES and path not in told:
            message = f"{target.rpartition('.')[2]} takes no such argument"
            near = closest(path, [f"{parent}.{key}" for key in known]).strip()
            yield Fields(plain, composed.origins).finding("unknown-argument", path, message, fix=near)


def _unchosen(plain: Mapping[str, Any]) -> Iterator[Finding]:
    for name in CHOSEN:
        if not plain.get(name):
            message = f"nothing chosen; a recipe or {name}=OPTION does"
            yield Finding(rule="nothing-chosen", severity="error", place=name, message=message)


def _set_by_user(node: Any, path: str, origins: Origins) -> Iterator[str]:
    """Yield the paths that a person set: leaves, and nodes that were set as a whole."""
    if path and origins.set_by_user(path):
        yield path
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _set_by_user(value, f"{path}.{name}" if path else str(name), origins)
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _set_by_user(value, f"{path}[{number}]", origins)


def _one_a_place(found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield one error for each place: two steps may have seen the same mistake, and the first tells it best.

    What the data lack comes last and is the reason of the others.
    """
    reasons = {finding.place for finding in found if finding.rule == "unfit-data"}
    told: set[str] = set()
    for finding in found:
        if finding.place in reasons and finding.rule != "unfit-data":
            continue
        if finding.severity == "error" and finding.place:
            if finding.place in told:
                continue
            told.add(finding.place)
        yield finding
