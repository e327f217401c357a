"""scripts/train and scripts/test on machines that lack something. Python and pip are stand-ins, so that it is quick."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A Python that reports a version, makes a .venv of copies of itself, notes each installation, and shows its arguments.
STAND_IN = """#!/bin/sh
case "$1 $2" in
    "-c import"*) echo "${STAND_IN_VERSION:-3.12.1}" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; exit "${STAND_IN_VENV:-0}" ;;
    "-m ensurepip") exit 1 ;;
    "-m pip")
        [ "$3" = install ] || exit 0
        for last; do :; done
        echo "$last" >>"$STAND_IN_NOTES"
        sleep "${STAND_IN_SECONDS:-0}"
        echo "${STAND_IN_MESSAGE:-done}"
        exit "${STAND_IN_PIP:-0}" ;;
    *) printf '<%s>' "$@"; pwd ;;
esac
"""


class Machine:
    """A checkout that holds the scripts alone, in a folder with a space in its name, and the stand-in as its Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        self.python = folder / "a python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)
        self.notes = folder / "notes"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.venv = self.root / ".venv"

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        environment = {"PYTHON": str(self.python), "STAND_IN_NOTES": str(self.notes), **environment}
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            cwd=self.elsewhere,
            env=os.environ | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(script, *arguments, **environment)
        output, errors = process.communicate()
        return process.returncode, output, errors

    @property
    def installations(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_train_installs_once_and_passes_its_arguments_on(machine: Machine) -> None:
    code, output, errors = machine.run("train", "recipe=mlp", "name=two words")
    assert code == 0
    assert output.strip() == f"<-m><trainkit><recipe=mlp><name=two words>{machine.elsewhere}"
    assert "3.12.1" in errors
    assert len(errors.splitlines()) == 2
    assert machine.installations == [str(machine.root)]

    start = time.perf_counter()
    code, again, errors = machine.run("train", "recipe=mlp", "name=two words")
    assert time.perf_counter() - start < 1  # a tenth of this on an idle machine
    assert (code, again, errors) == (0, output, "")
    assert len(machine.installations) == 1


def test_test_adds_its_extra_and_passes_its_arguments_on(machine: Machine) -> None:
    (machine.venv).mkdir()
    machine.run("train")
    for name in ("chromium", "tuxpaint-stamps-default", "zsh", "fish"):
        (machine.venv / f"{name}.log").touch()  # was tried before
    code, output, _ = machine.run("test", "-k", "one or two")
    assert code == 0
    assert output.strip() == f"<-m><pytest><-k><one or two>{machine.root}"
    machine.run("test", "-k", "one or two")
    machine.run("train")
    assert machine.installations == [str(machine.root), f"{machine.root}[test]"]


def test_a_changed_pyproject_or_place_installs_again(machine: Machine) -> None:
    machine.run("train")
    with (machine.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    machine.run("train")
    moved = machine.root.with_name("moved")
    machine.root.rename(moved)
    machine.root = moved
    machine.run("train")
    assert [Path(place).name for place in machine.installations] == ["a checkout", "a checkout", "moved"]


def test_two_at_once_install_once(machine: Machine) -> None:
    both = [machine.start("train", STAND_IN_SECONDS="0.5") for _ in range(2)]
    messages = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(machine.installations) == 1
    if shutil.which("flock"):
        assert any("waiting" in message for message in messages)


@pytest.mark.parametrize("python", ["named", "found"])
@pytest.mark.parametrize("version", ["3.10.13", "3.14.0"])
def test_an_unsupported_python_is_one_clear_line(machine: Machine, python: str, version: str) -> None:
    environment = {"STAND_IN_VERSION": version}
    if python == "found":
        for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
            shutil.copy(machine.python, machine.elsewhere / name)
        environment |= {"PYTHON": "", "PATH": f"{machine.elsewhere}:{os.environ['PATH']}"}
    code, output, errors = machine.run("train", **environment)
    assert (code, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert "needs Python 3.11, 3.12 or 3.13" in errors
    assert version in errors
    assert not machine.venv.exists()


def test_no_python_at_all_is_one_clear_line(machine: Machine) -> None:
    code, _, errors = machine.run("train", PYTHON="/nowhere/python")
    assert code == 1
    assert errors.count("\n") == 1
    assert "PYTHON=" in errors


def test_no_network_is_one_clear_line_and_the_next_run_goes_on(machine: Machine) -> None:
    message = "NewConnectionError: Failed to establish a new connection"
    code, output, errors = machine.run("train", STAND_IN_PIP="1", STAND_IN_MESSAGE=message)
    assert (code, output) == (1, "")
    last = errors.splitlines()[-1]
    assert "no network?" in last
    log = machine.venv / "install.log"
    assert str(log) in last
    assert message in log.read_text()
    assert machine.run("train")[0] == 0


def test_another_failure_of_pip_quotes_its_error(machine: Machine) -> None:
    code, _, errors = machine.run("test", STAND_IN_PIP="1", STAND_IN_MESSAGE="ERROR: no space left on device")
    assert code == 1
    assert "ERROR: no space left on device" in errors.splitlines()[-1]


def test_a_venv_left_half_made_is_made_anew(machine: Machine) -> None:
    code, _, errors = machine.run("train", STAND_IN_VENV="1")
    assert code == 1
    assert "python3-venv" in errors.splitlines()[-1]
    (machine.venv / "rest").touch()
    assert machine.run("train")[0] == 0
    assert not (machine.venv / "rest").exists()


def test_a_working_venv_of_the_users_own_is_kept(machine: Machine) -> None:
    (machine.venv / "bin").mkdir(parents=True)
    shutil.copy(machine.python, machine.venv / "bin" / "python")
    (machine.venv / "theirs").touch()
    assert machine.run("train")[0] == 0
    assert (machine.venv / "theirs").exists()


def test_a_real_pip_without_network_fails_with_one_clear_line(machine: Machine) -> None:
    """The stand-ins above guess what pip says; this is pip, with an index at a closed port of this machine."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", machine.venv], check=True)
    packages = next(machine.venv.glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text(str(Path(pytest.__file__).parents[1]))
    offline = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
    }
    code, output, errors = machine.run("train", **offline)
    assert (code, output) == (1, "")
    assert "no network?" in errors.splitlines()[-1]
