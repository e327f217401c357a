"""What a run remembers."""

import io
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainkit.errors import ConfigError
from trainkit.optim import WeightAverage
from trainkit.state import Best, Counters, Stateful, field, require_whole, restore, same, snapshot


def test_counters_round_trip():
    counters = Counters(epoch=2, batch=3, step=40, samples=500, skipped=1, validated=7, total_batches=41, seconds=1.5)
    other = Counters()
    other.load_state_dict(counters.state_dict())
    assert other == counters


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"steps": 3}, "there is no counter called steps"),
        ({"step": "3"}, "step is a str, not int"),
        ({"step": 3.0}, "step is a float, not int"),
        ({"step": True}, "step is a bool, not int"),
        ({"step": None}, "step is a NoneType, not int"),
        ({"seconds": "1"}, "seconds is a str, not float or int"),
        ({"seconds": float("nan")}, "seconds is nan, but at least 0"),
        ({"epoch": -1}, "epoch is -1, but at least 0"),
        ({"validated": -2}, "validated is -2, but at least -1"),
    ],
)
def test_counters_take_no_other_state(broken: dict[str, Any], message: str) -> None:
    counters = Counters(step=7)
    with pytest.raises((ValueError, TypeError), match=message):
        counters.load_state_dict(Counters(epoch=2).state_dict() | broken)
    assert counters == Counters(step=7)


def test_counters_lack_nothing() -> None:
    state = Counters().state_dict()
    for name in state:
        with pytest.raises(KeyError, match=name):
            Counters().load_state_dict({key: value for key, value in state.items() if key != name})


@pytest.mark.parametrize(("epoch", "batch", "number"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 5, 2)])
def test_epoch_number_is_that_of_the_last_batch(epoch, batch, number):
    assert Counters(epoch=epoch, batch=batch).epoch_number == number


def test_records_are_counted_within_their_step():
    counters = Counters(step=3)
    counters.note_record()
    counters.note_record()
    assert (counters.logged_step, counters.logged) == (3, 2)
    counters.step = 4
    counters.note_record()
    assert (counters.logged_step, counters.logged) == (4, 1)


@pytest.mark.parametrize(
    ("mode", "values", "verdicts"),
    [
        ("min", [3.0, 2.0, 2.0, 2.5, 1.0], [True, True, False, False, True]),
        ("max", [0.5, 0.4, 0.5, 0.6], [True, False, False, True]),
        ("min", [float("nan"), 5.0, float("-inf"), float("nan"), 4.0], [False, True, False, False, True]),
    ],
)
def test_best_improves_by_its_mode_and_never_to_the_non_finite(mode, values, verdicts):
    best = Best("val/x", mode)
    found = [best.improved({"val/x": value}, Counters(epoch=i, step=10 * i)) for i, value in enumerate(values)]
    assert found == verdicts
    last = max(i for i, verdict in enumerate(verdicts) if verdict)
    assert (best.value, best.epoch, best.step) == (values[last], last, 10 * last)


def test_best_names_the_metrics_there_are():
    with pytest.raises(
        ConfigError, match=r"monitor\.metric=val/los: the run logs val/accuracy, val/loss\. Did you mean 'val/loss'"
    ):
        Best("val/los").improved({"val/loss": 1.0, "val/accuracy": 0.5}, Counters())


def test_best_is_restored_for_its_own_metric_and_mode_only():
    best = Best("val/loss", "min")
    best.improved({"val/loss": 1.0}, Counters(epoch=1, step=9))
    same, other, turned = Best("val/loss", "min"), Best("val/accuracy", "min"), Best("val/loss", "max")
    for each in (same, other, turned):
        each.load_state_dict(best.state_dict())
    assert same == best
    assert other.value is None
    assert turned.value is None


@pytest.mark.parametrize(
    "broken", [{"value": "1"}, {"value": True}, {"epoch": 1.5}, {"step": None}, {"mode": 1}, {"metric": None}]
)
def test_best_takes_no_other_state(broken: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(broken))):
        Best("val/loss").load_state_dict(Best("val/loss", value=1.0).state_dict() | broken)


@pytest.mark.parametrize(
    ("mode", "metrics", "score"),
    [
        ("min", {"a": 2.0}, -2.0),
        ("max", {"a": 2.0}, 2.0),
        ("min", {"b": 1.0}, None),
        ("max", {"a": float("nan")}, None),
    ],
)
def test_a_score_is_the_higher_the_better(mode: str, metrics: dict[str, float], score: float | None) -> None:
    assert Best("a", mode).score(metrics) == score


def test_usual_parts_are_stateful():
    model = nn.Linear(1, 1)
    assert isinstance(model, Stateful)
    assert isinstance(torch.optim.SGD(model.parameters()), Stateful)
    assert not isinstance(object(), Stateful)


def test_snapshot_and_restore():
    a, b = nn.Linear(2, 2), Counters(step=5)
    state = snapshot({"model": a, "counters": b})
    other, counters = nn.Linear(2, 2), Counters()
    restore({"model": other, "counters": counters}, state)
    assert torch.equal(other.weight, a.weight)
    assert counters.step == 5


