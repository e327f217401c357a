"""Trouble in training itself: bad numbers, memory, the user's own code, observers, clocks."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from runs import FAULTY, comparable, leftovers, state_of

BAD = 37
"""The sample that makes trouble."""


def straight(trainkit, steps: int) -> Path:
    """Train without trouble up to a step."""
    done = trainkit(*FAULTY, "run_dir=straight", f"trainer.max_steps={steps}", "data.datasets.bad=37", "test=false")
    assert done.code == 0, done.err
    return done.folder / "straight"


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (["model.how=activation"], "first: nan out of mul in the model (Net)"),
        (["model.how=gradient"], "(PoisonBackward) in the model (Net)"),
        (["data.datasets.how=input"], "first: the data batch[0], in sample 37"),
        (["model.how=activation", "trainer.gradient_clip_val=1.0"], "the loss is nan"),
        (["model.how=gradient", "trainer.gradient_clip_val=1.0"], "the gradient norm is nan"),
        (["model.how=gradient", "trainer.accumulate_grad_batches=2"], "a gradient is not finite"),
        (["model.how=activation", "trainer.precision=bf16"], "the loss is nan"),
        (["model.how=activation", "trainer.precision=fp16"], "the loss is nan"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "-".join(value),
)
def test_25_bad_numbers_are_caught_before_the_optimizer_steps(trainkit, faulty, trouble, told) -> None:
    """Exit 1, step and place named, weights and checkpoints those of the step before, none of them bad."""
    done = trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", *trouble)
    assert done.code == 1, done.err
    assert told in done.err
    assert len(done.err.splitlines()) <= 10
    assert "Traceback" not in done.err
    said = re.search(r"^trainkit: step (\d+): ", done.err, re.MULTILINE)  # after a warning that fp16 is slow here
    assert said is not None
    step = int(said[1])
    bundle = json.loads((faulty / f"run/autopsy/step-{step:08d}/report.json").read_text())
    assert BAD in [index for batch in bundle["samples"] for index in batch]
    summary = json.loads((faulty / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("failed", step - 1)
    for path in (faulty / "run/checkpoints").glob("step-*.ckpt"):
        weights = torch.load(path, weights_only=True)["model"]
        assert all(tensor.isfinite().all() for tensor in weights.values())
    if step > 1:
        assert state_of(faulty / "run")["counters"]["step"] == step - 1
    assert not leftovers(faulty / "run")


def test_25_the_weights_are_those_of_the_step_before(trainkit, faulty) -> None:
    done = trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", "model.how=gradient")
    step = int(done.err.split()[2].rstrip(":"))
    assert step > 1
    expected = state_of(straight(trainkit, step - 1))
    for part in ("model", "optimizer"):
        assert comparable(state_of(faulty / "run")[part]) == comparable(expected[part])
    again = trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", "model.how=gradient", "resume=auto")
    assert (again.code, again.err) == (1, done.err)  # the same step fails in the same way


def test_25_a_bad_step_can_be_skipped(trainkit, faulty) -> None:
    options = ("data.datasets.bad=37", "model.how=activation", "trainer.on_nonfinite=skip")
    done = trainkit(*FAULTY, "run_dir=run", *options)
    assert done.code == 0, done.err
    counters = state_of(faulty / "run")["counters"]
    assert (counters["nonfinite"], counters["skipped"]) == (2, 0)  # once an epoch; not an overflow of a scaler
    assert counters["step"] == 10
    records = [json.loads(line) for line in (faulty / "run/metrics.jsonl").read_text().splitlines()]
    assert all(record.get("train/loss_epoch", 0.0) is not None for record in records)
    limited = trainkit(*FAULTY, "run_dir=two", *options, "trainer.nonfinite_limit=1")
    assert limited.code == 1
    assert "the last of 1 in a row" in limited.err


def test_25_a_run_can_go_back_and_a_kill_changes_nothing(trainkit, faulty) -> None:
    """Rolled back to the last regular checkpoint; one that a signal added makes no difference."""
    options = ("data.datasets.bad=37", "model.how=activation", "trainer.on_nonfinite=rollback", "checkpoint.every=3st")
    done = trainkit(*FAULTY, "run_dir=run", *options)
    assert done.code == 0, done.err
    assert "back to the weights of step" in done.err
    assert state_of(faulty / "run")["counters"]["nonfinite"] == 2
    (faulty / "stopper.py").write_text(
        "import os, signal, trainkit\n"
        "class Stop(trainkit.Callback):\n"
        "    def on_step_end(self, trainer, output):\n"
        "        if trainer.counters.total_batches in (2, 5, 7):\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    codes = []
    while not codes or (codes[-1] == 143 and len(codes) < 9):
        stop = "+callbacks.stop={_target_:stopper.Stop}"
        codes.append(trainkit(*FAULTY, "run_dir=killed", *options, stop, "resume=auto").code)
    assert codes == [143, 143, 143, 0]
    states = [comparable(state_of(faulty / name)) for name in ("run", "killed")]
    for part in ("model", "optimizer", "counters", "best"):
        assert states[0][part] == states[1][part], part


def test_26_a_bad_loss_is_logged_as_it_was(trainkit, faulty) -> None:
    """Strict JSON: null, and its name under non_finite."""
    trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", "model.how=activation")

    def no_constant(text: str) -> None:
        raise AssertionError(text)

    lines = (faulty / "run/metrics.jsonl").read_text().splitlines()
    last = [json.loads(line, parse_constant=no_constant) for line in lines][-1]
    assert last["train/loss"] is None
    assert last["non_finite"] == {"train/loss": "nan"}


def test_27_out_of_memory_names_step_batch_and_a_way_out(trainkit, faulty) -> None:
    done = trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", "model.how=memory")
    assert done.code == 1
    assert "out of memory on cpu with batches of " in done.err
    for word in ("data.batch_size", "trainer.accumulate_grad_batches", "Tried to allocate 20.00 GiB"):
        assert word in done.err
    assert "Traceback" not in done.err
    step = int(done.err.split()[2].rstrip(":"))
    assert state_of(faulty / "run")["counters"]["step"] == step - 1


HOOKS = ["fit_start", "epoch_start", "gradients", "step_end", "validation_end", "epoch_end", "fit_end", "exception"]


@pytest.mark.parametrize("hook", HOOKS)
def test_31_an_error_in_a_callback_shows_the_users_frames_alone(trainkit, faulty, hook) -> None:
    """Exit 1; ``on_exception`` is called, and what fails there does not hide the first error."""
    (faulty / "watch.py").write_text(
        "import trainkit\n"
        "class Watch(trainkit.Callback):\n"
        f"    def on_{hook}(self, *arguments):\n"
        "        raise LookupError('my own mistake')\n"
        "class Told(trainkit.Callback):\n"
        "    def on_exception(self, trainer, error):\n"
        "        open('told', 'w').write(repr(error))\n"
    )
    callbacks = ["+callbacks.watch={_target_:watch.Watch}", "+callbacks.told={_target_:watch.Told}"]
    trouble = ["data.datasets.bad=37", "model.how=error"] if hook == "exception" else []
    done = trainkit(*FAULTY, "run_dir=run", *callbacks, *trouble)
    assert done.code == 1
    first = "ValueError: the model does not like this" if hook == "exception" else "LookupError: my own mistake"
    assert f"trainkit: {first}" in done.err
    assert ("faulty.py" if hook == "exception" else "watch.py") in done.err
    assert "site-packages" not in done.err
    assert "trainkit/trainer.py" not in done.err
    assert "Traceback" not in done.err
    assert first.split(":")[0] in (faulty / "told").read_text()
    if hook == "exception":
        assert "on_exception failed as well: LookupError" in done.err
    summary = json.loads((faulty / "run/summary.json").read_text())
    assert summary["status"] == "failed"
    assert first in summary["stop_reason"]
    lines = (faulty / "run/metrics.jsonl").read_text().splitlines() if hook not in HOOKS[:4] else []
    assert all(json.loads(line) for line in lines)
    mended = ["data.datasets.bad=37"] if hook == "exception" else []
    again = trainkit(*FAULTY, "run_dir=run", "resume=auto", *mended)
    assert again.code == 0, again.err
    assert state_of(faulty / "run")["counters"]["step"] == 12


def test_31_an_error_in_the_model_says_where_in_the_training(trainkit, faulty) -> None:
    done = trainkit(*FAULTY, "run_dir=run", "data.datasets.bad=37", "model.how=error")
    assert done.code == 1
    assert "in step " in done.err
    assert "the model does not like this" in done.err
    assert 'raise ValueError("the model does not like this")' in done.err
    shown = trainkit(*FAULTY, "run_dir=two", "data.datasets.bad=37", "model.how=error", "--traceback")
    assert "Traceback" in shown.err


def test_32_a_logger_that_fails_is_switched_off(trainkit, faulty) -> None:
    (faulty / "disk.py").write_text(
        "import errno\n"
        "class Full:\n"
        "    def log(self, values, counters, axis):\n"
        "        raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "    def image(self, *arguments): pass\n"
        "    hyperparameters = rewind = image\n"
        "    def close(self): raise OSError('again')\n"
        "    def __init__(self, folder): pass\n"
    )
    done = trainkit(*FAULTY, "run_dir=run", "+loggers.full={_target_:disk.Full}")
    assert done.code == 0, done.err
    assert done.err.count("switched off") == 1
    assert "the logger Full failed and is switched off: OSError: [Errno 28] No space left on device" in done.err
    summary = json.loads((faulty / "run/summary.json").read_text())
    assert summary["status"] == "completed"
    assert len(summary["warnings"]) == 1
    assert (faulty / "run/metrics.jsonl").read_text().count("val/loss") >= 2  # the other one goes on


def test_32_a_metric_that_fails_is_switched_off(trainkit, faulty) -> None:
    (faulty / "measure.py").write_text(
        "class Fragile:\n"
        "    seen = 0\n"
        "    def reset(self): pass\n"
        "    def update(self, predictions, targets):\n"
        "        self.seen += 1\n"
        "        if self.seen > 5:\n"
        "            raise RuntimeError('broke')\n"
        "    def compute(self): return 0.5\n"
        "class Wrong(Fragile):\n"
        "    seen = 9\n"
    )
    done = trainkit(*FAULTY, "run_dir=run", "+metrics.fragile={_target_:measure.Fragile}")
    assert done.code == 0, done.err
    assert done.err.count("the metric fragile failed and is switched off: RuntimeError: broke") == 1
    wrong = trainkit(*FAULTY, "run_dir=two", "+metrics.fragile={_target_:measure.Wrong}")
    assert wrong.code != 0  # what is wrong from the start is no reason to go on


def test_33_time_limits_do_not_hear_of_clocks_that_jump(trainkit, faulty) -> None:
    """The limit goes by a monotonic clock, and counts over resumes."""
    (faulty / "clock.py").write_text(
        "import time, trainkit\n"
        "class Jumps(trainkit.Callback):\n"
        "    def on_step_end(self, trainer, output):\n"
        "        now = time.time()\n"
        "        time.time = lambda: now + 1e7 * (-1) ** trainer.counters.step\n"
        "class Slow(trainkit.Callback):\n"
        "    def on_step_end(self, trainer, output):\n"
        "        time.sleep(0.4)\n"
    )
    jumps = trainkit(*FAULTY, "run_dir=run", "+callbacks.jumps={_target_:clock.Jumps}", "trainer.max_time=1h")
    assert jumps.code == 0, jumps.err
    assert state_of(faulty / "run")["counters"]["step"] == 12
    slow = ("+callbacks.slow={_target_:clock.Slow}", "trainer.max_epochs=100", "trainer.max_time=3s", "resume=auto")
    first = trainkit(*FAULTY, "run_dir=slow", *slow, "trainer.max_steps=3")
    second = trainkit(*FAULTY, "run_dir=slow", *slow)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    counters = state_of(faulty / "slow")["counters"]
    assert counters["seconds"] >= 3
    assert 4 <= counters["step"] <= 8  # not another three seconds from the resume on
    assert math.isfinite(counters["seconds"])


FULL = """
import resource, signal, trainkit

