"""``trainkit new``: what it writes, what it refuses, and (from the wheel) that the project does all that it says."""

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from installing import built, copied_checkout, elsewhere, install, made_environment, run
from warm import Warm

from trainkit.commands import new
from trainkit.commands.new import main, module_name, sources, write
from trainkit.config.composing.recipes import recipes
from trainkit.errors import ConfigError

NAMES = ["my-project", "a", "Spirals2", "x" * new.LONGEST]
FILES = {
    "README.md",
    "pyproject.toml",
    ".gitignore",
    "my_project/__init__.py",
    "my_project/__main__.py",
    "my_project/model.py",
    "my_project/data.py",
    "configs/recipe/mine.yaml",
    "configs/model/net.yaml",
    "configs/data/spirals.yaml",
    "tests/test_mine.py",
}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------- what it writes


def test_it_writes_the_whole_project_and_says_how_to_go_on(line) -> None:
    answer = line("new", "my-project")
    assert (answer.code, answer.err) == (0, "")
    assert files_in(Path("my-project")) == FILES
    tree, _, commands = answer.out.partition("\nnext:\n")
    assert {Path(name).name for name in FILES} == {text.strip() for text in tree.splitlines() if text[-1] != "/"}
    assert tree.splitlines()[:4] == ["my-project/", "  configs/", "    data/", "      spirals.yaml"]
    first, *others = [text.strip() for text in commands.splitlines()]
    assert first == "cd my-project"
    assert [shlex.split(command)[1:] for command in others] == [
        ["-m", "trainkit", "--config-dir", "configs", "recipe=mine"],
        ["-m", "pytest"],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_templates_name_stays(name: str, tmp_path: Path) -> None:
    folder, module = tmp_path / name, module_name(name)
    write(folder, module)
    assert files_in(folder) == {path.replace("my_project", module) for path in FILES}
    left = re.compile(r"my_project" if name == "my-project" else r"my[-_ ]project", re.IGNORECASE)
    said = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert bool(left.search(said)) is (name == "my-project")
    assert f'name = "{name}"' in said
    assert f'{name} = "{module}.__main__:main"' in said
    assert f"_target_: {module}.model.Net" in said


@pytest.mark.parametrize("name", NAMES)
def test_ruff_finds_nothing_by_its_default_settings(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, module_name(name))
    ruff = (sys.executable, "-m", "ruff")
    for settings in ([], ["--isolated"]):
        run(*ruff, "check", "--no-cache", *settings, ".", cwd=tmp_path / name)
        run(*ruff, "format", "--no-cache", "--check", *settings, ".", cwd=tmp_path / name)


def test_the_recipe_opens_with_its_command_its_time_and_its_number() -> None:
    recipe = next(recipe for recipe in recipes(new.template() / "configs") if recipe.name == "mine")
    assert re.search(r"\d % test accuracy in about \d+ seconds", recipe.description)
    assert recipe.notes[0] == "Run:      python -m trainkit --config-dir configs recipe=mine"
    assert re.match(r"Expected: test/accuracy 0\.\d+, the mean of seeds", recipe.notes[1])


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "deep" / "mine").mkdir(parents=True)
    assert main([f"{tmp_path}/deep/mine/"]) == 0
    assert "mine/__init__.py" in files_in(tmp_path / "deep" / "mine")
    assert os.listdir(tmp_path / "deep") == ["mine"]


def test_the_printed_cd_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two words").mkdir()
    assert main([f"{tmp_path}/two words/mine"]) == 0
    command = capsys.readouterr().out.split("next:\n")[1].splitlines()[0]
    assert run("bash", "-c", f"{command} && pwd", cwd=tmp_path).strip() == str(tmp_path / "two words" / "mine")


def test_others_may_look_in_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "mine", "mine")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "mine", tmp_path / "mine" / "mine")} == {0o750}
    assert stat.S_IMODE((tmp_path / "mine" / "README.md").stat().st_mode) == 0o640


