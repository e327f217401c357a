"""Reading one file of tensors that anyone may have written: nothing in it runs, and no size in it is believed.

``torch.load(weights_only=True)`` is what keeps code from running. The checks around it say in plain words what was
refused, and keep a small file from asking for a large part of the memory: sizes are held against the file itself.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import stat
import struct
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections import Counter, OrderedDict
from pathlib import Path, PurePosixPath
from typing import IO, Any

import torch
from torch import Tensor, nn

PICKLE_BYTES = 16 << 20
"""Names, numbers and shapes take some 200 bytes a tensor: enough for 80,000 tensors."""
MEMBERS = 200_000
DEPTH, ENTRIES = 100, 5_000_000
"""Levels of nesting, and entries, counted as often as they are named."""
EXPANDED, SHARED = 1 << 30, 16
"""Bytes that a tensor may have beyond its storage; how often a file's bytes may be named, as those of tied weights."""

PLAIN = (str, bytes, int, float, bool, complex, type(None), torch.Size, torch.device, torch.dtype, torch.layout)
NESTED = (dict, OrderedDict, Counter, list, tuple, set)
_REBUILD = ("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state")
GLOBALS = frozenset(
    ["collections.OrderedDict", "collections.Counter", "torch.Size", "torch.device", "_codecs.encode"]
    + ["torch.serialization._get_layout", "torch.storage.UntypedStorage"]
    + [f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "complex")]
    + [f"torch._utils._rebuild_{what}" for what in _REBUILD]
    + [str(value) for value in vars(torch).values() if isinstance(value, torch.dtype | torch.layout)]
    + [f"torch.{name}" for name in dir(torch) if name.endswith("Storage") and not name.startswith("_")]
)
"""What the pickle in a file may name; everything else is refused before it is read."""


class Unsafe(ValueError):
    """The file asks for code to run, or for more memory than it is worth. The text says for what."""


def load(path: str | Path, *, old: bool = False) -> Any:
    """Return what ``torch.save`` wrote into a file: tensors, mapped from the file, and plain values.

    Args:
        path: The file.
        old: Whether torch's format from before version 1.6 is read too, which many files of weights are still of. Its
            tensors are in memory, not mapped.

    Raises:
        Unsafe: If the file holds more than that; nothing of it was run.
        ValueError: If it is no such file, or a damaged one. Both texts are one line without the path.
        OSError: As the file system gives it.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("is not a regular file")
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            if old:
                return _load_old(path, file)
            raise _legacy(file)
        with _archive(file) as archive:
            pickled = _pickle_of(archive)
    _require_known(pickled)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
        raise _reason(error, pickled) from None
    _Weighing(os.path.getsize(path)).require_fair(state)
    return state


def _load_old(path: str | Path, file: IO[bytes]) -> Any:
    """Read torch's older format: five pickles, the fourth of them the state, then the bytes of each storage."""
    size, claimed = os.fstat(file.fileno()).st_size, 0

    def held(storage: Any, location: str) -> Any:
        """Refuse storages of more bytes than the file has; their memory was asked for, but not touched yet."""
        nonlocal claimed
        claimed += storage.nbytes()
        if claimed > size:
            raise Unsafe(f"names {claimed:,} bytes of tensors in a file of {size:,}")
        return storage

    pickled = _pickles_of(file)
    _require_known(pickled)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location=held, weights_only=True)
    except (OSError, Unsafe):
        raise
    except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
        raise _reason(error, pickled) from None
    _Weighing(size).require_fair(state)
    return state


def _pickles_of(file: IO[bytes]) -> bytes:
    """Return the pickles that a file of the older format begins with; raise if it is none."""
    file.seek(0)
    try:
        for number in range(5):
            found = False
            for _, argument, _ in pickletools.genops(file):
                found = found or argument == torch.serialization.MAGIC_NUMBER
                if file.tell() > PICKLE_BYTES:
                    raise Unsafe(f"holds more than {PICKLE_BYTES:,} bytes of names and numbers")
            if number == 0 and not found:
                raise _legacy(file)
    except Unsafe:
        raise
    except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
        if isinstance(reason := _legacy(file), Unsafe) and "old format" not in str(reason):
            raise reason from None  # what it would have called says more
        raise ValueError(f"is damaged: {_line(error)}") from None
    end = file.tell()
    file.seek(0)
    return file.read(end)


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    """Open the zip file that torch writes, and refuse one whose members are not as torch writes them."""
    size = os.fstat(file.fileno()).st_size
    if _members(file, size) > MEMBERS:
        raise Unsafe(f"holds more than {MEMBERS:,} members")
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
        raise ValueError(f"is damaged: {_line(error)}") from None
    total = 0
    for member in archive.infolist():
        place = PurePosixPath(member.filename)
        if place.is_absolute() or ".." in place.parts or "\\" in member.filename:
            raise Unsafe(f"names a member {member.filename[:80]!r}, which would lead out of a folder")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Unsafe(
                f"has compressed members ({member.filename[:80]}: {member.file_size:,} bytes); torch writes none"
            )
        total += member.file_size
    if total > size:
        raise Unsafe(f"declares {total:,} bytes in {size:,}")
    return archive


def _members(file: IO[bytes], size: int) -> int:
    """Return the number of members that a zip file declares, before anything is made of them."""
    file.seek(max(0, size - 65_600))
    tail = file.read()
    file.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise ValueError("is damaged: its end is missing")
    count = int(struct.unpack_from("<H", tail, end + 10)[0])
    large = tail.rfind(b"PK\x06\x06", 0, end)
    return count if large < 0 or len(tail) - large < 40 else int(struct.unpack_from("<Q", tail, large + 32)[0])


