"""Rules over the recorded step: intervals, places, trials, and what must stay silent."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from trainkit.findings import Finding
from trainkit.inspection import step
from trainkit.inspection.check import _applied, _attach, inspect
from trainkit.inspection.step.bounds import bounds
from trainkit.inspection.step.trial import trained
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject

PAGES = Path(step.__file__).parents[1] / "pages"


class Apply(nn.Module):
    def __init__(self, function: Any, inputs: int = 8, outputs: int = 4) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net(x))


def subject_of(model: nn.Module, loss: Any, target: Tensor, optimizer: Any = None, size: int = 32) -> Subject:
    x = torch.randn(len(target), 8, generator=torch.Generator().manual_seed(0))
    subject = Subject(model, loss, TensorDataset(x, target))
    subject.batch_size = size
    _attach(subject, optimizer, None)
    return subject


def classes(count: int = 4, n: int = 128) -> Tensor:
    return torch.randint(0, count, (n,), generator=torch.Generator().manual_seed(1))


def rules_of(subject: Subject) -> list[Finding]:
    return [finding for rule in step.RULES for finding in _applied(rule, subject)]


def serious(subject: Subject) -> set[str]:
    return {finding.rule for finding in rules_of(subject) if finding.severity != "info"}


def view_of(function: Any) -> View:
    torch.manual_seed(0)
    view = seen(subject_of(Apply(function), lambda o, t: o.float().mean(), classes()))
    assert view is not None
    return view


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (torch.relu, 0, math.inf),
        (torch.tanh, -1, 1),
        (lambda o: 3 * torch.sigmoid(o) - 1, -1, 2),
        (lambda o: 1 / (1 + torch.exp(-o)), 0, 1),
        (lambda o: torch.sigmoid(F.relu(o)), 0.5, 1),
        (lambda o: -F.softplus(o), -math.inf, 0),
        (lambda o: o.clamp(-2, 5).view(-1, 2, 2).flatten(1), -2, 5),
        (lambda o: torch.cat([torch.tanh(o), torch.sigmoid(o)], 1), -1, 1),
        (lambda o: o**2, 0, math.inf),
        (lambda o: 20 * F.normalize(o, dim=1), -20, 20),
        (lambda o: o, -math.inf, math.inf),
        (lambda o: torch.tanh(o) + o, -math.inf, math.inf),
        (lambda o: torch.exp(o).log(), -math.inf, math.inf),
    ],
)
def test_the_range_that_outputs_can_reach(function: Any, low: float, high: float) -> None:
    view = view_of(function)
    assert bounds(view, view.outputs[0]) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (lambda o: F.softmax(o, 1), "softmax-before-cross-entropy"),
        (lambda o: o.exp() / o.exp().sum(1, keepdim=True), "softmax-before-cross-entropy"),
        (torch.sigmoid, "bounded-logits"),
        (torch.relu, "bounded-logits"),
        (torch.tanh, "bounded-logits"),
        (lambda o: F.normalize(o, dim=1), "bounded-logits"),
    ],
)
def test_what_cross_entropy_must_not_be_given(function: Any, rule: str) -> None:
    found = rules_of(subject_of(Apply(function), nn.CrossEntropyLoss(), classes()))
    assert [f.severity for f in found if f.rule == rule] == ["error"]


@pytest.mark.parametrize(
    "function",
    [
        lambda o: o,
        lambda o: 16 * F.normalize(o, dim=1),
        lambda o: 30 * torch.tanh(o / 30),
        lambda o: F.log_softmax(o, 1),
    ],
)
def test_what_cross_entropy_may_be_given(function: Any) -> None:
    torch.manual_seed(0)
    assert serious(subject_of(Apply(function), nn.CrossEntropyLoss(), classes())) == set()


def test_a_finding_names_the_module_and_the_line_that_built_it() -> None:
    model = nn.Sequential(
        nn.Linear(8, 16),
        nn.ReLU(),
        nn.Linear(16, 4),
        nn.Softmax(dim=1),
    )
    x = torch.randn(64, 8)
    found = inspect(model, loss=nn.CrossEntropyLoss(), train_set=TensorDataset(x, classes(n=64)), batch_size=32)
    (finding,) = [f for f in found if f.rule == "softmax-before-cross-entropy"]
    assert finding.place == "3 (Softmax)"
    assert finding.line is not None
    assert "nn.Softmax(dim=1)," in Path(__file__).read_text().splitlines()[finding.line - 1]


def test_broadcasting_of_one_width_to_another_is_told_of_losses_that_do_not_expect_it() -> None:
    target = torch.randn(128)
    assert "broadcast" in serious(subject_of(Apply(lambda o: o, outputs=1), nn.L1Loss(), target))
    pinball = subject_of(Apply(lambda o: o, outputs=3), lambda o, t: (t[:, None] - o).abs().mean(), target)
    assert "broadcast" not in serious(pinball)


def test_scrambling_is_no_matter_of_a_batch_that_equals_a_width() -> None:
    def heads(o: Tensor) -> Tensor:
        return o.view(-1, 4, 4).transpose(1, 2).reshape(-1, 16)

    subject = subject_of(Apply(heads, outputs=16), nn.CrossEntropyLoss(), classes(16), size=16)
    assert "view-for-transpose" not in serious(subject)


def test_a_trial_leaves_the_subject_alone_and_scales_the_rate() -> None:
    torch.manual_seed(0)
    subject = subject_of(
        Apply(lambda o: o), nn.CrossEntropyLoss(), classes(), lambda m: torch.optim.SGD(m.parameters(), lr=0.1)
    )
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    state = torch.get_rng_state()
    one, none = trained(subject, 5), trained(subject, 5, factor=0.0)
    assert one is not None
    assert none is not None
    assert one.finite
    assert one.before == none.before == none.after != one.after
    assert all(torch.equal(before[name], value) for name, value in subject.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_a_loss_is_told_for_two_classes_too(sign: int) -> None:
    def loss(o: Tensor, t: Tensor) -> Tensor:
        p = torch.sigmoid(o)
        return sign * (t * torch.log(p + 1e-7) + (1 - t) * torch.log(1 - p + 1e-7)).mean()

    subject = subject_of(Apply(lambda o: o, outputs=1), loss, classes(2).float()[:, None])
    assert ("loss-with-wrong-sign" in serious(subject)) == (sign == 1)


def test_a_head_at_zero_is_no_symmetry_that_stays() -> None:
    model = Apply(lambda o: o)
    nn.init.zeros_(model.net[2].weight)
    assert "symmetric-init" not in serious(subject_of(model, nn.CrossEntropyLoss(), classes()))
    nn.init.zeros_(model.net[0].weight)
    nn.init.zeros_(model.net[0].bias)
    assert "symmetric-init" in serious(subject_of(model, nn.CrossEntropyLoss(), classes()))


def test_an_own_training_step_is_recorded_up_to_its_backward() -> None:
    def train_step(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> float:
        optimizer.zero_grad()
        value = F.cross_entropy(model(batch[0]).softmax(1), batch[1])
        value.backward()
        optimizer.step()
        return value.item()

    subject = subject_of(Apply(lambda o: o), None, classes(), lambda m: torch.optim.Adam(m.parameters()))
    subject.train_step = train_step
    found = rules_of(subject)
    assert [f.place for f in found if f.severity == "error"] == ["train_step: softmax"]


@pytest.mark.parametrize("size", [31, 32])
def test_the_last_batch_is_tried(size: int) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    subject = subject_of(model, nn.CrossEntropyLoss(), classes(n=size * 4 + 1), size=size)
    assert "last-batch-fails" in serious(subject)
    dropped = subject_of(model, nn.CrossEntropyLoss(), classes(n=size * 4 + 1), size=size)
    dropped.drop_last = True
    assert "last-batch-fails" not in serious(dropped)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"lr": 1e-3, "betas": (0.999, 0.9)}, "optimizer: betas"),
        ({"lr": 0.0}, "optimizer: lr"),
        ({"lr": 1e-3, "betas": (0.5, 0.9)}, None),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], place: str | None) -> None:
    subject = subject_of(
        Apply(lambda o: o), nn.CrossEntropyLoss(), classes(), lambda m: torch.optim.Adam(m.parameters(), **settings)
    )
    places = [f.place for f in rules_of(subject) if f.rule == "optimizer-setting"]
    assert places == ([place] if place else [])


def test_every_rule_has_a_page() -> None:
    text = "".join(path.read_text() for path in Path(step.__file__).parent.glob("*.py"))
    for page in PAGES.glob("*.md"):
        lines = page.read_text().splitlines()
        assert len(lines) <= 40
        assert lines[0] == f"# {page.stem}"
    for line in text.splitlines():
        name = line.strip().rstrip(",").strip('"')
        if line.strip().startswith('"') and "-" in name and name.replace("-", "").isalpha() and name.islower():
            assert (PAGES / f"{name}.md").exists(), name
