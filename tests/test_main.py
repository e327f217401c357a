"""``python -m trainkit`` as people run it: real processes, exit codes, pipes and signals.

Where nothing depends on how Python itself starts or what is imported, they are forked from one that has imported torch.
"""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from warm import Warm

import trainkit as package
from trainkit.__main__ import _brief, _code_of_the_signal_behind
from trainkit.errors import ConfigError, TrainingError

Trainkit = Callable[..., subprocess.CompletedProcess[str]]
TRAINKIT = [sys.executable, "-m", "trainkit"]

KILLER = """
import os, signal
from trainkit.callbacks import Callback

class Kill(Callback):
    '''Sends this process real signals at the end of a step.'''
    def __init__(self, step, signals):
        self.step, self.signals = step, signals
    def on_step_end(self, trainer, output):
        if trainer.counters.step == self.step:
            for name in self.signals:
                os.kill(os.getpid(), getattr(signal, name))
"""


def clean_environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def trainkit(warm: Warm, tmp_path: Path) -> Trainkit:
    """Run trainkit in an empty folder, from which modules can be imported."""
    return lambda *arguments, **environment: warm.run(*arguments, cwd=tmp_path, env=clean_environment(**environment))


def last_state(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def same_bits(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_bits(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_bits, one, other))
    return type(one) is type(other) and one == other


# ---------------------------------------------------------------------- a run, and what it says to do next


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run into a pipe that knows ASCII only, under settings that ask for colour; and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    done = subprocess.run(
        [*TRAINKIT, "recipe=mlp", "trainer.max_epochs=2"],
        cwd=folder,
        env=clean_environment(FORCE_COLOR="1", TERM="xterm-256color", PYTHONIOENCODING="ascii"),
        text=True,
        capture_output=True,
    )
    return folder, done


def row(text: str, name: str) -> str:
    return re.search(rf"^{name} +(.+)$", text, re.MULTILINE)[1]


def test_a_recipe_trains_and_tells_plainly(trained) -> None:
    folder, done = trained
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"^epoch \d/2 ", done.stdout, re.MULTILINE)) == 2
    (run,) = folder.glob("runs/mlp/*")
    assert json.loads((run / "summary.json").read_text())["status"] == "completed"
    log = (run / "log.txt").read_text()
    assert not {"\x1b", "\r"} & set(done.stdout + log)
    assert "├─Linear" in log.replace("│    └─", "├─")
    assert "??Linear" in done.stdout  # question marks do not end a run


def test_the_printed_commands_work_in_a_shell(trained) -> None:
    folder, done = trained
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    environment = clean_environment(PATH=f"{folder / 'bin'}:{os.environ['PATH']}")

    def shell(command: str) -> str:
        found = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, capture_output=True)
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert shell(row(done.stdout, "evaluate")).split() == row(done.stdout, "test").split()
    onward = shell(row(done.stdout, "resume") + " trainer.max_epochs=3")
    assert row(onward, "ended").startswith("completed: max_epochs=3 reached, 51 steps")
    assert len(list(folder.glob("runs/mlp/*"))) == 1


# ---------------------------------------------------------------------- quick answers


HEAVY = {"torch", "numpy", "rich", "torchvision"}
ASKED = "trainkit recipe=mlp optimizer."


@pytest.mark.parametrize(
    ("arguments", "code", "said", "never", "seconds"),
    [
        (["--help"], 0, "recipe=mlp", HEAVY | {"hydra", "omegaconf"}, 0.5),
        (["check", "--help"], 0, "usage:", HEAVY | {"hydra", "omegaconf"}, 0.5),
        ([], 2, "", HEAVY | {"hydra", "omegaconf"}, 0.5),
        (["recipes"], 0, "mlp", HEAVY | {"hydra", "omegaconf"}, 0.5),
        (["help", "trainer.precision"], 0, "fp32", HEAVY | {"hydra", "omegaconf"}, 0.5),
        (["help", "trianer.precision"], 2, "", HEAVY | {"hydra", "omegaconf"}, 0.7),
        (["help", "optimizer.lr", "recipe=mlp"], 0, "configs/recipe/mlp.yaml", HEAVY, 0.7),
        (["completion", "bash"], 0, "complete", HEAVY | {"hydra", "omegaconf"}, 0.3),
        (
            ["completion", "--candidates", "bash", ASKED, str(len(ASKED)), "="],
            *(0, "optimizer.lr=", HEAVY | {"hydra", "omegaconf"}, 0.3),
        ),
        (["trian", "recipe=mlp"], 2, "", HEAVY | {"hydra", "omegaconf"}, 0.5),
        (["recipe=mlp", "trainer.max_epochs=ten", "optimizer.lr=1e-3x"], 2, "", HEAVY, 0.7),
        (["recipe=mlp", "+optimizer.weight_decy=.1"], 2, "", HEAVY, 0.7),
    ],
)
def test_what_needs_no_torch_answers_at_once_without(
    tmp_path: Path, arguments: list[str], code: int, said: str, never: set[str], seconds: float
) -> None:
    """The limits are CPU time; whoever profiles each import pays for it too."""
    command = [sys.executable, "-X", "importtime", "-m", "trainkit", *arguments]
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, env=clean_environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if spent[-1] < seconds:
            break
    assert done.returncode == code
    assert said in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "trainkit" in imported
    assert not never & imported
    assert min(spent) < seconds


