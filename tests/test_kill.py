"""Killed at random moments, from inside or outside, a run that is started again ends as if it had not been."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# One process that imports torch once and forks each run from there: forty runs in seconds. Nothing has computed
# anything, and no thread was started, before it forks.
DRIVER = '''
import json, os, random, signal, sys
from pathlib import Path

import numpy, torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from trainkit import Callback, Loader, Trainer, checkpoint, supervised
from trainkit.checkpoint import Store
from trainkit.optim import WeightAverage

STEPS = 24
BEFORE, AFTER = "before a rename", "after a rename"


class Augmented(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(40, 6, generator=generator)
        self.targets = torch.randint(3, (40,), generator=generator)

    def __len__(self):
        return 40

    def __getitem__(self, index):
        return self.inputs[index] + torch.randn(6) * numpy.random.rand() + random.random(), self.targets[index]


class Dies(Callback):
    """Ends this process at a moment of a step, as the machine would."""

    def __init__(self, step, moment):
        self.step, self.moment = step, moment

    def die(self, trainer, moment):
        if moment == self.moment and trainer.counters.step >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_gradients(self, trainer):
        self.die(trainer, "gradients")

    def on_step_end(self, trainer, output):
        self.die(trainer, "step")
        if self.moment in (BEFORE, AFTER) and trainer.counters.step >= self.step:
            rename, late = os.replace, self.moment == AFTER

            def replace(source, target):
                if late:
                    rename(source, target)
                os.kill(os.getpid(), signal.SIGKILL)

            os.replace = replace

    def on_validation_end(self, trainer, metrics):
        self.die(trainer, "validation")

    def on_epoch_end(self, trainer):
        self.die(trainer, "epoch")

    def on_fit_end(self, trainer):
        self.die(trainer, "end")


def run(folder, *callbacks):
    """What a user's script does: go on if there is something to go on from, and train."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    store = Store(folder / "checkpoints", every="5st")
    loader = Loader(Augmented(), 5, shuffle=True)
    trainer = Trainer(
        model, supervised(nn.CrossEntropyLoss()), optimizer, loader, Loader(Augmented(), 20),
        schedule=OneCycleLR(optimizer, 0.05, total_steps=STEPS), averaging=WeightAverage("ema", decay=0.9),
        callbacks={"dies": callback for callback in callbacks}, store=store, run_dir=folder, max_steps=STEPS,
        val_check_interval=3, log_every_n_steps=2, gradient_clip_val=1.0, device="cpu",
    )
    if store.last.exists():
        trainer.resume(folder)
    trainer.fit()


def forked(function, *arguments):
    """Return how a process ended that ran a function: its exit code, or minus its signal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


import torch._dynamo  # which each optimizer imports: once here, not in each child

home = Path(sys.argv[1])
draw = random.Random(0)
moments = ["gradients", "step", "validation", "epoch", BEFORE, AFTER]
plan = [(draw.randrange(STEPS), moments[number % len(moments)]) for number in range(19)] + [(0, "end")]
assert forked(run, home / "unbroken") == 0
for number, (step, moment) in enumerate(plan):
    folder = home / str(number)
    codes = [forked(run, folder, Dies(step, moment)), forked(run, folder)]
    print(json.dumps({"folder": str(folder), "step": step, "moment": moment, "codes": codes}), flush=True)
'''

NOT_OF_THE_RUN = {"seconds", "time", "train/samples_per_second", "callbacks.dies"}


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


def test_twenty_kills_twenty_identical_endings(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    result = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=110)
    assert result.returncode == 0, result.stderr
    runs = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(runs) == 20
    expected = outcome(tmp_path / "unbroken")
    for run in runs:
        assert run["codes"] == [-signal.SIGKILL, 0], run
        assert outcome(Path(run["folder"])) == expected, run
        assert not list(Path(run["folder"]).rglob(".tmp-*")), run


COMMAND = [sys.executable, "-m", "trainkit", "recipe=mlp", "trainer.max_epochs=100", "resume=auto", "loggers={}"]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the command, the same whether the run is new or not."""
    folder.parent.mkdir(exist_ok=True)
    command = [*COMMAND, f"run_dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder.parent)


def size(folder: Path) -> int:
    """Return the bytes logged so far; 0 as long as there is no checkpoint."""
    log, checkpoint = folder / "metrics.jsonl", folder / "checkpoints" / "last.ckpt"
    return log.stat().st_size if log.exists() and checkpoint.exists() else 0


def test_one_command_line_repeated_until_done_survives_each_signal(tmp_path: Path) -> None:
    assert start(tmp_path / "unbroken" / "run").wait(60) == 0
    folder = tmp_path / "broken" / "run"
    for number, code in {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}.items():
        before, process = size(folder), start(folder)
        while size(folder) < before + 500:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) == code
    assert start(folder).wait(60) == 0
    assert outcome(folder) == outcome(tmp_path / "unbroken" / "run")
