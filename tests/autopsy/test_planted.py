"""Faults that were planted: each is named by module, operation, line and sample, and nothing else is changed."""

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from trainkit import Loader, Trainer, TrainingError, supervised
from trainkit.autopsy import Step, examined, read_bundle
from trainkit.callbacks import Callback
from trainkit.checkpoint import Store
from trainkit.keys import Streams
from trainkit.objectives import Output
from trainkit.precision import Precision

BAD, SIZE, MARK = 37, 64, 100.0
HERE = Path(__file__).name


class Break(torch.autograd.Function):
    """Breaks in its own backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 0  # custom backward


def log_of_zero(h):
    return torch.log(h * 0)


def zero_over_zero(h):
    return (h - h) / (h - h)


def exp_overflow(h):
    return torch.exp(h.abs() * 1e4 + 1e3)


def root_of_negative(h):
    return torch.sqrt(-1 - h.abs())


def power(h):
    return (-1 - h.abs()) ** 0.5


def in_place(h):
    h = h * 0
    h.log_()
    return h


def masked_row(h):
    scores = h.masked_fill(h > -math.inf, -math.inf)
    return scores.softmax(-1)


def deviation_of_one(h):
    return h - h[:1].std(0)


def unset_memory(h):
    return h * torch.empty(h.shape[1])


def slope_of_root(h):
    return h + (h - h).sqrt()


def where_trap(h):
    zero = h * 0
    return torch.where(zero > 0, zero.log(), h)


def custom_backward(h):
    return Break.apply(h)


def distance(h):
    return h + (h - h).square().sum(1, keepdim=True) ** 0.25


def too_large(h):
    return h.abs() * 1e30 * 1e30 + h


def meant(h):
    return torch.full_like(h, -math.inf)


def sixteen_bits(h):
    return (h.abs() + 1) * 300 * 300


class Act(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, h, marked):
        h = h * self.scale
        return self.fault(h) if marked and self.fault else h


class Net(nn.Module):
    def __init__(self, fault=None):
        super().__init__()
        self.embed = nn.Embedding(4, 4)
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.1))
        self.act = Act(fault)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        rows = x[:, :1] == MARK
        x = torch.where(rows, torch.zeros_like(x), x) + self.embed((x[:, 0] > 0).long())
        return self.head(self.act(self.stem(x), self.training and bool(rows.any())))


def data(value: float = MARK) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SIZE, 4, generator=generator)
    inputs[BAD, 0] = value
    return TensorDataset(inputs, torch.randint(3, (SIZE,), generator=generator))


class OneByOne(torch.utils.data.Dataset):
    """Samples that nobody can look at as a whole."""

    def __init__(self, value: float) -> None:
        self.inner = data(value)

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> Any:
        return self.inner[index]


def trainer_of(tmp_path: Path, net: nn.Module, objective=None, dataset=None, callbacks=(), **settings) -> Trainer:
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.3, 0.2)
    loader = Loader(dataset or data(), 8, shuffle=True, seed=3)
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    settings = {"max_epochs": 1, "device": "cpu", "num_sanity_val_steps": 0, **settings}
    objective = objective or supervised(nn.CrossEntropyLoss())
    return Trainer(net, objective, optimizer, loader, run_dir=tmp_path / "run", callbacks=callbacks, **settings)


def failed(trainer: Trainer) -> tuple[str, dict[str, Any], Path]:
    """The message, the autopsy as values, and its folder."""
    with pytest.raises(TrainingError) as caught:
        trainer.fit()
    (folder,) = (trainer.run_dir / "autopsy").iterdir()
    return str(caught.value), json.loads((folder / "report.json").read_text()), folder


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


FORWARD = [
    (log_of_zero, "log", "return torch.log(h * 0)", "logarithm of 0"),
    (zero_over_zero, "div", "return (h - h) / (h - h)", "0/0"),
    (exp_overflow, "exp", "return torch.exp(", "too large for float32"),
    (root_of_negative, "sqrt", "return torch.sqrt(", "sqrt of 0 or less"),
    (power, "pow", "return (-1 - h.abs()) ** 0.5", "pow of 0 or less"),
    (in_place, "log", "h.log_()", "logarithm of 0"),
    (masked_row, "softmax", "return scores.softmax(-1)", "masked out"),
    (deviation_of_one, "std", "return h - h[:1].std(0)", "single number"),
    (too_large, "mul", "return h.abs() * 1e30 * 1e30 + h", "too large for float32"),
]
WINDOWS = [{}, {"accumulate_grad_batches": 2, "gradient_clip_val": 1.0}]


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize("settings", WINDOWS, ids=["plain", "accumulated-and-clipped"])
@pytest.mark.parametrize(("fault", "operation", "source", "why"), FORWARD, ids=lambda v: getattr(v, "__name__", ""))
def test_a_fault_of_the_forward_pass(tmp_path: Path, fault, operation, source, why, settings) -> None:
    message, told, _ = failed(trainer_of(tmp_path, Net(fault), **settings))
    found = told["autopsy"]
    assert (found["kind"], found["module"], found["operation"]) == ("forward", "act", operation)
    assert (Path(found["file"]).name, found["line"]) == (HERE, line_of(source))
    assert why in found["why"]
    assert "act.scale" in {numbers["name"] for numbers in found["weights"]}
    for part in (f"out of {operation} in act (Act)", f"{HERE}:{found['line']}, in {fault.__name__}: {source}", why):
        assert part in message
    assert BAD in [index for batch in told["samples"] for index in batch]
    assert len(message.splitlines()) <= 10


def test_memory_that_nobody_set(tmp_path: Path) -> None:
    """Deterministic kernels fill it with NaN; dropout, which writes over such memory, is not taken for it."""
    _, told, _ = failed(trainer_of(tmp_path, Net(unset_memory), deterministic=True))
    found = told["autopsy"]
    assert (found["module"], found["line"]) == ("act", line_of("return h * torch.empty("))
    assert "nobody set" in found["operation"]


def test_memory_that_is_written_over_is_not_behind_it(tmp_path: Path) -> None:
    def copied(h):
        return torch.empty_like(h).copy_(torch.log(h * 0))

    _, told, _ = failed(trainer_of(tmp_path, Net(copied), deterministic=True))
    assert told["autopsy"]["operation"] == "log"


BACKWARD = [
    (slope_of_root, "sqrt", "SqrtBackward0", "return h + (h - h).sqrt()", "slope of sqrt at 0"),
    (where_trap, "log", "LogBackward0", "return torch.where(zero > 0", "slope of log at 0"),
    (distance, "pow", "PowBackward0", "return h + (h - h).square().sum", "slope of pow at 0"),
    (custom_backward, "clone", "BreakBackward", "return gradients[0] / 0  # custom backward", ""),
]


@pytest.mark.parametrize("settings", WINDOWS, ids=["plain", "accumulated-and-clipped"])
@pytest.mark.parametrize(
    ("fault", "operation", "node", "source", "why"), BACKWARD, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_fault_of_the_backward_pass(tmp_path: Path, fault, operation, node, source, why, settings) -> None:
    message, told, _ = failed(trainer_of(tmp_path, Net(fault), **settings))
    found = told["autopsy"]
    assert (found["kind"], found["module"], found["operation"]) == ("backward", "act", operation)
    assert (Path(found["file"]).name, found["line"]) == (HERE, line_of(source))
    assert f"backward pass of {operation} ({node}) in act (Act)" in message
    assert why in found["why"]


class OwnLoss(nn.Module):
    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        probabilities = (predictions * 1e3).softmax(1)
        return -probabilities.log().gather(1, targets[:, None]).mean()  # loss as a module


def own_objective(model, batch):
    predictions = model(batch[0])
    wrong = (predictions.argmax(1) != batch[1]).float()
    loss = F.cross_entropy(predictions, batch[1])
    return Output(loss * (wrong - wrong).sum() / (wrong - wrong).sum(), len(batch[1]))  # loss divides


@pytest.mark.parametrize(
    ("objective", "operation", "module", "source"),
    [
        (supervised(OwnLoss()), "log", "objective.loss", "loss as a module"),
        (own_objective, "div", "", "loss divides"),
        (supervised(lambda p, t: F.cross_entropy(p, t, ignore_index=-1) * 0 / 0), "div", "", "* 0 / 0), "),
    ],
    ids=["log 0", "0/0", "lambda"],
)
def test_a_fault_of_the_loss(tmp_path: Path, objective, operation, module, source) -> None:
    _, told, _ = failed(trainer_of(tmp_path, Net(), objective))
    found = told["autopsy"]
    assert (found["kind"], found["module"]) == ("forward" if module else "objective", module)
    assert (found["operation"], found["line"]) == (operation, line_of(source))


def test_targets_of_which_none_counts(tmp_path: Path) -> None:
    dataset = TensorDataset(torch.randn(16, 4), torch.full((16,), -100))
    _, told, _ = failed(trainer_of(tmp_path, Net(), dataset=dataset))
    assert told["autopsy"]["operation"] == "nll_loss_forward"
    assert "all of them are ignore_index" in told["autopsy"]["why"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("settings", WINDOWS, ids=["plain", "accumulated-and-clipped"])
def test_a_sample_of_the_data(tmp_path: Path, value: float, settings) -> None:
    message, told, _ = failed(trainer_of(tmp_path, Net(), dataset=OneByOne(value), **settings))
    assert told["autopsy"]["kind"] == "data"
    assert told["autopsy"]["bad_samples"] == [BAD]
    assert f"in sample {BAD}" in message


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_overflows(tmp_path: Path, precision: str) -> None:
    def overflow(h):
        matrix = (h.abs() + 1) * (200 if precision == "fp16" else 1e19)
        return h.new_ones(len(h), len(h)) @ (matrix.T @ matrix).sum(0).expand(len(h), 8) * 1e10

    message, told, _ = failed(trainer_of(tmp_path, Net(overflow), precision=precision))
    found = told["autopsy"]
    assert found["module"] == "act"
    if precision == "fp16":
        assert found["kind"] == "half"
        assert "half-precision overflow" in message
        assert "65504" in message
    assert found["operation"] in ("mm", "to_copy", "mul")
    assert Path(found["file"]).name == HERE


def test_a_sum_that_sixteen_bits_do_not_hold(tmp_path: Path) -> None:
    def halved(h):
        return sixteen_bits(h.half()).float()

    _, told, _ = failed(trainer_of(tmp_path, Net(halved), precision="bf16"))
    found = told["autopsy"]
    assert (found["kind"], found["operation"], found["module"]) == ("half", "mul", "act")
    assert found["line"] == line_of("return (h.abs() + 1) * 300 * 300")


@pytest.mark.parametrize(("factor", "kind"), [(1e6, "half"), (1.0, "")])
def test_a_conversion_to_sixteen_bits(tmp_path: Path, factor: float, kind: str) -> None:
    def converted(h):
        return ((h.abs() + 1) * 1e6 / (1e6 / factor)).half().float()

    if not kind:
        trainer_of(tmp_path, Net(converted)).fit()
        return
    _, told, _ = failed(trainer_of(tmp_path, Net(converted)))
    found = told["autopsy"]
    assert (found["kind"], found["operation"]) == ("half", "to_copy")
    assert "is beyond the range of float16" in found["why"]


def test_what_no_number_of_bits_would_hold_is_no_matter_of_half_precision(tmp_path: Path) -> None:
    _, told, _ = failed(trainer_of(tmp_path, Net(lambda h: (h.abs() + 1).bfloat16() * 1e30 * 1e30), precision="bf16"))
    assert (told["autopsy"]["kind"], told["autopsy"]["operation"]) == ("forward", "mul")


def test_an_infinity_is_followed_to_the_nan_that_is_made_of_it(tmp_path: Path) -> None:
    message, told, _ = failed(trainer_of(tmp_path, Net(exp_overflow)))
    assert told["autopsy"]["then"] == "addmm made nan of it, forward in head (Linear)"
    assert told["autopsy"]["then"] in message


class Apart(nn.Module):
    """Breaks in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x if self.training else x / 0