def _pickle_of(archive: zipfile.ZipFile) -> bytes:
    """Return the pickle in the archive, which names the tensors and holds all else."""
    names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise Unsafe("is a TorchScript program, which is code; a checkpoint holds tensors and plain values")
    found = [member for member in archive.infolist() if member.filename.endswith("/data.pkl")]
    if len(found) != 1:
        raise ValueError("is a zip file, but not one that torch.save wrote")
    if found[0].file_size > PICKLE_BYTES:
        raise Unsafe(f"holds {found[0].file_size:,} bytes of names and numbers; at most {PICKLE_BYTES:,} are read")
    try:
        return archive.read(found[0])
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is damaged: {_line(error)}") from None


_NAMED = re.compile(rb"c(?=([^\n]{1,200})\n([^\n]{1,200})\n)")


def _require_known(pickled: bytes) -> None:
    """Refuse a pickle that names anything but what tensors and plain values need."""
    suspects = [b".".join(pair) for pair in _NAMED.findall(pickled)]  # of the text of strings, too
    if all(name.decode("utf-8", "replace") in GLOBALS for name in suspects):
        return
    for name in _globals_of(pickled):
        if name not in GLOBALS:
            raise _refusal(name)


def _refusal(name: str) -> Unsafe:
    module, _, rest = name.partition(".")
    name = f"{IMPORT_MAPPING.get(module, module)}.{rest}" if rest else name  # protocol 2 has the names of Python 2
    return Unsafe(f"refused: it would call {name[:100]!r}; a checkpoint holds tensors and plain values, nothing else")


def _globals_of(pickled: bytes) -> list[str]:
    """Return what a pickle names, in order, or several that follow each other, as far as they can be followed."""
    names: list[str] = []
    texts: list[str] = []
    stream = io.BytesIO(pickled)
    try:
        while stream.tell() < len(pickled):
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", ".", 1))
                elif operation.name == "STACK_GLOBAL":
                    names.append(".".join(texts[-2:]))
                elif operation.name.startswith("EXT"):
                    names.append(f"extension {argument}")
                elif isinstance(argument, str):
                    texts = [*texts[-1:], argument]
    except Exception:  # noqa: BLE001 - a damaged pickle; torch.load says so
        return names
    return names


def _legacy(file: IO[bytes]) -> ValueError:
    """Say what a file is that is not of torch's present format. Older ones are pickles throughout, and not read."""
    file.seek(0)
    head = file.read(1 << 20)
    if not head:
        return ValueError("is empty")
    if len(head) > 262 and head[257:262] == b"ustar":
        return Unsafe("refused: it is of torch's oldest format (tar), which only an unsafe reader reads")
    if head[:1] == b"\x80":
        refused = [name for name in _globals_of(head) if name not in GLOBALS]
        if refused:
            return _refusal(refused[0])
        return Unsafe("refused: it is a plain pickle or of torch's old format, which is not read; save it anew")
    return ValueError("was not written by torch.save")


def _reason(error: Exception, pickled: bytes) -> ValueError:
    """Return why torch would not read the file, without its advice to read it unsafely."""
    for name in _globals_of(pickled):
        if name not in GLOBALS:
            return _refusal(name)
    if isinstance(error, MemoryError) or "alloc" in str(error):
        return Unsafe("asks for more memory than there is")
    text = re.sub(r"Weights only load failed\..*?WeightsUnpickler error:", "", str(error), flags=re.DOTALL)
    return ValueError(f"cannot be read: {_line(text) or type(error).__name__}")


def _line(error: object) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else ""


class _Weighing:
    """Counts what was read as often as it is named: a few bytes may name the same large thing a million times."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()

    def require_fair(self, state: Any) -> None:
        """Raise :class:`Unsafe` if the state is larger than the file can hold."""
        entries, size = self._weigh(state, 0)
        if entries > ENTRIES:
            raise Unsafe(f"names {entries:,} entries; at most {ENTRIES:,} are read")
        if size > SHARED * self._size + EXPANDED:
            raise Unsafe(f"names {size:,} bytes of tensors in a file of {self._size:,}")

    def _weigh(self, value: Any, depth: int) -> tuple[int, int]:
        """Return the number of entries and the bytes of tensors in a value."""
        if type(value) in (Tensor, nn.Parameter):
            return 1, self._tensor(value)
        if type(value) in PLAIN or isinstance(value, torch.dtype | torch.layout):
            return 1, 0
        if type(value) not in NESTED:
            raise Unsafe(f"holds a {type(value).__name__}; a checkpoint holds tensors and plain values")
        if id(value) in self._known:
            return self._known[id(value)]
        if depth > DEPTH or id(value) in self._open:
            raise Unsafe(f"is nested more than {DEPTH} levels deep")
        self._open.add(id(value))
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        entries, size = 1, 0
        for one in inner:
            more, heavier = self._weigh(one, depth + 1)
            entries, size = entries + more, size + heavier
        self._open.discard(id(value))
        self._known[id(value)] = entries, size
        return entries, size

    def _tensor(self, tensor: Tensor) -> int:
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise Unsafe(f"holds a tensor of layout {tensor.layout} on {tensor.device}; a checkpoint holds plain ones")
        size, held = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if size > max(held, EXPANDED) or held > self._size:
            raise Unsafe(f"holds a tensor of {size:,} bytes, for which it has {min(held, self._size):,}")
        return size
