"""Update rules of one's own: a Trainer that overrides ``train_step`` and ``eval_step``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

from trainkit import Loader, Output, Trainer, supervised
from trainkit.data.loader import samples_in
from trainkit.keys import Streams, fold


class GAN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = nn.Linear(2, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))


def judged(model: GAN, images: Tensor, real: float) -> Tensor:
    scores = model.discriminator(images)
    return binary_cross_entropy_with_logits(scores, torch.full_like(scores, real))


class GANTrainer(Trainer):
    """Two optimizers that take turns."""

    parts = (*Trainer.parts, "generator_optimizer")

    def __init__(self, *arguments: Any, generator_optimizer: torch.optim.Optimizer, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.generator_optimizer = generator_optimizer

    def train_step(self, window: Sequence[tuple[Tensor, Tensor]]) -> Output:
        (batch,) = window
        images, _ = self.to_device(batch)
        self._streams.seed(fold(self.seed, "gan", self.counters.step))
        made = self.model.generator(torch.randn(len(images), 2))
        loss = judged(self.model, images, 1.0) + judged(self.model, made.detach(), 0.0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        fooled = judged(self.model, made, 1.0)
        self.generator_optimizer.zero_grad()
        fooled.backward()
        self.generator_optimizer.step()
        self.counters.step += 1
        self.counters.samples += samples_in(batch)
        return Output(fooled.detach(), len(images))

    def eval_step(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Output:
        return Output(judged(model, batch[0], 1.0), len(batch[0]))


def gan_trainer(model: GAN, loader: Loader, **options: Any) -> GANTrainer:
    adam = {"lr": 0.01, "betas": (0.5, 0.9)}
    return GANTrainer(
        model,
        supervised(nn.CrossEntropyLoss()),  # never asked
        torch.optim.Adam(model.discriminator.parameters(), **adam),
        loader,
        loader,
        generator_optimizer=torch.optim.Adam(model.generator.parameters(), **adam),
        metrics={},
        device="cpu",
        **options,
    )


def gan_loader() -> Loader:
    torch.manual_seed(3)
    return Loader(TensorDataset(torch.randn(32, 6), torch.zeros(32)), 8, shuffle=True)


def test_a_trainer_with_two_optimizers_resumes_exactly(tmp_path: Path) -> None:
    models = []
    for name, stops in {"unbroken": [8], "broken": [3, 8]}.items():
        for max_steps in stops:
            torch.manual_seed(0)
            trainer = gan_trainer(GAN(), gan_loader(), max_steps=max_steps, run_dir=tmp_path / name)
            if trainer.store.last.exists():
                trainer.resume(tmp_path / name)
            trainer.fit()
        models.append(trainer.model)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


def test_a_trainer_with_two_optimizers_is_a_plain_gan_loop() -> None:
    expected, model, loader = GAN(), GAN(), gan_loader()
    model.load_state_dict(expected.state_dict())
    options = {"lr": 0.01, "betas": (0.5, 0.9)}
    critic = torch.optim.Adam(expected.discriminator.parameters(), **options)
    maker = torch.optim.Adam(expected.generator.parameters(), **options)
    streams = Streams()
    for step, (images, _) in enumerate(batch for epoch in range(2) for batch in loader.batches(epoch)):
        streams.seed(fold(0, "gan", step))
        made = expected.generator(torch.randn(len(images), 2))
        critic.zero_grad()
        (judged(expected, images, 1.0) + judged(expected, made.detach(), 0.0)).backward()
        critic.step()
        maker.zero_grad()
        judged(expected, made, 1.0).backward()
        maker.step()

    trainer = gan_trainer(model, loader, max_epochs=2)
    trainer.fit()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    assert (trainer.counters.step, trainer.counters.samples) == (8, 64)
    with torch.no_grad():
        images = torch.cat([images for images, _ in loader.batches(0)])
        assert trainer.metrics["val/loss"] == pytest.approx(judged(expected, images, 1.0).item(), rel=1e-5)
    assert "train/loss_epoch" not in trainer.metrics  # this rule gave the meter nothing