def test_a_step_is_taken_with_what_is_frozen_held() -> None:
    net = nn.Sequential(nn.Linear(4, 3), Apart())

    def hold() -> None:
        net[1].eval()

    batch = (torch.ones(2, 4), torch.zeros(2, dtype=torch.long))
    streams = Streams()
    precision = Precision("fp32", torch.device("cpu"))
    for held, kind in ((hold, "forward"), (lambda: None, "unknown")):
        step = Step(net, supervised(nn.CrossEntropyLoss()), precision, streams, [batch], [7], hold=held)
        before = torch.get_rng_state()
        assert examined(step).kind == kind
        assert torch.equal(torch.get_rng_state(), before)
        assert net[1].training


class At(Callback):
    """Does something after a step."""

    def __init__(self, step: int, do: Any) -> None:
        self.step, self.do = step, do

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        if trainer.counters.step == self.step:
            with torch.no_grad():
                self.do(trainer)


def poison_state(trainer: Trainer) -> None:
    trainer.optimizer.state[trainer.model.head.weight]["exp_avg_sq"].fill_(math.nan)


def poison_rate(trainer: Trainer) -> None:
    trainer.optimizer.param_groups[0]["lr"] = math.nan


def poison_embedding(trainer: Trainer) -> None:
    trainer.model.embed.weight[1, 2] = math.inf