def test_no_arguments_exit_with_2(trainkit: Trainkit) -> None:
    done = trainkit()
    assert (done.returncode, done.stdout) == (2, "")
    assert "  mlp  " in done.stderr


def test_the_version_is_told(trainkit: Trainkit) -> None:
    from trainkit import __version__

    assert trainkit("--version").stdout == f"trainkit {__version__}\n"


@pytest.mark.parametrize("arguments", ["--help", "recipe=mlp trainer.max_epochs=2 run_dir=run"])
def test_a_reader_who_leaves_early_costs_nothing(arguments: str, tmp_path: Path) -> None:
    """A training goes on to its end."""
    command, environment = [*TRAINKIT, *arguments.split()], clean_environment(PYTHONUNBUFFERED="1")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(100) == 0
    if "run_dir" in arguments:
        assert json.loads((tmp_path / "run/summary.json").read_text())["epochs"] == 2
        assert "ended" in (tmp_path / "run/log.txt").read_text()


@pytest.fixture
def answer_to_nobody(warm: Warm, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run a command line whose reader has left before it says a word; return its exit code and standard error."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        reading, writing = os.pipe()
        os.close(reading)
        told, env = tmp_path / "told", clean_environment(**environment)
        with os.fdopen(writing, "wb") as stdout, told.open("w") as stderr:
            if not {"check", "ckpt"}.isdisjoint(arguments):  # the others import no torch
                code = warm.start(*arguments, cwd=tmp_path, env=env, stdout=stdout, stderr=stderr).wait()
            else:
                command = [*TRAINKIT, *arguments]
                code = subprocess.run(command, cwd=tmp_path, env=env, stdout=stdout, stderr=stderr).returncode
        return code, told.read_text()

    return run


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("help trainer", 0),
        ("help optimizer.lr recipe=mlp", 0),
        ("recipes --json", 0),
        ("completion bash", 0),
        ("recipe=mlp --cfg job", 0),
        ("check recipe=mlp", 0),
        ("check recipe=mlp trainer.max_epochs=ten", 2),
        ("ckpt inspect nowhere", 2),
    ],
)
def test_no_reader_no_broken_pipe_and_the_exit_code_stays(
    answer_to_nobody, arguments: str, code: int, unbuffered: str
) -> None:
    found, told = answer_to_nobody(*arguments.split(), PYTHONUNBUFFERED=unbuffered)
    assert found == code
    assert "roken pipe" not in told
    assert "Traceback" not in told
    assert (told == "") == (code == 0 or "check" in arguments)


def test_a_pipe_of_ones_own_that_breaks_is_a_failure(trainkit: Trainkit, tmp_path: Path) -> None:
    """Only the reader of standard output may leave; a socket or a worker that is gone is another matter."""
    (tmp_path / "breaker.py").write_text(
        "import trainkit\n"
        "class Break(trainkit.Callback):\n"
        "    def on_step_end(self, trainer, output):\n"
        "        raise BrokenPipeError('mine')\n"
    )
    done = trainkit("recipe=mlp", "run_dir=run", "+callbacks.mine={_target_:breaker.Break}")
    assert done.returncode == 1
    assert "trainkit: BrokenPipeError: mine" in done.stderr


def test_a_closed_standard_output_is_no_failure(tmp_path: Path) -> None:
    line = f"{shlex.join([*TRAINKIT, 'recipes'])} >&-"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=clean_environment(), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------- one's own code and console script

