"""Hydra's next release: what trainkit asks of Hydra works with it, and without a word of what it will take away.

It runs in an environment of its own, which has the newest pre-release in front of all that it borrows from this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from installing import ROOT, made_environment
from warm import Warm

Trainkit = Callable[..., str]

AHEAD = "hydra-core>1.3.99,<1.5"
"""The next release, or the newest of its pre-releases."""
STRICT = ("-W", "error")
"""What it is about to take away, it warns of: as errors, in the lines below."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with Hydra's next release."""
    folder = tmp_path_factory.mktemp("ahead")
    bin_folder = made_environment(folder / "venv")
    pip = (sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--quiet", "--pre", AHEAD)
    options = ("--disable-pip-version-check", "--retries", "1", "--timeout", "15")
    try:
        done = subprocess.run([*pip, *options], cwd=folder, text=True, capture_output=True, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{AHEAD} did not arrive within 100 seconds")
    if done.returncode:
        pytest.skip(f"{AHEAD} cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    source = Path(next((folder / "venv").glob("lib/python*/site-packages"))) / "0_source.pth"  # before what is borrowed
    source.write_text(str(ROOT))
    return bin_folder / "python"


@pytest.fixture(scope="module")
def ahead(python: Path) -> Iterator[Trainkit]:
    """Run its command line with every warning an error, in a folder, to an exit code; return what it printed."""
    parent = Warm(python, *STRICT)
    yield partial(trainkit, parent)
    parent.close()


@pytest.fixture
def present(warm: Warm) -> Trainkit:
    """Run today's command line likewise."""
    return partial(trainkit, warm)


def answered(python: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run Python with every warning an error; return its standard output."""
    done = subprocess.run([python, *STRICT, *arguments], cwd=folder, text=True, capture_output=True, timeout=100)
    assert done.returncode == code, done.stdout + done.stderr
    if code == 0:
        assert done.stderr == ""
    return done.stdout + done.stderr


def trainkit(parent: Warm, folder: Path, *arguments: str, code: int = 0) -> str:
    done = parent.run(*arguments, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    if code == 0:
        assert done.stderr == ""
    return done.stdout + done.stderr


def test_it_is_the_next_release_that_is_tried(python: Path, tmp_path: Path) -> None:
    """Of what is borrowed the older Hydra and OmegaConf come behind."""
    code = (
        "import hydra, omegaconf; print(hydra.__version__, omegaconf.__version__, hydra.__file__, omegaconf.__file__)"
    )
    hydra, omegaconf, *files = answered(python, tmp_path, "-c", code).split()
    assert hydra.startswith("1.4.")
    assert tuple(map(int, omegaconf.split(".")[:2])) >= (2, 4)
    assert all(Path(file).is_relative_to(python.parents[1]) for file in files)


def test_it_composes_what_the_present_release_composes(python: Path, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    import trainkit as present

    given = ["cnn", "optimizer.lr=3e-3", "schedule=cosine", "~callbacks.progress", "model.channels=[8,16]"]
    code = (
        "import json, sys, trainkit; from omegaconf import OmegaConf; "
        "print(json.dumps(OmegaConf.to_container(trainkit.compose(*sys.argv[1:]))))"
    )
    ahead = json.loads(answered(python, tmp_path, "-c", code, *given))
    assert ahead == OmegaConf.to_container(present.compose(*given))


@pytest.mark.parametrize("recipe", ["mlp", "cnn", "linear"])
def test_each_recipe_is_found_sound(recipe: str, ahead: Trainkit, tmp_path: Path) -> None:
    ahead(tmp_path, "check", f"recipe={recipe}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("recipe=mlp", "trainer.max_epoch=3"), "trainer.max_epochs"),
        (("recipe=mlp", "trainer.max_epochs=ten", "optimizer.lr=1e-3x"), "optimizer.lr"),
        (("recipe=mlpp",), "mlp"),
        (("recipe=mlp", "model=cnnn"), "cnn"),
        (("recipe=mlp", "model.hidden=[1,2"), "model.hidden"),
        (("recipe=mlp", "optimizer.lr=${optimizer.l}"), "optimizer.lr"),
        (("recipe=mlp", "~callbacks.progres"), "callbacks.progress"),
        (("recipe=mlp", "optimizer.amsgrd=true"), "amsgrad"),
    ],
)
def test_a_mistake_is_told_as_today(
    arguments: tuple[str, ...], told: str, ahead: Trainkit, present: Trainkit, tmp_path: Path
) -> None:
    message = ahead(tmp_path, *arguments, code=2)
    assert message == present(tmp_path, *arguments, code=2)
    assert told in message
    assert list(tmp_path.iterdir()) == []


def test_it_trains_resumes_and_evaluates(python: Path, ahead: Trainkit, tmp_path: Path) -> None:
    line = ("recipe=mlp", "run_dir=run", "resume=auto")
    answered(python, tmp_path, "-m", "trainkit", *line, "trainer.max_epochs=1")  # a fresh interpreter
    assert "resumed from" in ahead(tmp_path, *line, "trainer.max_epochs=2", "+optimizer.amsgrad=false")
    tested = json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]["test/accuracy"]
    by_recipe = ahead(tmp_path, "eval", "recipe=mlp", "resume=run")
    assert f"test/accuracy {tested:.4f}" in by_recipe
    assert ahead(tmp_path, "eval", "resume=run") == by_recipe  # under the config kept with the run


def test_a_sweep_runs_each_of_its_values(ahead: Trainkit, tmp_path: Path) -> None:
    ahead(tmp_path, "recipe=mlp", "trainer.max_epochs=1", "optimizer.lr=1e-3,1e-2", "seed=0,1", "-m")
    configs = sorted(tmp_path.glob("runs/mlp/sweeps/*/*/overrides.yaml"))
    assert len(configs) == 4
    assert len({path.read_text() for path in configs}) == 4


@pytest.mark.parametrize("flags", [("--cfg", "job"), ("--cfg", "job", "--resolve"), ("--info", "defaults")])
def test_hydras_own_flags_show_what_they_do_today(
    flags: tuple[str, ...], ahead: Trainkit, present: Trainkit, tmp_path: Path
) -> None:
    line = ("recipe=mlp", "optimizer.lr=1e-2", *flags)
    shown, today = ahead(tmp_path, *line), present(tmp_path, *line)
    assert "mlp" in shown
    if flags[0] == "--cfg":
        assert shown == today
    assert list(tmp_path.iterdir()) == []


def test_a_project_of_ones_own_trains(ahead: Trainkit, tmp_path: Path) -> None:
    ahead(tmp_path, "new", "my-project")
    project = tmp_path / "my-project"
    ahead(project, "--config-dir", "configs", "recipe=mine", "trainer.max_epochs=1", "run_dir=one")
    assert json.loads((project / "one" / "summary.json").read_text())["status"] == "completed"
