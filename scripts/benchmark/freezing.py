"""Measure what freezing saves: `scripts/bench freeze`.

A ResNet-18 takes steps on random images under each plan, in an order that rotates from round to round; ratios to full
training are taken within a round. Activation memory is that of the tensors which autograd keeps for the backward pass,
without the weights themselves.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import process_time

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from trainkit.optim import FreezePlan
from trainkit.timing import Moment

FULL = "full training"
PLANS: dict[str, list[dict[str, object]]] = {
    FULL: [{"match": "*"}],
    "layer4 and head": [{"match": ["@head", "layer4"]}, {"match": "*", "trainable": False}],
    "head alone": [{"match": "@head"}, {"match": "*", "trainable": False}],
}
HEAD = """| plan | CPU ms/step | ratio (min-max) | activations kept MiB | optimizer state MiB |
| --- | ---: | ---: | ---: | ---: |"""


def stepper(rules: list[dict[str, object]], batch: int, size: int) -> tuple[Callable[[], Tensor], float, float]:
    """Return a function that takes a step, and the MiB that autograd and the optimizer keep."""
    torch.manual_seed(0)
    model, plan = resnet18(num_classes=10), FreezePlan(rules)
    optimizer = torch.optim.AdamW(plan.parameter_groups(model, 1e-3), 1e-3)
    model.train()
    plan.attach(optimizer, None, Moment(0.0, 0, 0.0))
    images, labels = torch.randn(batch, 3, size, size), torch.randint(10, (batch,))

    def step() -> Tensor:
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(model(images), labels)  # alive until its tensors were counted
    activations = sum(kept.values()) / 2**20
    del loss
    step()
    moments = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    return step, activations, sum(t.nbytes for t in moments) / 2**20


def main(arguments: list[str]) -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser("scripts/bench freeze", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of each plan in a round; the quickest counts")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="height and width of the images in pixels")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    made = {name: stepper(rules, options.batch, options.size) for name, rules in PLANS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    order = list(made)
    for _ in range(options.rounds):
        for name in order:
            seconds[name].append(min(_timed(made[name][0]) for _ in range(options.steps)))
        order.append(order.pop(0))
    lines = [HEAD]
    for name, (_, activations, moments) in made.items():
        ratios = [mine / full for mine, full in zip(seconds[name], seconds[FULL], strict=True)]
        cells = [name, f"{1e3 * median(seconds[name]):.0f}"]
        cells += [f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})", f"{activations:.1f}", f"{moments:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    print("\n".join(lines))


def _timed(step: Callable[[], Tensor]) -> float:
    start = process_time()
    step()
    return process_time() - start
