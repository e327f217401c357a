"""Pictures of the predictions: what is on them, for whom they are made, and that training does not notice."""

import logging
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from trainkit import ConfigError, Loader, Trainer, supervised
from trainkit.callbacks import Predictions
from trainkit.callbacks.predictions import INK, PAPER, RIGHT, WRONG, Samples, draw_confusion, draw_samples, examine


class Album:
    """A logger that keeps pictures."""

    def __init__(self) -> None:
        self.pictures: list[tuple[str, int, numpy.ndarray]] = []

    def log(self, values: Any, counters: Any, axis: Any) -> None: ...

    def image(self, name: str, image: Any, counters: Any) -> None:
        assert image.dtype == numpy.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        self.pictures.append((name, counters.step, image))

    def hyperparameters(self, parameters: Any, metrics: Any) -> None: ...
    def rewind(self, counters: Any) -> None: ...
    def close(self) -> None: ...

    def seen(self) -> list[tuple[str, int]]:
        return [(name, step) for name, step, _ in self.pictures]


def images(n: int = 48, channels: int = 1, classes: int = 3) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(n, channels, 6, 5, generator=generator), torch.randint(classes, (n,), generator=generator)
    )


def trainer_of(
    data: Any, model: nn.Module | None = None, callback: Predictions | None = None, **settings: Any
) -> Trainer:
    if model is None:
        features = data[0][0].numel()
        model = nn.Sequential(nn.Flatten(), nn.Linear(features, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    settings = {"max_epochs": 3, "loggers": [Album()]} | settings
    return Trainer(
        model,
        supervised(nn.CrossEntropyLoss()),
        torch.optim.SGD(model.parameters(), lr=0.1),
        Loader(data, batch_size=16, shuffle=True),
        Loader(data, batch_size=20),
        callbacks=[] if callback is None else [callback],
        **settings,
    )


def album_of(trainer: Trainer) -> Album:
    album = trainer.loggers[-1]
    assert isinstance(album, Album)
    return album


class Brightest(nn.Module):
    """Scores are the first three pixels; one idle weight, so that an optimizer has something to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, :3] + 0 * self.weight


def test_pictures_come_at_the_end_of_the_fit() -> None:
    trainer = trainer_of(images(), callback=Predictions())
    trainer.fit()
    assert album_of(trainer).seen() == [("val/confusion_matrix", 9), ("val/worst_predictions", 9)]


def test_pictures_come_every_n_epochs_and_never_twice() -> None:
    trainer = trainer_of(images(), callback=Predictions(every_n_epochs=2), max_epochs=4)
    trainer.fit()
    assert [step for name, step in album_of(trainer).seen() if name == "val/confusion_matrix"] == [6, 12]
    trainer = trainer_of(images(), callback=Predictions(every_n_epochs=2), max_epochs=3)
    trainer.fit()
    assert [step for name, step in album_of(trainer).seen() if name == "val/confusion_matrix"] == [6, 9]


def test_no_samples_when_none_are_wanted() -> None:
    trainer = trainer_of(images(), callback=Predictions(worst=0))
    trainer.fit()
    assert album_of(trainer).seen() == [("val/confusion_matrix", 9)]


def test_the_confusion_and_the_worst_samples_are_right() -> None:
    data = images(50)
    trainer = trainer_of(data, Brightest())
    found = examine(trainer, worst=5)
    assert found is not None
    confusion, samples = found
    inputs, targets = data.tensors
    scores = inputs.flatten(1)[:, :3]
    expected = torch.zeros(3, 3, dtype=torch.long)
    for target, prediction in zip(targets, scores.argmax(1), strict=True):
        expected[target, prediction] += 1
    assert torch.equal(confusion, expected)
    losses = nn.functional.cross_entropy(scores, targets, reduction="none")
    worst = losses.topk(5).indices
    assert torch.equal(samples.images, inputs[worst])
    assert torch.equal(samples.targets, targets[worst])
    assert torch.equal(samples.predictions, scores.argmax(1)[worst])
    assert torch.allclose(samples.losses, losses[worst])


def test_padding_and_class_probabilities_are_understood() -> None:
    inputs, targets = images(30).tensors
    soft = examine(trainer_of(TensorDataset(inputs, nn.functional.one_hot(targets, 3).float()), Brightest()), 4)
    hard = examine(trainer_of(TensorDataset(inputs, targets), Brightest()), 4)
    assert soft is not None
    assert hard is not None
    assert torch.equal(soft[0], hard[0])
    padded = torch.cat([targets[:20], torch.full((10,), -100)])
    found = examine(trainer_of(TensorDataset(inputs, padded), Brightest()), 30)
    assert found is not None
    assert found[0].sum() == 20
    assert len(found[1].losses) == 20


def test_the_limit_of_the_validation_holds() -> None:
    found = examine(trainer_of(images(50), limit_val_batches=1), 100)
    assert found is not None
    assert found[0].sum() == 20


def test_training_does_not_notice() -> None:
    def weights(callback: Predictions | None) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(1)
        trainer = trainer_of(images(), callback=callback)
        trainer.fit()
        assert all(module.training for module in trainer.model.modules())
        return trainer.model.state_dict(), torch.get_rng_state()

    (plain, plain_draws), (watched, watched_draws) = weights(None), weights(Predictions(every_n_epochs=1))
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert torch.equal(plain_draws, watched_draws)


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(torch.randn(32, 4), torch.randint(3, (32,))),
        TensorDataset(torch.randn(32, 2, 6, 5), torch.randint(3, (32,))),
    ],
    ids=["vectors", "two channels"],
)
def test_other_data_get_no_pictures_and_one_note(data: TensorDataset, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trainkit")
    trainer = trainer_of(data, callback=Predictions())
    trainer.fit()
    assert album_of(trainer).pictures == []
    assert [record.levelname for record in caplog.records if "no image classification" in record.message] == ["INFO"]


def test_the_note_comes_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trainkit")
    data = TensorDataset(torch.randn(32, 4), torch.randint(3, (32,)))
    trainer_of(data, callback=Predictions(every_n_epochs=1)).fit()
    assert len([record for record in caplog.records if "no image classification" in record.message]) == 1


def test_regression_on_images_gets_no_pictures() -> None:
    data = TensorDataset(torch.randn(32, 1, 4, 4), torch.randn(32, 2))
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    trainer = Trainer(
        model,
        supervised(nn.MSELoss()),
        torch.optim.SGD(model.parameters(), lr=0.1),
        Loader(data, batch_size=16),
        Loader(data, batch_size=16),
        callbacks=[Predictions()],
        loggers=[Album()],
        max_epochs=1,
    )
    trainer.fit()
    assert album_of(trainer).pictures == []


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match=r"callbacks\.predictions\.worst=-1"):
        Predictions(worst=-1)
    with pytest.raises(ConfigError, match=r"callbacks\.predictions\.every_n_epochs=0"):
        Predictions(every_n_epochs=0)


def test_right_is_blue_wrong_is_red_and_numbers_are_written() -> None:
    picture = draw_confusion(torch.tensor([[8, 0], [9, 0]]))
    pixels = numpy.asarray(picture).reshape(-1, 3)
    colours = {tuple(colour) for colour in pixels.tolist()}
    assert {RIGHT, WRONG, PAPER, INK} <= colours
    assert picture.getpixel((72 + 4, 64 + 4)) == RIGHT
    assert picture.getpixel((72 + 4, 64 + 48 + 4)) == WRONG


@pytest.mark.parametrize("classes", [1, 2, 10, 100, 1000])
def test_matrices_of_all_sizes_fit_on_a_screen(classes: int) -> None:
    picture = draw_confusion(torch.eye(classes, dtype=torch.long) * 5)
    assert max(picture.size) <= 1100


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 32), (3, 300, 200), (1, 1, 1)])
def test_samples_of_all_shapes_are_drawn(channels: int, height: int, width: int) -> None:
    shown = torch.randn(7, channels, height, width)
    samples = Samples(shown, torch.arange(7), torch.arange(7).flip(0), torch.tensor([9.0, 8, 7, 6, 5, 4, float("inf")]))
    colours = numpy.asarray(draw_samples(samples)).reshape(-1, 3).tolist()
    assert list(WRONG) in colours
    assert list(RIGHT) in colours, "sample 3 is predicted right"
