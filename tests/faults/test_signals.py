"""Signals: a run is saved and leaves within seconds, whatever it was doing, and goes on bit for bit."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from runs import FAULTY, comparable, leftovers, state_of

WATCH = """
import os, trainkit
from faulty import act

class Watch(trainkit.Callback):
    '''Acts at a moment of the run.'''
    def __init__(self, moment, how):
        self.moment, self.how = moment, how
    def at(self, moment):
        if moment == self.moment:
            act(self.how, once=True)
    def on_fit_start(self, trainer):
        open("main.pid", "w").write(str(os.getpid()))
        self.at("fit_start")
    def on_epoch_start(self, trainer):
        self.at("epoch_start")
    def on_gradients(self, trainer):
        if trainer.counters.step == 3:
            self.at("gradients")
    def on_step_end(self, trainer, output):
        if trainer.counters.step == 3:
            self.at("step_end")
        if trainer.counters.step == 6:
            self.at("last_step")
            if self.moment == "save":
                replace = os.replace
                def signalled(*arguments, **options):
                    act(self.how, once=True)
                    replace(*arguments, **options)
                os.replace = signalled
    def on_validation_end(self, trainer, metrics):
        self.at("validation_end")
    def on_epoch_end(self, trainer):
        self.at("epoch_end")
    def on_fit_end(self, trainer):
        self.at("fit_end")
