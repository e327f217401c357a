"""Weight averages against recurrences written by hand."""

import pytest
import torch
from torch import nn

from trainkit.errors import ConfigError
from trainkit.optim import NoAverage, WeightAverage


def path_of(model, steps):
    """Let the weights take random steps, and yield the number of each and the weights after it."""
    source = torch.Generator().manual_seed(0)
    for step in range(1, steps + 1):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn(p.shape, generator=source))
        yield step, model.weight.detach().clone()


def test_ema_is_its_recurrence():
    model, average, expected = nn.Linear(3, 2), WeightAverage("ema", decay=0.3), torch.zeros(2, 3)
    average.attach(model, None)
    for step, weight in path_of(model, 8):
        average.update(model, step)
        keep = [0, 2 / 11, 3 / 12, 0.3, 0.3, 0.3, 0.3, 0.3][step - 1]  # 4/13 would be more than the decay
        expected = keep * expected + (1 - keep) * weight
        torch.testing.assert_close(average.weights(model).weight, expected)


def test_swa_is_the_plain_mean():
    model, average = nn.Linear(3, 2), WeightAverage("swa")
    average.attach(model, None)
    seen = []
    for step, weight in path_of(model, 8):
        average.update(model, step)
        seen.append(weight)
    torch.testing.assert_close(average.weights(model).weight, torch.stack(seen).mean(0))


@pytest.mark.parametrize(
    ("start", "steps_per_epoch", "taken"),
    [("4st", None, (6, 8, 10)), ("2ep", 3, (8, 10)), (None, None, (2, 4, 6, 8, 10))],
)
def test_start_and_every_choose_the_steps(start, steps_per_epoch, taken):
    model, average = nn.Linear(3, 2), WeightAverage("swa", start=start, every=2)
    average.attach(model, steps_per_epoch)
    seen = []
    for step, weight in path_of(model, 10):
        average.update(model, step)
        if step in taken:
            seen.append(weight)
        assert (average.weights(model) is model) == (not seen)
    torch.testing.assert_close(average.weights(model).weight, torch.stack(seen).mean(0))


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_the_statistics_of_batch_norm_are_averaged_along(kind):
    model, average = nn.BatchNorm1d(2), WeightAverage(kind, decay=0.75)
    average.attach(model, None)
    for step, mean in [(1, 0.0), (2, 4.0)]:
        model.running_mean.fill_(mean)
        model.num_batches_tracked.fill_(step)
        average.update(model, step)
    averaged = average.weights(model)
    assert averaged.running_mean.tolist() == pytest.approx([4.0 * 9 / 11 if kind == "ema" else 2.0] * 2)
    assert averaged.num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_the_model_itself_is_left_alone(kind):
    model, average = nn.Linear(3, 2), WeightAverage(kind, decay=0.5)
    average.attach(model, None)
    for step, weight in path_of(model, 3):
        average.update(model, step)
        assert torch.equal(model.weight, weight)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_a_resumed_average_goes_on_as_if_unbroken(kind):
    model, averages = nn.Linear(3, 2), [WeightAverage(kind, decay=0.9) for _ in range(2)]
    for average in averages:
        average.attach(model, None)
    for step, _ in path_of(model, 6):
        averages[0].update(model, step)
        if step == 3:
            averages[1].load_state_dict(averages[0].state_dict())
        elif step > 3:
            averages[1].update(model, step)
    assert torch.equal(averages[0].weights(model).weight, averages[1].weights(model).weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "mean"}, "averaging.kind=mean: must be ema or swa"),
        ({"decay": 1.0}, "averaging.decay=1.0: must be at least 0 and less than 1"),
        ({"decay": -0.1}, "averaging.decay=-0.1"),
        ({"every": 0}, "averaging.every=0: must be at least 1 step"),
        ({"start": "soon"}, "'soon' is no duration"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        WeightAverage(**arguments)


@pytest.mark.parametrize(("start", "steps_per_epoch"), [("1ep", None), ("5min", 10)])
def test_a_start_of_unknown_steps_is_refused(start, steps_per_epoch):
    with pytest.raises(ConfigError, match="cannot be told in steps"):
        WeightAverage(start=start).attach(nn.Linear(1, 1), steps_per_epoch)


def test_there_is_no_average_before_it_is_attached():
    model, average = nn.Linear(1, 1), WeightAverage()
    assert average.weights(model) is model
    with pytest.raises(RuntimeError, match="before attach"):
        average.update(model, 1)


def test_no_average_is_the_model_itself():
    model, average = nn.Linear(1, 1), NoAverage()
    average.attach(model, None)
    average.update(model, 1)
    average.load_state_dict(average.state_dict())
    assert average.weights(model) is model


def test_a_run_that_had_no_average_begins_one_with_the_next_update():
    model = nn.Linear(2, 2)
    average = WeightAverage("ema", decay=0.5)
    average.attach(model, None)
    average.update(model, 1)
    average.load_state_dict({})
    assert average.weights(model) is model
    with torch.no_grad():
        model.weight.fill_(3.0)
    average.update(model, 2)
    assert torch.equal(average.weights(model).weight, model.weight)
