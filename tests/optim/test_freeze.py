"""A freeze plan in a plain training loop: bits, modes, moments, rates and the fingerprint."""

import copy

import pytest
import torch
from torch import nn
from torchvision import models

from trainkit.errors import ConfigError, TrainingError
from trainkit.optim import FreezePlan
from trainkit.timing import Moment

PER_EPOCH = 4


class Nested(nn.Module):
    """Sub-modules with batch norm, dropout, a norm without parameters, and parameters beside modules."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Dropout(0.5)),
        )
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x * self.scale[:, None, None]).mean((2, 3)))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "nested":
        return Nested()
    if name == "vit":
        return models.VisionTransformer(16, 8, 2, 2, 8, 16, dropout=0.1, num_classes=5)
    return models.get_model(name, weights=None, num_classes=5)


NETWORKS = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "vit", "nested")


def moment(step: int) -> Moment:
    return Moment(step / PER_EPOCH, step, 0.0)


class Run:
    """A plain loop under a plan."""

    def __init__(self, model: nn.Module, rules: list, lr: float = 1e-2, optimizer=torch.optim.AdamW, **options) -> None:
        self.model, self.plan = model, FreezePlan(rules, **options)
        self.optimizer = optimizer(self.plan.parameter_groups(model, lr), lr=lr)
        model.train()
        self.plan.attach(self.optimizer, PER_EPOCH, moment(0))
        self.step, self.rates = 0, []

    def train(self, steps: int) -> "Run":
        for _ in range(steps):
            self.plan.advance(moment(self.step))
            torch.manual_seed(self.step)
            loss = nn.functional.cross_entropy(self.model(torch.randn(2, 3, 16, 16)), torch.tensor([0, 1]))
            loss.backward()
            self.plan.clip()
            with self.plan.rates(self.step):
                self.rates.append([group["lr"] for group in self.optimizer.param_groups])
                self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
        return self

    def snapshot(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_frozen_keeps_every_bit_of_parameters_and_buffers(name: str) -> None:
    run = Run(network(name), [{"match": "@head"}, {"match": "*", "trainable": False}])
    before = run.snapshot()
    run.train(3).plan.require_still()
    head = {
        f"{part}.{leaf}" for part in run.plan.head for leaf in dict(run.model.get_submodule(part).named_parameters())
    }
    assert moved(before, run.snapshot()) == head
    assert head


@pytest.mark.parametrize("name", NETWORKS)
def test_in_each_phase_of_a_gradual_thaw_the_rest_keeps_every_bit(name: str) -> None:
    run = Run(network(name), [{"match": "@head"}, {"match": "*", "thaw_every": "1st"}])
    for phase in range(3):
        before = run.snapshot()
        run.train(1).plan.require_still()
        frozen = {own for group in run.plan.groups if not group.trainable for own in group.parameters}
        still = {own for own, module in run.model.named_modules() if own and not module.training}
        buffers = {own for own, _ in run.model.named_buffers() if own.rpartition(".")[0] in still}
        assert sum(group.trainable for group in run.plan.groups) == min(phase + 1, len(run.plan.groups))
        assert not (frozen | buffers) & moved(before, run.snapshot())
        owners = {own.rpartition(".")[0] for own in frozen}
        assert {own for own, _ in run.model.named_buffers() if own.rpartition(".")[0] in owners} <= buffers
        assert moved(before, run.snapshot())


@pytest.mark.parametrize("name", NETWORKS)
def test_after_the_thaw_all_move(name: str) -> None:
    rules = [{"match": "@head"}, {"match": "*", "trainable": False, "until": "1ep"}]
    run = Run(network(name), rules).train(PER_EPOCH)
    before = run.snapshot()
    run.train(2)
    still = set(before) - moved(before, run.snapshot())  # of a bias before a norm of two values the gradient is 0
    assert all(name.endswith("bias") for name in still)
    assert len(still) < len(before) / 4
    assert all(module.training for module in run.model.modules())


def test_frozen_means_no_gradient_no_state_and_eval() -> None:
    run = Run(network("resnet18"), [{"match": "@head"}, {"match": "*", "trainable": False, "until": "1ep"}]).train(1)
    frozen = [p for name, p in run.model.named_parameters() if not name.startswith("fc.")]
    assert not any(p.requires_grad or p.grad is not None or p in run.optimizer.state for p in frozen)
    assert run.model.training
    assert run.model.fc.training
    assert not any(m.training for n, m in run.model.named_modules() if n and n != "fc" and list(m.parameters()))


def test_no_graph_is_built_below_the_lowest_trainable_layer() -> None:
    run = Run(network("resnet18"), [{"match": ["layer4", "@head"]}, {"match": "*", "trainable": False}])
    seen: list[bool] = []
    run.model.layer3.register_forward_hook(lambda module, given, output: seen.append(output.requires_grad))
    run.model.layer4.register_forward_hook(lambda module, given, output: seen.append(output.requires_grad))
    run.train(1)
    assert seen == [False, True]


def test_model_train_is_undone_by_hold() -> None:
    run = Run(network("nested"), [{"match": "head"}, {"match": "*", "trainable": False}])
    run.model.train()
    assert run.model.encoder[0][1].training
    run.plan.hold()
    assert not run.model.encoder[0][1].training
    assert not run.model.encoder[1][2].training
    assert run.model.head.training


@pytest.mark.parametrize(("norm", "moves"), [(None, False), ("eval", False), ("train", True)])
def test_frozen_norms_are_still_unless_the_rule_says_otherwise(norm: str | None, moves: bool) -> None:
    rules = [{"match": "@head"}, {"match": "*", "trainable": False, "norm": norm}]
    run = Run(network("nested"), rules)
    before = run.snapshot()
    run.train(2).plan.require_still()
    statistics = {name for name in before if "running" in name or "tracked" in name}
    assert moved(before, run.snapshot()) - {"head.weight", "head.bias"} == (statistics if moves else set())


def test_trained_norms_may_keep_their_statistics() -> None:
    run = Run(network("nested"), [{"match": "encoder", "norm": "eval"}])
    before = run.snapshot()
    run.train(2)
    assert {n for n in before if "running" in n or "tracked" in n} == set(before) - moved(before, run.snapshot())


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_a_thaw_touches_no_other_moment(kind) -> None:
    options = {"lr": 0.01, "momentum": 0.9} if kind is torch.optim.SGD else {"lr": 0.01}
    run = Run(network("nested"), [{"match": "head"}, {"match": "*", "trainable": False, "until": "1ep"}],
              optimizer=lambda groups, lr: kind(groups, **options)).train(PER_EPOCH)  # fmt: skip
    kept = {p: copy.deepcopy(state) for p, state in run.optimizer.state.items()}
    assert len(kept) == 2
    assert run.plan.advance(moment(PER_EPOCH))
    assert run.optimizer.state.keys() == kept.keys()
    for parameter, state in kept.items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(run.optimizer.state[parameter][name]), torch.as_tensor(value))
    run.train(1)
    assert len(run.optimizer.state) == len(list(run.model.parameters()))


def test_what_is_frozen_later_lets_go_of_its_moments() -> None:
    run = Run(network("nested"), [{"match": "encoder", "until": "1ep"}]).train(PER_EPOCH + 1)
    encoder = list(run.model.encoder.parameters())
    assert not any(p in run.optimizer.state or p.grad is not None for p in encoder)
    assert run.model.head.weight in run.optimizer.state


def test_a_gradient_that_is_there_when_it_is_frozen_is_let_go() -> None:
    run = Run(network("nested"), [{"match": "encoder", "until": "1ep"}])
    run.model(torch.randn(2, 3, 16, 16)).sum().backward()
    run.plan.advance(moment(PER_EPOCH))
    assert all(p.grad is None for p in run.model.encoder.parameters())
    assert run.model.head.weight.grad is not None


def test_the_same_numbers_as_a_loop_by_hand() -> None:
    """Feature extraction and then fine-tuning, as a tutorial writes it."""
    model = network("nested")
    by_hand = copy.deepcopy(model)
    run = Run(model, [{"match": "head"}, {"match": "*", "trainable": False, "until": "1ep", "lr_scale": 0.1}])
    run.train(2 * PER_EPOCH)

    backbone = [by_hand.scale, *by_hand.encoder.parameters()]
    groups = [{"params": list(by_hand.head.parameters())}, {"params": backbone, "lr": 1e-3}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for step in range(2 * PER_EPOCH):
        by_hand.train()
        for parameter in backbone:
            parameter.requires_grad_(step >= PER_EPOCH)
        by_hand.encoder.train(step >= PER_EPOCH)
        torch.manual_seed(step)
        nn.functional.cross_entropy(by_hand(torch.randn(2, 3, 16, 16)), torch.tensor([0, 1])).backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_rates_at_every_step_of_a_gradual_thaw_with_warmup() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.Linear(4, 4), nn.Linear(4, 5))
    run = Run(
        model, [{"match": "@head"}, {"match": "*", "thaw_every": "1ep", "lr_scale": 0.1, "warmup": "1st"}], lr=1.0
    )
    run.train(3 * PER_EPOCH)
    low, half = 0.1, 0.05
    assert (
        run.rates
        == [[1.0, low, low]] * 4
        + [[1.0, half, low]]
        + [[1.0, low, low]] * 3
        + [[1.0, low, half]]
        + [[1.0, low, low]] * 3
    )
    assert [group["lr"] for group in run.optimizer.param_groups] == [1.0, low, low]


def test_rates_of_a_schedule_are_each_groups_own() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 4), nn.Linear(4, 5))
    plan = FreezePlan([{"match": "@head"}, {"match": "*", "from": "1ep", "lr_scale": 0.5, "warmup": "2st"}])
    optimizer = torch.optim.SGD(plan.parameter_groups(model, 1.0), lr=1.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    plan.attach(optimizer, 2, moment(0))
    seen = []
    for step in range(5):
        plan.advance(Moment(step / 2, step, 0.0))
        with plan.rates(step):
            seen.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
        schedule.step()
    shares = [1, 1, 1 / 3, 2 / 3, 1]
    assert seen == [[0.5**n, pytest.approx(0.5 ** (n + 1) * share)] for n, share in enumerate(shares)]


def test_a_group_is_clipped_by_its_own_limit() -> None:
    run = Run(network("nested"), [{"match": "head", "grad_clip": 1e-3}])
    loss = run.model(torch.randn(2, 3, 16, 16)).square().sum() * 100
    loss.backward()
    others = [p.grad.clone() for p in run.model.encoder.parameters()]
    run.plan.clip()
    norm = torch.stack([p.grad.norm() for p in run.model.head.parameters()]).norm()
    assert norm == pytest.approx(1e-3, rel=1e-3)
    assert all(torch.equal(a, p.grad) for a, p in zip(others, run.model.encoder.parameters(), strict=True))


def test_plateaus_thaw_stage_by_stage() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    run = Run(model, [{"match": "@head"}, {"match": "*", "thaw_every": "plateau"}], patience=2, min_delta=0.1)
    trained = []
    for value in (1.0, 0.95, 0.5, 0.5, 0.45, 0.4, 0.41):
        run.plan.validation_end(value, "min")
        run.plan.advance(moment(0))
        trained.append([group.trainable for group in run.plan.groups])
    one, two, three = [True, False, False], [True, True, False], [True, True, True]
    assert trained == [one, one, one, one, two, two, three]


@pytest.mark.parametrize(("mode", "values"), [("min", (1.0, 0.9, 0.8)), ("max", (0.1, 0.2, 0.3))])
def test_no_plateau_while_it_improves(mode: str, values: tuple[float, ...]) -> None:
    plan = FreezePlan(patience=1)
    for value in values:
        plan.validation_end(value, mode)
    plan.validation_end(None, mode)
    assert plan.plateaus == 0
    plan.validation_end(values[-1], mode)
    assert plan.plateaus == 1


@pytest.mark.parametrize("write", ["parameter", "buffer", "step"])
def test_whoever_writes_to_what_is_frozen_is_caught_and_named(write: str) -> None:
    run = Run(network("nested"), [{"match": "head"}, {"match": "*", "trainable": False, "until": "9ep"}]).train(1)
    run.plan.require_still()
    norm = run.model.encoder[0][1]
    if write == "parameter":
        with torch.no_grad():
            norm.weight[0] = torch.nextafter(norm.weight[0], torch.tensor(9.0))
        told = r"the frozen parameter encoder.0.1.weight moved. It belongs to encoder.0.1 \(BatchNorm2d, in eval mode\)"
    elif write == "buffer":
        norm.num_batches_tracked += 1
        told = "the frozen buffer encoder.0.1.num_batches_tracked moved"
    else:
        run.model.train()
        run.model(torch.randn(2, 3, 16, 16))
        told = r"buffer encoder.0.1.running_mean moved.*in train mode"
    with pytest.raises(TrainingError, match=told):
        run.plan.require_still()


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.bool, torch.int8]
)
def test_every_type_of_number_has_a_fingerprint(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].register_buffer("noted", torch.ones(3).to(dtype))
    run = Run(model, [{"match": "1"}, {"match": "*", "trainable": False}])
    run.plan.require_still()
    model[0].noted[1] = 0
    with pytest.raises(TrainingError, match=r"the frozen buffer 0\.noted moved"):
        run.plan.require_still()


def test_a_resume_in_any_phase_goes_on_as_the_run_would_have() -> None:
    rules = [{"match": "@head"}, {"match": "*", "thaw_every": "1ep", "warmup": "3st"}]
    straight = Run(network("nested"), rules)
    for stop in (2, PER_EPOCH + 1, 2 * PER_EPOCH + 2):
        straight.train(stop - straight.step)
        other = Run(network("nested"), rules)
        other.model.load_state_dict(straight.model.state_dict())
        other.optimizer.load_state_dict(copy.deepcopy(straight.optimizer.state_dict()))
        other.plan.load_state_dict(straight.plan.state_dict())
        other.plan.attach(other.optimizer, PER_EPOCH, moment(stop))
        other.step = stop
        again = copy.deepcopy(straight)
        other.train(3)
        again.train(3)
        assert other.rates == again.rates[-3:]
        assert not moved(other.snapshot(), again.snapshot())


def test_the_table_says_what_trains_at_what_rate_and_when() -> None:
    rules = [{"match": "@head", "weight_decay": 0}, {"match": "encoder.1", "from": "1ep", "lr_scale": 0.5}]
    run = Run(network("nested"), [*rules, {"match": "encoder.0", "trainable": False, "norm": "train"}], lr=1e-2)
    rows = run.plan.table()
    assert [row["group"] for row in rows] == ["@head", "encoder.1", "encoder.0", "rest"]
    assert rows[0] | {"group": ""} == {
        "group": "",
        "parameters": 25,
        "trainable": True,
        "lr": 1e-2,
        "weight_decay": 0,
        "norm": "train",
        "when": "",
    }
    assert (rows[1]["trainable"], rows[1]["lr"], rows[1]["norm"], rows[1]["when"]) == (
        False,
        5e-3,
        "eval",
        "thaws after 1ep",
    )
    assert (rows[2]["trainable"], rows[2]["lr"], rows[2]["norm"]) == (False, None, "train")
    run.train(PER_EPOCH + 1)
    assert run.plan.table()[1]["trainable"]


def test_an_optimizer_of_other_parameters_is_refused() -> None:
    model = network("nested")
    plan = FreezePlan([{"match": "head"}])
    with pytest.raises(ConfigError, match="parameter_groups"):
        plan.attach(torch.optim.SGD(model.parameters(), lr=1.0), 1, moment(0))
    with pytest.raises(ConfigError, match=r"freeze\.patience=0"):
        FreezePlan(patience=0)


def test_a_moment_at_which_nothing_trains_is_refused() -> None:
    with pytest.raises(ConfigError, match="freeze: nothing trains in step 0; a rule must leave something"):
        Run(network("nested"), [{"match": "*", "from": "2ep"}])
    run = Run(network("nested"), [{"match": "head", "until": "1ep"}, {"match": "*", "from": "2ep"}]).train(PER_EPOCH)
    with pytest.raises(ConfigError, match=f"freeze: nothing trains in step {PER_EPOCH}"):
        run.train(1)