def test_what_tools_leave_in_the_template_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("README.md", "runs/one/log.txt", ".ruff_cache/x", "p/__pycache__/m.pyc", "p/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(new, "template", lambda: tmp_path)
    assert sources() == [Path("README.md"), Path("p/__init__.py")]


def test_it_needs_neither_torch_nor_hydra(tmp_path: Path) -> None:
    code = "import sys; from trainkit.commands.new import main; main(['mine']); print(*sys.modules)"
    loaded = run(sys.executable, "-c", code, cwd=tmp_path).split("next:")[1].split()
    assert "trainkit.commands.new" in loaded
    assert not {"torch", "hydra", "omegaconf", "numpy", "yaml"} & set(loaded)


# ---------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("2fast", "must be letters and digits"),
        ("my project", "must be letters and digits"),
        ("mÿ", "must be letters and digits"),
        ("my--project", "must be letters and digits"),
        ("my-", "must be letters and digits"),
        ("_mine", "must be letters and digits"),
        (".", "must be letters and digits"),
        ("..", "must be letters and digits"),
        ("my.project", "must be letters and digits"),
        ("a\nb", "must be letters and digits"),
        ("x" * (new.LONGEST + 1), "has 41 characters; at most 40"),
        ("class", "class is a word of Python itself"),
        ("None", "none is a word of Python itself"),
        ("json", "json is a module of Python's standard library"),
        ("JSON", "json is a module of Python's standard library"),
        ("concurrent", "concurrent is a module of Python's standard library"),
        ("torch", "torch is installed in this environment"),
        ("Torch", "torch is installed in this environment"),
        ("pyyaml", "pyyaml is installed in this environment"),  # whose package is named yaml
        ("hydra-core", "hydra_core is installed in this environment"),
        ("hydra", "hydra is installed in this environment"),
        ("trainkit", "a project has a folder trainkit already"),
        ("configs", "a project has a folder configs already"),
        ("tests", "a project has a folder tests already"),
        ("runs", "a project has a folder runs already"),
        ("", "takes one folder"),
        ("missing/mine", "there is no folder missing"),
        ("--force", "takes one folder"),
    ],
)
def test_names_that_will_not_do(name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        main([name])
    message = str(raised.value)
    assert told in message
    assert len(message.splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["mine", "seed=1"]])
def test_anything_but_one_folder_is_refused(arguments: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="trainkit new my-project"):
        main(arguments)
    assert os.listdir(tmp_path) == []


def test_the_command_line_ends_with_2_and_one_line(line) -> None:
    answer = line("new", "torch")
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert "torch is installed" in answer.err


def test_a_package_of_the_current_folder_takes_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m`` has the current folder on the path: what lies there is no installed package."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["mine"]) == 0


def test_a_package_elsewhere_on_the_path_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packages" / "mine").mkdir(parents=True)
    (tmp_path / "packages" / "mine" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    with pytest.raises(ConfigError, match="mine is installed in this environment"):
        main(["mine"])


@pytest.mark.parametrize("kind", ["full folder", "hidden file", "file", "link", "broken link"])
def test_nothing_is_overwritten(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    if kind == "file":
        target.write_text("kept")
    elif "link" in kind:
        target.symlink_to(tmp_path / "elsewhere")
        if kind == "link":
            (tmp_path / "elsewhere").mkdir()
    else:
        target.mkdir()
        (target / (".kept" if kind == "hidden file" else "kept.txt")).write_text("kept")
    before = files_in(tmp_path), sorted(os.listdir(tmp_path))
    with pytest.raises(ConfigError, match=r"not empty \(\.?kept.*nothing was written|a file of that name"):
        main([str(target)])
    assert (files_in(tmp_path), sorted(os.listdir(tmp_path))) == before
    assert target.read_text() == "kept" if kind == "file" else target.is_symlink() or any(target.iterdir())


def test_the_current_folder_is_not_replaced_under_ones_feet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.raises(ConfigError, match="is the current folder"):
        main(["../mine"])
    assert os.listdir(tmp_path / "mine") == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt("SIGINT")])
def test_nothing_half_written_is_left(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = new._fill

    def fails(made: Path, name: str, module: str) -> None:
        fill(made, name, module)
        assert made.parent == tmp_path
        raise error

    monkeypatch.setattr(new, "_fill", fails)
    with pytest.raises((ConfigError, KeyboardInterrupt), match=r"No space left on device; nothing is left|SIGINT"):
        main([str(tmp_path / "mine")])
    assert os.listdir(tmp_path) == []


def test_who_comes_first_keeps_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill = new._fill

    def late(made: Path, name: str, module: str) -> None:
        fill(made, name, module)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "theirs").write_text("kept")

    monkeypatch.setattr(new, "_fill", late)
    with pytest.raises(ConfigError, match="cannot be written"):
        main([str(tmp_path / "mine")])
    assert files_in(tmp_path) == {"mine/theirs"}