PROBE = """
import atexit, sys
from trainkit.__main__ import main
before = list(sys.path)
atexit.register(lambda: print("ADDED", *sys.path[len(before):], file=sys.stderr))
main({arguments!r}, config_dir={config_dir!r})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder beside the current one with a recipe of its own."""
    recipe = tmp_path / "project" / "configs" / "recipe" / "mine.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("# @package _global_\n# Mine.\ndefaults: [mlp, _self_]\nname: mine\n")
    (tmp_path / "here").mkdir()
    return tmp_path / "project"


def probe(folder: Path, arguments: list[str], config_dir: str | None = None) -> subprocess.CompletedProcess[str]:
    """Call ``main`` as a console script does: this process looks for modules in neither folder."""
    code = PROBE.format(arguments=arguments, config_dir=config_dir)
    return subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, env=clean_environment(), text=True, capture_output=True
    )


def test_code_beside_the_current_folder_configs_and_recipes_can_be_imported(project: Path) -> None:
    here = project.parent / "here"
    recipe = project / "configs" / "recipe" / "mine.yaml"
    for arguments, added in (
        (["recipes"], [here]),
        (["recipes", "--config-dir", "../project/configs"], [here, project]),
        (["--config-dir=../project/configs", "recipes"], [here, project]),
        (["help", "seed", f"recipe={recipe}"], [here, recipe.parent]),
    ):
        done = probe(here, arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr.split()[1:] == [os.path.normpath(path) for path in added]


def test_a_console_script_of_ones_own_brings_its_config_folder(project: Path) -> None:
    configs, here = str(project / "configs"), project.parent / "here"
    assert "  mine " in probe(here, ["recipes"], configs).stdout
    assert "  mine " in probe(here, ["--help"], configs).stdout
    assert "  mine " in probe(here, [], configs).stderr
    named = probe(here, ["recipe=mine", "--cfg", "job"], configs)
    assert (named.returncode, "name: mine" in named.stdout) == (0, True), named.stderr
    other = project.parent / "other"
    (other / "recipe").mkdir(parents=True)
    assert "  mine " not in probe(here, ["recipes", "--config-dir", str(other)], configs).stdout
    assert probe(here, ["completion", "bash"], configs).stdout.startswith("# bash")
    assert "config-dir" not in probe(here, ["ckpt", "inspect", "nowhere"], configs).stderr
    example = probe(project, ["help", "seed", "recipe=mine"], configs).stdout
    assert "--config-dir configs recipe=mine" in example


def test_hydra_tells_of_itself(trainkit: Trainkit, tmp_path: Path) -> None:
    done = trainkit("--info", "defaults-tree", "recipe=mlp")
    assert done.returncode == 0
    assert "optimizer: adamw" in done.stdout
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("recipe=mlp optimizer.lr=1e8", 1, "trainkit: step "),
        ("recipe=mlp seed=1,2 trainer.device=gpu -m", 2, "trainkit: trainer.device=gpu: must be auto, cpu, cuda"),
        ("recipe=mpl --cfg job", 2, "trainkit: recipe=mpl: there is no such recipe. Did you mean 'mlp'?"),
    ],
)
def test_what_is_wrong_costs_a_short_message_and_an_exit_code(
    trainkit: Trainkit, arguments: str, code: int, told: str
) -> None:
    done = trainkit(*arguments.split())
    assert done.returncode == code
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) <= 10
    assert "Traceback" not in done.stderr


def test_a_long_message_is_cut_to_a_screen() -> None:
    assert _brief("one\ntwo") == "one\ntwo"
    whole = "\n".join(f"line {number}" for number in range(15))  # as long as a refusal may be
    assert _brief(whole) == whole
    cut = _brief("\n".join(["x" * 9000] * 30)).splitlines()
    assert len(cut) == 16
    assert max(map(len, cut)) < 600
    assert "TRAINKIT_DEBUG=1" in cut[-1]


