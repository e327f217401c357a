"""``trainkit ckpt inspect``: what is in a checkpoint, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from trainkit.checkpoint.foreign import read_any
from trainkit.checkpoint.manifest import read_manifest
from trainkit.checkpoint.reading import find
from trainkit.commands.ckpt.line import leaves, parsed, print_json, printable, shape, sized, table


def main(arguments: Sequence[str]) -> int:
    """Print what each checkpoint holds and return the exit code."""
    found = parsed("inspect", arguments)
    told = [_facts(path) for path in found.paths]
    if "--json" in found.flags:
        print_json([facts for facts, _ in told] if len(told) > 1 else told[0][0])
        return 0
    print("\n\n".join(_page(facts, state, found.flags) for facts, state in told))
    return 0


def _facts(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what there is to say of a checkpoint, as plain values, and its state."""
    file, state = find(path), read_any(path)
    about: dict[str, Any] = state["about"] if isinstance(state.get("about"), dict) else {}
    facts: dict[str, Any] = {
        "path": str(file),
        "file": file.resolve().name,
        "bytes": file.stat().st_size,
        "format": state.get("format"),
        "manifest": _manifest(file),
        "seed": state.get("seed"),
        "counters": state.get("counters"),
        "best": state.get("best"),
        "metrics": state.get("metrics"),
        "about": {key: value for key, value in about.items() if key not in ("config", "earlier")},
        "config": _config(about.get("config")),
        "parts": {name: _weight(part) for name, part in state.items() if isinstance(part, dict) and name != "about"},
    }
    return facts, state


def _manifest(file: Path) -> dict[str, Any] | None:
    try:
        manifest = read_manifest(file.resolve())
    except (ValueError, OSError):  # reading has verified it already; a plain file of weights has a stranger beside it
        return None
    return json.loads(manifest.text()) if manifest is not None else None


def _config(text: Any) -> dict[str, Any] | None:
    try:
        config = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _weight(part: dict[str, Any]) -> dict[str, int]:
    tensors = [value for _, value in leaves(part) if isinstance(value, Tensor)]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return {"tensors": len(tensors), "elements": sum(tensor.numel() for tensor in tensors), "bytes": size}


def _page(facts: dict[str, Any], state: dict[str, Any], flags: set[str]) -> str:
    about, config = facts["about"], facts["config"]
    name = facts["path"] if Path(facts["path"]).name == facts["file"] else f"{facts['path']} -> {facts['file']}"
    kind = f"format {facts['format']}" if facts["format"] else "weights alone, not a checkpoint of trainkit"
    whole = "whole by its manifest" if facts["manifest"] else "whole by its own checksums"
    lines = [f"{name}: {sized(facts['bytes'])}, {kind}, {whole}"]
    versions = about.get("versions") if isinstance(about.get("versions"), dict) else {}
    rows = {
        "run": _run(facts, config),
        "at": _at(facts["counters"]),
        "best": _best(facts["best"]),
        "metrics": "  ".join(f"{key} {_number(value)}" for key, value in sorted((facts["metrics"] or {}).items())),
        "written by": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "code": _code(about),
        "command": about.get("command") or "",
        "average of": ", ".join(map(str, about.get("averaged") or ())),
    }
    lines += [f"{title:<12}{printable(text)}" for title, text in rows.items() if text]
    parts = [("part", "tensors", "elements", "size")]
    heavy = {name: part for name, part in facts["parts"].items() if part["tensors"]}
    parts += [(n, p["tensors"], f"{p['elements']:,}", sized(p["bytes"])) for n, p in heavy.items()]
    lines += ["", table(parts)]
    if light := [name for name in facts["parts"] if name not in heavy]:
        lines.append(f"without tensors: {printable(', '.join(light))}")
    if config is not None:
        values = list(leaves(config))
        shown = [f"  {printable(key)}: {printable(json.dumps(value))}" for key, value in values]
        lines += ["", *(["config", *shown] if "--config" in flags else [f"config: {len(values)} keys; --config shows"])]
    if "--tensors" in flags:
        found = [(key, value) for key, value in leaves(state) if isinstance(value, Tensor)]
        named = [(key, str(value.dtype).removeprefix("torch."), shape(value)) for key, value in found]
        lines += ["", table([("tensor", "type", "shape"), *named])]
    return "\n".join(lines)


def _run(facts: dict[str, Any], config: dict[str, Any] | None) -> str:
    parts = [str(config.get("name"))] if config else []
    for group in ("model", "optimizer"):
        node = (config or {}).get(group)
        if isinstance(node, dict) and node.get("_target_"):
            parts.append(str(node["_target_"]))
    return ", ".join([*parts, *([f"seed {facts['seed']}"] if facts["seed"] is not None else [])])


def _at(counters: Any) -> str:
    if not isinstance(counters, dict):
        return ""
    told = {"step": "step {}", "epoch": "after epoch {}", "batch": "batch {} of the next", "samples": "{} samples"}
    parts = [text.format(counters[key]) for key, text in told.items() if counters.get(key)]
    seconds = counters.get("seconds")
    return ", ".join([*parts, *([f"{seconds:.1f} s of training"] if isinstance(seconds, float) else [])])


def _best(best: Any) -> str:
    if not isinstance(best, dict) or best.get("value") is None:
        return ""
    where = f"epoch {best.get('epoch')}, step {best.get('step')}"
    return f"{best.get('metric')} {_number(best['value'])} ({best.get('mode')}) in {where}"


def _code(about: dict[str, Any]) -> str:
    commit = about.get("git_commit")
    return f"commit {commit}{' with changes' if about.get('git_dirty') else ''}" if commit else ""


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
