"""Gradients against plain PyTorch, and networks in which they vanish, explode or do neither."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from fits import Kept, examined, mlp, task, trainer
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from trainkit import Loader, Output, Trainer
from trainkit.data.loader import samples_in
from trainkit.diagnostics import Gradients, Learning
from trainkit.diagnostics.gradients import flow_of


def reference(model: nn.Module) -> dict[str, float]:
    """Return the norm of each parameter's gradient for the first batch."""
    inputs, targets = next(iter(Loader(TensorDataset(*task()), 16, shuffle=True, seed=1)))
    model.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters()}
    model.zero_grad()
    return norms


def first_curves(model: nn.Module, diagnostic: Gradients, **options: Any) -> dict[str, float]:
    kept = Kept()
    trainer(model, [diagnostic], loggers=[kept], max_steps=1, **options).fit()
    return next((values for _, values in kept.records if any("gradients/" in name for name in values)), {})


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 1e-3}, {"precision": "bf16"}])
def test_norms_are_those_of_plain_pytorch_before_clipping(options: dict[str, Any]) -> None:
    model = mlp(8, 16, 16, 4)
    norms = reference(model)
    seen = first_curves(model, Gradients(1, layers=["*"]), **options)
    layers = [(norms[f"{n}.weight"] ** 2 + norms[f"{n}.bias"] ** 2) ** 0.5 for n in (0, 2, 4)]
    accuracy = 0.02 if "precision" in options else 1e-4
    assert [seen[f"gradients/{n}/norm"] for n in (0, 2, 4)] == pytest.approx(layers, rel=accuracy)
    assert (seen["gradients/norm_min"], seen["gradients/norm_max"]) == (
        min(seen[f"gradients/{n}/norm"] for n in (0, 2, 4)),
        max(seen[f"gradients/{n}/norm"] for n in (0, 2, 4)),
    )


def test_the_flow_is_the_pull_of_the_stem_over_that_of_the_head() -> None:
    model = mlp(8, 16, 16, 16, 4)
    norms = reference(model)
    pulls = [norms[f"{n}.weight"] * model[n].weight.norm().item() for n in (0, 2, 4, 6)]
    assert first_curves(model, Gradients(1))["gradients/flow"] == pytest.approx(pulls[0] / pulls[-1], rel=1e-4)


def test_the_flow_does_not_care_how_large_the_weights_are_where_a_norm_follows() -> None:
    def normed(scale: float) -> nn.Module:
        torch.manual_seed(0)
        parts = [part for n in range(4) for part in (nn.Linear(8, 8, bias=False), nn.LayerNorm(8, 1e-12), nn.ReLU())]
        model = nn.Sequential(*parts, nn.Linear(8, 4))
        with torch.no_grad():
            model[0].weight.mul_(scale)
        return model

    one, other = (first_curves(normed(scale), Gradients(1))["gradients/flow"] for scale in (1.0, 100.0))
    assert one == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize(
    ("pulls", "flow"), [([1.0] * 3, None), ([1.0, 2.0, 3.0, 4.0], 0.25), ([1.0] * 6, 1.0), ([1.0, 1, 1, 0], None)]
)
def test_a_flow_takes_four_layers_and_a_head_that_moves(pulls: list[float], flow: float | None) -> None:
    assert flow_of(pulls) == flow


def test_a_deep_stack_of_sigmoids_lets_the_gradient_vanish() -> None:
    model = mlp(8, *[16] * 8, 4, activation=nn.Sigmoid)
    rules, note, _ = examined(model, Gradients(10), Learning(10), lr=0.05)
    assert "gradients-vanishing" in rules
    assert note[0].startswith("The gradient vanishes on its way to the stem: ")
    assert "model.activation=ReLU" in note[0]


def test_large_weights_let_the_gradient_of_a_deep_tanh_explode() -> None:
    model = mlp(8, *[64] * 28, 4, activation=nn.Tanh)
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.normal_(0, 4 / layer.in_features**0.5)
    rules, note, _ = examined(model, Gradients(10), lr=1e-7)
    assert rules == ["gradients-exploding"]
    assert "trainer.gradient_clip_val=1.0" in note[0]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU])
def test_a_usual_network_has_nothing_of_it(activation: type[nn.Module]) -> None:
    rules, note, _ = examined(mlp(8, 32, 32, 32, 32, 4, activation=activation), Gradients(5), lr=0.05)
    assert (rules, note) == ([], [])


class OwnStep(Trainer):
    """An update rule that tells no callback of its gradients."""

    def train_step(self, window: Sequence[Any]) -> Output:
        (batch,) = window
        output = self.objective(self.model, self.to_device(batch))
        self.optimizer.zero_grad()
        output.loss.backward()
        self.optimizer.step()
        self.counters.step += 1
        self.counters.samples += samples_in(batch)
        return output


def test_a_train_step_of_ones_own_is_watched_too() -> None:
    model = mlp(8, 16, 16, 4)
    norms = reference(model)
    seen = first_curves(model, Gradients(1, layers=["4"]), cls=OwnStep)
    both = (norms["4.weight"] ** 2 + norms["4.bias"] ** 2) ** 0.5
    assert seen["gradients/4/norm"] == pytest.approx(both, rel=1e-4)
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_accumulated_windows_count_as_one_step() -> None:
    model, kept = mlp(8, 16, 4), Kept()
    trainer(model, [Gradients(2)], loggers=[kept], accumulate_grad_batches=4, max_steps=4).fit()
    assert list(kept.curve("gradients/norm_max")) == [1, 2, 4]


def test_frozen_and_unused_layers_have_no_gradient() -> None:
    model = mlp(8, 16, 4)
    model[0].requires_grad_(False)
    seen = first_curves(model, Gradients(1, layers=["*"]), optimizer=torch.optim.SGD(model[2].parameters(), 0.1))
    assert {name for name in seen if name.endswith("/norm")} == {"gradients/2/norm"}


def test_a_model_without_gradients_is_left_alone() -> None:
    class Still(OwnStep):
        def train_step(self, window: Sequence[Any]) -> Output:
            self.counters.step += 1
            return Output(torch.zeros(()), 1)

    assert first_curves(mlp(8, 4), Gradients(1), cls=Still) == {}


def test_sparse_gradients_are_left_out() -> None:
    torch.manual_seed(0)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(10, 4, sparse=True), nn.Linear(4, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(self.embed(inputs))

    model, data = Model(), (torch.randint(10, (64,)), torch.randint(4, (64,)))
    assert set(first_curves(model, Gradients(1, layers=["*"]), data=data)) == {
        "gradients/norm_min",
        "gradients/norm_max",
        "gradients/head/norm",
    }


def test_a_gradient_that_vanished_at_first_is_told_though_the_network_grew_out_of_it() -> None:
    diagnostic, fitted = Gradients(), trainer(mlp(8, 4), [])
    for number, flow in enumerate([1e-5] * 3 + [1.0] * 6):
        diagnostic._flows.add(50 * number, flow)
    assert [symptom.rule for symptom in diagnostic.symptoms(fitted)] == ["gradients-vanishing"]
