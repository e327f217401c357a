"""Killed at random moments, from inside or outside, a run that is started again ends as if it had not been."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from warm import Process, Warm

pytestmark = pytest.mark.slow

# One process, itself forked from the warm parent, that forks each run: a hundred runs in a minute. Nothing has
# computed anything, and no thread was started, before it forks.
DRIVER = '''
import json, os, random, signal, sys, traceback
from pathlib import Path

import numpy, torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from trainkit import Callback, Loader, Trainer, supervised
from trainkit.checkpoint import Store, newest, read
from trainkit.optim import WeightAverage

STEPS = 24
CALLS = {name: getattr(os, name) for name in ("write", "fsync", "replace", "symlink", "unlink")}
MOMENTS = ["gradients", "step", "validation", "epoch", "at a byte of a save", "before a call of a save", "after it"]


class Augmented(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(40, 6, generator=generator)
        self.targets = torch.randint(3, (40,), generator=generator)

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return self.inputs[index] + torch.randn(6) * numpy.random.rand() + random.random(), self.targets[index]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Dies(Callback):
    """Ends this process at a moment of a step, or of the save after it, as the machine would."""

    def __init__(self, step, moment, number):
        self.step, self.moment, self.number = step, moment, number

    def at(self, trainer, moment):
        if moment == self.moment and trainer.counters.step >= self.step:
            die()

    def on_fit_start(self, trainer):
        self.arm(trainer)

    def on_gradients(self, trainer):
        self.at(trainer, "gradients")

    def on_step_end(self, trainer, output):
        self.at(trainer, "step")
        self.arm(trainer)

    def on_validation_end(self, trainer, metrics):
        self.at(trainer, "validation")

    def on_epoch_end(self, trainer):
        self.at(trainer, "epoch")

    def on_fit_end(self, trainer):
        self.at(trainer, "end")

    def arm(self, trainer):
        """Stand between the store and the file system."""
        if not self.moment.endswith(("save", "it")) or trainer.counters.step < self.step or os.write != CALLS["write"]:
            return
        if self.moment == "at a byte of a save":
            os.write = self.torn
        else:
            for name, call in CALLS.items():
                setattr(os, name, self.counted(call, self.moment == "after it"))

    def torn(self, descriptor, data):
        """Write as far as the byte at which the machine stops."""
        if descriptor > 2:
            written = CALLS["write"](descriptor, data[: self.number])
            self.number -= written
            if self.number <= 0:
                die()
            return written
        return CALLS["write"](descriptor, data)

    def counted(self, call, late):
        def function(*arguments, **named):
            self.number -= 1
            if self.number < 0 and not late:
                die()
            result = call(*arguments, **named)
            if self.number < 0:
                die()
            return result

        return function


def run(folder, background, by_name, *callbacks):
    """What a user's script does: go on if there is something to go on from, and train."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    store = Store(folder / "checkpoints", every="5st", background=background)
    loader = Loader(Augmented(), 5, shuffle=True)
    trainer = Trainer(
        model, supervised(nn.CrossEntropyLoss()), optimizer, loader, Loader(Augmented(), 20),
        schedule=OneCycleLR(optimizer, 0.05, total_steps=STEPS), averaging=WeightAverage("ema", decay=0.9),
        callbacks={"dies": callback for callback in callbacks}, store=store, run_dir=folder, max_steps=STEPS,
        val_check_interval=3, log_every_n_steps=2, gradient_clip_val=1.0, device="cpu",
    )
    there = (store.last if store.last.exists() else None) if by_name else newest(store.folder)
    if there is not None:
        trainer.resume(there)
    trainer.fit()


def loads(folder):
    """Read what the names of the last and the best checkpoint lead to, by our reader and by torch's own."""
    for name in ("last", "best"):
        link = folder / "checkpoints" / f"{name}.ckpt"
        if link.is_symlink():
            ours, theirs = read(link), torch.load(link, weights_only=True)
            assert ours["counters"] == theirs["counters"]