@pytest.mark.parametrize("code", ["", "0", "3", "'words'"])
def test_an_exit_in_code_of_ones_own_is_a_failure(trainkit: Trainkit, tmp_path: Path, code: str) -> None:
    """Whoever repeats the command until it exits with 0 would take the run for done."""
    (tmp_path / "leaver.py").write_text(
        "import sys, trainkit\n"
        "class Leave(trainkit.Callback):\n"
        "    def on_step_end(self, trainer, output):\n"
        f"        sys.exit({code})\n"
    )
    leave = "+callbacks.leave={_target_:leaver.Leave}"
    done = trainkit("recipe=mlp", "run_dir=run", "trainer.max_epochs=1", leave, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "trainkit: SystemExit" in done.stderr
    assert 'leaver.py", line 4, in on_step_end' in done.stderr
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "failed"


@pytest.mark.parametrize(("flag", "code"), [("--version", 0), ("--no-such-flag", 2)])
def test_flags_are_known_or_refused(trainkit: Trainkit, flag: str, code: int) -> None:
    done = trainkit("recipe=mlp", flag)
    assert done.returncode == code
    assert "File" not in done.stderr
    assert done.stderr.startswith(f"trainkit: {flag}" if code else "")


# ---------------------------------------------------------------------- signals


def chained(*errors: BaseException) -> BaseException:
    """Return the last error, each raised while the one before was being handled."""
    for before, after in pairwise(errors):
        after.__context__ = before
    return errors[-1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("mine"), None),
        (chained(KeyError("mine"), ConfigError("told")), None),
        (KeyboardInterrupt("SIGTERM"), 143),
        (chained(KeyboardInterrupt("SIGTERM"), RuntimeError("a worker was killed"), TrainingError("told")), 143),
        (chained(KeyboardInterrupt("SIGINT"), AttributeError("in a library's clean-up")), 130),
        (SystemExit(143), None),
    ],
)
def test_what_fails_on_the_way_out_does_not_hide_the_signal(error: BaseException, code: int | None) -> None:
    assert _code_of_the_signal_behind(error) == code


@pytest.fixture
def killed(trainkit: Trainkit, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train the ``cnn`` recipe (dropout, augmentation) in ``run``; signals come at the end of step 20 of 34."""
    (tmp_path / "killer.py").write_text(KILLER)

    def run(signals: str, *more: str, run_dir: str = "run") -> subprocess.CompletedProcess[str]:
        kill = "+callbacks.kill={_target_:killer.Kill,step:20,signals:[" + signals + "]}"
        command = ["recipe=cnn", f"run_dir={run_dir}", "resume=auto", "trainer.max_epochs=2", kill, *more]
        return trainkit(*command, PYTHONPATH=str(tmp_path))

    return run


def test_a_preempted_run_is_saved_and_ends_as_if_it_had_not_been(killed, tmp_path: Path) -> None:
    """The same command line is repeated until it exits with 0."""
    first = killed("SIGTERM")
    assert (first.returncode, first.stderr) == (143, "")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["stop_reason"], summary["steps"]) == ("preempted", "SIGTERM", 20)
    assert last_state(tmp_path / "run")["counters"]["step"] == 20
    assert row(first.stdout, "ended").startswith("preempted: SIGTERM, 20 steps")
    assert "resume=auto" in row(first.stdout, "resume")
    second = killed("SIGTERM", "data.num_workers=2")
    assert second.returncode == 0, second.stderr
    package.run("cnn", f"run_dir={tmp_path / 'straight'}", "trainer.max_epochs=2")
    broken, straight = last_state(tmp_path / "run"), last_state(tmp_path / "straight")
    for part in ("model", "optimizer", "schedule", "best"):
        assert same_bits(broken[part], straight[part]), part
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("run", "straight")]
    assert summaries[0]["metrics"]["test/loss"] == summaries[1]["metrics"]["test/loss"]
    assert summaries[0]["status"] == "completed"


def test_an_interrupted_run_is_saved(tmp_path: Path) -> None:
    """The signal comes from outside, as Ctrl-C does."""
    process = subprocess.Popen(
        [*TRAINKIT, "recipe=mlp", "trainer.max_epochs=100000", "run_dir=run", "data.num_workers=2"],
        cwd=tmp_path,
        env=clean_environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for text in process.stdout:
        if text.startswith("epoch 2/"):
            break
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells the workers too
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert row(out, "ended").startswith("preempted: SIGINT")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["status"], summary["stop_reason"]) == ("preempted", "SIGINT")
    assert last_state(tmp_path / "run")["counters"]["step"] == summary["steps"] > 17


def test_a_second_signal_ends_it_at_once_and_nothing_saved_is_lost(killed, tmp_path: Path) -> None:
    done = killed("SIGTERM,SIGTERM")
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    assert last_state(tmp_path / "run")["counters"]["step"] == 17


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_while_torch_is_being_imported_ends_it_quietly(name: str, code: int, tmp_path: Path) -> None:
    program = f"""
import os, runpy, signal, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.kill(os.getpid(), signal.{name})
sys.meta_path.insert(0, Watch())
sys.argv = ["trainkit", "recipe=mlp"]
runpy.run_module("trainkit", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert list(tmp_path.iterdir()) == []