class Full(trainkit.Callback):
    '''A disk that takes no more from one step on, until another.'''
    def __init__(self, start, end):
        self.start, self.end = start, end
    def on_step_end(self, trainer, output):
        if trainer.counters.step == self.start:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        if trainer.counters.step == self.end:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("background", ["false", "true"])
def test_03_a_disk_that_stays_full_ends_in_1_and_loses_nothing_older(trainkit, faulty, background: str) -> None:
    """The training goes on to its end; then the exit code, the words and the command to repeat say so."""
    (faulty / "full.py").write_text(FULL)
    options = ("run_dir=run", f"checkpoint.background={background}", "checkpoint.every=2st")
    done = trainkit(*FAULTY, *options, "+callbacks.full={_target_:full.Full,start:5,end:99}")
    assert done.code == 1, done.err
    assert done.err.count("WAS NOT SAVED") == 1
    assert "trainkit: the last checkpoint was not saved" in done.err
    assert "resume=auto" in done.out.splitlines()[-1]
    summary = json.loads((faulty / "run/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("failed", 12)
    last = state_of(faulty / "run")["counters"]["step"]
    assert last == 4 or (background == "true" and last == 2)  # the write of step 4 may have come too late
    assert not leftovers(faulty / "run")
    again = trainkit(*FAULTY, *options, "resume=auto")
    assert again.code == 0, again.err
    whole = trainkit(*FAULTY, "run_dir=whole", "checkpoint.every=2st")
    assert whole.code == 0
    for part in ("model", "optimizer", "best"):
        assert comparable(state_of(faulty / "run")[part]) == comparable(state_of(faulty / "whole")[part]), part


def test_03_not_even_the_summary_fits_and_the_words_are_the_same(trainkit, faulty) -> None:
    broken = (
        "            trainkit.commands.run_folder.write_text = lambda *_: os.write(os.open('/dev/full', 1), b'x')\n"
    )
    lines = FULL.replace("import resource", "import os, resource").splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if "(2000," in line)
    (faulty / "full.py").write_text("".join([*lines[: at + 1], broken, *lines[at + 1 :]]))
    done = trainkit(
        *FAULTY, "run_dir=run", "checkpoint.every=2st", "+callbacks.full={_target_:full.Full,start:5,end:99}"
    )
    assert done.code == 1
    assert "trainkit: the last checkpoint was not saved" in done.err
    assert "summary.json was not written" in done.err
    assert "Traceback" not in done.err
    assert state_of(faulty / "run")["counters"]["step"] == 4


def test_03_a_disk_that_was_full_for_a_while_costs_nothing(trainkit, faulty) -> None:
    (faulty / "full.py").write_text(FULL)
    done = trainkit(*FAULTY, "run_dir=run", "+callbacks.full={_target_:full.Full,start:5,end:9}")
    assert done.code == 0, done.err
    assert done.err.count("WAS NOT SAVED") == 1
    assert state_of(faulty / "run")["counters"]["step"] == 12
    assert any("WAS NOT SAVED" in told for told in json.loads((faulty / "run/summary.json").read_text())["warnings"])