"""

MOMENTS = {
    "fit_start": [],
    "epoch_start": [],
    "gradients": [],
    "step_end": [],
    "last_step": [],
    "save": [],
    "validation_end": [],
    "epoch_end": [],
    "fetching": ["data.datasets.bad=37"],
    "fetching in a worker": ["data.datasets.bad=37", "data.num_workers=2"],
    "validating": ["data.datasets.val_bad=20"],
    "training": ["data.datasets.bad=37", "data.datasets.how=mark"],
}


@pytest.fixture(scope="module")
def unbroken() -> dict:
    return {}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_28_29_30_a_signal_at_any_moment_saves_and_leaves(trainkit, faulty, unbroken, moment, name) -> None:
    """Exit 143 or 130 with a checkpoint; the same command then ends as if nothing had happened."""
    if name != "SIGTERM" and moment not in ("gradients", "fetching in a worker", "validating"):
        pytest.skip("one signal is tried at each moment, the others at three")
    (faulty / "watch.py").write_text(WATCH)
    how = f"{name}+wait" if moment.startswith("fetching") else name
    options = [f"+callbacks.watch={{_target_:watch.Watch,moment:{moment.split()[0]},how:'{how}'}}", *MOMENTS[moment]]
    if moment == "training":
        options += [f"model.how={name}"]
    elif moment.startswith(("fetching", "validating")):
        options += [f"data.datasets.how={how}"]
    command = (*FAULTY, *options, "resume=auto", "checkpoint.every=1ep")
    started = time.monotonic()
    first = trainkit(*command, "run_dir=run")
    assert first.code == (130 if name == "SIGINT" else 143), first.err
    assert time.monotonic() - started < 40  # and not the sixty seconds that a blocked sample takes
    assert first.err == ""
    assert (faulty / "acted").exists()
    summary = json.loads((faulty / "run/summary.json").read_text())
    assert (summary["status"], summary["stop_reason"]) == ("preempted", name)
    step = summary["steps"]
    if step:
        assert state_of(faulty / "run")["counters"]["step"] == step
    assert not leftovers(faulty / "run")
    second = trainkit(*command, "run_dir=run")
    assert second.code == 0, second.err
    marked = "data.datasets.bad=37" if moment == "training" else "data.datasets.bad=null"
    if marked not in unbroken:
        whole = trainkit(*FAULTY, "run_dir=whole", marked, options[0], "checkpoint.every=1ep")
        assert whole.code == 0, whole.err
        unbroken[marked] = comparable(state_of(faulty / "whole"))
    ended = comparable(state_of(faulty / "run"))
    for part in ("model", "optimizer", "schedule", "best", "meter", "counters"):
        assert ended[part] == unbroken[marked][part], part


def test_28_a_second_signal_ends_at_once_and_nothing_is_torn(trainkit, faulty) -> None:
    (faulty / "watch.py").write_text(WATCH)
    for number, moment in enumerate(("gradients", "save", "validation_end")):
        (faulty / "acted").unlink(missing_ok=True)
        watch = f"+callbacks.watch={{_target_:watch.Watch,moment:{moment},how:'SIGTERM,SIGTERM'}}"
        done = trainkit(*FAULTY, f"run_dir=run{number}", watch)
        assert done.code == 143, done.err
        assert "Traceback" not in done.err
        folder = faulty / f"run{number}"
        assert not leftovers(folder)
        assert json.loads((folder / "summary.json").read_text())["status"] == "preempted"
        assert state_of(folder)["counters"]["step"] > 0


def test_28_a_second_signal_while_a_worker_hangs_is_obeyed_too(trainkit, faulty) -> None:
    """The worker has to be killed, of which nothing is to be seen but the exit code."""
    (faulty / "watch.py").write_text(WATCH)
    watch = "+callbacks.watch={_target_:watch.Watch,moment:none,how:''}"
    options = ("data.datasets.bad=37", "data.datasets.how='SIGTERM,SIGTERM+wait'", "data.num_workers=2", "run_dir=run")
    started = time.monotonic()
    done = trainkit(*FAULTY, watch, *options)
    assert (done.code, done.err) == (143, "")
    assert time.monotonic() - started < 40
    assert json.loads((faulty / "run/summary.json").read_text())["status"] == "preempted"


def test_28_a_step_that_does_not_end_is_left_when_the_grace_is_over(trainkit, faulty) -> None:
    """The last checkpoint stays; what the step did is lost."""
    options = ("data.datasets.bad=37", "model.how='SIGTERM+wait'", "trainer.grace_period=1", "run_dir=run")
    started = time.monotonic()
    done = trainkit(*FAULTY, *options)
    assert done.code == 143, done.err
    assert time.monotonic() - started < 40
    assert "Traceback" not in done.err
    assert state_of(faulty / "run")["counters"]["step"] > 0


def test_29_a_terminal_tells_the_whole_group(start, faulty) -> None:
    """Ctrl-C reaches the workers as well; none of them prints a traceback or stays."""
    command = start(*FAULTY, "run_dir=run", "trainer.max_epochs=100000", "data.num_workers=2", "checkpoint.every=1ep")
    deadline = time.monotonic() + 60
    while not (faulty / "run/checkpoints/last.ckpt").exists():
        assert time.monotonic() < deadline, command.err
        time.sleep(0.02)
    os.killpg(command.pid, signal.SIGINT)
    command.wait(30)
    assert (command.code, command.err) == (130, "")
    deadline = time.monotonic() + 10
    while _alive(command.pid):
        assert time.monotonic() < deadline, "a worker is left"
        time.sleep(0.05)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_30_a_user_signal_saves_and_the_run_goes_on(trainkit, faulty) -> None:
    """An extra checkpoint, and the same ending."""
    (faulty / "watch.py").write_text(WATCH)
    watch = "+callbacks.watch={_target_:watch.Watch,moment:gradients,how:SIGUSR1}"
    keep = ("checkpoint.every=1ep", "checkpoint.keep_last=9")
    saved = trainkit(*FAULTY, "run_dir=run", watch, *keep)
    plain = trainkit(*FAULTY, "run_dir=plain", watch.replace("SIGUSR1", "SIGCHLD"), *keep)
    assert (saved.code, plain.code) == (0, 0), saved.err + plain.err
    assert comparable(state_of(faulty / "run")) == comparable(state_of(faulty / "plain"))
    names = [{path.name for path in (faulty / run / "checkpoints").glob("step-*.ckpt")} for run in ("run", "plain")]
    assert names[0] - names[1] == {"step-00000004.ckpt"}


def test_30_a_user_signal_before_the_training_does_no_harm(start, faulty) -> None:
    command = start(*FAULTY, "run_dir=run")
    time.sleep(0.2)  # it is importing, or building
    for _ in range(20):
        try:
            os.kill(command.pid, signal.SIGUSR1)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    assert command.wait().code == 0, command.err


def test_28_nohup_keeps_a_hang_up_away(trainkit, faulty) -> None:
    (faulty / "watch.py").write_text(WATCH)
    (faulty / "sitecustomize.py").write_text("")
    watch = "+callbacks.watch={_target_:watch.Watch,moment:gradients,how:SIGHUP}"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        import subprocess
        import sys

        command = [sys.executable, "-m", "trainkit", *FAULTY, "run_dir=run", watch]
        environment = {**os.environ, "PYTHONPATH": str(faulty), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=faulty, env=environment, text=True, capture_output=True, timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.returncode == 0, done.stderr
    assert Path(faulty / "acted").exists()


def test_28_a_group_that_is_ended_while_a_worker_starts_is_saved_too(trainkit, faulty) -> None:
    """A scheduler tells every process; a worker that is not ready yet leaves it to the training, here in a step."""
    (faulty / "early.py").write_text(
        "import os, signal, time, trainkit\n"
        "from torch.utils.data._utils import signal_handling\n"
        "class Early(trainkit.Callback):\n"
        "    def on_fit_start(self, trainer):\n"
        "        ready = signal_handling._set_worker_signal_handlers\n"
        "        def late(*arguments):\n"
        "            ready(*arguments)\n"
        "            try:\n"
        "                os.mkdir('first-worker')\n"
        "            except FileExistsError:\n"
        "                while not os.path.exists('stepping'):\n"
        "                    time.sleep(0.01)\n"
        "                if not os.path.exists('acted'):\n"
        "                    open('acted', 'w').close()\n"
        "                    os.killpg(0, signal.SIGTERM)\n"
        "                    time.sleep(0.3)\n"
        "        signal_handling._set_worker_signal_handlers = late\n"
        "    def on_gradients(self, trainer):\n"
        "        if not os.path.exists('stepping'):\n"
        "            open('stepping', 'w').close()\n"
        "            until = time.monotonic() + 2\n"
        "            while time.monotonic() < until:\n"
        "                time.sleep(0.05)\n"
    )
    options = ("+callbacks.early={_target_:early.Early}", "data.num_workers=2", "run_dir=run", "resume=auto")
    first = trainkit(*FAULTY, *options)
    assert (first.code, first.err) == (143, "")
    assert (faulty / "acted").exists()
    assert state_of(faulty / "run")["counters"]["step"] == 1
    assert trainkit(*FAULTY, *options).code == 0
