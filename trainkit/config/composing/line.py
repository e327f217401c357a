"""A command line, taken apart: overrides, flags wherever they stand, and what slipped. Needs no Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from trainkit.config.composing.recipes import recipes
from trainkit.errors import nearest
from trainkit.findings import Finding, FindingsError, errors_in

TRAIN_FLAGS: Mapping[str, tuple[str, ...] | None] = {
    "-m": None,
    "--multirun": None,
    "-c": ("job", "hydra", "all"),
    "--cfg": ("job", "hydra", "all"),
    "-p": (),
    "--package": (),
    "--resolve": None,
    "-i": ("", "all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--info": ("", "all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
"""Flags that ``train`` takes, with the values that each may have: None for no value, () for any, "" for it to be left
out."""
ALWAYS: Mapping[str, tuple[str, ...] | None] = {"--config-dir": (), "-cd": (), "--traceback": None}
INSTEAD = {
    "--config-name": "recipe={}",
    "-cn": "recipe={}",
    "--config-path": "--config-dir {}",
    "-cp": "--config-dir {}",
    "--trust": "trusted_packages=[{}]",
}
"""Flags of Hydra's and of former releases, and what to write."""
KNOWN_ELSEWHERE = {
    "--gpu": "trainer.device=cuda",
    "--gpus": "trainer.device=cuda",
    "--cuda": "trainer.device=cuda",
    "--use-gpu": "trainer.device=cuda",
    "--cpu": "trainer.device=cpu",
}
"""Flags of other programs, without a value, and the override that they mean."""
NO_KEYS = {
    "-r": "; a run needs none",
    "--run": "; a run needs none",
    "--verbose": "; --traceback shows an error's frames",
    "--debug": "; debug=fast tries a run out",
    "--quiet": "; ~callbacks.progress shows no progress",
    "--json": "; the commands check, help and recipes take it",
    "--hydra-help": "; --help lists what there is",
}
"""Flags of other programs that no key stands for, and what to say."""
FLAG_ALIKE = 0.7
"""Likeness from which on an unknown flag is taken for a misspelt one; ``--multirn`` is 0.95, ``--recipe`` 0.56."""


class Slip(NamedTuple):
    """Words that are neither a flag nor ``KEY=VALUE``, and the override that they seem to mean."""

    text: str
    cure: str
    message: str


@dataclass(slots=True)
class Line:
    """A command line, taken apart."""

    overrides: list[str]
    config_dir: str | None = None
    flags: list[str] = field(default_factory=list)
    """With their values, but for ``--config-dir``."""
    slips: list[Slip] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What is wrong with the flags."""

    @property
    def folder_flag(self) -> list[str]:
        """The flag that names the user's config folder, if any."""
        return [] if self.config_dir is None else ["--config-dir", self.config_dir]

    @property
    def shown(self) -> list[str]:
        """What a repetition of the line needs."""
        return [*self.overrides, *self.folder_flag]

    @property
    def sweeps(self) -> bool:
        """Whether the line asks for several runs."""
        return self.has("-m", "--multirun")

    def has(self, *names: str) -> bool:
        """Say whether a flag was given, by any of its names."""
        return bool(set(names) & set(self.flags))

    def value(self, *names: str) -> str | None:
        """Return the value that a flag was given last, None if it was not given or has none."""
        given = None
        for name, after in zip(self.flags, [*self.flags[1:], "-"], strict=False):
            if name in names and not re.match(r"-(?!\d)", after):  # a negative number is a value
                given = after
        return given

    def require(self) -> Line:
        """Return the line.

        Raises:
            FindingsError: That lists what is wrong with its words, whatever the config may be.
        """
        slips = [finding_of(slip) for slip in self.slips]
        if errors_in(self.findings) or slips:
            raise FindingsError([*self.findings, *slips])
        return self


def finding_of(slip: Slip, cure: str | None = None) -> Finding:
    """Return what a slip is told as; ``cure`` takes the place of its own where the config knows better."""
    return Finding(
        rule="bad-word",
        severity="error",
        place="",
        message=f"{slip.text}: {slip.message}",
        fix=f"Did you mean {cure or slip.cure!r}?",
    )


