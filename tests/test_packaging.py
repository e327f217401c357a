"""The wheel carries everything: installed into an empty environment, in any folder, every recipe is there."""

import json
import os
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from installing import ROOT, SHIPPED, built, copied_checkout, install, made_environment, run

SUFFIXES = {".py", ".yaml", ".npz", ".csv", ".md", ".toml", ".typed"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return built(checkout, checkout / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment, which borrows what trainkit needs from this one; return its ``bin``."""
    bin_folder = made_environment(tmp_path_factory.mktemp("environment") / "venv")
    install(bin_folder, wheel)
    return bin_folder


def test_the_wheel_holds_every_source_and_data_file(checkout: Path, wheel: Path) -> None:
    expected = set()
    for folder in SHIPPED:
        for path in (checkout / folder).rglob("*"):
            if (path.suffix in SUFFIXES or path.name == ".gitignore") and path.is_file():
                name = path.relative_to(checkout).as_posix()
                expected.add(name if folder == "trainkit" else f"trainkit/{name}")
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"trainkit/py.typed", "trainkit/recipes/data/digits.npz", "trainkit/configs/config.yaml"} <= held
    assert {"trainkit/template/.gitignore", "trainkit/template/my_project/__main__.py"} <= held


@pytest.mark.parametrize("place", ["wheel", "checkout"])
def test_recipes_and_configs_import_from(place: str, checkout: Path, request: pytest.FixtureRequest) -> None:
    """From a wheel they are inside the package, from a bare checkout on ``sys.path`` beside it."""
    if place == "wheel":
        python, root = request.getfixturevalue("installed") / "python", "venv"
        code = ""
    else:
        python, root = Path(sys.executable), checkout.name
        code = f"import sys; sys.path.insert(0, {str(checkout)!r}); "
    code += "import trainkit.recipes, trainkit.configs as c; print(trainkit.recipes.__file__, c.__file__, sep='\\n')"
    files = run(python, "-I", "-c", code, cwd=checkout.parent).split()
    assert len(files) == 2
    assert all(root in Path(file).parts for file in files)


def test_the_wheel_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    command = ("recipe=mlp", "trainer.max_epochs=1", "trainer.device=cpu")
    run(installed / "trainkit", *command, cwd=tmp_path)
    summary = next(tmp_path.glob("runs/*/*/summary.json"))
    assert json.loads(summary.read_text())["status"] == "completed"


def test_importing_trainkit_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; before = set(sys.modules); import trainkit; print(*set(sys.modules) - before)"
    loaded = run(sys.executable, "-c", code, cwd=tmp_path).split()
    assert {name for name in loaded if "." not in name} <= {"trainkit", "importlib", "warnings"}


def test_the_version_is_the_packages(wheel: Path) -> None:
    import trainkit

    assert wheel.name.startswith(f"trainkit-{trainkit.__version__}-")
    assert os.access(ROOT / "LICENSE", os.R_OK)
