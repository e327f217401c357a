"""Resolving ``${...}``: each that cannot be is found, with who wrote it, and the rest of the config holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import GrammarParseError, InterpolationToMissingValueError, OmegaConfBaseException

from trainkit.config.composing.origins import Origins
from trainkit.config.composing.suggestions import Keys, nearest
from trainkit.findings import Finding

MISSING = "???"
CIRCLE = "leads back to itself, in a circle"
OF_JOB = "has a value in the jobs of a sweep alone"
RESOLVERS = (
    *("oc.env", "oc.select", "oc.decode", "oc.create", "oc.deprecated", "oc.dict.keys", "oc.dict.values"),
    *("now", "class_folders"),
)
"""OmegaConf's and Hydra's own that are there in a run."""


def resolved(
    config: DictConfig, origins: Origins, keys: Callable[[], Keys], unsure: set[str], sweeping: bool = False
) -> tuple[DictConfig, list[Finding]]:
    """Return the config with what can be resolved, and what is wrong with the rest, which is left ``???``.

    Args:
        config: The composed config; it is not changed.
        origins: Who set what.
        keys: Returns all keys there are, to look for the one that was meant.
        unsure: Groups that cannot be judged; ``*``: all.
        sweeping: Whether each job of a sweep is composed anew, when Hydra knows what ``${hydra:...}`` is; until then
            it is left ``???``.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    config = OmegaConf.create(plain)
    findings = [_missing(path, origins) for path in missing(plain) if not {"*", path.partition(".")[0]} & unsure]
    try:
        whole = config.copy()
        OmegaConf.resolve(whole)
        return whole, findings
    except (OmegaConfBaseException, RecursionError, ValueError):
        pass
    bad: list[tuple[Container, Any]] = []
    for path, container, key in _interpolations(config, ""):
        text = str(OmegaConf.to_container(config, resolve=False) if container is None else _text(container, key))
        try:
            value = container[key]
            if isinstance(value, Container):
                OmegaConf.to_container(value, resolve=True)
        except InterpolationToMissingValueError:
            bad.append((container, key))  # the missing one is named already
        except (OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
            rule, message, fix = _told(error, path, keys)
            of_job = message == OF_JOB and sweeping
            if not of_job and not {"*", path.partition(".")[0]} & unsure:
                findings.append(_finding(path, text, message, fix, origins, rule))
            bad.append((container, key))
    for container, key in bad:
        container[key] = MISSING
    OmegaConf.resolve(config)
    circles = {f.place for f in findings if f.message == CIRCLE and origins.set_by_user(f.place)}
    return config, [f for f in findings if f.message != CIRCLE or not circles or f.place in circles]


def _text(container: Container, key: Any) -> Any:
    plain = OmegaConf.to_container(container, resolve=False)
    return plain[key]  # type: ignore[index]


def _interpolations(node: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, container and key of each interpolation of a config."""
    if not isinstance(node, DictConfig | ListConfig) or OmegaConf.is_interpolation(node) or node._is_none():
        return
    names: Any = list(node.keys()) if isinstance(node, DictConfig) else range(len(node))
    for name in names:
        path = f"{prefix}{name}"
        if OmegaConf.is_interpolation(node, name):
            yield path, node, name
        elif not OmegaConf.is_missing(node, name):
            yield from _interpolations(node[name], f"{path}.")


def missing(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the paths of plain values that must be given."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in inner:
        if value == MISSING:
            yield f"{prefix}{name}"
        else:
            yield from missing(value, f"{prefix}{name}.")


def _missing(path: str, origins: Origins) -> Finding:
    return _finding(path, MISSING, "must be given a value", f"Give it by {path}=VALUE", origins, "missing-value")


def _told(error: Exception, path: str, keys: Callable[[], Keys]) -> tuple[str, str, str]:
    """Return the rule, what is wrong, and the cure."""
    text = str(error)
    if "HydraConfig was not set" in text:
        return "bad-interpolation", OF_JOB, "Add -m, or give a value of its own"
    if found := re.search(r"Environment variable '([^']+)' not found", text):
        return "missing-variable", f"the environment has no variable {found[1]}", f"Set it: export {found[1]}=VALUE"
    if found := re.search(r"Interpolation key '([^']+)' not found", text):
        meant = keys().meant(found[1]) if found[1] != path else None
        hint = f"Did you mean {meant!r}?" if meant else ""
        return "bad-interpolation", f"there is no such key {found[1]} to take a value from", hint
    if found := re.search(r"Unsupported interpolation type (\S+)", text):
        near = nearest(found[1], RESOLVERS)
        hint = f"Did you mean '${{{near}:...}}'?" if near else f"There are {', '.join(RESOLVERS)}"
        return "bad-interpolation", f"there is no such resolver {found[1]}", hint
    if isinstance(error, RecursionError) or "Recursive interpolation" in text:
        return "bad-interpolation", CIRCLE, ""
    if isinstance(error, GrammarParseError):
        return "bad-interpolation", "cannot be read; a value is taken by ${KEY}", ""
    return "bad-interpolation", text.splitlines()[0], ""


def _finding(
    path: str, text: str, message: str, fix: str, origins: Origins, rule: str = "bad-interpolation"
) -> Finding:
    told = origins.told(path)
    if told.get("evidence") == f"override {path}={text}":
        told = {}  # the value says it
    return Finding(
        rule=rule,
        severity="error",
        place=path,
        value=text,
        message=message,
        fix=fix,
        **told,
    )
