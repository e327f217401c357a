"""Files of weights alone, ``.pt`` and ``.safetensors``: those of other programs, and those written for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from trainkit.checkpoint.files import write_atomically
from trainkit.checkpoint.loading import load
from trainkit.checkpoint.reading import find, read
from trainkit.checkpoint.weights import unnested
from trainkit.errors import ConfigError

KINDS = (".pt", ".safetensors")
TIED = "tied"
"""The key of a safetensors file's metadata that names the tensors that are another one, as JSON."""


def read_any(path: str | Path, which: str = "last") -> dict[str, Any]:
    """Return the state of a checkpoint, or of a file of weights alone one that holds nothing else.

    Args:
        path: A checkpoint, a run folder, or a ``.pt`` or ``.safetensors`` file of any program.
        which: Which checkpoint of a run folder is meant, ``last`` or ``best``.

    Raises:
        ConfigError: If there is none, or it is damaged or refused.
    """
    file = find(path, which)
    if file.suffix == ".safetensors":
        return {"model": _read_safetensors(file), "averaging": {}}
    try:
        return read(file)
    except ConfigError as error:
        try:
            content = load(file, old=True)
        except (ValueError, OSError) as reason:
            if "old format" in str(error):
                raise ConfigError(f"{file}: cannot be read as a checkpoint: {reason}") from None
            content = None
        if not isinstance(content, dict) or type(content.get("format")) is int:
            raise
    return {"model": unnested(content, str(file)), "averaging": {}}


def write_weights(path: Path, weights: Mapping[str, Any]) -> dict[str, str]:
    """Write weights as a plain state dict, by the suffix of ``path``; return the tied names that were left out.

    Args:
        path: ``.pt`` for ``torch.save``, in which tied weights stay tied, or ``.safetensors``, which holds each once.
        weights: By name; what is no tensor goes into ``.pt`` only.

    Raises:
        ConfigError: If the suffix is another one, or the package for it is missing.
        OSError: As the file system gives it; what was at ``path`` before is still there.
    """
    if path.suffix not in KINDS:
        raise ConfigError(f"{path}: the suffix says what to write, so it must be {' or '.join(KINDS)}")
    compact = _compact(weights)
    if path.suffix == ".pt":
        write_torch(path, compact)
        return {}
    save = _safetensors().save
    names: dict[tuple[Any, ...], str] = {}
    tied: dict[str, str] = {}
    for name, value in compact.items():
        if isinstance(value, Tensor):
            place = (value.untyped_storage().data_ptr() if value.numel() else name, value.shape, value.dtype)
            if (first := names.setdefault(place, name)) != name:
                tied[name] = first
    single = {name: compact[name].contiguous() for name in names.values()}
    metadata = {"format": "pt", **({TIED: json.dumps(tied)} if tied else {})}
    data = save(single, metadata=metadata)
    write_atomically(path, lambda file: file.write(data))
    return tied


def write_torch(path: Path, content: Any) -> None:
    """Write a file of ``torch.save`` whole or not at all."""
    write_atomically(path, lambda stream: torch.save(content, cast(IO[bytes], stream)))


def _compact(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights without the rest of the storage that some are a part of; the same tensor stays the same."""
    known: dict[tuple[Any, ...], Tensor] = {}
    compact: dict[str, Any] = {}
    for name, value in weights.items():
        if isinstance(value, Tensor):
            tensor = value.detach()
            key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
            whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
            value = known.setdefault(key, tensor if whole else tensor.clone(memory_format=torch.contiguous_format))
        compact[name] = value
    return compact


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    module = _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        weights: dict[str, Tensor] = module.load_file(path)
        with safe_open(path, framework="pt") as file:
            tied = json.loads((file.metadata() or {}).get(TIED, "{}"))
        return weights | {name: weights[first] for name, first in tied.items()}
    except (SafetensorError, ValueError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as safetensors: {error}") from None


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise ConfigError(
            ".safetensors files need the package safetensors: pip install 'trainkit[safetensors]'; .pt needs none"
        ) from None
    return safetensors.torch
