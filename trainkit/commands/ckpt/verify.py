"""``trainkit ckpt verify``: every file of a run or checkpoint, read to its last byte."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trainkit.checkpoint.manifest import manifest_path
from trainkit.checkpoint.reading import CORRUPT, checkpoints, find, problem
from trainkit.commands.ckpt.line import parsed, print_json, sized, table
from trainkit.config.composing.stored import read_yaml
from trainkit.errors import ConfigError

LINKS = ("last.ckpt", "best.ckpt")


@dataclass(slots=True)
class Verdict:
    """What was found about one file."""

    file: str
    verdict: str
    """``ok``, ``bad``, or ``left``: a crash left it, and nothing reads it."""
    what: str


def main(arguments: Sequence[str]) -> int:
    """Print a line for each file and return 0, or 1 if one of them is bad."""
    found = parsed("verify", arguments)
    verdicts = [verdict for path in found.paths for verdict in _verdicts(Path(path))]
    bad = sum(verdict.verdict == "bad" for verdict in verdicts)
    if "--json" in found.flags:
        print_json({"whole": not bad, "files": [asdict(verdict) for verdict in verdicts]})
        return int(bad > 0)
    print(table([(verdict.verdict, verdict.file, verdict.what) for verdict in verdicts]))
    left = sum(verdict.verdict == "left" for verdict in verdicts)
    print(f"{len(verdicts) - bad - left} ok, {bad} bad" + (f", {left} left by a crash" if left else ""))
    return int(bad > 0)


def _verdicts(path: Path) -> Iterator[Verdict]:
    if not path.is_dir():
        file = find(path)
        yield _checkpoint(file, str(file))
        return
    inner = path / "checkpoints"
    folder = inner if inner.is_dir() else path
    if inner.is_symlink():
        yield Verdict(str(inner), "bad", "is a link that leads out of the run folder; verify what it names itself")
        return
    files = checkpoints(folder)
    if not files and folder is path and not (path / "config.yaml").exists():
        raise ConfigError(f"{path}: neither a run folder nor one of checkpoints")
    for file in files:
        yield _checkpoint(file, str(file))
    yield from _links(folder)
    for name in sorted(os.listdir(folder)):
        if name.startswith(".tmp-"):
            yield Verdict(str(folder / name), "left", "a write that was cut short; the next start sweeps it out")
        elif CORRUPT in name:
            yield Verdict(str(folder / name), "left", "was found to be damaged before, and set aside")
        elif name.endswith(".ckpt") and folder / name not in files and name not in LINKS:
            yield _checkpoint(folder / name, str(folder / name))
    if folder is not path:
        yield from _records(path)


def _checkpoint(file: Path, name: str) -> Verdict:
    if not os.path.lexists(file):
        return Verdict(name, "bad", "is missing; its manifest is there")
    if reason := problem(file.resolve() if file.name in LINKS else file):
        return Verdict(name, "bad", reason)
    by = "manifest" if manifest_path(file.resolve()).exists() else "own checksums; it has no manifest"
    return Verdict(name, "ok", f"{sized(file.stat().st_size)}, whole by its {by}")


def _links(folder: Path) -> Iterator[Verdict]:
    for name in LINKS:
        link = folder / name
        if not os.path.lexists(link):
            continue
        if not link.is_symlink():
            yield _checkpoint(link, str(link))
            continue
        named = os.readlink(link)
        if Path(named).name != named or (folder / named).is_symlink():
            yield Verdict(str(link), "bad", f"leads out of its folder, to {named}")
        elif not (folder / named).is_file():
            yield Verdict(str(link), "bad", f"names {named}, which is not there")
        else:
            yield Verdict(str(link), "ok", f"names {named}")


def _records(run: Path) -> Iterator[Verdict]:
    """Hold the texts of a run folder against what they are to be."""
    for name in ("config.yaml", "overrides.yaml", "summary.json", "metrics.jsonl"):
        file = run / name
        if not os.path.lexists(file):
            continue
        if file.is_symlink() or not file.is_file():
            yield Verdict(str(file), "bad", "is no regular file")
            continue
        try:
            what = _record(file)
        except (ConfigError, ValueError, OSError, RecursionError) as error:
            reason = str(error).removeprefix(f"{file}: ")
            yield Verdict(str(file), "bad", reason.splitlines()[0][:200] if reason else type(error).__name__)
        else:
            yield Verdict(str(file), "ok", what)


def _record(file: Path) -> str:
    if file.name == "metrics.jsonl":
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not isinstance(_json(line, f"line {number}"), dict):
                    raise ValueError(f"line {number} is no record")
            return f"{number if file.stat().st_size else 0} records"
    if file.suffix == ".yaml":
        return f"{len(read_yaml(file, dict if file.name == 'config.yaml' else list))} entries"
    return f"status {_json(file.read_text(encoding='utf-8'), 'it').get('status')}"


def _json(text: str, where: str) -> dict[str, object]:
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except ValueError as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
