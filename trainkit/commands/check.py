"""``trainkit check``: what is wrong with a config and the training that it describes, which is built, not started."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from trainkit.commands.help import rules
from trainkit.commands.run_dir import possible
from trainkit.config.checking import check as checking
from trainkit.config.checking.masking import masked_finding, secrets_of, typed_secrets
from trainkit.config.composing.compose import composed_of
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.line import read_line
from trainkit.config.composing.stored import compose_line
from trainkit.errors import ConfigError
from trainkit.findings import ORDER, VERDICT, Finding, errors_in, ordered

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

FLAGS: dict[str, tuple[str, ...] | None] = dict.fromkeys(("--json", "--strict", "--deep", "-m", "--multirun"))


def main(arguments: Sequence[str]) -> int:
    """Print what was found and return the exit code: 2 if there is an error; with ``--strict`` a warning is one too.

    With ``-m`` each value of a sweep is checked, as a config alone.
    """
    line = read_line(arguments, FLAGS)
    if line.has("--deep"):
        line.overrides.append("check.deep=true")
    if line.sweeps:
        from trainkit.config.composing.sweeps import composed_sweep

        findings = ordered(composed_sweep(line, find)[1])
    else:
        findings = find(compose_line(line), inspect=True)
    secrets = typed_secrets(arguments)
    findings = [masked_finding(finding, secrets) for finding in findings]
    if line.has("--json"):
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        print(report(findings))
    grave = errors_in(findings) or (line.has("--strict") and any(f.severity == "warning" for f in findings))
    return 2 if grave else 0


@overload
def check(
    model: nn.Module,
    *,
    loss: Callable[..., Any] | None = None,
    train_set: Any = None,
    val_set: Any = None,
    optimizer: Optimizer | Sequence[Optimizer] | Callable[[nn.Module], Any] | None = None,
    scheduler: Any = None,
    scheduler_interval: Literal["step", "epoch"] = "epoch",
    collate: Callable[[list[Any]], Any] | None = None,
    batch_size: int = 32,
    shuffle: bool = True,
    num_workers: int = 0,
    drop_last: bool = False,
    epochs: int | None = None,
    train_step: Callable[..., Any] | None = None,
    evaluate: Callable[..., Any] | None = None,
    deep: bool = False,
    ignore: Sequence[str] = (),
) -> list[Finding]: ...
@overload
def check(recipe: Any = None, *overrides: str, config_dir: str | Path | None = None) -> list[Finding]: ...
def check(*subject: Any, config_dir: str | Path | None = None, **parts: Any) -> list[Finding]:
    """Return what is wrong with a training, or may be: errors first. It leaves no trace, and trains nothing.

    Args:
        subject: ``model``, any ``nn.Module``: then ``parts`` are what trains it, ``loss=``, ``train_set=``,
            ``optimizer=`` and more, as :func:`trainkit.inspection.inspect` takes them. Or ``recipe``, the name or path
            of one, or a config: a mapping, a ``DictConfig``, a dataclass, what hydra-zen builds; and then overrides as
            on the command line: ``"trainer.max_epochs=1"``.
        config_dir: A folder with config groups of your own.
        parts: Those of a training of a module.

    Raises:
        TypeError: If ``parts`` are given beside a recipe, or one of them is none that a training has.
    """
    named = next((name for name in ("model", "recipe") if name in parts and not subject), None)
    first, *overrides = subject or (parts.pop(named) if named else None,)
    if _is_module(first):
        if overrides or config_dir is not None:
            raise TypeError("check() takes overrides and config_dir beside a recipe or config, not beside an nn.Module")
        from trainkit.inspection import inspect

        return inspect(first, **parts)
    if parts:
        kind = f"the class {first.__name__}" if isinstance(first, type) else type(first).__name__
        raise TypeError(f"check() takes {', '.join(parts)} beside an nn.Module, and it was given {kind}")
    return find(composed_of(first, *overrides, config_dir=config_dir), inspect=True)


def find(composed: Composed, inspect: bool = False) -> list[Finding]:
    """Return what is wrong with a config, its run folder and, where nothing else is, with its data sets.

    Args:
        composed: The config.
        inspect: Whether to build all that it describes, code of one's own too, and to inspect the training.
    """
    found = [*checking.check(composed), *_run_dir(composed)]
    if errors_in(found):
        return ordered(found)
    from trainkit.config.checking.datasets import data_findings, is_own

    of_data = [] if inspect and is_own(composed) else data_findings(composed)
    found += of_data
    if inspect and not errors_in(found) and all(finding.rule != "not-here-yet" for finding in of_data):
        from trainkit.commands.inspecting import inspected

        found += inspected(composed, found)
    secrets = secrets_of(composed.plain)
    return ordered(masked_finding(finding, secrets) for finding in found)


def _is_module(subject: Any) -> bool:
    """Say whether something is a module, without an import of torch: who has one has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(subject, torch.nn.Module)


def report(findings: Sequence[Finding]) -> str:
    """Return the findings as lines, errors first, a line that counts them, and the verdict of a deep check."""
    width = max(map(len, ORDER)) + 2
    verdicts = [f"\n{finding}" for finding in findings if finding.rule == VERDICT]
    lines = [
        f"{finding.severity:<{width}}{' '.join(str(finding).splitlines())}{_rule(finding)}"
        for finding in findings
        if finding.rule != VERDICT
    ]
    return "\n".join([*lines, _count(findings), *verdicts])


def _rule(finding: Finding) -> str:
    """Return the name of a rule of the inspection, by which `help` explains and check.ignore silences it."""
    return f" [{finding.rule}]" if rules.page(finding.rule) else ""


def _count(findings: Sequence[Finding]) -> str:
    counts = {severity: sum(f.severity == severity for f in findings) for severity in ("error", "warning")}
    told = [f"{number} {name}{'s' * (number != 1)}" for name, number in counts.items() if number]
    return ", ".join(told) or "no mistakes found"


def _run_dir(composed: Composed) -> list[Finding]:
    run_dir = composed.plain.get("run_dir")
    try:
        if not composed.plain.get("trainer", {}).get("fast_dev_run"):
            possible(run_dir)
    except ConfigError as error:
        message = str(error).partition(": ")[2]
        return [
            Finding(rule="bad-folder", severity="error", place="run_dir", value=str(run_dir)[:200], message=message)
        ]
    return []
