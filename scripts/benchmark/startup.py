"""Measure what an answer of the command line costs in CPU time: `scripts/bench startup`.

Each round asks every command line once, each in a process of its own, in an order that rotates. An answer that needs
no torch has a limit; the last row, which needs it, is held against the import of torch in the same round. Exit code 1
if a median is over its limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

TORCH = "import torch"
HEAD = "| what | CPU s (min-max) | limit s | exit code |\n| --- | ---: | ---: | ---: |"


class Case(NamedTuple):
    """A process to measure."""

    arguments: list[str]
    """Of this Python."""
    code: int
    """With which it must end."""
    limit: float | None = None
    """CPU seconds."""
    beyond_torch: bool = False
    """Whether the limit counts from the import of torch."""


def of_trainkit(*arguments: str, code: int = 0, limit: float | None = 0.7, beyond_torch: bool = False) -> Case:
    """Return the case of a command line of trainkit."""
    return Case(["-m", "trainkit", *arguments], code, limit, beyond_torch)


ASKED = "trainkit recipe=mlp optimizer."
CASES = {
    "python": Case(["-c", "pass"], 0),
    "--help": of_trainkit("--help"),
    "recipes": of_trainkit("recipes"),
    "help KEY": of_trainkit("help", "trainer.precision"),
    "help KEY recipe=mlp": of_trainkit("help", "optimizer.lr", "recipe=mlp"),
    "help, misspelt": of_trainkit("help", "trianer.precision", code=2),
    "completion": of_trainkit("completion", "--candidates", "bash", ASKED, str(len(ASKED)), "=:", limit=0.3),
    "a refused key": of_trainkit("recipe=mlp", "trainer.max_epoch=3", code=2),
    "a refused value": of_trainkit("recipe=mlp", "trainer.max_epochs=ten", code=2),
    TORCH: Case(["-c", TORCH], 0),
    "check of a sound config": of_trainkit("check", "-m", "recipe=mlp", limit=1.0, beyond_torch=True),
    "check of its training": of_trainkit("check", "recipe=mlp", limit=4.0, beyond_torch=True),
}


def cpu_seconds(case: Case, folder: str) -> float:
    """Return the CPU time of a process; exits with its output if it ends otherwise than it must."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *case.arguments],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != case.code:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise SystemExit(f"bench: {' '.join(case.arguments)} ended with {process.returncode}:\n{said[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args(arguments)
    order, rounds = list(CASES), []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES.values():  # compiles the modules, and reads them from the disk
            cpu_seconds(case, folder)
        for number in range(options.rounds):
            rounds.append({name: cpu_seconds(CASES[name], folder) for name in order})
            order.append(order.pop(0))
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    print(f"CPU time of whole processes, {options.rounds} rounds\n\n{HEAD}")
    over = []
    for name, case in CASES.items():
        seconds = [results[name] for results in rounds]
        row, told = [f"{median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"], ""
        if case.limit is not None:
            counted = [results[name] - results[TORCH] * case.beyond_torch for results in rounds]
            told = f"{TORCH} + {case.limit:g}" if case.beyond_torch else f"{case.limit:g}"
            if median(counted) > case.limit:
                over.append(name)
        print(f"| {' | '.join([name, *row, told, str(case.code)])} |")
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "over": over}, indent=2))
    if over:
        raise SystemExit(f"\nover the limit: {', '.join(over)}")
