"""The schema of those classes of torch that trainkit's own configs build. Their signatures stay torch's own."""

from __future__ import annotations

from typing import Any

from trainkit.values import REQUIRED, key, part

DECAY = "L2 penalty, added to the gradient."
REDUCTIONS = ("mean", "sum", "none")


@part
class Adam:
    """Adam (Kingma and Ba 2015)."""

    _target_: str = "torch.optim.Adam"
    lr: float = key(1e-3, "Learning rate.", least=0)
    betas: list[float] = key(
        [0.9, 0.999], "Decay of the two running means.", least=0, less_than=1, length=2, point=True
    )
    eps: float = key(1e-8, "Added to the denominator.", least=0)
    weight_decay: float = key(0.0, DECAY, least=0)
    amsgrad: bool = key(False, "Keep the largest second moment (Reddi et al. 2018).")
    foreach: bool | None = key(None, "Many tensors in one kernel; null: torch decides.")
    maximize: bool = key(False, "Climb instead of descend.")
    capturable: bool = key(False, "Allow capture in a CUDA graph.")
    differentiable: bool = key(False, "Let autograd go through the step.")
    fused: bool | None = key(None, "One kernel for the step; null: where the device has it.")
    decoupled_weight_decay: bool = key(False, "Decay as AdamW does.", since="2.7")


@part
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    _target_: str = "torch.optim.AdamW"
    lr: float = key(1e-3, "Learning rate.", least=0)
    betas: list[float] = key(
        [0.9, 0.999], "Decay of the two running means.", least=0, less_than=1, length=2, point=True
    )
    eps: float = key(1e-8, "Added to the denominator.", least=0)
    weight_decay: float = key(0.01, "Share of lr by which weights shrink each step.", least=0)
    amsgrad: bool = key(False, "Keep the largest second moment (Reddi et al. 2018).")
    foreach: bool | None = key(None, "Many tensors in one kernel; null: torch decides.")
    maximize: bool = key(False, "Climb instead of descend.")
    capturable: bool = key(False, "Allow capture in a CUDA graph.")
    differentiable: bool = key(False, "Let autograd go through the step.")
    fused: bool | None = key(None, "One kernel for the step; null: where the device has it.")


@part
class RMSprop:
    """RMSprop (Hinton, unpublished lecture)."""

    _target_: str = "torch.optim.RMSprop"
    lr: float = key(1e-2, "Learning rate.", least=0)
    alpha: float = key(0.99, "Decay of the running mean of squares.", least=0)
    eps: float = key(1e-8, "Added to the denominator.", least=0)
    weight_decay: float = key(0.0, DECAY, least=0)
    momentum: float = key(0.0, "Share of the last update that is kept.", least=0)
    centered: bool = key(False, "Divide by the deviation instead.")
    capturable: bool = key(False, "Allow capture in a CUDA graph.")
    foreach: bool | None = key(None, "Many tensors in one kernel; null: torch decides.")
    maximize: bool = key(False, "Climb instead of descend.")
    differentiable: bool = key(False, "Let autograd go through the step.")


@part
class SGD:
    """Stochastic gradient descent."""

    _target_: str = "torch.optim.SGD"
    lr: float = key(1e-3, "Learning rate.", least=0)
    momentum: float = key(0.0, "Share of the last update that is kept.", least=0)
    dampening: float = key(0.0, "Share of the gradient that momentum leaves out.")
    weight_decay: float = key(0.0, DECAY, least=0)
    nesterov: bool = key(False, "Nesterov's momentum.")
    maximize: bool = key(False, "Climb instead of descend.")
    foreach: bool | None = key(None, "Many tensors in one kernel; null: torch decides.")
    differentiable: bool = key(False, "Let autograd go through the step.")
    fused: bool | None = key(None, "One kernel for the step; null: where the device has it.")


@part
class ConstantLR:
    """A constant rate, times factor for the first total_iters."""

    _target_: str = "torch.optim.lr_scheduler.ConstantLR"
    factor: float = key(1 / 3, "Of the rate, until total_iters.", least=0, most=1)
    total_iters: int | None = key(5, "Advances until the full rate; null: the whole run.", least=0)
    last_epoch: int = key(-1, "Where to begin; -1: at the start.", least=-1)


@part
class CosineAnnealingLR:
    """Half a cosine from the optimizer's rate to eta_min (Loshchilov and Hutter 2017)."""

    _target_: str = "torch.optim.lr_scheduler.CosineAnnealingLR"
    T_max: int | None = key(REQUIRED, "Advances to the end; null: the whole run.", least=1)
    eta_min: float = key(0.0, "The rate at the end.", least=0)
    last_epoch: int = key(-1, "Where to begin; -1: at the start.", least=-1)


@part
class LinearLR:
    """A straight line from start_factor of the optimizer's rate to end_factor of it."""

    _target_: str = "torch.optim.lr_scheduler.LinearLR"
    start_factor: float = key(1 / 3, "Of the rate, at the start.", more_than=0, most=1)
    end_factor: float = key(1.0, "Of the rate, at the end.", least=0, most=1)
    total_iters: int | None = key(5, "Advances to the end; null: the whole run.", least=1)
    last_epoch: int = key(-1, "Where to begin; -1: at the start.", least=-1)


