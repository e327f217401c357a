"""Short trainings of a deep check: what they measure, what they name, their verdict, and that they leave no trace."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import trainkit
from trainkit.commands.check import report
from trainkit.inspection.check import _attach
from trainkit.inspection.learning.batch import by_heart, levelled
from trainkit.inspection.learning.held_out import compared
from trainkit.inspection.learning.lessons import Lessons, lessons_of, shuffled
from trainkit.inspection.learning.pupil import Level, Rates, peaks_of, pupil
from trainkit.inspection.learning.rates import _read, sweep_of
from trainkit.inspection.subject import Subject
from trainkit.optim.clipping import clip_by_norm


def blobs(count: int, seed: int, noise: float = 1.0) -> TensorDataset:
    centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    return TensorDataset(centres[labels] + noise * torch.randn(count, 16, generator=generator), labels)


def net(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), *more, nn.Linear(32, 4))


def subject_of(model: nn.Module | None = None, optimizer: Any = None, scheduler: Any = None, **more: Any) -> Subject:
    subject = Subject(model or net(), nn.CrossEntropyLoss(), blobs(400, 0), blobs(200, 1), batch_size=25, deep=True)
    for name, value in more.items():
        setattr(subject, name, value)
    _attach(subject, optimizer or adam(1e-2), scheduler)
    return subject


def adam(rate: float) -> Any:
    return lambda model: torch.optim.Adam(model.parameters(), lr=rate)


def lessons(subject: Subject) -> Lessons:
    known = lessons_of(subject)
    assert known is not None
    return known


def findings(subject: Subject, **more: Any) -> list[Any]:
    parts: dict[str, Any] = {"loss": subject.loss, "train_set": subject.train_set, "val_set": subject.val_set}
    parts |= {"optimizer": subject.optimizers, "batch_size": subject.batch_size, "train_step": subject.train_step}
    return trainkit.check(subject.model, **{**parts, "deep": True, **more})


# ------------------------------------------------------------------------ the verdict


def test_the_verdict_is_the_last_finding_and_says_what_was_measured() -> None:
    *_, verdict = findings(subject_of())
    assert (verdict.rule, verdict.severity, verdict.place) == ("learnability", "info", "learnability")
    text = str(verdict)
    assert "one batch is learned: its loss (25 samples) goes from 1." in text
    assert "It uses its inputs" in text
    assert "What it learns holds for others" in text
    assert "100 samples that it has not seen (val_set)" in text
    assert "lr=0.01 lies within" in text


def test_a_report_ends_with_the_verdict_below_the_count() -> None:
    lines = report(findings(subject_of())).splitlines()
    assert lines[-3:-1] == ["no mistakes found", ""]
    assert lines[-1].startswith("learnability: one batch is learned")
    assert not any("learnability" in line for line in lines[:-1])


def test_there_is_no_verdict_without_deep_or_where_it_is_ignored() -> None:
    assert not [f for f in findings(subject_of(), deep=False) if f.rule == "learnability"]
    assert not [f for f in findings(subject_of(), ignore=["learnability"]) if f.rule == "learnability"]


def test_a_verdict_says_where_nothing_could_be_tried() -> None:
    def fails(output: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("no such loss")

    found = findings(subject_of(), loss=fails)
    assert found[-1].rule == "learnability"
    assert "was not tried" in found[-1].message


def test_only_what_train_step_returns_is_told_where_nothing_else_can_be_run() -> None:
    def train_step(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        return value.detach()

    found = findings(subject_of(), loss=lambda output: None, train_step=train_step)
    assert "not judged but by what train_step returns: it goes from 1." in found[-1].message


# ------------------------------------------------------------------------ measures


def test_a_constant_input_is_the_mean_over_every_dimension_of_samples() -> None:
    level = Level(5)
    (time_first, tokens), named = level(nn.Identity(), (torch.randn(3, 5, 2), torch.arange(10).view(5, 2)), {})
    assert torch.equal(time_first[:, 0], time_first[:, 4])
    assert tokens.tolist() == [[0, 1]] * 5
    assert (named, level.whole) == ({}, True)
    labels = torch.arange(5)
    (_, kept) = level(nn.Identity(), (), {"labels": labels})
    assert kept["labels"] is labels


@pytest.mark.parametrize("odd", [torch.randn(7, 2), object()])
def test_inputs_without_a_dimension_of_samples_are_not_judged(odd: Any) -> None:
    level = Level(5)
    level(nn.Identity(), (torch.randn(5, 2), odd), {})
    assert level.whole is False


def test_real_inputs_are_learned_better_than_a_constant() -> None:
    subject = subject_of()
    real, constant = lessons(subject).course, levelled(subject)
    assert real is not None
    assert constant is not None
    assert real.fell > 0.9
    assert constant.after > 1.2


def test_shuffled_labels_do_not_help_samples_that_are_held_out() -> None:
    both = compared(subject_of())
    assert both is not None
    assert both.generalises
    assert (both.source, both.samples, both.steps) == ("val_set", 100, 48)
    assert both.real.held < 0.5 < 0.9 < both.mixed.held


def test_training_samples_are_held_out_where_there_is_no_validation_set() -> None:
    both = compared(subject_of(val_set=None))
    assert both is not None
    assert (both.source, both.generalises) == ("train_set", True)


def test_labels_that_hardly_differ_are_not_shuffled() -> None:
    x = torch.randn(40, 3)
    assert shuffled((x, torch.zeros(40)), 0) is None
    assert shuffled((x, None), 0) is None
    mixed = shuffled((x, torch.arange(40)), 0)
    assert mixed is not None
    assert mixed[0] is x
    assert sorted(mixed[1].tolist()) == list(range(40))
    assert mixed[1].tolist() != list(range(40))


# ------------------------------------------------------------------------ rates


def test_a_range_test_finds_where_the_loss_falls_and_where_it_blows_up() -> None:
    falling = [(10 ** (n / 10), 0.0) for n in range(-30, -10)]
    falling += [(10 ** (n / 10), -0.05 * (n + 10)) for n in range(-10, 10)]
    sweep = _read([*falling, (12.0, 0.1), (20.0, math.inf)], 2.0)
    assert sweep is not None
    assert sweep.starts == pytest.approx(2 * 10**-0.9)
    assert sweep.starts <= sweep.fastest < 2 * 10
    assert (sweep.blows, sweep.is_above) == (40.0, False)
    assert _read([(1.0, 0.0), (10.0, 0.1)], 1.0) is None


def test_the_range_is_the_same_whatever_rate_is_set() -> None:
    one, other = (sweep_of(subject_of(optimizer=adam(rate))) for rate in (1e-4, 1e-2))
    assert one is not None
    assert other is not None
    assert one.blows is not None
    assert other.blows is not None
    assert 1 / 4 < one.fastest / other.fastest < 4
    assert 1 / 4 < one.blows / other.blows < 4


def test_the_highest_rate_of_a_schedule_is_taken() -> None:
    def warm(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=100)

    subject = subject_of(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-3), scheduler=warm, interval="step")
    assert peaks_of(subject) == [[pytest.approx(0.1, rel=1e-2)]]


def test_rates_are_those_asked_for_even_if_the_step_sets_its_own() -> None:
    seen = []

    def train_step(model: nn.Module, batch: Any, loss: Any, optimizer: Any) -> None:
        optimizer.param_groups[0]["lr"] = 1e-6
        optimizer.zero_grad()
        loss(model(batch[0]), batch[1]).backward()
        optimizer.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == 1e-6

    subject = subject_of(train_step=train_step)
    with pupil(subject) as learner:
        Rates(learner, [[0.5]], 4.0)
        learner.copies.functions[0](learner.model, subject.batch, learner.copies.loss, learner.copies.optimizer)
    assert seen == [] or seen[0] == 2.0


# ------------------------------------------------------------------------ what keeps a training from it


def test_weight_decay_is_left_out() -> None:
    subject = subject_of(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, weight_decay=1.0))
    with_decay = lessons(subject).taught([lessons(subject).one], 40)
    without = lessons(subject).taught([lessons(subject).one], 40, without="weight decay")
    assert with_decay is not None
    assert without is not None
    assert with_decay.fell < 0.3 < 0.7 < without.fell


def test_dropout_of_layers_and_of_functions_is_left_out() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net(nn.Dropout(0.5))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(self.net(x), 0.5, training=True)

    subject = subject_of(Net())
    with pupil(subject) as noisy, pupil(subject, "dropout") as still:
        first, second = noisy.step(subject.batch), still.step(subject.batch)
    model = subject.model.net
    model.eval()
    x, y = subject.batch
    assert second == pytest.approx(nn.functional.cross_entropy(model(x), y).item(), rel=1e-5)
    assert first != pytest.approx(second, rel=1e-3)


def test_clipping_by_a_trainer_is_part_of_the_training() -> None:
    subject = subject_of(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1))
    subject.clip = lambda gradients: clip_by_norm(gradients, 1e-7)
    clipped = lessons(subject).course
    free = lessons(subject).taught([lessons(subject).one], 40, without="clipping")
    assert clipped is not None
    assert free is not None
    assert abs(clipped.fell) < 1e-4 < 0.7 < free.fell


def test_the_outputs_of_an_untrained_model_have_room() -> None:
    subject = subject_of()
    course = lessons(subject).taught([lessons(subject).one], 1, factor=1e-9, reach=True)
    assert course is not None
    assert course.reachable < course.floor < course.before


def test_a_floor_is_the_entropy_of_the_labels() -> None:
    subject = subject_of()
    course = lessons(subject).taught([lessons(subject).one], 1, reach=True)
    _, labels = lessons(subject).one
    share = labels.bincount().double() / len(labels)
    assert course is not None
    assert course.floor == pytest.approx(float(-(share * share.log()).sum()), rel=1e-3)


# ------------------------------------------------------------------------ traces and time


def test_a_deep_check_leaves_no_trace() -> None:
    model = net(nn.BatchNorm1d(32), nn.Dropout(0.2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator, clip = torch.get_rng_state(), nn.utils.clip_grad_norm_
    data = blobs(400, 0)
    kept = [tensor.clone() for tensor in data.tensors]
    trainkit.check(model, loss=nn.CrossEntropyLoss(), train_set=data, optimizer=optimizer, batch_size=25, deep=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not optimizer.state
    assert optimizer.param_groups[0]["lr"] == 1e-2
    assert torch.equal(generator, torch.get_rng_state())
    assert nn.utils.clip_grad_norm_ is clip
    assert all(torch.equal(one, two) for one, two in zip(kept, data.tensors, strict=True))


def test_slow_steps_are_taken_on_fewer_samples_and_end_with_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.inspection.learning.lessons.SECONDS", 1e-4)
    subject = subject_of()
    known = lessons(subject)
    assert known.count == 8
    assert known.course is None
    assert findings(subject)[-1].message.startswith("There was no time for more: a step takes")


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(16, 64)
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(8))
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer in self.layers:
            x = nn.functional.dropout(layer(x).relu(), 0.9, self.training)
        return self.head(x)


@pytest.mark.parametrize(
    ("model", "optimizer", "place"),
    [
        (Dropped, adam(1e-3), "model: dropout"),
        (net, lambda m: torch.optim.Adam(m.parameters(), lr=1e-2, weight_decay=100.0), "optimizer: weight_decay"),
        (net, adam(1e-9), "optimizer: lr"),
    ],
)
def test_what_keeps_a_batch_from_being_learned_is_named(model: Any, optimizer: Any, place: str) -> None:
    (found,) = by_heart(subject_of(model(), optimizer, epochs=10))
    assert (found.rule, found.severity, found.place) == ("cannot-overfit-batch", "error", place)


def test_a_rate_that_is_small_for_a_long_training_is_no_error() -> None:
    assert list(by_heart(subject_of(optimizer=adam(1e-5), epochs=1000))) == []
