"""Kill runs at random moments, again and again, and hold each ending against that of the same run left alone.

A run is one command line in one folder. It is started, and a random time later a random signal is sent: SIGKILL,
SIGTERM, SIGINT to the whole process group, SIGUSR1, or a second signal right after the first. After each kill the
last and the best checkpoint are read; then the same command line is started again, until it exits with 0. How data
are fetched and when and how checkpoints are written is drawn anew for each start, for none of it may change a bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from soaking.processes import OWN, Process, answer

BASE = ("recipe=mlp", "trainer.max_epochs=8", "trainer.log_every_n_steps=5", "test=false")
AUGMENT = "data.augment={_target_: torchvision.transforms.v2.RandomCrop, size: 8, padding: 1}"
CLIPPED = "trainer.gradient_clip_val=0.5"
RUNS = (
    (*BASE, "trainer.val_check_interval=6"),
    (
        *BASE,
        "averaging=ema",
        "schedule=one_cycle",
        "trainer.accumulate_grad_batches=3",
        "trainer.gradient_clip_val=0.5",
    ),
    (*BASE, "averaging=swa", "schedule=plateau", "callbacks.early_stopping.patience=4", "trainer.val_check_interval=5"),
    (*BASE, "trainer.precision=fp16", "trainer.check_val_every_n_epoch=2", AUGMENT),
)
"""The runs that are killed where the command line names none; each shapes the result in another way."""
FREE = (
    ("data.num_workers=0", "data.num_workers=2", "data.num_workers=2 data.persistent_workers=true"),
    ("checkpoint.background=false", "checkpoint.background=true"),
    ("checkpoint.every=3st", "checkpoint.every=7st", "checkpoint.every=1ep"),
)
"""What is drawn for each start; none of it may change a bit."""
KINDS = {
    "SIGKILL": 60,
    "SIGTERM": 14,
    "SIGINT": 8,
    "SIGUSR1, then SIGKILL": 6,
    "SIGTERM twice": 6,
    "SIGINT, then SIGTERM": 6,
}
"""What is sent, and how often in a hundred."""
CODES = {"SIGKILL": {-9}, "SIGTERM": {143}, "SIGINT": {130}, "SIGUSR1, then SIGKILL": {-9}}
CODES |= {"SIGTERM twice": {143}, "SIGINT, then SIGTERM": {130, 143}}
ONE_IN = 25
"""Of so many processes one is a Python of its own, which takes seconds to start."""


def left(folder: str) -> dict[str, str]:
    """Return the digests of all that a run leaves but for the clock's."""
    from trainkit.callbacks.digests import digests
    from trainkit.commands.comparison import checkpoint, records

    found = {
        f"{which}.ckpt: {path}": d for which in ("last", "best") for path, d in checkpoint(Path(folder), which).items()
    }
    return found | digests({"metrics.jsonl": records(Path(folder))})


def torn(folder: str) -> str:
    """Return what is wrong with the last and the best checkpoint, by our reader and by torch's; empty if nothing is."""
    import torch

    from trainkit.checkpoint import read

    for name in ("last", "best"):
        link = Path(folder, "checkpoints", f"{name}.ckpt")
        if link.is_symlink():
            try:
                if read(link)["counters"] != torch.load(link, weights_only=True)["counters"]:
                    return f"{link}: two readers disagree"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
                return f"{link}: {error}"
    return ""