@pytest.mark.parametrize(
    ("do", "kind", "step", "said"),
    [
        (poison_state, "optimizer", 4, "exp_avg_sq of head.weight"),
        (poison_rate, "optimizer", 4, "its rate, lr nan"),
        (poison_embedding, "weights", 3, "the weights embed.weight"),
    ],
    ids=["state", "rate", "embedding"],
)
def test_what_was_bad_before_the_step(tmp_path: Path, do, kind, step, said) -> None:
    trainer = trainer_of(tmp_path, Net(), callbacks=[At(2, do)])
    message, told, _ = failed(trainer)
    assert (told["autopsy"]["kind"], told["step"]) == (kind, step)
    assert said in message


def test_gradients_whose_norm_alone_is_too_large(tmp_path: Path) -> None:
    def objective(model, batch):
        return Output(model(batch[0]).sum() * 1e25, len(batch[0]))

    message, told, _ = failed(trainer_of(tmp_path, Net(), objective, gradient_clip_val=1.0))
    assert told["autopsy"]["kind"] == "norm"
    assert "each gradient is finite" in message


def test_masks_that_are_meant_are_no_fault(tmp_path: Path) -> None:
    """An infinity that the code asks for, and that the loss never sees, stands before the fault that is."""

    def masked(h):
        weights = h.masked_fill(torch.eye(8)[: len(h)] > 0, -math.inf).softmax(-1)
        return torch.log((h * weights) * 0)

    _, told, _ = failed(trainer_of(tmp_path, Net(masked)))
    assert told["autopsy"]["operation"] == "log"


