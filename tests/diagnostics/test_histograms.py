"""Histograms against plain PyTorch, and as TensorBoard reads them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fits import mlp, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor, nn

from trainkit.diagnostics import Histograms
from trainkit.errors import ConfigError
from trainkit.loggers import TensorBoard


def drawn(folder: Path, model: nn.Module, diagnostic: Histograms, **options: Any) -> dict[tuple[str, int], Tensor]:
    """Return the histograms of a training by name and step: rows of left end, right end and count."""
    trainer(model, [diagnostic], loggers=[TensorBoard(folder)], **options).fit()
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("histograms/")]
    assert all(events.SummaryMetadata(tag).plugin_data.plugin_name == "histograms" for tag in tags)
    found = {(tag, event.step): make_ndarray(event.tensor_proto) for tag in tags for event in events.Tensors(tag)}
    return {key: torch.from_numpy(rows.copy()) for key, rows in found.items()}


def test_weights_gradients_and_outputs_are_counted(tmp_path: Path) -> None:
    model = mlp(8, 16, 4)
    seen = drawn(tmp_path, model, Histograms(2), lr=1e-9, max_steps=4)
    parameters = [name for name, _ in model.named_parameters()]
    names = {f"histograms/{what}/{name}" for what in ("weights", "gradients") for name in parameters}
    names |= {"histograms/outputs/0", "histograms/outputs/2"}
    assert set(seen) == {(name, step) for name in names for step in (1, 2, 4)}
    rows, weights = seen["histograms/weights/0.weight", 4], model[0].weight.detach()
    assert rows[:, 2].tolist() == torch.histc(weights, 32).tolist()
    assert (rows[0, 0].item(), rows[-1, 1].item()) == pytest.approx((weights.min().item(), weights.max().item()))
    assert seen["histograms/outputs/0", 1][:, 2].sum() == 16 * 16


def test_of_chosen_layers_that_train_alone(tmp_path: Path) -> None:
    model = mlp(8, 16, 4)
    model[2].bias.requires_grad_(False)
    seen = drawn(tmp_path, model, Histograms(1, layers=["2.*"]), max_steps=1)
    assert {name for name, _ in seen} == {"histograms/weights/2.weight", "histograms/gradients/2.weight"}


def test_numbers_that_are_all_the_same(tmp_path: Path) -> None:
    model = mlp(8, 16, 4)
    with torch.no_grad():
        model[2].bias.fill_(0.5)
    rows = drawn(tmp_path, model, Histograms(1, bins=4), lr=0.0, max_steps=1)["histograms/weights/2.bias", 1]
    assert rows[:, 2].tolist() == [4, 0, 0, 0]
    assert rows[0, 0] == 0.5


class Masked(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).masked_fill(torch.tensor([False, False, False, True]), float("-inf"))


def test_infinities_of_a_mask_are_left_out(tmp_path: Path) -> None:
    model = mlp(8, 16, 4)
    model[2] = Masked(16, 4)
    data = torch.randn(64, 8), torch.randint(3, (64,))
    rows = drawn(tmp_path, model, Histograms(1), data=data, max_steps=1)["histograms/outputs/2", 1]
    assert rows[:, 2].sum() == 16 * 3


def test_impossible_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"diagnostics\.histograms\.bins=1: must be a whole number"):
        Histograms(bins=1)