def forked(function, *arguments):
    """Return how a process ended that ran a function: its exit code, or minus its signal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


home = Path(sys.argv[1])
draw = random.Random(0)
assert forked(run, home / "unbroken", False, False) == 0
size = (home / "unbroken" / "checkpoints" / "last.ckpt").stat().st_size
for number in range(int(sys.argv[2])):
    step, moment = draw.randrange(STEPS - 4), MOMENTS[number % len(MOMENTS)] if number else "end"
    folder, background = home / str(number), number % 2 == 1
    dies = Dies(step, moment, draw.randrange(1, size) if moment == "at a byte of a save" else draw.randrange(16))
    killed, checkpoints = forked(run, folder, background, False, dies), folder / "checkpoints"
    left = {
        "last": (checkpoints / "last.ckpt").is_symlink(),
        "loads": forked(loads, folder),
        "torn": [path.stat().st_size for path in checkpoints.glob(".tmp-*.ckpt") if not path.is_symlink()],
        "size": size,
    }
    codes = [killed, forked(run, folder, background, number % 3 == 0)]
    print(json.dumps({"folder": str(folder), "step": step, "moment": moment, "codes": codes, **left}), flush=True)
'''

NOT_OF_THE_RUN = {"seconds", "time", "train/samples_per_second", "callbacks.dies", "parts", "about"}


def plain(value: object) -> object:
    """Return a state as plain types that compare by their bits, without what a clock and this test add."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if name not in NOT_OF_THE_RUN}
    if hasattr(value, "tolist"):
        return str(value.dtype), value.tolist()
    return [plain(item) for item in value] if isinstance(value, tuple | list) else repr(value)


def outcome(folder: Path) -> object:
    import torch

    state = {name: torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("last", "best")}
    state["best"] = {name: state["best"][name] for name in ("model", "averaging", "optimizer", "counters")}
    return plain(
        {**state, "records": [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]}
    )


def test_fifty_kills_fifty_identical_endings(warm: Warm, tmp_path: Path) -> None:
    """Killed at a random moment, also at a random byte or call of a save, and started again: the same bits."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    result = warm.run(tmp_path, "56", cwd=tmp_path, script=script)
    assert result.returncode == 0, result.stderr
    runs = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(runs) == 56
    expected = outcome(tmp_path / "unbroken")
    for run in runs:
        assert run["codes"] == [-signal.SIGKILL, 0], (run, result.stderr)
        assert run["loads"] == 0, (run, result.stderr)
        assert outcome(Path(run["folder"])) == expected, run
        assert not list(Path(run["folder"]).rglob(".tmp-*")), run
    assert sum(run["last"] for run in runs) > 35, "most kills must find a checkpoint to go on from"
    torn = [run for run in runs if any(0 < size < run["size"] for size in run["torn"])]
    assert len(torn) >= 6, "kills at a byte must leave files cut off"


QUIET = ("callbacks.progress=null", "callbacks.predictions=null", "loggers.tensorboard=null")


def start(warm: Warm, folder: Path) -> Process:
    """Start the command, the same whether the run is new or not."""
    folder.parent.mkdir(exist_ok=True)
    command = ("recipe=mlp", "trainer.max_epochs=60", "test=false", "resume=auto", *QUIET, f"run_dir={folder}")
    with open(os.devnull, "w") as null:
        return warm.start(*command, cwd=folder.parent, stdout=null, stderr=null)


def size(folder: Path) -> int:
    """Return the bytes logged so far; 0 as long as there is no checkpoint."""
    log, checkpoint = folder / "metrics.jsonl", folder / "checkpoints" / "last.ckpt"
    return log.stat().st_size if log.exists() and checkpoint.exists() else 0


def test_one_command_line_repeated_until_done_survives_each_signal(warm: Warm, tmp_path: Path) -> None:
    assert start(warm, tmp_path / "unbroken" / "run").wait(60) == 0
    folder = tmp_path / "broken" / "run"
    for number, code in {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}.items():
        before, process = size(folder), start(warm, folder)
        while size(folder) < before + 500:
            assert not process.ended()
            time.sleep(0.01)
        os.kill(process.pid, number)
        assert process.wait(60) == code
    assert start(warm, folder).wait(60) == 0
    assert outcome(folder) == outcome(tmp_path / "unbroken" / "run")
