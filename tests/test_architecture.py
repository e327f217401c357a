"""The plan of the house, held: import directions, no cycles, and budgets that keep the files readable."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import trainkit

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "trainkit").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")])
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]

# A unit (a file or folder of trainkit/) imports its own layer and those above it in this list, never those below.
LAYERS = (
    {
        "annotations",
        "device",
        "distributed",
        "ending",
        "errors",
        "findings",
        "forms",
        "frames",
        "keys",
        "locks",
        "meters",
        "nonfinite",
    }
    | {"objectives", "precision", "provenance", "settings", "signals", "state", "timing", "values"},
    {"checkpoint", "data", "loggers", "metrics", "optim", "transfer"},
    {"autopsy", "callbacks", "diagnostics", "inspection"},
    {"checkpointed", "evaluator", "failures", "trainer"},
    {"config"},
    {"commands"},
    {"__main__"},
)
LAYER = {unit: depth for depth, units in enumerate(LAYERS) for unit in units}
FILE_LINES, FUNCTION_LINES, TRAINER_LINES = 400, 60, 350

each_source = pytest.mark.parametrize("path", SOURCES, ids=IDS)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path)


def module_of(path: Path) -> str:
    """Name of the module of a source file: ``trainkit.data.loader``, ``trainkit.recipes.models``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "trainkit" else ("trainkit", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def nodes_at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, leaving out what stands under ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from nodes_at_run_time(other)
        else:
            yield from nodes_at_run_time(child)


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Names of the modules that a file imports, in functions too; ``from package import module`` names the module."""
    package = module_of(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    found = set()
    for node in nodes_at_run_time(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.add(inner if inner in MODULES or alias.name == "__version__" else source)
    return frozenset(found)


def unit_of(module: str) -> str:
    """``data`` for ``trainkit.data.loader``; empty for trainkit itself and for strangers."""
    parts = module.split(".")
    return parts[1] if parts[0] == "trainkit" and len(parts) > 1 else ""


@each_source
def test_imports_go_one_way(path: Path) -> None:
    unit = unit_of(module_of(path))
    if not unit:
        return
    targets = {unit_of(name) for name in imports_of(path)} - {"", "__version__"}
    if unit == "recipes":  # a recipe is a guest: it may use whatever the engine offers to Python
        depth = LAYER["config"]
        targets -= {"recipes"}
    else:
        assert unit in LAYER, f"give trainkit/{unit} a layer in LAYERS"
        depth = LAYER[unit]
    wrong = {target for target in targets if LAYER.get(target, len(LAYERS)) > depth}
    assert not wrong, f"{path.relative_to(ROOT)} must not import trainkit.{sorted(wrong)}"


@each_source
def test_the_engine_does_not_import_its_own_public_face(path: Path) -> None:
    if path.is_relative_to(ROOT / "trainkit"):
        assert "trainkit" not in imports_of(path), "import from the module itself: trainkit/__init__.py is lazy"


@each_source
def test_only_one_module_knows_hydra(path: Path) -> None:
    strangers = {name.split(".")[0] for name in imports_of(path)} & {"hydra", "omegaconf"}
    config = ROOT / "trainkit" / "config"
    assert "hydra" not in strangers or path == config / "composing" / "composition.py"
    assert not strangers or path.is_relative_to(config)


def test_no_import_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " > ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(imports_of(MODULES[module]) & MODULES.keys()):
                visit(target, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@each_source
def test_files_and_functions_are_short(path: Path) -> None:
    budget = TRAINER_LINES if path == ROOT / "trainkit" / "trainer.py" else FILE_LINES
    lines = len(path.read_text().splitlines())
    assert lines <= budget, f"{lines} lines; the budget is {budget}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines; the budget is {FUNCTION_LINES}"


@each_source
def test_no_drawer_for_everything(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}


@each_source
def test_modules_say_what_they_are_for(path: Path) -> None:
    assert not path.read_text().strip() or ast.get_docstring(tree_of(path))


def test_each_unit_has_its_tests() -> None:
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    units = {unit_of(module_of(path)) for path in SOURCES} - {"", "recipes"}
    untested = {
        unit
        for unit in units
        if not any(f"trainkit.{unit}" in text or unit in path.stem for path, text in tests.items())
    }
    assert not untested


def test_lazy_names_match_what_type_checkers_see() -> None:
    seen_by_checkers = {
        (alias.asname, f"trainkit.{node.module}" if node.module else "trainkit")
        for block in ast.walk(tree_of(ROOT / "trainkit" / "__init__.py"))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {(name, f"trainkit.{module}") for name, module in trainkit._NAMES.items()}
    assert seen_by_checkers == lazy | {(name, "trainkit") for name in trainkit._MODULES}


@pytest.mark.parametrize("name", [*trainkit._NAMES, *trainkit._MODULES])
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(trainkit, name) is not None
    assert name in dir(trainkit)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trainor'"):
        _ = trainkit.Trainor


def test_trees_of_the_users_code_are_walked_by_what_keeps_them() -> None:
    """Hundreds of rules read the same few trees; each that walks one anew costs every check its time."""
    own = [path for path in (ROOT / "trainkit" / "inspection").rglob("*.py") if path.name != "source.py"]
    assert [path.name for path in own if re.search(r"\bast\.(walk|unparse)\(", path.read_text())] == []