def test_a_callback_that_spoils_a_gradient_is_no_fault_of_the_step(tmp_path: Path) -> None:
    class Spoil(Callback):
        def on_gradients(self, trainer: Trainer) -> None:
            trainer.model.head.weight.grad.fill_(math.nan)

    message, told, _ = failed(trainer_of(tmp_path, Net(), callbacks=[Spoil()]))
    assert told["autopsy"]["kind"] == "unknown"
    assert "a callback changed a gradient" in message


def test_data_that_are_not_the_same_twice_are_taken_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net()
    batches = [(torch.full((8, 4), math.nan if n == 2 else 1.0), torch.zeros(8, dtype=torch.long)) for n in range(4)]
    used_up = iter(batches)  # cannot be fetched once more
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    trainer = Trainer(
        net,
        supervised(nn.CrossEntropyLoss()),
        optimizer,
        used_up,
        run_dir=tmp_path / "run",
        max_epochs=1,
        device="cpu",
    )
    message, told, _ = failed(trainer)
    assert told["autopsy"]["kind"] == "data"
    assert "batch[0], " not in message or "sample" not in message


def test_a_sample_that_is_bad_once_only_is_taken_as_it_was(tmp_path: Path) -> None:
    class Once(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.inner, self.left = data(1.0), 1

        def __len__(self) -> int:
            return SIZE

        def __getitem__(self, index: int) -> Any:
            inputs, target = self.inner[index]
            if index == BAD and self.left:
                self.left, inputs = 0, inputs * math.nan
            return inputs, target

    _, told, _ = failed(trainer_of(tmp_path, Net(), dataset=Once()))
    assert told["autopsy"]["kind"] == "data"
    assert told["autopsy"]["bad_samples"] == [BAD]


@pytest.mark.parametrize("action", ["skip", "rollback"])
def test_the_first_steps_that_are_left_out_are_told_and_the_training_goes_on_as_if_not(
    tmp_path: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr("trainkit.trainer.tell_of_left_out", lambda trainer, window: None)
        settings = {"on_nonfinite": action, "max_epochs": 5, "accumulate_grad_batches": 2}
        trainer = trainer_of(tmp_path / name, Net(), dataset=OneByOne(math.nan), **settings)
        trainer.store = Store(tmp_path / name / "run/checkpoints", every="1st")
        trainer.fit()
        ends.append(trainer)
    one, other = ends
    assert one.counters.nonfinite == 5
    told = [text for text in one.warnings if "is left out" in text]
    assert len(told) == 3
    assert all(re.search(rf"the loss is nan; the data batch [01]\[0\], in sample {BAD}; ", text) for text in told)
    assert told[-1].endswith("later ones are only counted")
    assert not other.warnings or action == "rollback"
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    reports = [json.loads(path.read_text()) for path in (tmp_path / "with/run/autopsy").glob("*/report.json")]
    assert [report["autopsy"]["bad_samples"] for report in reports] == [[BAD]] * len(reports) != []


def test_a_step_that_is_left_out_is_not_taken_again_but_by_its_replay(tmp_path: Path) -> None:
    """A model may count its calls."""
    calls = []

    def counted(h):
        calls.append(1)
        return torch.log(h * 0) if len(calls) == 1 else h

    trainer = trainer_of(tmp_path, Net(counted), on_nonfinite="skip", max_epochs=2)
    trainer.fit()
    assert len(calls) == 2
    (told,) = trainer.warnings
    assert "the loss is nan; data and weights are finite, and the replay tells where it comes from; kept in " in told
    (folder,) = (tmp_path / "run/autopsy").iterdir()
    step = read_bundle(folder).step(Net(log_of_zero), trainer.objective, torch.device("cpu"))
    assert examined(step).operation == "log"


def test_under_anomaly_detection_the_operation_is_named_all_the_same(tmp_path: Path) -> None:
    """Torch raises by itself, names the step after the one that made it, and no sample."""
    with pytest.warns(UserWarning, match="Error detected in"):
        message, told, _ = failed(trainer_of(tmp_path, Net(distance), detect_anomaly=True))
    assert (told["autopsy"]["module"], told["autopsy"]["operation"]) == ("act", "pow")
    assert "returned nan values in its" in message


def test_the_place_of_an_infinity_that_was_meant_is_told_with_the_nan(tmp_path: Path) -> None:
    message, told, _ = failed(trainer_of(tmp_path, Net(meant)))
    assert (told["autopsy"]["module"], told["autopsy"]["operation"]) == ("head", "addmm")
    assert "its infinities come from full_like in act (Act) at " in message
    assert f"{HERE}:{line_of('return torch.full_like')}\n" in message


def test_infinities_of_both_signs_within_a_sum_are_an_overflow(tmp_path: Path) -> None:
    def summed(h):
        signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
        return (torch.full_like(h, 3e38) * signs) @ torch.full((8, 8), 100.0) + h

    _, told, _ = failed(trainer_of(tmp_path, Net(summed)))
    assert told["autopsy"]["operation"] == "mm"
    assert "too large for float32" in told["autopsy"]["why"]


def test_weights_that_the_steps_before_blew_up_are_told(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Net())
    trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), 1e12)
    trainer.guard._late = False
    message, _, _ = failed(trainer)
    assert "its weights reach " in message
    assert "memory that nobody set" not in message  # as dropout's mask is, before it is drawn