class Soak:
    """The kills so far, and what came of them."""

    def __init__(self, folder: Path, seed: int, line: list[str]) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.runs: tuple[tuple[str, ...], ...] = (tuple(line),) if line else RUNS
        self.kinds: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
        self.count: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.unbroken: dict[int, tuple[dict[str, str], float]] = {}

    def round(self, kills: int) -> None:
        """Kill one run up to so many times, and compare how it ends."""
        number = self.draw.randrange(len(self.runs))
        expected, seconds = self._unbroken(number)
        folder = self.folder / f"run-{self.count['runs']}"
        folder.mkdir()
        self.count["runs"] += 1
        line = [*self.runs[number], "run_dir=run", "resume=auto"]
        for _ in range(kills):
            process = self._start(line, folder)
            limit = (seconds + 4 if process.place == OWN else seconds) * 1.1
            code = self._kill(process, self.draw.random() * limit)
            if code == 0:
                break
            self._look_at(folder, process)
        code = self._start(line, folder).wait()
        found = answer(left, folder, str(folder / "run")) if code == 0 else None
        if found == expected and not list(folder.rglob(".tmp-*")):
            self.count["identical"] += 1
            shutil.rmtree(folder)
            return
        what = f"exit code {code}" if code else "a file half-written was left behind"
        if found is not None and found != expected:
            first = next(name for name in {**expected, **found} if expected.get(name) != found.get(name))
            what = f"{first} differs"
        self.wrong.append(f"{folder}: {what}")

    def _unbroken(self, number: int) -> tuple[dict[str, str], float]:
        """Return what the run leaves that nobody kills, and how long it takes."""
        if number not in self.unbroken:
            folder = self.folder / f"unbroken-{number}"
            folder.mkdir()
            start = time.monotonic()
            code = self._start([*self.runs[number], "run_dir=run", "resume=auto"], folder, plainly=True).wait()
            seconds = time.monotonic() - start
            if code or not (found := answer(left, folder, str(folder / "run"))):
                said = (folder / "output.txt").read_text(errors="replace")
                raise SystemExit(f"soak: the run that nobody kills ends with {code}:\n{said[-2000:]}")
            self.unbroken[number] = found, seconds
        return self.unbroken[number]

    def _start(self, line: list[str], folder: Path, *, plainly: bool = False) -> Process:
        if plainly:
            return Process(line, folder)
        self.count["processes"] += 1
        free = [word for words in FREE for word in self.draw.choice(words).split(" ")]
        own = self.draw.randrange(ONE_IN) == 0
        return Process([*line, *free], folder, throttle=0.004, own=own)

    def _kill(self, process: Process, delay: float) -> int:
        """Send what is drawn after a delay; return the exit code, 0 if the run was quicker."""
        kind = self.draw.choices(list(KINDS), list(KINDS.values()))[0]
        pause, to_all = self.draw.random() * 0.1, self.draw.random() < 0.5
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline and not process.ended():
            time.sleep(0.001)
        if process.ended():
            return process.wait()
        first, second = {
            "SIGKILL": (signal.SIGKILL, None),
            "SIGTERM": (signal.SIGTERM, None),
            "SIGINT": (signal.SIGINT, None),
            "SIGUSR1, then SIGKILL": (signal.SIGUSR1, signal.SIGKILL),
            "SIGTERM twice": (signal.SIGTERM, signal.SIGTERM),
            "SIGINT, then SIGTERM": (signal.SIGINT, signal.SIGTERM),
        }[kind]
        if first == signal.SIGUSR1 and process.place in (OWN, "starting"):  # it may not listen yet
            first, second, kind = signal.SIGKILL, None, "SIGKILL"
        place = process.place
        process.send(first, to_all=first == signal.SIGINT or (to_all and first == signal.SIGTERM))
        if second is not None:
            time.sleep(pause)
            place = process.place if second == signal.SIGKILL else place
            if not process.ended():
                process.send(second)
        code = process.wait()
        if first == signal.SIGKILL or second == signal.SIGKILL:
            place = process.place  # where it was when it died
        if code == 0:  # it was about to end
            return 0
        self.kinds[kind] += 1
        self.moments[place] += 1
        if code not in CODES[kind]:
            said = (process.folder / "output.txt").read_text(errors="replace").strip()[-1500:]
            self.wrong.append(f"{process.folder}: {kind} {place}: exit code {code}:\n{said}")
        return code

    def _look_at(self, folder: Path, process: Process) -> None:
        """See what a kill left behind."""
        checkpoints = folder / "run" / "checkpoints"
        if (checkpoints / "last.ckpt").is_symlink():
            self.count["readable"] += 1
            if problem := answer(torn, folder, str(folder / "run")):
                self.count["readable"] -= 1
                self.count["torn"] += 1
                self.wrong.append(problem)
        else:
            self.count["none yet"] += 1
        self.count["half-written"] += len(list(checkpoints.glob(".tmp-*")))
        if process.orphans():
            self.count["orphans"] += 1
            self.wrong.append(f"{folder}: a worker outlived process {process.number}")

    def figures(self, seconds: float, seed: int) -> dict[str, str]:
        """Return what is told at the end."""
        count, kills = self.count, self.kinds.total()
        return {
            "kills": f"{kills}: " + ", ".join(f"{kind} {n}" for kind, n in self.kinds.most_common()),
            "moments": ", ".join(f"{place} {n}" for place, n in self.moments.most_common()),
            "checkpoints": f"after {kills} kills: {count['readable']} readable, {count['none yet']} none yet, "
            f"{count['torn']} torn; {count['half-written']} files half-written, swept at the next start",
            "endings": f"{count['identical']} of {count['runs']} runs identical, bit for bit, to the run left alone",
            "processes": f"{count['processes']}, {count['orphans']} left workers behind",
            "seconds": f"{seconds:.0f} (seed {seed})",
        }


def main() -> int:
    """Kill, compare and print the figures; 0 if all is well."""
    parser = argparse.ArgumentParser("scripts/soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=500, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="what is drawn goes by it (%(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no further run after so long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("line", nargs="*", help="a command line of yours to kill, such as recipe=cnn; quick ones else")
    options = parser.parse_intermixed_args()
    if options.kills < 1:
        parser.error(f"--kills {options.kills}: must be at least 1")

    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    import tensorboard  # noqa: F401 - all that a run needs, so that forks find it imported
    import torch._dynamo  # noqa: F401
    import torchinfo  # noqa: F401
    import torchvision  # noqa: F401

    import trainkit.commands.train
    import trainkit.loggers.tensorboard  # noqa: F401

    folder, start = Path(tempfile.mkdtemp(prefix="soak-")), time.monotonic()
    soak = Soak(folder, options.seed, options.line)
    while (done := soak.kinds.total()) < options.kills and time.monotonic() - start < options.minutes * 60:
        soak.round(min(soak.draw.randint(1, 8), options.kills - done))
        good, runs = soak.count["identical"], soak.count["runs"]
        print(f"soak: {soak.kinds.total()} kills, {good} of {runs} endings identical", file=sys.stderr, flush=True)
    figures = soak.figures(time.monotonic() - start, options.seed)
    print("\n".join(f"{name:<13}{text}" for name, text in figures.items()))
    if options.json:
        told = {"kills": soak.kinds, "moments": soak.moments, "counts": soak.count, "wrong": soak.wrong}
        options.json.write_text(json.dumps(told, indent=2))
    if soak.wrong:
        print("wrong\n  " + "\n  ".join(soak.wrong) + f"\nkept         {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