def test_restore_lets_unknown_callbacks_begin_anew():
    restore({"callbacks.new": Counters()}, {"callbacks.old": {"anything": 1}})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "does not fit the model of this run: it has no 'model'"),
        ({"model": nn.Linear(3, 2).state_dict()}, "does not fit the model of this run: .*size mismatch"),
        ({"model": None}, "does not fit the model of this run"),
    ],
)
def test_restore_says_which_part_does_not_fit(state, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        restore({"model": nn.Linear(2, 2)}, state)


WHOLE: dict[str, Any] = {
    "format": 2,
    "about": {},
    "seed": 0,
    "threads": 1,
    "metrics": {},
    "parts": ["model", "callbacks.a"],
    "model": {},
    "callbacks.a": {},
}


def test_a_whole_checkpoint_is_whole() -> None:
    require_whole(WHOLE, ["model", "callbacks.a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "0"}, "is not whole: seed is a str, not int"),
        ({"seed": True}, "is not whole: seed is a bool, not int"),
        ({"threads": 1.5}, "is not whole: threads is a float, not int"),
        ({"metrics": []}, "is not whole: metrics is a list, not dict"),
        ({"metrics": {"val/loss": "x"}}, "is not whole: val/loss is a str, not"),
        ({"parts": {}}, "is not whole: parts is a dict, not list"),
        ({"parts": ["model", "callbacks.a", "best"]}, "is not whole: it has no 'best', though it had one"),
        ({"parts": ["model"]}, "is not whole: it has 'callbacks.a', which is not among its parts"),
        ({"parts": ["model", ["callbacks.a"]]}, r"is not whole: \['callbacks.a'\] among its parts is no name"),
        ({"stray": 1}, "is not whole: it has 'stray', which is not among its parts"),
        ({"parts": ["model", "callbacks.a", "second"], "second": {}}, "of another run: it has a part 'second'"),
    ],
)
def test_a_checkpoint_that_lost_or_won_something_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_whole(WHOLE | change, ["model", "callbacks.a"])


@pytest.mark.parametrize("name", ["seed", "threads", "metrics", "parts", "model", "callbacks.a"])
def test_a_checkpoint_without_a_field_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"the checkpoint is not whole: it has no '{name}'"):
        require_whole({key: value for key, value in WHOLE.items() if key != name}, ["model", "callbacks.a"])


def test_a_part_of_this_run_that_the_checkpoint_never_had_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit the second of this run: it has no 'second'"):
        require_whole(WHOLE, ["model", "callbacks.a", "second"])


def test_callbacks_may_come_and_go_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trainkit"):
        require_whole(WHOLE, ["model", "callbacks.b"])
    assert caplog.messages == ["callbacks.a: its state is left in the checkpoint", "callbacks.b: begins anew"]


class Keeper:
    """Keeps the very state that it is given."""

    state: dict[str, Any]

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.state = state_dict


class WithExtra(nn.Linear):
    """A module that keeps a tensor besides its weights."""

    extra: Any = None

    def get_extra_state(self) -> Any:
        return {"seen": torch.ones(2)}

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


def test_no_part_holds_on_to_memory_of_the_file(tmp_path: Path) -> None:
    keeper, model, average = Keeper(), WithExtra(2, 2), WeightAverage()
    average.attach(model, None)
    keeper.state = {"deep": [{"tensor": torch.ones(3)}], "twin": None}
    keeper.state["twin"] = keeper.state["deep"][0]["tensor"]
    parts = {"keeper": keeper, "model": model, "average": average}
    torch.save(snapshot(parts), tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)
    weight = model.weight.detach().clone()
    restore(parts, state)
    for tensor in (
        state["keeper"]["twin"],
        state["model"]["_extra_state"]["seen"],
        state["model"]["weight"],
        *state["average"].values(),
    ):
        if isinstance(tensor, torch.Tensor):
            tensor.fill_(7)
    assert keeper.state["deep"][0]["tensor"].tolist() == [1, 1, 1]
    assert keeper.state["deep"][0]["tensor"] is keeper.state["twin"], "what was one tensor is still one"
    assert model.extra["seen"].tolist() == [1, 1]
    assert torch.equal(model.weight, weight)
    assert torch.equal(average.averaged.module.weight, weight)


def test_weights_are_not_copied_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 2)
    state = model.state_dict()
    given = []
    monkeypatch.setattr(model, "load_state_dict", lambda state: given.append(state))
    restore({"model": model}, {"model": state})
    assert given[0]["weight"].data_ptr() == model.weight.data_ptr()
    assert given[0]._metadata == state._metadata


@pytest.mark.parametrize("state", [None, [], "x", torch.ones(1)])
def test_the_state_of_a_part_is_a_dict(state: Any) -> None:
    with pytest.raises(ConfigError, match=r"the keeper of this run: its state is a .*, not a dict"):
        restore({"keeper": Keeper()}, {"keeper": state})


def test_field_gives_what_is_there() -> None:
    assert field({"a": None}, "a") is None
    assert field({"a": 1}, "a", float, int) == 1


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, 1.0, True),
        ((1, [2]), [1, (2,)], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, OrderedDict(a=1), True),
        (float("nan"), float("nan"), True),
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), False),
        (torch.ones(2), torch.zeros(2), False),
        (torch.ones(()), 1.0, False),
        ("1", 1, False),
        (None, 0, False),
        ([], {}, False),
    ],
)
def test_same_compares_values(one: Any, other: Any, alike: bool) -> None:
    assert same(one, other) is alike
    assert same({"x": [one]}, {"x": (other,)}) is alike


def test_a_snapshot_names_its_parts() -> None:
    file = io.BytesIO()
    torch.save(snapshot({"a": Counters(), "callbacks.b": Counters()}), file)
    file.seek(0)
    assert torch.load(file, weights_only=True)["parts"] == ["a", "callbacks.b"]
