"""Choosing options of groups, recipes by path among them: each wrong choice is found before Hydra composes the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from trainkit.config.composing.composition import CompositionError, Parsed, named_by_hydra, reading, store
from trainkit.config.composing.defaults import Defaults, defaults_of, options_at_root
from trainkit.config.composing.origins import lists_of, shown
from trainkit.config.composing.recipes import file_of, folder, recipes
from trainkit.config.composing.suggestions import MAIN, nearest
from trainkit.findings import Finding

HEADER = "# @package _global_"
NEEDED = ("recipe", "trainer", "model", "data", "objective", "optimizer")
"""Groups that no run goes without; of the others ``GROUP=null`` is Hydra's way to leave one out."""
NONE = "_none"
"""The option that stands for none."""
EXTENDS = r"[-\s{,]/recipe\s*:"
"""How a recipe may name the one that it extends, besides ``/recipe/mlp``."""


@dataclass
class Choices:
    """What is chosen, as Hydra takes it."""

    groups: Mapping[str, Sequence[str]]
    folders: list[Path]
    """Config folders of the user's."""
    overrides: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unsure: set[str] = field(default_factory=set)
    """Groups of which it is not known what was meant, so that their keys cannot be judged; ``*``: all."""
    given: dict[str, Path] = field(default_factory=dict)
    """Recipes by path: the name that Hydra knows them by, such as ``recipe/mine_1a2b3c4d``, and the file."""
    recipe: str | None = None
    has_sweeper: bool = False
    """Whether the line chooses a sweeper other than Hydra's own."""
    typed: dict[str, str] = field(default_factory=dict)
    """What was typed for an override of :attr:`overrides` that reads otherwise."""

    def choose(self, parsed: Parsed) -> None:
        """Take a choice, or find what is wrong with it."""
        group, value = parsed.key, parsed.value
        if group == "hydra" or group.startswith(("hydra.", "hydra/")):
            self._of_hydra(parsed)
            return
        if parsed.sign == "~":
            self._leave_out(parsed)
            return
        if value is None and group not in NEEDED:
            self._choose_none(parsed)
            return
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            self._wrong(parsed, "chooses one option, not a list", f"Options: {', '.join(self.groups[group])}")
            self.unsure.add(group)
            return
        option = value if isinstance(value, str) else "" if value is None else parsed.text.partition("=")[2]
        if group == "recipe":
            self.recipe = option
            if is_path(option, self.folders):
                self._by_path(parsed, option)
                return
        chosen: str | None = option
        if not option or (option not in self.groups[group] and file_of(f"{group}/{option}", self.folders) is None):
            chosen = self._unknown(parsed, option)
        elif group == "recipe":
            chosen = self._own_recipe(option)
        if chosen:
            self._take(parsed, chosen)

    def _take(self, parsed: Parsed, option: str) -> None:
        sign = "" if parsed.sign == "+" and parsed.package is None and parsed.key in options_at_root() else parsed.sign
        if sign == "" and parsed.package is None and parsed.key not in options_at_root():
            sign = "+"  # a group of the user's own, which config.yaml does not have
        package = "" if parsed.package is None else f"@{parsed.package}"
        text = f"{sign.replace('++', '+')}{parsed.key}{package}={option}"
        self.typed[text] = parsed.text
        self.overrides.append(text)

    def _choose_none(self, parsed: Parsed) -> None:
        """Choose an option that holds nothing: a null is known to Hydra's defaults lists, not to its command line."""
        store(NONE, {}, group=parsed.key, package="_global_")
        self._take(parsed, NONE)

    def _of_hydra(self, parsed: Parsed) -> None:
        """Take an override of Hydra's own, or find what it is no use for here."""
        path, sweeper = parsed.key, "hydra.sweeper.params"
        names = None if parsed.sign else named_by_hydra(path)
        if path == "hydra.searchpath":
            message = "names config folders, which are given by a flag here"
            self._wrong(parsed, message, "Write --config-dir PATH", "bad-override")
        elif f"{path}.".startswith(f"{sweeper}.") and not self.has_sweeper:
            message = "a sweep is given by several values of a key"
            self._wrong(parsed, message, "Write such as: -m optimizer.lr=0.1,0.2", "bad-override")
        elif names is not None:
            near = nearest(path, names)
            listed = ", ".join(name.rpartition(".")[2] for name in names)
            fix = f"Did you mean {near!r}?" if near else f"Keys: {listed}"
            self.findings.append(
                Finding(
                    rule="unknown-key", severity="error", place=path, message="there is no such key of Hydra's", fix=fix
                )
            )
        else:
            self.overrides.append(parsed.text)

    def _wrong(self, parsed: Parsed, message: str, fix: str, rule: str = "unknown-option") -> None:
        value = parsed.text.partition("=")[2] if parsed.has_value else None
        place = f"{parsed.key}@{parsed.package}" if parsed.package else parsed.key
        self.findings.append(Finding(rule=rule, severity="error", place=place, value=value, message=message, fix=fix))

    def _leave_out(self, parsed: Parsed) -> None:
        if parsed.key == "trainer":
            self._wrong(parsed, "the trainer's settings cannot be left out", "Set one such as trainer.max_epochs=3")
        elif parsed.value is not None and str(parsed.value) not in self.groups[parsed.key]:
            self._wrong(parsed, "there is no such option", f"~{parsed.key} leaves the group out")
        elif parsed.key in ("debug", "recipe"):  # of which nothing is chosen from the start
            self.recipe = None if parsed.key == "recipe" else self.recipe
            self._choose_none(parsed._replace(sign=""))
        else:
            self.overrides.append(parsed.text)

    def _unknown(self, parsed: Parsed, option: str) -> str | None:
        """Find what was meant by an option that there is not, and return it where it is plain."""
        group, there = parsed.key, self.groups[parsed.key]
        rule = "unknown-recipe" if group == "recipe" else "unknown-option"
        listed = f"{'Recipes' if group == 'recipe' else 'Options'}: {', '.join(there)}"
        if group == "recipe":
            listed += f"; run such as: python -m trainkit recipe={recipes()[0].name}"
        if not option:
            self._wrong(parsed, "an option is a name" if group != "recipe" else "a recipe is a name", listed, rule)
            self.unsure.add(group if group != "recipe" else "*")
            return None
        stem = Path(option).stem if option.endswith((".yaml", ".yml")) or "/" in option else option
        near = stem if stem in there else nearest(stem, there)
        holders = [other for other, choices in self.groups.items() if stem in choices and other != group]
        if near is not None and (stem in there or not holders):
            self._wrong(parsed, "there is no such option" if group != "recipe" else "there is no such recipe",
                        f"Did you mean {near!r}? {listed}", rule)  # fmt: skip
            return near
        self.unsure.add(group if group != "recipe" else "*")
        message = "there is no such option" if group != "recipe" else "there is no such recipe"
        if holders:
            self._wrong(parsed, message, f"Did you mean '{holders[0]}={stem}'? {listed}", rule)
        elif group == "freeze" and option.startswith("["):
            fix = f"Did you mean 'freeze.rules={option}'? {listed}"
            self._wrong(parsed, "a group takes the name of an option", fix, rule)
        elif group in MAIN and re.fullmatch(r"[-+.\deE]+", option):
            fix = f"Did you mean '{group}.{MAIN[group]}={option}'? {listed}"
            self._wrong(parsed, "a group takes the name of an option", fix, rule)
        else:
            self._wrong(parsed, message, listed, rule)
        return None

    # ------------------------------------------------------------------ recipes by path

    def _by_path(self, parsed: Parsed, option: str) -> None:
        path = Path(option)
        try:
            path = path.expanduser()
            there = path.is_file()
        except (OSError, ValueError, RuntimeError):  # no path that can be
            there = False
        if not there:
            self._no_file(parsed, path)
            return
        if name := self._stored(path):
            self._take(parsed, name)

    def _no_file(self, parsed: Parsed, path: Path) -> None:
        around = path.parent if path.parent.is_dir() else Path()
        names = sorted(p.name for p in around.iterdir() if p.suffix in (".yaml", ".yml"))
        near, recipe = nearest(path.name, names), nearest(path.stem, self.groups["recipe"], cutoff=0.8)
        self.unsure.add("*")
        if near is not None and (recipe != path.stem or path.parent != Path()):
            found = path.parent / near
            cure = str(found) if "/" in str(found) else f"./{found}"
            self._wrong(parsed, "there is no such file", f"Did you mean 'recipe={cure}'?", "unknown-recipe")
            if name := self._stored(around / near):
                self.unsure.discard("*")
                self._take(parsed, name)
        elif recipe is not None:
            fix = f"Did you mean 'recipe={recipe}'?"
            self._wrong(parsed, "there is no such file", fix, "unknown-recipe")
        else:
            missing = "" if path.parent.is_dir() else f", nor the folder {path.parent}"
            fix = f"Recipes: {', '.join(self.groups['recipe'])}; or a path such as ./my.yaml"
            self._wrong(parsed, f"there is no such file{missing}", fix, "unknown-recipe")

    def _stored(self, path: Path) -> str | None:
        """Let Hydra find a file as a recipe; return the name that it knows it by."""
        path = path.absolute()
        try:
            with reading(path):
                text = path.read_text(encoding="utf-8")
                config = OmegaConf.load(path)
        except CompositionError as error:
            self.findings.append(self.finding_of(error))
            self.unsure.add("*")
            return None
        package = package_of(text)
        if not isinstance(config, DictConfig) or package not in (None, "_global_"):
            what = "holds no keys" if package in (None, "_global_") else f"names the package {package} in its head"
            message = f"this file {what}; a recipe is a mapping of keys for the whole config"
            fix = f"Let it begin with {HEADER}"
            self.findings.append(_of_file("bad-yaml", "recipe", message, path, 1, fix=fix))
            self.unsure.add("*")
            return None
        defaults = config.get("defaults")
        if isinstance(defaults, ListConfig):  # {/recipe: mlp} is, to Hydra, the choice of this very recipe
            listed = self._mended(defaults_of(path, text, self.groups))
            config.defaults = [_extension(item) for item in listed]
        name = f"{re.sub(r'[^a-zA-Z0-9]', '_', path.stem)}_{sha256(str(path).encode()).hexdigest()[:8]}"
        store(name, config, group="recipe", package="_global_")
        self.given[f"recipe/{name}"] = path
        if path.parent.name == "recipe" and path.parent.parent not in (folder(), *self.folders):
            self.folders.append(path.parent.parent)  # it lies in a config folder, whose other options it may choose
        return name

    def _mended(self, defaults: Defaults) -> list[Any]:
        self.findings += defaults.findings
        if defaults.debug is not None and not any(re.match("[+~]*debug(=|$)", text) for text in self.overrides):
            self.overrides.insert(0, f"debug={defaults.debug}")  # one on the line, which comes after it, wins
        return defaults.items

    def _own_recipe(self, option: str) -> str | None:
        """Return the name that Hydra is to know a recipe by: another one where it would not read it as it is meant."""
        path = file_of(f"recipe/{option}", self.folders)
        if path is None or path.is_relative_to(folder()):
            return option
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return option  # composing it says so
        headless = package_of(text) is None
        mended = defaults_of(path, text, self.groups).mended
        if not headless and not mended and not re.search(EXTENDS, text, re.MULTILINE):
            return option
        name = self._stored(path)
        if name is not None and headless:
            self.findings.append(without_header(path, "recipe"))
        return name

    # ------------------------------------------------------------------ what Hydra finds

    def finding_of(self, error: CompositionError) -> Finding:
        """Return what Hydra found wrong with a file, as a finding."""
        parent = None if error.parent is None else file_of(error.parent, self.folders, self.given)
        if error.file is not None:
            fix = "YAML is indented by spaces, not by tabs" if "'\\t'" in str(error) else ""
            return _of_file("bad-yaml", "", f"a config file cannot be read: {error}", error.file, error.line, fix=fix)
        if error.option is not None:
            return self._no_option(error, error.option, parent)
        text = str(error)
        if twice := re.search(r"Multiple values for ([\w/@.]*\w)", text):
            group = twice[1].partition("@")[0]
            file, line = self._names(group, "", parent)
            fix = f"In a defaults list write: override /{group}: OPTION"
            return _of_file("duplicate-option", group, "is chosen twice, here and in config.yaml", file, line, fix=fix)
        if "Cannot merge" in text or "ListConfig" in text:
            return self._unmergeable(error, parent)
        if error.group and "@" in error.group:
            group, _, package = error.group.partition("@")
            fix = f"Write {group}=OPTION, or +{group}@{package}=OPTION to add one at {package}"
            return _of_file("unknown-option", error.group, "nothing was chosen to go there", parent, fix=fix)
        if error.group:
            return _of_file("unknown-option", error.group, "there is no such group to choose an option of", parent)
        return _of_file("bad-config", error.path or "", text, parent)

    def _unmergeable(self, error: CompositionError, parent: Path | None) -> Finding:
        """Find a list over a mapping in a file of the user's; OmegaConf does not say where it is."""
        chosen = [text.lstrip("+").replace("=", "/") for text in self.overrides]
        files = [parent, *(file_of(name, self.folders, self.given) for name in chosen)]
        own = dict.fromkeys(file for file in files if file is not None and not file.is_relative_to(folder()))
        lists = [(file, path, line) for file in own for path, line in lists_of(file)]
        message = "is a list in one file and a mapping in another, which YAML files cannot lay over each other"
        if not lists:
            return _of_file("bad-config", error.path or "", message, parent)
        file, path, line = lists[0]
        places = " or ".join(dict.fromkeys(path for _, path, _ in lists))
        fix = f"Leave it out there, and give it on the command line: '{path}=[...]'"
        return _of_file("bad-config", places, message, file, line, fix=fix)

    def _no_option(self, error: CompositionError, option: str, parent: Path | None) -> Finding:
        group = error.group or ""
        there = error.options or list(self.groups.get(group, ()))
        near = nearest(option, there)
        parts = [f"Did you mean {near!r}?"] if near else []
        parts += [f"Options: {', '.join(there)}"] if there else []
        message = "there is no such option" if there else "there is no such file among the configs"
        file, line = self._names(group, option, parent)
        return _of_file("unknown-option", group, message, file, line, value=option, fix=" ".join(parts))

    def _names(self, group: str, option: str, parent: Path | None) -> tuple[Path | None, int | None]:
        """Return the file of the user's, and its line, that chooses an option of a group in its defaults list."""
        chosen = [override.lstrip("+").replace("=", "/") for override in self.overrides]
        files = [parent, *(file_of(name, self.folders, self.given) for name in chosen)]
        for file in files:
            if file is not None and not file.is_relative_to(folder()) and (line := _line_with(file, group, option)):
                return file, line
        return parent, None