def test_of_bad_data_the_sample_is_to_be_mended(tmp_path: Path) -> None:
    message, _, _ = failed(trainer_of(tmp_path, Net(), dataset=OneByOne(math.nan)))
    last = message.splitlines()[-1].strip()
    assert last == "try to mend that sample or leave it out; trainer.on_nonfinite=skip leaves out its batch"


def state_of(trainer: Trainer) -> dict[str, Any]:
    torch_state, numpy_state, python = torch.get_rng_state(), numpy.random.get_state()[1], random.getstate()
    return {"torch": torch_state, "numpy": torch.from_numpy(numpy_state.copy()), "python": python}


@pytest.mark.parametrize("fault", [log_of_zero, slope_of_root], ids=["forward", "backward"])
def test_nothing_is_left_of_it(tmp_path: Path, fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, optimizer, what is saved and the generators are as without the autopsy; no hook stays."""
    states = []
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr("trainkit.failures.bad_numbers", lambda trainer, error: TrainingError(str(error)))
        torch.manual_seed(1)
        trainer = trainer_of(tmp_path / name, Net(fault))
        before = state_of(trainer)
        with pytest.raises(TrainingError):
            trainer.fit()
        after = state_of(trainer)
        assert before["python"] == after["python"]
        assert all(torch.equal(before[part], after[part]) for part in ("torch", "numpy"))
        states.append(trainer.state_dict() | {"gradients": [p.grad for p in trainer.model.parameters()]})
        assert all(not m._forward_hooks and not m._forward_pre_hooks for m in trainer.model.modules())
        assert trainer.model.training
    one, other = states
    for part in ("model", "optimizer"):
        flat = [torch.utils._pytree.tree_flatten(state[part])[0] for state in (one, other)]
        for a, b in zip(*flat, strict=True):
            assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
    for a, b in zip(one["gradients"], other["gradients"], strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a.nan_to_num(), b.nan_to_num())


def test_the_bundle_makes_the_step_again(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Net(exp_overflow), accumulate_grad_batches=2)
    message, told, folder = failed(trainer)
    content = torch.load(folder / "step.pt", weights_only=True)
    assert content["samples"] == told["samples"]
    assert len(content["batches"]) == len(content["keys"]) == 2
    assert (folder / "report.txt").read_text().startswith(f"step {told['step']}: the loss is")
    step = read_bundle(folder).step(Net(exp_overflow), trainer.objective, torch.device("cpu"))
    again = examined(step)
    assert again.as_dict() == told["autopsy"]
    assert "read_bundle" in message  # without a config the command line cannot


def test_a_bundle_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainkit.autopsy.bundle.MOST_BYTES", 400)
    message, told, folder = failed(trainer_of(tmp_path, Net(log_of_zero)))
    assert told["left_out"].keys() == {"weights"}  # the batch is smaller
    content = torch.load(folder / "step.pt", weights_only=True)
    assert content["model"] is None
    assert content["batches"] is not None
    assert f"replay run={trainer_run(tmp_path)} step={told['step']}" in message


def trainer_run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_what_is_no_bundle_is_told(tmp_path: Path) -> None:
    from trainkit import ConfigError

    with pytest.raises(ConfigError, match="no autopsy there"):
        read_bundle(tmp_path / "nowhere")
    torch.save({"format": 9}, tmp_path / "step.pt")
    with pytest.raises(ConfigError, match="is no autopsy of this trainkit"):
        read_bundle(tmp_path)
    (tmp_path / "step.pt").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_bundle(tmp_path)


def test_a_model_that_no_trace_can_follow_costs_the_autopsy_alone(tmp_path: Path, monkeypatch) -> None:
    def broken(step, optimizer=None):
        raise NotImplementedError("no such kernel")

    monkeypatch.setattr("trainkit.autopsy.inquest.examined", broken)
    message, told, _ = failed(trainer_of(tmp_path, Net(log_of_zero)))
    assert "it could not be taken once more (NotImplementedError: no such kernel)" in message
    assert told["autopsy"]["kind"] == "unknown"