@part
class OneCycleLR:
    """Up to max_lr and down again (Smith and Topin 2018)."""

    _target_: str = "torch.optim.lr_scheduler.OneCycleLR"
    max_lr: Any = key(
        REQUIRED, "The largest rate, or a list of one for each parameter group.", kind=float | list[float], least=0
    )
    total_steps: int | None = key(None, "Advances to the end; null: the whole run.", least=1)
    epochs: int | None = key(None, "With steps_per_epoch, in place of total_steps.", least=1)
    steps_per_epoch: int | None = key(None, "With epochs, in place of total_steps.", least=1)
    pct_start: float = key(0.3, "Share of the run until max_lr.", least=0, most=1)
    anneal_strategy: str = key("cos", "Along a cosine or a line.", choices=("cos", "linear"))
    cycle_momentum: bool = key(True, "Move momentum the other way.")
    base_momentum: Any = key(0.85, "Least momentum.", kind=float | list[float], least=0)
    max_momentum: Any = key(0.95, "Largest momentum.", kind=float | list[float], least=0)
    div_factor: float = key(25.0, "The first rate is max_lr over this.", more_than=0)
    final_div_factor: float = key(1e4, "The last rate is the first over this.", more_than=0)
    three_phase: bool = key(False, "Back to the first rate, then further down.")
    last_epoch: int = key(-1, "Where to begin; -1: at the start.", least=-1)


@part
class ReduceLROnPlateau:
    """The rate times factor when monitor.metric has not improved for more than patience validations."""

    _target_: str = "torch.optim.lr_scheduler.ReduceLROnPlateau"
    mode: str = key("min", "Whether the least or the largest value is best.", choices=("min", "max"))
    factor: float = key(0.1, "Times the rate.", least=0, less_than=1)
    patience: int = key(10, "Validations without an improvement that are borne.", least=0)
    threshold: float = key(1e-4, "Least change that counts.")
    threshold_mode: str = key("rel", "Whether the threshold is relative.", choices=("rel", "abs"))
    cooldown: int = key(0, "Validations to wait after a reduction.", least=0)
    min_lr: Any = key(0.0, "Least rate, or a list of one for each parameter group.", kind=float | list[float], least=0)
    eps: float = key(1e-8, "Smaller changes of the rate are left out.", least=0)


@part
class StepLR:
    """The rate times gamma after every step_size."""

    _target_: str = "torch.optim.lr_scheduler.StepLR"
    step_size: int = key(REQUIRED, "Advances between two changes.", least=1)
    gamma: float = key(0.1, "Times the rate.", least=0)
    last_epoch: int = key(-1, "Where to begin; -1: at the start.", least=-1)


@part
class CrossEntropyLoss:
    """Cross-entropy of class scores (batch, classes) against class indices (batch)."""

    _target_: str = "torch.nn.CrossEntropyLoss"
    weight: Any = key(None, "Weight of each class, a tensor.", node=True)
    size_average: bool | None = key(None, "Old spelling of reduction.")
    ignore_index: int = key(-100, "Targets of this value do not count.")
    reduce: bool | None = key(None, "Old spelling of reduction.")
    reduction: str = key("mean", "Over the targets; supervised needs the mean.", choices=REDUCTIONS)
    label_smoothing: float = key(
        0.0, "Share of the target spread over all classes (Szegedy et al. 2016).", least=0, most=1
    )


@part
class MSELoss:
    """Mean squared error of predictions against targets of the same shape."""

    _target_: str = "torch.nn.MSELoss"
    size_average: bool | None = key(None, "Old spelling of reduction.")
    reduce: bool | None = key(None, "Old spelling of reduction.")
    reduction: str = key("mean", "Over all elements; supervised needs the mean.", choices=REDUCTIONS)


@part
class Linear:
    """One linear layer."""

    _target_: str = "torch.nn.Linear"
    in_features: int = key(REQUIRED, "Numbers in one input.", least=0)
    out_features: int = key(REQUIRED, "Numbers in one output.", least=0)
    bias: bool = key(True, "Add a learned offset.")
    device: Any = key(None, "Where the weights are made.")
    dtype: Any = key(None, "Their number format.")


@part
class Flatten:
    """(batch, channels, height, width) to (batch, features)."""

    _target_: str = "torch.nn.Flatten"
    start_dim: int = key(1, "First dimension to flatten.")
    end_dim: int = key(-1, "Last dimension to flatten.")


@part
class ReLU:
    """max(0, x)."""

    _target_: str = "torch.nn.ReLU"
    inplace: bool = key(False, "Write over the input.")


@part
class Sequential:
    """Modules in a row; they stand in _args_."""

    _target_: str = "torch.nn.Sequential"


TORCH: tuple[type, ...] = (
    *(Adam, AdamW, RMSprop, SGD),
    *(ConstantLR, CosineAnnealingLR, LinearLR, OneCycleLR, ReduceLROnPlateau, StepLR),
    *(CrossEntropyLoss, MSELoss, Linear, Flatten, ReLU, Sequential),
)
