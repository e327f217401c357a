"""Optimizers that go on from a checkpoint: what was built as before, what was changed since, and what is refused."""

import io
import logging
from typing import Any

import pytest
import torch
from torch import nn

from trainkit.optim import ResumableOptimizer, resumable
from trainkit.optim.options import options_of


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to(dtype)


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for step in range(steps):
        inputs = torch.linspace(-1, 1, 12).reshape(4, 3).to(next(model.parameters())) + step
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def adamw(model: nn.Module, **options: Any) -> torch.optim.AdamW:
    first, second = list(model.parameters())[:2], list(model.parameters())[2:]
    return torch.optim.AdamW([{"params": first}, {"params": second, "lr": 0.05}], **{"lr": 0.01, **options})


def moments(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
        for state in optimizer.state.values()
    ]


def saved(**options: Any) -> tuple[nn.Module, ResumableOptimizer]:
    """Return what was trained for three steps while a schedule halved its rates."""
    model = network()
    part = ResumableOptimizer(adamw(model, **options), model)
    trained(model, part.optimizer)
    for group in part.optimizer.param_groups:
        group["lr"] /= 2
    return model, part


def fresh(**options: Any) -> ResumableOptimizer:
    model = network()
    return ResumableOptimizer(adamw(model, **options), model)


def test_what_is_built_as_before_is_as_it_was_bit_for_bit() -> None:
    _, before = saved()
    after = fresh()
    after.load_state_dict(through_a_file(before.state_dict()))
    assert after.optimizer.state_dict() | {"state": None} == before.optimizer.state_dict() | {"state": None}
    assert [group["lr"] for group in after.optimizer.param_groups] == [0.005, 0.025]
    assert moments(after.optimizer) == moments(before.optimizer)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lr": 0.03}, {"lr": [0.03, 0.025]}),
        ({"weight_decay": 0.5}, {"weight_decay": [0.5, 0.5], "lr": [0.005, 0.025]}),
        ({"betas": (0.8, 0.99)}, {"betas": [(0.8, 0.99)] * 2, "lr": [0.005, 0.025]}),
        ({"betas": [0.9, 0.999]}, {"betas": [(0.9, 0.999)] * 2}),
        ({"eps": 1e-6}, {"eps": [1e-6, 1e-6]}),
        ({"foreach": False}, {"foreach": [False, False]}),
    ],
)
def test_an_option_that_is_built_otherwise_is_the_new_one_and_moments_stay(
    change: dict[str, Any], expected: dict[str, Any]
) -> None:
    _, before = saved()
    after = fresh(**change)
    after.load_state_dict(through_a_file(before.state_dict()))
    for name, values in expected.items():
        assert [group[name] for group in after.optimizer.param_groups] == values
    assert moments(after.optimizer) == moments(before.optimizer)


def test_the_option_of_one_group_may_change_alone() -> None:
    _, before = saved()
    model = network()
    first, second = list(model.parameters())[:2], list(model.parameters())[2:]
    groups = [{"params": first}, {"params": second, "lr": 0.05, "weight_decay": 0.0}]
    after = ResumableOptimizer(torch.optim.AdamW(groups, lr=0.01), model)
    after.load_state_dict(before.state_dict())
    assert [group["weight_decay"] for group in after.optimizer.param_groups] == [0.01, 0.0]
    assert [group["lr"] for group in after.optimizer.param_groups] == [0.005, 0.025]


def test_a_change_is_compared_with_the_run_before_not_with_the_first() -> None:
    """lr 0.01, resumed with 0.03, resumed with 0.01 again: the last one counts."""
    _, before = saved()
    second, third = fresh(lr=0.03), fresh()
    second.load_state_dict(before.state_dict())
    second.optimizer.param_groups[0]["lr"] = 0.02
    third.load_state_dict(through_a_file(second.state_dict()))
    assert third.optimizer.param_groups[0]["lr"] == 0.01


def test_a_change_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    _, before = saved()
    with caplog.at_level(logging.INFO, "trainkit"):
        fresh(weight_decay=0.5).load_state_dict(before.state_dict())
    assert "optimizer: weight_decay of group 1 is 0.5 now, it was built with 0.01" in caplog.messages