# ---------------------------------------------------------------------- from the wheel, in an empty folder


class Project(NamedTuple):
    """A new project, and the environment that trainkit's wheel is installed in."""

    folder: Path
    bin: Path
    said: str
    warm: Warm

    def trainkit(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """Run the console script with arguments."""
        script = self.bin / "trainkit"
        return self._ended(self.warm.run(*arguments, cwd=cwd or self.folder, env=elsewhere(), script=script), code)

    def line(self, text: str) -> str:
        """Run ``python -m trainkit`` with what bash makes of the rest of a line."""
        function = 'python() { printf "%s\\0" "$@"; }'
        flag, module, *arguments = run("bash", "-c", f"{function}; {text}", cwd=self.folder).split("\0")[:-1]
        assert (flag, module) == ("-m", "trainkit")
        return self._ended(self.warm.run(*arguments, cwd=self.folder, env=elsewhere()), 0)

    def printed(self, text: str) -> str:
        """Run a line that a run has printed, which names the Python of the environment; bash takes it apart."""
        python, *arguments = run("bash", "-c", f'printf "%s\\0" {text}', cwd=self.folder).split("\0")[:-1]
        assert python == str(self.bin / "python")
        assert arguments[:2] == ["-m", "trainkit"]
        return self._ended(self.warm.run(*arguments[2:], cwd=self.folder, env=elsewhere()), 0)

    def _ended(self, done: subprocess.CompletedProcess[str], code: int) -> str:
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, text: str, cwd: Path | None = None) -> str:
        """Run a line as a person would who has activated the environment."""
        return run("bash", "-c", f'PATH="{self.bin}:$PATH"; {text}', cwd=cwd or self.folder)


def row(output: str, name: str) -> str:
    return next(text[len(name) :].strip() for text in output.splitlines() if text.startswith(f"{name} "))


def result(folder: Path) -> dict[str, float]:
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    return {name: value for name, value in summary["metrics"].items() if "per_second" not in name}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("new")
    source = copied_checkout(tmp_path_factory.mktemp("checkout"))
    bin_folder = made_environment(root / "venv")
    install(bin_folder, built(source, source / "dist"))
    (root / "work").mkdir()
    said = run(bin_folder / "trainkit", "new", "my-project", cwd=root / "work")
    parent = Warm(bin_folder / "python", env=elsewhere())
    yield Project(root / "work" / "my-project", bin_folder, said, parent)
    parent.close()


LINE = ("--config-dir", "configs", "recipe=mine")


@pytest.fixture(scope="module")
def trained(project: Project) -> str:
    """Return what the recipe's first run printed; ``runs/straight`` stays as it is then."""
    said = project.trainkit(*LINE, "run_dir=runs/first")
    shutil.copytree(project.folder / "runs" / "first", project.folder / "runs" / "straight", symlinks=True)
    return said


@pytest.fixture(scope="module")
def printed(project: Project) -> tuple[list[str], str]:
    """The commands that ``trainkit new`` printed, and what a shell said to them."""
    commands = [text.strip() for text in project.said.partition("next:\n")[2].splitlines()]
    return commands, project.shell(" && ".join(commands), cwd=project.folder.parent)


@pytest.mark.slow
def test_the_printed_commands_train_and_test_it(printed: tuple[list[str], str]) -> None:
    commands, done = printed
    assert len(commands) == 3
    assert "4 passed" in done
    assert float(row(done, "test").split()[-1]) > 0.98


@pytest.mark.slow
def test_what_a_run_prints_goes_on_and_evaluates(project: Project, trained: str) -> None:
    tested = row(trained, "test").split()
    assert project.printed(row(trained, "evaluate")).split() == tested
    onward = project.printed(row(trained, "resume") + " trainer.max_epochs=51")
    assert "completed: max_epochs=51 reached, 765 steps" in row(onward, "ended")


