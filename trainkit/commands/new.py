"""``trainkit new``: write a small project of one's own, a copy of ``template/`` under another name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from keyword import iskeyword
from pathlib import Path

from trainkit.errors import ConfigError

LONGEST = 40
"""Characters of a name; lines of the template have room for these."""
TAKEN = ("build", "configs", "data", "dist", "runs", "tests", "trainkit")
"""Folders of a project that its package cannot be named like."""
USAGE = "write such as: trainkit new my-project"


def main(arguments: Sequence[str]) -> int:
    """Write the project, say what is there and how to go on, and return the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-") or not arguments[0].strip():
        given = f"new {shlex.join(arguments)}: takes one folder" if arguments else "new: which folder?"
        raise ConfigError(f"{given}; {USAGE}")
    folder = Path(arguments[0])
    module = module_name(folder.name if folder.name else str(folder))
    write(folder, module)
    print("\n".join([f"{folder}/", *_tree(folder, "  ")]))
    print("\nnext:")
    for command in (f"cd {shlex.quote(str(folder))}", *_commands()):
        print(f"  {command}")
    return 0


def module_name(name: str) -> str:
    """Return the name of the package of a project: ``my_project`` for ``my-project``.

    Raises:
        ConfigError: If no package can have it, or one has it already.
    """
    module = name.replace("-", "_").lower()
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name):
        reason = "must be letters and digits, with single - or _ between them, and start with a letter"
    elif len(name) > LONGEST:
        reason = f"has {len(name)} characters; at most {LONGEST} will do"
    elif iskeyword(module) or iskeyword(module.title()):
        reason = f"{module} is a word of Python itself"
    elif module in sys.stdlib_module_names:
        reason = f"{module} is a module of Python's standard library"
    elif module in TAKEN:
        reason = f"a project has a folder {module} already, which is no package"
    elif _is_installed(name, module):
        reason = f"{module} is installed in this environment, and the new package would stand in its way"
    else:
        return module
    raise ConfigError(f"new {name[:80]!r}: {reason}; {USAGE}")


def write(folder: Path, module: str) -> None:
    """Write the project into a folder that is new or empty: all of it, or nothing.

    Args:
        folder: Its last part names the distribution and the command.
        module: The name of the package.

    Raises:
        ConfigError: If something is there, or cannot be written.
    """
    try:
        _require_free(folder)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _fill(made, folder.name, module)
            made.chmod(0o777 & ~_umask())  # mkdtemp lets nobody else look in
            made.replace(folder)  # takes the place of an empty folder, never of a full one
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"new {folder}: cannot be written: {error.strerror or error}; nothing is left of it"
        ) from error


def template() -> Path:
    """Return the folder that is copied: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "template"
    return inside if inside.is_dir() else package.parent / "template"


def sources() -> list[Path]:
    """Return the files of the template, relative to it; not what tools leave beside them."""
    root = template()
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    left = {"__pycache__", ".pytest_cache", ".ruff_cache", "runs", "build", "dist"}
    return sorted(path for path in files if not left & set(path.parts))


def _require_free(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise ConfigError(f"new {folder}: there is no folder {folder.parent} to put it in")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"new {folder}: there is a file of that name; nothing was written")
    if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
        shown = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise ConfigError(f"new {folder}: the folder is not empty ({shown}); nothing was written. Take another name")
    if folder.is_dir() and folder.resolve() == Path.cwd():
        raise ConfigError(f"new {folder}: is the current folder, which cannot be replaced; call it from the one above")


def _fill(made: Path, name: str, module: str) -> None:
    """Copy the template into an empty folder, under its new name."""
    names = {"my-project": name, "my_project": module}
    for source in sources():
        target = made / str(source).replace("my_project", module)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = (template() / source).read_text(encoding="utf-8")
        target.write_text(re.sub("|".join(names), lambda found: names[found[0]], text), encoding="utf-8")


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def _is_installed(name: str, module: str) -> bool:
    """Say whether a distribution or a package of that name is here; what lies in the current folder does not count."""
    with suppress(PackageNotFoundError):
        distribution(name)
        return True
    here = Path.cwd()
    path = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    return any(finder.find_spec(module, path) for finder in sys.meta_path)  # editable installs have their own


def _tree(folder: Path, indent: str) -> Iterator[str]:
    """Yield a line for each file and folder, folders first."""
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name)):
        yield f"{indent}{path.name}{'/' * path.is_dir()}"
        if path.is_dir():
            yield from _tree(path, f"{indent}  ")


def _commands() -> Iterator[str]:
    """Yield what trains the project and what tests it, by the Python that runs now."""
    found = shutil.which("python")
    here = found is not None and Path(found).absolute() == Path(sys.executable)
    python = "python" if here else shlex.quote(sys.executable)
    yield f"{python} -m trainkit --config-dir configs recipe=mine"
    yield f"{python} -m pytest"