def test_options_that_only_the_former_schedule_had_are_dropped_and_those_of_the_run_kept() -> None:
    _, before = saved()
    for group in before.optimizer.param_groups:
        group["initial_lr"], group["noted"] = 1.0, "by a callback"
    before._initial = [{**options, "initial_lr": 1.0} for options in before._initial]
    after = fresh()
    after.load_state_dict(before.state_dict())
    assert all("initial_lr" not in group and group["noted"] for group in after.optimizer.param_groups)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (sgd, "it is the state of AdamW, whose moments mean nothing to SGD"),
        (
            lambda m: torch.optim.Adam(adamw(m).param_groups),
            "it is the state of AdamW, whose moments mean nothing to Adam",
        ),
        (lambda m: torch.optim.AdamW(m.parameters()), "it has 2 parameter groups, this run 1 parameter group"),
        (
            lambda m: torch.optim.AdamW([{"params": [p]} for p in m.parameters()]),
            "it has 2 parameter groups, this run 4 parameter groups",
        ),
        (
            lambda m: torch.optim.AdamW([{"params": list(m[0].parameters())}, {"params": [m[1].bias]}]),
            "parameter 0 of its group 1 is 1.weight, in this run 1.bias",
        ),
        (
            lambda m: torch.optim.AdamW([{"params": list(m[0].parameters())}, {"params": [m[1].weight]}]),
            "parameter 1 of its group 1 is 1.bias, in this run none",
        ),
        (
            lambda m: torch.optim.AdamW([{"params": list(m.parameters())[i : i + 2]} for i in (2, 0)]),
            "parameter 0 of its group 0 is 0.weight, in this run 1.weight",
        ),
    ],
)
def test_another_class_and_other_parameters_are_refused(build: Any, reason: str) -> None:
    _, before = saved()
    model = network()
    after = ResumableOptimizer(build(model), model)
    with pytest.raises(ValueError, match=reason):
        after.load_state_dict(before.state_dict())
    assert not after.optimizer.state


def test_parameters_that_the_model_does_not_know_are_told_apart_by_shape() -> None:
    model, other = network(), nn.Linear(2, 2)
    before = ResumableOptimizer(torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.1), other)
    after = ResumableOptimizer(torch.optim.SGD([nn.Parameter(torch.zeros(3))], 0.1), model)
    with pytest.raises(ValueError, match=r"one of shape \[2\], in this run one of shape \[3\]"):
        after.load_state_dict(before.state_dict())


def test_a_compiled_model_has_the_names_of_the_plain_one() -> None:
    model = network()
    compiled = torch.compile(model)
    assert ResumableOptimizer(sgd(model), compiled)._parameters == [["0.weight", "0.bias", "1.weight", "1.bias"]]


def paths(nested: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = nested.items() if isinstance(nested, dict) else enumerate(nested) if isinstance(nested, list) else ()
    return [path for key, value in items for path in ((*prefix, key), *paths(value, (*prefix, key)))]


def without(state: Any, path: tuple[Any, ...]) -> Any:
    state = through_a_file(state)
    node = state
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return state


def test_no_field_of_the_state_can_be_lost_without_an_error() -> None:
    _, before = saved()
    state = before.state_dict()
    ours = [path for path in paths(state) if "slots" not in path]  # these are what the others are held against
    assert len(ours) > 60
    for path in ours:
        with pytest.raises((KeyError, ValueError)):
            fresh().load_state_dict(without(state, path))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("param_groups", 0, "params", 1), 5, r"hold the parameters \[0, 5, 2, 3\], not 0 to 3"),
        (("param_groups", 0, "params", 0), "x", "hold the parameters"),
        (("param_groups", 1, "lr"), "0.1", "option 'lr' of group 1 is '0.1', it was built with 0.05"),
        (("param_groups", 0, "amsgrad"), 1, "option 'amsgrad' of group 0 is 1, it was built with False"),
        (("param_groups", 0, "betas"), None, "option 'betas' of group 0 is None"),
        (("built", "options", 0, "eps"), "x", "option 'eps' of group 0 is 1e-08, it was built with 'x'"),
        (("state", 2, "exp_avg"), None, "state.2.exp_avg"),
        (("state",), [], "state is a list, not dict"),
    ],
)
def test_a_state_with_something_foreign_in_it_is_refused(path: Any, value: Any, message: str) -> None:
    """torch would take most of these, and leave moments behind or fail in a later step."""
    _, before = saved()
    state = through_a_file(before.state_dict())
    node = state
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        fresh().load_state_dict(state)


def test_moments_are_copies_of_the_file(tmp_path: Any) -> None:
    """The file may be pruned or written over while the run goes on."""
    _, before = saved()
    torch.save(before.state_dict(), tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)
    after = fresh()
    after.load_state_dict(state)
    expected = moments(before.optimizer)
    for moment in state["state"].values():
        for tensor in moment.values():
            tensor.zero_()
    assert moments(after.optimizer) == expected