@pytest.mark.slow
def test_it_ends_alike_whether_killed_or_not(project: Project, trained: str) -> None:
    line = (*LINE, "run_dir=runs/cut", "resume=auto")
    saved = project.folder / "runs" / "cut" / "checkpoints" / "last.ckpt"
    with open(os.devnull, "w") as null:
        script = project.bin / "trainkit"
        process = project.warm.start(
            *line, cwd=project.folder, env=elsewhere(), stdout=null, stderr=null, script=script
        )
    deadline = time.monotonic() + 60
    while not saved.exists() and not process.ended() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert "resumed from" in project.trainkit(*line)
    assert result(project.folder / "runs" / "cut") == result(project.folder / "runs" / "straight")


@pytest.mark.slow
def test_the_config_kept_with_a_run_is_trusted_by_name_alone(project: Project, trained: str) -> None:
    line = ("eval", "resume=runs/first")
    refused = project.trainkit(*line, code=2)
    assert "my_project" in refused
    assert "trusted_packages=[my_project]" in refused
    assert len(refused.splitlines()) < 15
    done = project.trainkit(*line, "trusted_packages=[my_project]")
    assert done.split() == row(trained, "test").split()


@pytest.mark.slow
def test_the_check_finds_nothing(project: Project) -> None:
    project.trainkit("check", "--config-dir", "configs", "recipe=mine")
    found = project.trainkit("check", "--config-dir", "configs", "recipe=mine", "model.widht=32", code=2)
    assert "model.widht" in found
    assert "model.width" in found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_of_its_readme_works(project: Project, printed: tuple[list[str], str]) -> None:
    """In their order: one of them goes by what another one has trained. Those that were printed were run as well."""
    install(project.bin, "--editable", project.folder)
    text = (project.folder / "README.md").read_text()
    commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    assert len(commands) == 9
    words = [shlex.split(command, comments=True)[1:] for command in commands]
    known = [shlex.split(command)[1:] for command in printed[0][1:]]
    assert all(words.count(others) == 1 for others in known)
    done = {}
    for command, arguments in zip(commands, words, strict=True):
        if arguments not in known:
            done[command] = (project.line if command.startswith("python -m trainkit ") else project.shell)(command)
    assert "A small net tells two spirals apart" in done["my-project --help"]
    (own,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (project.folder / "configs" / "recipe" / "plain.yaml").write_text(own)
    said = project.shell("my-project recipe=plain run_dir=runs/plain", cwd=project.folder.parent)
    assert row(said, "recipe") == "plain"
    assert "SGD" in (project.folder.parent / "runs" / "plain" / "config.yaml").read_text()
    assert result(project.folder.parent / "runs" / "plain")["test/accuracy"] > 0.6


@pytest.mark.slow
def test_a_recipe_is_found_by_its_path(project: Project, tmp_path: Path) -> None:
    """It extends one of trainkit's, and names a module that lies beside it."""
    (tmp_path / "mine.py").write_text("from trainkit.recipes.models import MLP\n\n\nclass Net(MLP):\n    pass\n")
    recipe = {
        "defaults": ["mlp", "_self_"],
        "name": "by_path",
        "model": {"_target_": "mine.Net", "hidden": [16]},
        "trainer": {"max_epochs": 1},
    }
    (tmp_path / "my.yaml").write_text(f"# @package _global_\n{yaml.safe_dump(recipe, sort_keys=False)}")
    done = project.trainkit("recipe=./my.yaml", "run_dir=one", cwd=tmp_path)
    assert row(done, "recipe") == "by_path"
    assert "_target_: mine.Net" in (tmp_path / "one" / "config.yaml").read_text()
    assert project.shell(row(done, "evaluate"), cwd=tmp_path).split() == row(done, "test").split()


@pytest.mark.slow
def test_its_own_wheel_brings_its_configs(project: Project, tmp_path: Path) -> None:
    wheel = built(project.folder, tmp_path / "dist")
    bin_folder = made_environment(tmp_path / "venv")
    borrowed = next((tmp_path / "venv").glob("lib/python*/site-packages/borrowed.pth"))
    theirs = next(project.bin.parent.glob("lib/python*/site-packages"))  # trainkit's wheel is there
    borrowed.write_text(f"{theirs}\n{borrowed.read_text()}")
    install(bin_folder, wheel)
    (tmp_path / "empty").mkdir()
    done = run(bin_folder / "my-project", "recipe=mine", "trainer.max_epochs=2", cwd=tmp_path / "empty")
    assert row(done, "recipe") == "mine"
    evaluated = run("bash", "-c", row(done, "evaluate"), cwd=tmp_path / "empty")
    assert evaluated.split() == row(done, "test").split()
