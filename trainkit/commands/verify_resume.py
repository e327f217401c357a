"""``trainkit verify-resume``: prove on the user's own recipe that a run which is killed ends as one that is not."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from trainkit.callbacks.recorder import MOMENTS, PLAN, read_journal
from trainkit.commands.comparison import PARTS, Comparison, Difference, cause, compare
from trainkit.commands.run_dir import quoted
from trainkit.config.checking.check import sound
from trainkit.config.composing.compose import composed as composed_of_line
from trainkit.config.composing.line import Line, read_line
from trainkit.errors import ConfigError, TrainingError

STRAIGHT, CUT, AGAIN = "straight", "cut", "again"
NAME = "verify_resume"
"""What the recorder is called among the callbacks of the runs."""
KINDS = ("before", "gradients", "after", "save", "validation")
FLAGS: dict[str, tuple[str, ...] | None] = {"--steps": (), "--kills": (), "--seed": (), "--keep": None}
CALLS = 10
"""A save makes about as many calls that can be cut."""


@dataclass(slots=True)
class Options:
    """What the command line asks for."""

    line: Line
    steps: int = 40
    kills: int = 3
    seed: int = 0
    keep: bool = False


@dataclass(slots=True)
class Proof:
    """The runs of a verification, below one folder."""

    options: Options
    folder: Path
    more: list[str]
    """Overrides besides the user's own."""
    kills: list[dict[str, Any]] = field(default_factory=list)
    """Those that were carried out, as the journal has them."""

    def command(self, name: str) -> list[str]:
        """Return the command line of a run; the same for each process of it."""
        folder = self.folder / name
        recorder = f"{{_target_: trainkit.callbacks.recorder.Recorder, folder: {quoted(str(folder))}, "
        return [
            *(sys.executable, "-m", "trainkit", *self.options.line.shown, *self.more),
            f"+callbacks.{NAME}={recorder}steps: {self.options.steps}}}",
            *(f"run_dir={quoted(str(folder / 'run'))}", "resume=auto"),
        ]

    def run(self, name: str, kills: Sequence[dict[str, Any]] = ()) -> None:
        """Run a command line, and again after each kill, until it exits with 0.

        Raises:
            ConfigError: If the run said that the command line or config is wrong.
            TrainingError: If it failed, or a kill did not happen.
        """
        folder = self.folder / name
        folder.mkdir()
        (folder / PLAN).write_text(json.dumps(list(kills)))
        for number in range(len(kills) + 1):
            start = perf_counter()
            code, said = _process(self.command(name), folder / "output.txt")
            journal = read_journal(folder)
            done = [line for line in journal if line["kind"] == "kill"]
            if code == (-signal.SIGKILL if number < len(kills) else 0) and len(done) == min(number + 1, len(kills)):
                told = f"killed at step {done[-1]['step']}, {MOMENTS[done[-1]['moment']]}" if code else "done"
                self._progress(f"{name} run{f', process {number + 1}' if kills else ''}: {told}", start)
                self.kills = done or self.kills
                continue
            what = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            words, line = _last_words(said), shlex.join(self.command(name))
            problem = f"the {name} run, process {number + 1}: {what}\n{words}\n{line}"
            raise ConfigError(problem) if code == 2 else TrainingError(problem)

    def _progress(self, text: str, start: float) -> None:
        print(f"verify-resume: {text} ({perf_counter() - start:.1f} s)", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Print what the runs have in common and return the exit code: 0 the same, 1 a difference."""
    options = _read(arguments)
    more = _overrides(options)
    folder = Path(tempfile.mkdtemp(prefix="verify-resume-"))
    keep = options.keep
    try:
        proof = Proof(options, folder, more)
        proof.run(STRAIGHT)
        journal = read_journal(folder / STRAIGHT)
        steps = max((line["step"] for line in journal if line["kind"] == "step"), default=0)
        if not steps:
            raise TrainingError("the recipe took no step, so there is nothing to verify; max_epochs or max_steps is 0")
        threads = next(line["threads"] for line in journal if line["kind"] == "start")
        proof.more += [f"trainer.threads={threads}"]  # sums split over another number of threads are other sums
        proof.run(CUT, plan(options.kills, steps, options.seed, journal))
        proof.run(AGAIN)
        again, cut = (compare(folder / STRAIGHT, folder / name) for name in (AGAIN, CUT))
        print(_report(proof, journal, again, cut))
        first = cut.very_first or again.very_first
        if first is None:
            print(_row("verdict", f"the same, bit for bit, in spite of {_many(len(proof.kills), 'kill')}"))
        else:
            keep = True
            print(_verdict(first, again, cut, journal))
        if keep:
            print(_row("kept", str(folder)), flush=True)
        return 0 if first is None else 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def plan(kills: int, steps: int, seed: int, journal: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where the processes of the cut run are to die, in the order of the steps.

    Args:
        kills: How many.
        steps: Steps of the run.
        seed: The same seed gives the same plan.
        journal: That of the straight run, which tells after which steps there was a validation.
    """
    draw = Random(seed)
    validated = sorted({line["step"] for line in journal if line["kind"] == "validation"})
    kinds = [kind for kind in KINDS if kind != "validation" or validated]
    draw.shuffle(kinds)
    chosen = []
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        step = draw.choice(validated) if kind == "validation" else draw.randint(1, steps)
        chosen.append({"step": step, "moment": kind, "call": draw.randrange(CALLS), "late": draw.random() < 0.5})
    return sorted(chosen, key=lambda kill: (kill["step"], KINDS.index(kill["moment"])))


def _read(arguments: Sequence[str]) -> Options:
    """Take the command's own flags from the line.

    Raises:
        ConfigError: For a flag that it does not have, a value out of range, or a key that it needs for itself.
    """
    line = read_line(arguments, FLAGS).require()
    chosen: dict[str, Any] = {"keep": line.has("--keep")}
    for name in ("--steps", "--kills", "--seed"):
        if line.has(name):
            chosen[name[2:]] = _whole(name, line.value(name) or "", 1 if name == "--steps" else 0)
    line.flags = []
    for override in line.overrides:
        key = override.partition("=")[0].lstrip("+")
        if key in ("run_dir", "resume"):
            raise ConfigError(f"{override}: verify-resume runs in folders of its own; leave {key} out")
    return Options(line, **chosen)


def _whole(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name} {text}: must be a whole number, at least {least}")
    return int(text)


def _overrides(options: Options) -> list[str]:
    """Return what is changed of the user's config: nothing that changes a step.

    The length of the run stays as it is, for schedules depend on it; the recorder stops the run.
    """
    composed = composed_of_line(options.line)
    sound(composed)
    config = composed.config
    if config.trainer.fast_dev_run:
        raise ConfigError("trainer.fast_dev_run saves nothing, so there is no resume to verify; leave it out")
    more = [f"++checkpoint.every={max(2, options.steps // 10)}st"]
    if not config.get("checkpoint"):
        more.insert(0, "++checkpoint._target_=trainkit.checkpoint.Store")
    if config.trainer.min_epochs:
        more.append("trainer.min_epochs=0")  # which would bear no stop after some steps
    return more


def _last_words(said: str) -> str:
    """Return trainkit's own message at the end of what a run printed; else its last lines."""
    lines = said.strip().splitlines()
    own = [number for number, line in enumerate(lines) if line.startswith("trainkit: ")]
    return "\n".join(lines[own[-1] :] if own else lines[-6:])


def _process(command: Sequence[str], output: Path) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed. It ends with this process."""
    with output.open("ab+") as file:
        begin = file.tell()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        file.seek(begin)
        return code, file.read().decode(errors="replace")


# ---------------------------------------------------------------------- what a person reads


def _report(proof: Proof, journal: Sequence[dict[str, Any]], again: Comparison, cut: Comparison) -> str:
    """Return what was run and the table of what was compared."""
    steps = max(line["step"] for line in journal if line["kind"] == "step")
    epochs, validations = (sum(line["kind"] == kind for line in journal) for kind in ("epoch", "validation"))
    ended = " (the whole run)" if steps < proof.options.steps else ""
    kills = ", ".join(f"step {kill['step']} {MOMENTS[kill['moment']]}" for kill in proof.kills) or "none"
    rows = [
        _row(
            "run",
            f"{_many(steps, 'step')}{ended}, {_many(epochs, 'end')} of an epoch, {_many(validations, 'validation')}",
        ),
        _row("kills", kills),
        _row("changed", " ".join(override.lstrip("+") for override in proof.more)),
        "",
        f"{'compared':<26}{'items':>7}  {'straight again':<26}  cut",
    ]
    for part in PARTS:
        if items := max(again.items[part], cut.items[part]):
            cells = [_cell(comparison.first.get(part)) for comparison in (again, cut)]
            rows.append(f"{part:<26}{items:>7,}  {cells[0]:<26}  {cells[1]}")
    missing = [
        name for name, count in {"a validation": validations, "the end of an epoch": epochs}.items() if not count
    ]
    if missing and not ended:
        rows.append(_row("not reached", f"{' and '.join(missing)}; --steps N goes further"))
    return "\n".join([*rows, ""])


def _verdict(first: Difference, again: Comparison, cut: Comparison, journal: Sequence[dict[str, Any]]) -> str:
    """Return where the runs part first, the likely cause, and how to mend it."""
    what = "two unbroken runs differ already" if again.very_first else "the run that was cut ends otherwise"
    after = f", after {_many(first.process, 'kill')}" if first is cut.very_first and first.process > 0 else ""
    why, mend = cause(first, again, journal)
    rows = {
        "verdict": f"NOT the same: {what}",
        "first difference": f"{first.where}{after}: {first.part}: {first.name}",
        "likely cause": why,
        "mend": mend,
    }
    return "\n".join(_row(name, text) for name, text in rows.items())


def _cell(difference: Difference | None) -> str:
    return "same" if difference is None else f"differs, {difference.short}"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _row(name: str, text: str) -> str:
    """Return a text under a name, broken into lines that a terminal shows whole."""
    broken = textwrap.wrap(text, 82, break_long_words=False, break_on_hyphens=False)
    return f"{name:<18}" + f"\n{' ' * 18}".join(broken)