def test_moments_in_lists_are_copied_too() -> None:
    model = network()
    before = ResumableOptimizer(torch.optim.LBFGS(model.parameters()), model)

    def closure() -> Any:
        before.optimizer.zero_grad()
        loss = model(torch.linspace(-1, 1, 12).reshape(4, 3)).square().mean()
        loss.backward()
        return loss

    before.optimizer.step(closure)
    state = through_a_file(before.state_dict())
    other = network()
    after = ResumableOptimizer(torch.optim.LBFGS(other.parameters()), other)
    after.load_state_dict(state)
    expected = [tensor.clone() for tensor in state["state"][0]["old_dirs"]]
    assert expected
    for tensor in state["state"][0]["old_dirs"]:
        tensor.zero_()
    (own,) = after.optimizer.state.values()
    assert all(torch.equal(*pair) for pair in zip(own["old_dirs"], expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_23_moments_take_the_number_format_of_their_parameters(dtype: torch.dtype) -> None:
    _, before = saved()
    model = network(dtype)
    after = ResumableOptimizer(adamw(model), model)
    after.load_state_dict(through_a_file(before.state_dict()))
    for parameter, state in after.optimizer.state.items():
        assert state["exp_avg"].dtype == parameter.dtype == dtype
        assert state["step"].dtype == torch.float32
    trained(model, after.optimizer, 1)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize(("source", "target"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_23_moments_follow_their_parameters_to_another_device(source: str, target: str, fused: bool | None) -> None:
    """Also where the fused kernel of one device keeps its step count there, and the other is not fused."""
    model, there = network().to(source), network().to(target)
    before = ResumableOptimizer(adamw(model, fused=fused if source == "cuda" else None), model)
    trained(model, before.optimizer)
    after = ResumableOptimizer(adamw(there, fused=fused if target == "cuda" else None), there)
    there.load_state_dict(model.state_dict())
    after.load_state_dict(through_a_file(before.state_dict()))
    assert {s["exp_avg"].device.type for s in after.optimizer.state.values()} == {target}
    trained(model, before.optimizer, 2)
    trained(there, after.optimizer, 2)
    for one, other in zip(model.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(one.cpu(), other.cpu(), rtol=1e-4, atol=1e-5)


def test_a_state_that_does_not_say_how_it_was_built_is_taken_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    _, before = saved()
    after = fresh(lr=0.3)
    with caplog.at_level(logging.WARNING, "trainkit"):
        after.load_state_dict(before.state_dict() | {"built": None})
    assert [group["lr"] for group in after.optimizer.param_groups] == [0.005, 0.025]
    assert moments(after.optimizer) == moments(before.optimizer)
    assert (
        "the checkpoint does not say what options its optimizer was built with: they stay as they were" in caplog.text
    )


def test_a_state_of_another_class_is_refused_even_if_it_does_not_say_so() -> None:
    _, before = saved()
    model = network()
    after = ResumableOptimizer(torch.optim.SGD(adamw(model).param_groups, 0.1), model)
    with pytest.raises(ValueError, match=r"it is of another optimizer, without .*momentum"):
        after.load_state_dict(before.state_dict() | {"built": None})


def test_a_rate_that_is_a_tensor_is_compared_by_its_value() -> None:
    _, before = saved(lr=torch.tensor(0.01))
    same, other = fresh(lr=torch.tensor(0.01)), fresh(lr=torch.tensor(0.02))
    for part in (same, other):
        part.load_state_dict(through_a_file(before.state_dict()))
    assert same.optimizer.param_groups[0]["lr"].item() == pytest.approx(0.005)
    assert other.optimizer.param_groups[0]["lr"].item() == pytest.approx(0.02)


def test_parts_know_their_optimizers_by_the_options_at_the_first_look() -> None:
    model = network()
    optimizer, known = adamw(model), {}
    parts = resumable({"model": model, "optimizer": optimizer}, model, known)
    assert parts["model"] is model
    optimizer.param_groups[0]["lr"] = 7.0
    again = resumable({"model": model, "optimizer": optimizer}, model, known)
    assert again["optimizer"] is parts["optimizer"] is known["optimizer"]
    assert again["optimizer"].state_dict()["built"]["options"][0]["lr"] == 0.01
    other = adamw(model)
    assert resumable({"optimizer": other}, model, known)["optimizer"].optimizer is other


def test_options_are_a_copy_without_the_parameters() -> None:
    rate = torch.tensor(0.5)
    optimizer = torch.optim.AdamW([("a", nn.Parameter(torch.zeros(1)))], lr=rate)
    (options,) = options_of(optimizer)
    rate.zero_()
    assert options["lr"].item() == 0.5
    assert not {"params", "param_names"} & options.keys()