def _of_file(
    rule: str,
    place: str,
    message: str,
    file: Path | None,
    line: int | None = None,
    *,
    value: str | None = None,
    fix: str = "",
) -> Finding:
    return Finding(
        rule=rule,
        severity="error",
        place=place,
        value=value,
        message=message,
        file=None if file is None else shown(file),
        line=line,
        fix=fix,
    )


def _line_with(file: Path, group: str, option: str) -> int | None:
    """Return the line of a file that has a group's name and an option's after it, None if there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    pattern = rf"(?<![\w-]){re.escape(group)}\s*[:/@].*(?<![\w-]){re.escape(option)}"
    return next((number for number, line in enumerate(lines, 1) if re.search(pattern, line)), None)


def without_header(path: Path, group: str) -> Finding:
    """Return what to tell of a file whose keys would go to a node of the group's name."""
    return Finding(
        rule="missing-header",
        severity="error",
        place=group,
        file=shown(path),
        line=1,
        message=f"its keys would be read as {group}.KEY, and nothing would come of them",
        fix=f"Let the file begin with the line: {HEADER}",
    )


def _extension(item: Any) -> Any:
    return f"/recipe/{item['/recipe']}" if isinstance(item, dict) and list(item) == ["/recipe"] else item


def is_path(option: str, folders: Sequence[Path]) -> bool:
    """Say whether a recipe is given by its path; one such as ``vision/mine`` may lie deeper in a config folder."""
    if option.endswith((".yaml", ".yml")) or option.startswith(("./", "../", "/", "~/")):
        return True
    return "/" in option and file_of(f"recipe/{option}", folders) is None


def package_of(text: str) -> str | None:
    """Return what the head of a YAML file says that its package is, None if nothing."""
    head = re.match(r"(?:\s*#[^\n]*\n|\s*\n)*", text)
    found = re.search(r"^\s*#\s*@package[:\s]\s*([\w.]+)", head[0] if head else "", re.MULTILINE)
    return found[1] if found else None
