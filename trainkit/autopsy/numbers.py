"""What a tensor holds, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Numbers:
    """Statistics of a tensor; the extremes and the mean are those of its finite elements."""

    name: str
    shape: list[int]
    dtype: str
    count: int
    nan: int
    infinite: int
    zeros: int
    negative: int
    least: float | None
    most: float | None
    mean: float | None

    @classmethod
    def of(cls, tensor: Tensor, name: str = "") -> Numbers:
        """Return the statistics of a tensor of any type and layout."""
        values = real_values(tensor)
        shape, dtype = list(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        if values.dtype == torch.bool:
            values = values.to(torch.uint8)
        wide = values.double() if values.is_floating_point() and values.device.type != "mps" else values.float()
        finite = wide[wide.isfinite()]
        least, most = (finite.min().item(), finite.max().item()) if finite.numel() else (None, None)
        return cls(
            name=name,
            shape=shape,
            dtype=dtype,
            count=wide.numel(),
            nan=int(wide.isnan().sum()),
            infinite=int(wide.isinf().sum()),
            zeros=int((wide == 0).sum()),
            negative=int((wide < 0).sum()),
            least=least,
            most=most,
            mean=finite.mean().item() if finite.numel() else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain types."""
        return asdict(self)

    def __str__(self) -> str:
        counts = {"nan": self.nan, "infinite": self.infinite, "zero": self.zeros}
        parts = [f"{self.dtype} {self.shape}"]
        if self.least is not None:
            parts.append(f"{self.least:.4g} to {self.most:.4g}, mean {self.mean:.4g}")
        parts += [f"{number:,} {what}" for what, number in counts.items() if number]
        return (f"{self.name}: " if self.name else "") + ", ".join(parts)


def real_values(tensor: Tensor) -> Tensor:
    """Return the numbers of a tensor of any layout and type as a dense tensor of real ones, without a graph."""
    tensor = tensor.detach()
    dense = tensor if tensor.layout is torch.strided else tensor.coalesce()._values()
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense


def is_finite(tensor: Tensor) -> bool:
    """Say whether all numbers of a tensor are finite; those of other types than floating-point ones are."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
        return True
    return bool(real_values(tensor).isfinite().all())


def bad_rows(tensor: Tensor) -> list[int]:
    """Return which rows of a tensor hold a number that is not finite; none where all of them do."""
    if tensor.ndim == 0 or tensor.layout is not torch.strided or not len(tensor):
        return []
    bad = ~real_values(tensor).reshape(len(tensor), -1).isfinite().all(1)
    return [] if bool(bad.all()) and len(tensor) > 1 else [int(row) for row in bad.nonzero().flatten()]