def read_line(
    arguments: Sequence[str],
    takes: Mapping[str, tuple[str, ...] | None] = TRAIN_FLAGS,
    commands: Sequence[str] = (),
) -> Line:
    """Take a command line apart; flags may stand anywhere, and no mistake raises.

    Args:
        arguments: The words, without the program's name and the command.
        takes: The command's flags with their values, as :data:`TRAIN_FLAGS` has them.
        commands: The names of all commands, to tell one in the wrong place.
    """
    return _Reader(arguments, {**takes, **ALWAYS}, commands).read()


class _Reader:
    """Goes through the words once."""

    def __init__(
        self, arguments: Sequence[str], takes: Mapping[str, tuple[str, ...] | None], commands: Sequence[str]
    ) -> None:
        self.words = list(arguments)
        self.takes = takes
        self.commands = commands
        self.line = Line([])

    def read(self) -> Line:
        while self.words:
            word = self.words.pop(0)
            dashed = re.sub(r"^[\u2010-\u2015\u2212]+", "--", word)  # typographic dashes, of a page copied from
            if word != dashed and len(dashed) == 3:
                dashed = dashed[1:]
            if dashed.startswith("-"):
                self._flag(dashed)
            elif "=" in word or word.startswith("~"):
                self._override(word)
            else:
                self._word(word)
        self._doubled()
        if self.line.config_dir is not None and not Path(self.line.config_dir).is_dir():
            self._wrong(f"--config-dir {self.line.config_dir}: there is no such folder", "bad-folder")
            self.line.config_dir = None
        return self.line

    def _doubled(self) -> None:
        """Warn of keys that were given two values: one may have been meant for another key."""
        seen: dict[str, str] = {}
        for text in [] if self.line.sweeps else self.line.overrides:
            key, equals, value = text.lstrip("+").partition("=")
            if not equals or text.startswith("~") or value.startswith("{"):
                continue
            before = seen.setdefault(key, text)
            if before.lstrip("+").partition("=")[2] != value:
                message = f"is given twice, as {before} and {text}; the last one counts"
                self.line.findings.append(Finding(rule="given-twice", severity="warning", place=key, message=message))

    def _wrong(self, message: str, rule: str = "bad-flag", fix: str = "") -> None:
        self.line.findings.append(Finding(rule=rule, severity="error", place="", message=message, fix=fix))

    def _slip(self, text: str, cure: str, message: str) -> None:
        self.line.slips.append(Slip(text, cure, message))

    def _bare(self) -> bool:
        """Say whether the next word could be a value."""
        return bool(self.words) and "=" not in self.words[0] and not re.match(r"[~+]|-(?![\d.])", self.words[0])

    def _override(self, word: str) -> None:
        key, _, value = word.partition("=")
        if word.startswith("="):
            self._wrong(f"{word}: has no key; write KEY=VALUE, without spaces", "bad-word")
        elif not value and key and self._bare() and "~" not in key:
            value = self.words.pop(0)
            self._slip(f"{key}= {value}", f"{key}={value}", "has a space in it")
        elif value.endswith(",") and len(value) > 1:
            self._slip(word, word.rstrip(","), "ends with a comma")
        else:
            self.line.overrides.append(word)

    def _word(self, word: str) -> None:
        """Read a word that is neither a flag nor ``KEY=VALUE``."""
        names = [recipe.name for recipe in recipes()]
        if self.words and self.words[0].startswith("=") and re.fullmatch(r"[+\w.@/]+", word):
            value = self.words.pop(0)[1:] or (self.words.pop(0) if self._bare() else "")
            self._slip(f"{word} = {value}", f"{word}={value}", "has spaces in it")
        elif word.endswith(":") and self._bare() and re.fullmatch(r"[+\w.@/]+:", word):
            value = self.words.pop(0)
            self._slip(f"{word} {value}", f"{word[:-1]}={value}", "a value is given by KEY=VALUE")
        elif match := re.fullmatch(r"([+]*[\w.]+):([^/\\].*)", word):
            self._slip(word, f"{match[1]}={match[2]}", "a value is given by KEY=VALUE")
        elif word in self.commands:
            self._wrong(f"{word}: a command comes first", "bad-word", f"Write: trainkit {word} ...")
        elif word.rstrip(",") in names or word.endswith((".yaml", ".yml")):
            self._slip(word, f"recipe={word.rstrip(',')}", "is neither a flag nor KEY=VALUE")
        elif re.fullmatch(r"[+]*[A-Za-z_][\w.]*", word) and self._bare():
            value = self.words.pop(0)
            self._slip(f"{word} {value}", f"{word}={value}", "a value is given by KEY=VALUE")
        else:
            near = nearest(word, names, 0.6)
            fix = f"Did you mean 'recipe={near[0]}'?" if near else ""
            self._wrong(f"{word}: neither a flag nor KEY=VALUE", "bad-word", fix)

    def _flag(self, word: str) -> None:
        name, joined, value = word.partition("=")
        if name in self.takes:
            self._known(name, value if joined else None)
        elif name in INSTEAD:
            value = value if joined else self.words.pop(0) if self._bare() else "NAME"
            self._slip(f"{name} {value}", INSTEAD[name].format(value), "is no flag of trainkit's")
        elif name in TRAIN_FLAGS:
            self._wrong(f"{name}: this command takes no such flag{self._listed()}")
            self._drop_value(TRAIN_FLAGS[name], joined)
        elif near := self._near(name):
            self._wrong(f"{name}: no such flag", fix=f"Did you mean {near!r}?")
            self._drop_value(self.takes[near], joined)
        elif not re.match(r"-+[+]?[A-Za-z_]", name):
            if name != "--":
                self._wrong(f"{word}: neither a flag nor KEY=VALUE", "bad-word")
        elif joined:
            self._slip(word, f"{name.lstrip('-')}={value}", "values are given without dashes")
        elif self._bare():
            value = self.words.pop(0)
            self._slip(f"{name} {value}", f"{name.lstrip('-')}={value}", "a value is given by KEY=VALUE")
        elif name in NO_KEYS:
            self._wrong(f"{name}: no such flag{NO_KEYS[name]}")
        elif name in KNOWN_ELSEWHERE:
            self._slip(name, KNOWN_ELSEWHERE[name], "no such flag")
        elif len(name) == 2:
            self._wrong(f"{name}: no such flag; --help lists those that there are")
        else:
            key = name.lstrip("-")
            cure = f"{key[3:]}=false" if key.startswith("no-") else f"{key}=true"
            self._slip(name, cure, "no such flag")

    def _near(self, name: str) -> str:
        """Return the flag that a misspelt one means, empty if none is near."""
        long = [flag for flag in self.takes if flag.startswith("--")]
        if name.startswith("--") and len(name) > 4 and (begun := [f for f in long if f.startswith(name)]):
            return begun[0]
        if "-" + name in long:  # -multirun
            return "-" + name
        return next(iter(nearest(name, long, FLAG_ALIKE)), "") if name.startswith("--") else ""

    def _listed(self) -> str:
        return f"; it takes {', '.join(flag for flag in self.takes if flag.startswith('--'))}"

    def _drop_value(self, values: tuple[str, ...] | None, joined: str) -> None:
        if values is not None and not joined and self._bare() and (not values or self.words[0] in values):
            self.words.pop(0)

    def _known(self, name: str, value: str | None) -> None:
        values = self.takes[name]
        if values is None:
            if value is not None:
                self._wrong(f"{name}={value}: {name} takes no value")
        elif value is None and (self._bare() or (not values and self.words and Path(self.words[0]).is_dir())):
            value = self.words.pop(0)
        if values is not None and not value and "" not in values:
            what = "a folder" if name in ("--config-dir", "-cd") else " or ".join(values) or "a value"
            self._wrong(f"{name}: needs {what} after it")
        elif value and values and value not in values:
            near = nearest(value, [v for v in values if v], 0.6)
            fix = f"Did you mean {near[0]!r}?" if near else ""
            self._wrong(f"{name} {value}: must be one of {', '.join(v for v in values if v)}", fix=fix)
        elif name in ("--config-dir", "-cd"):
            if self.line.config_dir is not None:
                self._wrong(f"{name} {value}: a config folder was given already ({self.line.config_dir})")
            self.line.config_dir = value
        elif name != "--traceback":
            self.line.flags += [name, *([value] if value else [])]
