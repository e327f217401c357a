"""The contenders: each does a ``Work`` as its own documentation would, and returns the validation accuracy.

What is not torch is imported where it is used, so that nobody pays for another one's packages.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmark.works import TimedMLP, Work


class Extras:
    """What a loop written by hand has around its steps: schedule, logs, progress and checkpoint, where asked for."""

    def __init__(self, work: Work, model: Any, optimizer: Any) -> None:
        self.work, self.model, self.optimizer, self.step, self.losses = work, model, optimizer, 0, []
        if work.features:
            from torch.utils.tensorboard import SummaryWriter

            self.schedule: Any = CosineAnnealingLR(optimizer, work.steps)
            self.writer = SummaryWriter(work.folder)

    def step_end(self, loss: Any) -> None:
        """Move the schedule; log the loss, a tensor or a number, every so many steps."""
        self.step += 1
        if self.work.features:
            self.schedule.step()
        if self.step % self.work.log_every == 0:
            self.losses.append(float(loss))
            if self.work.features:
                self.writer.add_scalar("train/loss", self.losses[-1], self.step)
                self.writer.add_scalar("train/learning_rate", self.schedule.get_last_lr()[0], self.step)
                print(f"\r{self.step}/{self.work.steps} loss {self.losses[-1]:.4f}", end="", flush=True)

    def epoch_end(self, loss: float) -> None:
        """Log and save."""
        if self.work.features:
            self.writer.add_scalar("val/loss", loss, self.step)
            parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
            torch.save({name: part.state_dict() for name, part in parts.items()}, self.work.folder / "last.pt")


def expert(work: Work) -> float:
    """The loop of somebody who profiles: fused Adam, each batch gathered into the same memory, no wait between logs."""
    model = TimedMLP()
    parameters = list(model.parameters())
    optimizer = Adam(parameters, lr=work.rate, fused=True)
    extras = Extras(work, model, optimizer)
    (images, labels), (val_images, val_labels) = work.train_set.tensors, work.val_set.tensors
    x, y = images.new_empty(work.batch_size, 784), labels.new_empty(work.batch_size)
    for indices in torch.randperm(len(images)).split(work.batch_size):
        if len(indices) < len(y):  # the last batch
            x, y = x[: len(indices)], y[: len(indices)]
        torch.index_select(images, 0, indices, out=x)
        torch.index_select(labels, 0, indices, out=y)
        loss = cross_entropy(model(x), y)
        loss.backward()
        if work.features:
            nn.utils.clip_grad_norm_(parameters, work.clip, foreach=True)
        optimizer.step()
        optimizer.zero_grad()
        extras.step_end(loss)
    model.eval()
    total, correct = torch.zeros(()), torch.zeros(())
    with torch.inference_mode():
        for x, y in zip(val_images.split(1000), val_labels.split(1000), strict=True):
            scores = model(x)
            total += cross_entropy(scores, y, reduction="sum")
            correct += (scores.argmax(1) == y).sum()
    extras.epoch_end(total.item() / len(val_labels))
    return correct.item() / len(val_labels)


def tutorial(work: Work, accelerator: Any = None) -> float:
    """The loop of the PyTorch tutorials."""
    train_loader, val_loader = work.loaders()
    model, criterion = TimedMLP(), nn.CrossEntropyLoss()
    optimizer: Any = Adam(model.parameters(), lr=work.rate)
    backward, clip = torch.Tensor.backward, nn.utils.clip_grad_norm_
    if accelerator:
        model, optimizer, train_loader = accelerator.prepare(model, optimizer, train_loader)
        backward, clip = accelerator.backward, accelerator.clip_grad_norm_
    extras = Extras(work, model, optimizer)
    if accelerator and work.features:
        extras.schedule = accelerator.prepare(extras.schedule)
    for x, y in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        backward(loss)
        if work.features:
            clip(model.parameters(), work.clip)
        optimizer.step()
        extras.step_end(loss.item())
    model.eval()
    total, correct = 0.0, 0
    with torch.no_grad():
        for x, y in val_loader:
            scores = model(x)
            total += criterion(scores, y).item() * len(y)
            correct += (scores.argmax(1) == y).sum().item()
    extras.epoch_end(total / len(work.val_set))
    return correct / len(work.val_set)


def accelerate(work: Work) -> float:
    """The tutorials' loop with the lines that Accelerate's guide changes."""
    from accelerate import Accelerator

    return tutorial(work, Accelerator(cpu=True))


def trainkit(work: Work) -> float:
    """trainkit, from plain PyTorch objects."""
    from trainkit import Loader, Trainer, callbacks, loggers, supervised

    model = TimedMLP()
    optimizer = Adam(model.parameters(), lr=work.rate, fused=True)
    options: dict[str, Any] = {"num_sanity_val_steps": 0}
    if work.features:
        options["schedule"] = CosineAnnealingLR(optimizer, work.steps)
        options["callbacks"] = [callbacks.EarlyStopping("val/loss", patience=work.patience), callbacks.Progress()]
        options["loggers"] = [loggers.TensorBoard(work.folder / "tensorboard")]
        options |= {"gradient_clip_val": work.clip, "run_dir": work.folder}
    train_loader, val_loader = Loader(work.train_set, work.batch_size, shuffle=True), Loader(work.val_set, 1000)
    options |= {"max_epochs": 1, "log_every_n_steps": work.log_every}
    trainer = Trainer(model, supervised(nn.CrossEntropyLoss()), optimizer, train_loader, val_loader, **options)
    trainer.fit()
    return trainer.metrics["val/accuracy"]


def lightning(work: Work) -> float:
    """Lightning's Trainer and a LightningModule."""
    from lightning.pytorch import LightningModule, Trainer, callbacks, loggers
    from torchmetrics.classification import MulticlassAccuracy

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.accuracy = TimedMLP(), MulticlassAccuracy(10, average="micro")

        def training_step(self, batch: Any, number: int) -> Any:
            loss = cross_entropy(self.net(batch[0]), batch[1])
            self.log("train/loss", loss)
            return loss

        def validation_step(self, batch: Any, number: int) -> None:
            scores = self.net(batch[0])
            self.accuracy(scores, batch[1])
            self.log_dict({"val/loss": cross_entropy(scores, batch[1]), "val/accuracy": self.accuracy})

        def configure_optimizers(self) -> Any:
            optimizer = Adam(self.parameters(), lr=work.rate)
            schedule = {"scheduler": CosineAnnealingLR(optimizer, work.steps), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule} if work.features else optimizer

    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "log_every_n_steps": work.log_every}
    if work.features:
        stop, rate = callbacks.EarlyStopping("val/loss", patience=work.patience), callbacks.LearningRateMonitor("step")
        options["callbacks"] = [callbacks.ModelCheckpoint(work.folder, monitor="val/loss"), stop, rate]
        options |= {"gradient_clip_val": work.clip, "logger": loggers.TensorBoardLogger(work.folder)}
    else:
        options |= dict.fromkeys(("enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
        options["logger"] = loggers.CSVLogger(work.folder)
    trainer = Trainer(max_epochs=1, **options)
    trainer.fit(Module(), *work.loaders())
    return float(trainer.callback_metrics["val/accuracy"])


def ignite(work: Work) -> float:
    """Ignite's engines with its own handlers."""
    from ignite import handlers
    from ignite.engine import Engine, Events, create_supervised_evaluator
    from ignite.metrics import Accuracy, Loss

    train_loader, val_loader = work.loaders()
    model, criterion = TimedMLP(), nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=work.rate)

    def update(engine: Engine, batch: Any) -> float:
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(batch[0]), batch[1])
        loss.backward()
        if work.features:
            nn.utils.clip_grad_norm_(model.parameters(), work.clip)
        optimizer.step()
        return loss.item()

    trainer, logged = Engine(update), []
    evaluator = create_supervised_evaluator(model, {"accuracy": Accuracy(), "loss": Loss(criterion)})
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(val_loader))
    every = Events.ITERATION_COMPLETED(every=work.log_every)
    trainer.add_event_handler(every, lambda: logged.append(trainer.state.output))
    if work.features:
        schedule = handlers.LRScheduler(CosineAnnealingLR(optimizer, work.steps))
        trainer.add_event_handler(Events.ITERATION_COMPLETED, schedule)
        handlers.ProgressBar().attach(trainer, output_transform=lambda loss: {"loss": loss})
        board = handlers.TensorboardLogger(log_dir=work.folder)
        board.attach_output_handler(trainer, every, "train", output_transform=lambda loss: {"loss": loss})
        board.attach_opt_params_handler(trainer, every, optimizer)
        stop = handlers.EarlyStopping(work.patience, lambda engine: -engine.state.metrics["loss"], trainer)
        evaluator.add_event_handler(Events.COMPLETED, stop)
        saver = handlers.ModelCheckpoint(work.folder / "checkpoints", "last", n_saved=1)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, saver, {"model": model, "optimizer": optimizer})
    trainer.run(train_loader, max_epochs=1)
    return evaluator.state.metrics["accuracy"]
