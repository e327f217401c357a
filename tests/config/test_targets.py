"""Each target of a config held against what it names, before anything is built."""

from __future__ import annotations

import functools
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import Dataset

import trainkit
from trainkit.config.composing.compose import compose, composed, plain
from trainkit.config.composing.recipes import options
from trainkit.config.targets.arguments import value_problem
from trainkit.config.targets.lookup import TargetError, _near, resolve
from trainkit.config.targets.nodes import target_findings
from trainkit.config.targets.signatures import signature_of
from trainkit.config.targets.trusted import Trusted
from trainkit.data import Splits
from trainkit.findings import Finding
from trainkit.objectives import Output

GROUPS = ("model", "objective", "optimizer", "schedule", "averaging", "metrics", "callbacks", "loggers", "checkpoint")
OPTIM, SCHEDULE = "torch.optim", "torch.optim.lr_scheduler"


class Colour(Enum):
    RED = "crimson"


class Wide(nn.Module):
    def __init__(
        self,
        width: int,
        sizes: Sequence[int] = (1,),
        kind: Literal["a", "b"] = "a",
        colour: Colour = Colour.RED,
        rate: float = None,  # type: ignore[assignment] # noqa: RUF013 - as many write it
        inner: nn.Module | None = None,
        inners: list[nn.Module] | None = None,
        make: Callable[[int], nn.Module] | None = None,
        dtype: torch.dtype = torch.float32,
        extra: Any = None,
        either: int | str = 1,
    ) -> None:
        super().__init__()

    def forward(self, batch: Tensor) -> Tensor:
        return batch


class Passing(Wide):
    def __init__(self, depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Open(Wide):
    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(width)
        self.options = options


class Abstract(nn.Module):
    @abstractmethod
    def forward(self, batch: Tensor) -> Tensor: ...


class AbstractCallback(trainkit.Callback, metaclass=__import__("abc").ABCMeta):
    @abstractmethod
    def watch(self) -> None: ...


class OwnCallback(trainkit.Callback):
    def __init__(self, extra: Any = None) -> None: ...


class OwnLoss(nn.Module):
    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return predictions - targets


class OwnObjective(nn.Module):
    def forward(self, model: nn.Module, batch: Any) -> Output: ...


class Duck:
    def log(self) -> None: ...

    image = hyperparameters = rewind = close = log


class Counting:
    def update(self, predictions: Any, targets: Any) -> None: ...

    def compute(self) -> float: ...

    def reset(self) -> None: ...


def objective(model: nn.Module, batch: Any, weight: float = 1.0) -> Output: ...


def unmarked(model, batch): ...


def demanding(model: nn.Module, batch: Any, weight: float) -> Output: ...


def made_objective(weight: float) -> Callable[[nn.Module, Any], Output]: ...


def loss(predictions: Tensor, targets: Tensor) -> Tensor: ...


def sets(size: int, shift: float = 0.0) -> Splits: ...


def unannotated(size=3): ...


def one_set() -> Dataset: ...


def pair() -> tuple[Dataset, Dataset]: ...


class Trio:
    train: Dataset
    val: Dataset
    test: Dataset


def built(width: int) -> Wide: ...


def module(width: int) -> nn.Module: ...


def perhaps(width: int) -> nn.Module | None: ...


class Called(nn.Module):
    """Overrides what forward is called by."""

    def __call__(self, batch: Tensor) -> Tensor:
        return batch


@dataclass
class Options:
    depth: int = 1


def decay(epoch: int) -> float: ...


class Configured(Wide):
    def __init__(
        self,
        options: Options | None = None,
        norm: type[nn.Module] = nn.BatchNorm1d,
        act=nn.ReLU,
        scale=decay,
        named: str | Callable[[int], int] = "relu",
        more: list[Callable[[int], int]] | Callable[[int], int] | None = None,
        anything: Any = None,
        kind: Any = "a",
    ) -> None:
        super().__init__(1)


class Writing(Duck):
    def __init__(self, writer: Any) -> None: ...


def wrong_builder() -> torch.optim.Optimizer: ...


answer = 42
instance = nn.Identity()
listed = functools.partial(nn.ModuleList)


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own", sys.modules[__name__])


BASE: dict[str, Any] = {
    "model": {"_target_": "own.Wide", "width": 3},
    "data": {"datasets": {"_target_": "own.sets", "size": 3}},
    "objective": {"_target_": "trainkit.objectives.supervised", "loss": {"_target_": "torch.nn.MSELoss"}},
    "optimizer": {"_target_": f"{OPTIM}.AdamW", "lr": 0.1, "fused": None},
}


def found(**changes: Any) -> list[Finding]:
    return target_findings({**BASE, **changes})


def told(**changes: Any) -> list[str]:
    return [f"{finding.rule} | {finding}" for finding in found(**changes)]


def node(target: str, **values: Any) -> dict[str, Any]:
    return {"_target_": target, **values}


def wide(**values: Any) -> dict[str, Any]:
    return {"_target_": "own.Wide", "width": 3, **values}


# ---------------------------------------------------------------------- no false alarm


@pytest.mark.parametrize("recipe", options("recipe"))
def test_shipped_recipes_are_sound(recipe: str) -> None:
    config = plain(composed([f"recipe={recipe}"]).config)  # its weights need not be there
    assert target_findings(config, None, Trusted.of(config)) == []


@pytest.mark.parametrize("choice", [f"{group}={option}" for group in GROUPS for option in options(group)])
def test_shipped_options_are_sound(choice: str) -> None:
    recipe = "linear" if choice in ("model=linear", "objective=regression") else "cnn"
    config = plain(composed([f"recipe={recipe}", choice]).config)
    assert target_findings(config, None, Trusted.of(config)) == []


RIGHT: list[dict[str, Any]] = [
    {},
    {"model": node("own.built", width=3)},
    {"model": node("own.Passing", width=3, depth=2, kind="b")},
    {"model": node("own.Open", width=3, whatever=1)},
    {"model": wide(sizes=[1, 2], colour="RED", rate=None, either="x", dtype="bfloat16")},
    {"model": wide(colour="crimson", inner=node("torch.nn.Linear", in_features=1, out_features=2))},
    {"model": wide(inners=[node("torch.nn.ReLU"), node("own.built", width=2)])},
    {"model": wide(make=node("torch.nn.BatchNorm1d", _partial_=True))},
    {"model": wide(make=node("hydra.utils.get_class", path="torch.nn.ReLU"))},
    {"model": wide(dtype=node("hydra.utils.get_object", path="torch.float32"))},
    {"model": wide(extra={"deep": [node("torch.nn.ReLU")]}, width="???")},
    {"model": wide(colour=node("own.Colour", value="crimson"))},
    {"model": node("own.Wide", _args_=[3, [1]], kind="b")},
    {"model": node("torch.nn.Sequential", _args_=[node("torch.nn.ReLU"), node("torch.nn.Linear", _args_=[1, 2])])},
    {"model": node("torchvision.models.resnet18", num_classes=3, weights="DEFAULT")},
    {"model": node("torchvision.models.resnet18", weights="ResNet18_Weights.IMAGENET1K_V1")},
    {"model": node("torchvision.models.vit_b_16", image_size=32, num_classes=3)},
    {"model": node("torch.nn.LSTM", input_size=3, hidden_size=4, num_layers=2, batch_first=True)},
    {"model": node("torch.nn.TransformerEncoderLayer", d_model=8, nhead=2, activation="gelu", norm_first=True)},
    {"model": node("torch.nn.Conv2d", in_channels=1, out_channels=2, kernel_size=[3, 3], padding="same")},
    {"model": node("hydra.utils.get_object", path="own.instance")},
    {"model": "???"},
    {"model": node("own.module", width=1)},
    {"model": node("own.perhaps", width=1)},
    {"model": node("own.Called")},
    {"model": node("torchvision.models.get_model", name="resnet18")},
    {"model": wide(extra=node("torch.Tensor.relu", _partial_=True))},
    {"model": wide(extra=[node("torch.Tensor.float", _partial_=True), node("math.cos", _partial_=True)])},
    {"model": node("own.Configured", options=node("own.Options", depth=3), anything={"depth": 3}, kind="b")},
    {"model": node("own.Configured", options=None, named="gelu", anything="own.decay", more=None)},
    {"model": node("own.Configured", norm=node("hydra.utils.get_class", path="torch.nn.BatchNorm2d"))},
    {"model": node("own.Configured", norm=node("torch.nn.BatchNorm2d", _partial_=True), act="???", scale="${x}")},
    {"optimizer": node(f"{OPTIM}.AdamW", lr=0.1, fused=True, foreach=False)},
    {"optimizer": node(f"{OPTIM}.AdamW", lr=0.1, fused=None, foreach=True, amsgrad=True)},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.LambdaLR", lr_lambda=node("own.decay", _partial_=True))}},
    {"loggers": {"a": node("own.Writing", writer=node("torch.utils.tensorboard.SummaryWriter", log_dir="x"))}},
    {"data": {"datasets": node("own.unannotated", size=2)}},
    {"data": {"datasets": node("own.Trio")}},
    {"data": {"datasets": node("trainkit.data.Splits", train=node("torchvision.datasets.FakeData", size=3))}},
    {"data": "???"},
    {"data": {"datasets": "???"}},
    {"objective": node("own.objective", _partial_=True, weight=2)},
    {"objective": node("own.made_objective", weight=2)},
    {"objective": node("own.demanding", _partial_=True, weight=2)},
    {"objective": node("own.OwnObjective")},
    {"objective": node("trainkit.supervised", loss=node("own.OwnLoss"))},
    {"objective": node("trainkit.supervised", loss=node("own.loss", _partial_=True))},
    {"objective": node("trainkit.supervised", loss=node("hydra.utils.get_method", path="torch.nn.functional.l1_loss"))},
    {"optimizer": node(f"{OPTIM}.SGD", lr=1, fused=None, momentum=0.9, nesterov=True)},
    {"optimizer": node(f"{OPTIM}.RMSprop", fused=None)},
    {"optimizer": node(f"{OPTIM}.Adam", betas=[0.9, 0.99], lr=1e-3, foreach=None, amsgrad=True)},
    {"optimizer": node(f"{OPTIM}.LBFGS", line_search_fn="strong_wolfe")},
    {"schedule": None},
    {"schedule": {"scheduler": None}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.CosineAnnealingLR")}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.CosineAnnealingLR", T_max=None, eta_min=0)}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.LinearLR", total_iters=None)}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.OneCycleLR", max_lr=1, total_steps=None, anneal_strategy="linear")}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.MultiStepLR", milestones=[3, 4])}},
    {"schedule": {"scheduler": node(f"{SCHEDULE}.ReduceLROnPlateau", patience=3, min_lr=[0.1])}},
    {
        "schedule": {
            "scheduler": node(
                f"{SCHEDULE}.SequentialLR",
                schedulers=[node(f"{SCHEDULE}.LinearLR"), node(f"{SCHEDULE}.StepLR", step_size=3)],
                milestones=[4],
            )
        }
    },
    {"callbacks": {"a": None, "b": {}, "c": node("trainkit.callbacks.EarlyStopping", monitor="val/loss")}},
    {"loggers": {"a": node("own.Duck"), "b": node("trainkit.loggers.TensorBoard")}, "callbacks": None},
    {"metrics": {"a": node("own.Counting"), "b": node("trainkit.metrics.Classification", names=["f1"])}},
    {"averaging": node("trainkit.optim.WeightAverage", decay=0.9, start="2ep"), "checkpoint": None},
    {"checkpoint": node("trainkit.checkpoint.Store", every="1ep", keep_every=None)},
    {"trusted_packages": ["timm", "my_package.models"]},
    {"mine": node("os.system")},
]


@pytest.mark.parametrize("changes", RIGHT, ids=str)
def test_what_is_right_gives_no_alarm(changes: dict[str, Any]) -> None:
    assert told(**changes) == []


TRANSFORMS = [
    {"_target_": "RandomAffine", "degrees": 10, "translate": [0.1, 0.1], "scale": [0.9, 1.1], "shear": [1, 2]},
    {"_target_": "RandomAffine", "degrees": [-5, 5], "interpolation": "bilinear", "fill": 0, "center": None},
    {"_target_": "RandomCrop", "size": 8, "padding": 1},
    {"_target_": "RandomCrop", "size": [8, 8], "padding": [1, 2], "pad_if_needed": True, "padding_mode": "reflect"},
    {"_target_": "RandomResizedCrop", "size": 8, "scale": [0.5, 1.0], "ratio": [0.9, 1.1], "antialias": True},
    {"_target_": "Resize", "size": None, "max_size": 10},
    {"_target_": "Normalize", "mean": [0.5], "std": [0.5]},
    {"_target_": "ToDtype", "dtype": "float32", "scale": True},
    {"_target_": "ColorJitter", "brightness": 0.2, "contrast": [0.8, 1.2], "hue": None},
    {"_target_": "GaussianBlur", "kernel_size": 3, "sigma": [0.1, 2.0]},
    {"_target_": "RandomErasing", "p": 0.5, "value": "random"},
    {"_target_": "RandomHorizontalFlip"},
    {"_target_": "RandAugment", "num_ops": 2, "magnitude": 9},
    {"_target_": "AutoAugment", "policy": "cifar10"},
    {"_target_": "TrivialAugmentWide"},
    {"_target_": "ElasticTransform", "alpha": 50.0},
    {"_target_": "RandomApply", "transforms": [{"_target_": "torchvision.transforms.v2.Grayscale"}], "p": 0.3},
    {"_target_": "Compose", "transforms": [{"_target_": "torchvision.transforms.v2.ToImage"}]},
    {"_target_": "CutMix", "num_classes": 10, "alpha": 0.5},
    {"_target_": "Pad", "padding": 3, "fill": [1, 2, 3]},
    {"_target_": "RandomRotation", "degrees": 30, "expand": True},
    {"_target_": "RandomPerspective", "distortion_scale": 0.3},
    {"_target_": "FiveCrop", "size": [4, 4]},
    {"_target_": "Lambda", "lambd": {"_target_": "torch.nn.ReLU"}},
]


@pytest.mark.parametrize("values", TRANSFORMS, ids=lambda values: values["_target_"])
def test_transforms_of_torchvision_give_no_alarm(values: dict[str, Any]) -> None:
    transform = {**values, "_target_": f"torchvision.transforms.v2.{values['_target_']}"}
    assert told(data={"augment": [transform], "datasets": node("own.unannotated", size=transform)}) == []


LOSSES = {
    "CrossEntropyLoss": {"label_smoothing": 0.1, "ignore_index": -1, "reduction": "mean", "weight": None},
    "NLLLoss": {},
    "BCEWithLogitsLoss": {"pos_weight": node("torch.tensor", data=[1.0])},
    "SmoothL1Loss": {"beta": 1},
    "HuberLoss": {"delta": 2},
    "KLDivLoss": {"log_target": True, "reduction": "batchmean"},
    "GaussianNLLLoss": {"full": True, "eps": 1e-6},
    "TripletMarginLoss": {"margin": 1, "p": 2, "swap": True},
    "TripletMarginWithDistanceLoss": {"distance_function": node("torch.nn.PairwiseDistance")},
    "MultiMarginLoss": {"p": 1, "weight": node("torch.ones", _args_=[3])},
    "CTCLoss": {"blank": 1, "zero_infinity": True},
    "CosineEmbeddingLoss": {"margin": 0},
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_torch_give_no_alarm(name: str) -> None:
    assert told(objective=node("trainkit.supervised", loss=node(f"torch.nn.{name}", **LOSSES[name]))) == []


OPTIMIZERS = [
    name
    for name in dir(torch.optim)
    if isinstance(getattr(torch.optim, name), type) and name not in ("Optimizer", "Muon", "SparseAdam")
]
OF_ALL = {"lr": 1, "weight_decay": 0, "foreach": None, "maximize": False, "eps": 1e-8, "betas": [0.8, 0.9], "rho": 1}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_of_torch_give_no_alarm(name: str) -> None:
    takes = torch.optim.__dict__[name].__init__.__code__.co_varnames
    values = {key: value for key, value in OF_ALL.items() if key in takes and (key, name) != ("betas", "Adafactor")}
    values["eps"] = [None, 1e-3] if name == "Adafactor" else 1e-8
    values = {key: value for key, value in values.items() if key in takes}
    assert told(optimizer=node(f"{OPTIM}.{name}", **values)) == []
    assert [f.place for f in found(optimizer=node(f"{OPTIM}.{name}", wrong=1))] == ["optimizer.wrong"]


SCHEDULERS = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [1, 2]},
    "ConstantLR": {"factor": 0.5, "total_iters": 3},
    "LinearLR": {"start_factor": 1, "end_factor": 0},
    "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {"total_iters": None, "power": 2},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.1, "max_lr": [0.2], "mode": "triangular2", "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.1, "epochs": 3, "steps_per_epoch": 4},
    "ReduceLROnPlateau": {"mode": "max", "threshold_mode": "abs", "min_lr": 0},
    "LambdaLR": {"lr_lambda": {"_target_": "own.loss", "_partial_": True}},
    "MultiplicativeLR": {"lr_lambda": [{"_target_": "own.loss", "_partial_": True}]},
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_of_torch_give_no_alarm(name: str) -> None:
    scheduler = node(f"{SCHEDULE}.{name}", **SCHEDULERS[name])
    assert told(schedule={"scheduler": scheduler}) == []
    wrong = {**scheduler, "wrong": 1}
    assert [f.place for f in found(schedule={"scheduler": wrong})] == ["schedule.scheduler.wrong"]


def test_models_of_torchvision_give_no_alarm() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        values = {"weights": None, "progress": False, "num_classes": 7}
        assert told(model=node(f"torchvision.models.{name}", **values)) == []
        assert told(model=node(f"torchvision.models.{name}", weights="DEFAULT")) == []
        (finding,) = found(model=node(f"torchvision.models.{name}", num_clases=7))
        assert (finding.rule, finding.place) == ("unknown-argument", "model.num_clases")
        assert finding.fix == "Did you mean 'model.num_classes'?"


# ---------------------------------------------------------------------- what is wrong

WRONG: list[tuple[dict[str, Any], str]] = [
    # arguments
    ({"model": wide(widht=3)}, "unknown-argument | model.widht=3: Wide takes no such argument. Did you mean"),
    ({"model": node("own.Wide", widht=3)}, "unknown-argument | model.widht=3: Wide takes no such argument. Did you m"),
    ({"model": wide(knd="a")}, "unknown-argument | model.knd=a: Wide takes no such argument. Did you mean 'model.kind"),
    ({"model": wide(zzz=1)}, "unknown-argument | model.zzz=1: Wide takes no such argument. It takes width, sizes, kin"),
    ({"model": node("own.Passing", width=3, dept=1)}, "unknown-argument | model.dept=1: Passing takes no such argumen"),
    ({"model": node("own.Passing")}, "missing-argument | model.width: must be given: Passing needs it. Give model.wid"),
    ({"model": node("own.Wide")}, "missing-argument | model.width: must be given: Wide needs it. Give model.width=VAL"),
    ({"model": wide(_args_=[3])}, "duplicate-argument | model.width=3: is given twice: by name, and by position as mo"),
    ({"model": node("own.built", _args_=[1, 2])}, "unknown-argument | model._args_=[1, 2]: built takes 1 argument by"),
    ({"optimizer": node(f"{OPTIM}.SGD", _args_=[1])}, "duplicate-argument | optimizer._args_=[1]: trainkit gives the "),
    ({"optimizer": node(f"{OPTIM}.SGD", params=[])}, "duplicate-argument | optimizer.params=[]: trainkit gives this a"),
    ({"optimizer": node(f"{OPTIM}.RMSprop", fused=True)}, "unknown-argument | optimizer.fused=true: RMSprop takes no"),
    ({"schedule": {"scheduler": node(f"{SCHEDULE}.StepLR")}}, "missing-argument | schedule.scheduler.step_size: must"),
    (
        {"schedule": {"scheduler": node(f"{SCHEDULE}.StepLR", step_size=None)}},
        "wrong-type | schedule.scheduler.step_size=null: must be a whole number",
    ),
    ({"data": {"datasets": node("own.sets", size=1, shft=1)}}, "unknown-argument | data.datasets.shft=1: sets takes"),
    ({"data": {"datasets": node("own.sets")}}, "missing-argument | data.datasets.size: must be given: sets needs it"),
    ({"loggers": {"x": node("trainkit.loggers.TensorBoard", foldr=1)}}, "unknown-argument | loggers.x.foldr=1: Tensor"),
    ({"objective": node("own.objective", weight=1)}, "wrong-role | objective._target_=own.objective: gives an Output"),
    (
        {"model": wide(make=node("torch.nn.BatchNorm1d", _partial_=True, momentm=1))},
        "unknown-argument | model.make.momentm=1: BatchNorm1d takes no such argument. Did you mean 'model.make.moment",
    ),
    (
        {"model": wide(inners=[node("torch.nn.ReLU"), node("torch.nn.Linear", in_feature=1, out_features=1)])},
        "unknown-argument | model.inners[1].in_feature=1: Linear takes no such argument. Did you mean 'model.inners[1",
    ),
    (
        {"model": node("torch.nn.Sequential", _args_=[node("torch.nn.ReLU", inplce=True)])},
        "unknown-argument | model._args_[0].inplce=true: ReLU takes no such argument. Did you mean 'model._args_[0].in",
    ),
    ({"model": wide(extra={"a": [node("torch.nn.ReLU", x=1)]})}, "unknown-argument | model.extra.a[0].x=1: ReLU takes"),
    # values
    ({"model": node("own.Wide", width="three")}, "wrong-type | model.width=three: must be a whole number"),
    ({"model": node("own.Wide", width=None)}, "wrong-type | model.width=null: must be a whole number"),
    ({"model": node("own.Wide", _args_=["three"])}, "wrong-type | model._args_[0]=three: must be a whole number"),
    ({"model": wide(kind="c")}, "unknown-choice | model.kind=c: must be a or b. Default: a"),
    ({"model": wide(colour="green")}, "unknown-choice | model.colour=green: must be "),
    ({"model": wide(dtype="float23")}, "unknown-choice | model.dtype=float23: must be a dtype of torch"),
    ({"model": wide(sizes=3)}, "wrong-type | model.sizes=3: must be a list of whole numbers"),
    ({"model": wide(inner=3)}, "wrong-type | model.inner=3: must be a Module"),
    ({"model": wide(colour=node("own.Colour", value="green"))}, "unknown-choice | model.colour.value=green: must be"),
    ({"optimizer": node(f"{OPTIM}.AdamW", betas=[0.9])}, "wrong-type | optimizer.betas=[0.9]: must have 2 items"),
    ({"optimizer": node(f"{OPTIM}.AdamW", lr="1e-3x")}, "wrong-type | optimizer.lr=1e-3x: must be a number"),
    ({"model": node("own.Configured", norm="BatchNorm2d")}, "wrong-type | model.norm=BatchNorm2d: must be a class or "),
    (
        {"model": node("own.Configured", act="torch.nn.GELU")},
        "wrong-type | model.act=torch.nn.GELU: must be a class or",
    ),
    (
        {"model": node("own.Configured", scale="own.decay")},
        "wrong-type | model.scale=own.decay: must be a class or fun",
    ),
    (
        {"model": node("own.Configured", more="own.decay")},
        "wrong-type | model.more=own.decay: must be a class or funct",
    ),
    ({"model": wide(make="Linear")}, "wrong-type | model.make=Linear: must be a class or function, and text is none"),
    (
        {"schedule": {"scheduler": node(f"{SCHEDULE}.LambdaLR", lr_lambda="own.decay")}},
        "wrong-type | schedule.scheduler.lr_lambda=own.decay: must be a class or function, and text is none. Write {_t",
    ),
    (
        {"model": node("own.Configured", options={"depth": 3})},
        "wrong-type | model.options={depth: 3}: must be an Options, and a mapping without _target_ is none. Give model",
    ),
    (
        {"optimizer": node(f"{OPTIM}.AdamW", lr=1, fused=True, foreach=True)},
        "wrong-together | optimizer.fused=true: cannot be true together with foreach. Take out one: ~optimizer.foreach",
    ),
    (
        {"optimizer": node(f"{OPTIM}.SGD", lr=1, fused=True, differentiable=True)},
        "wrong-together | optimizer.fused=true: cannot be true together with differentiable",
    ),
    # directives
    ({"model": wide(_partal_=True)}, "wrong-directive | model._partal_=true: there is no such directive. Did you mean"),
    ({"model": wide(_recursive_="no")}, "wrong-directive | model._recursive_=no: must be true or false"),
    ({"model": wide(_convert_="some")}, "wrong-directive | model._convert_=some: must be one of none, partial, object"),
    ({"model": node("own.Wide", _args_={"a": 1}, width=1)}, "wrong-directive | model._args_={a: 1}: must be a list"),
    # roles
    ({"model": node(f"{OPTIM}.SGD")}, "wrong-role | model._target_=torch.optim.SGD: is an optimizer, which belongs at"),
    ({"model": node("own.wrong_builder")}, "wrong-role | model._target_=own.wrong_builder: gives an optimizer, which"),
    ({"model": node("torch.nn.MSELoss")}, "wrong-role | model._target_=torch.nn.MSELoss: is a loss, which belongs at"),
    ({"model": node("own.Wide", _partial_=True)}, "wrong-role | model._target_=own.Wide: gives a function, but a mod"),
    ({"model": node("torch.nn.Module")}, "wrong-role | model._target_=torch.nn.Module: defines no forward"),
    ({"model": node("own.listed")}, "wrong-role | model._target_=own.listed: defines no forward"),
    ({"model": node("torch.nn.ModuleList")}, "wrong-role | model._target_=torch.nn.ModuleList: defines no forward"),
    ({"model": node("torch.nn")}, "wrong-role | model._target_=torch.nn: is a module, and nothing that can be called"),
    ({"model": node("own.answer")}, "wrong-role | model._target_=own.answer: is the value 42, and nothing that can be"),
    ({"model": node("builtins.dict")}, "wrong-role | model._target_=builtins.dict: is another thing; a model must be "),
    ({"model": node("hydra.utils.get_object", path="own.answer")}, "wrong-role | model.path=own.answer: is an int; a "),
    ({"model": node("hydra.utils.get_class", path="torch.nn.ReLU")}, "wrong-role | model.path=torch.nn.ReLU: is a typ"),
    ({"callbacks": {"x": node("own.AbstractCallback")}}, "wrong-role | callbacks.x._target_=own.AbstractCallback: is"),
    ({"callbacks": {"x": node("torch.nn.ReLU")}}, "wrong-role | callbacks.x._target_=torch.nn.ReLU: is a module, whic"),
    ({"loggers": {"x": node("trainkit.callbacks.Progress")}}, "wrong-role | loggers.x._target_=trainkit.callbacks.Pr"),
    ({"metrics": {"x": node("own.Duck")}}, "wrong-role | metrics.x._target_=own.Duck: is a logger, which belongs at l"),
    ({"callbacks": {"x": node("own.Counting")}}, "wrong-role | callbacks.x._target_=own.Counting: is a metric, which"),
    ({"averaging": node("own.Wide")}, "wrong-role | averaging._target_=own.Wide: is a module, which belongs at model"),
    ({"checkpoint": node("own.Wide")}, "wrong-role | checkpoint._target_=own.Wide: is a module, which belongs at mode"),
    ({"optimizer": node("own.Wide")}, "wrong-role | optimizer._target_=own.Wide: is a module, which belongs at model;"),
    ({"optimizer": node(f"{OPTIM}.AdamW", _partial_=True)}, "wrong-role | optimizer._target_=torch.optim.AdamW: gives"),
    ({"schedule": {"scheduler": node(f"{OPTIM}.SGD")}}, "wrong-role | schedule.scheduler._target_=torch.optim.SGD: is"),
    ({"optimizer": node(f"{SCHEDULE}.StepLR")}, "wrong-role | optimizer._target_=torch.optim.lr_scheduler.StepLR: is "),
    ({"data": {"datasets": node("torchvision.datasets.MNIST")}}, "wrong-role | data.datasets._target_=torchvision.dat"),
    ({"data": {"datasets": node("own.one_set")}}, "wrong-role | data.datasets._target_=own.one_set: gives a data set"),
    ({"data": {"datasets": node("own.pair")}}, "wrong-role | data.datasets._target_=own.pair: gives a tuple; the data"),
    ({"data": {"datasets": node("own.sets", _partial_=True)}}, "wrong-role | data.datasets._target_=own.sets: gives a"),
    ({"objective": node("torch.nn.MSELoss")}, "wrong-role | objective._target_=torch.nn.MSELoss: is a loss of predict"),
    ({"objective": node("own.OwnLoss")}, "wrong-role | objective._target_=own.OwnLoss: is a loss of predictions and t"),
    ({"objective": node("torch.nn.functional.mse_loss")}, "wrong-role | objective._target_=torch.nn.functional.mse_lo"),
    ({"objective": node("own.sets", size=1)}, "wrong-role | objective._target_=own.sets: gives the three data sets, w"),
    ({"objective": node("own.OwnObjective", _partial_=True)}, "wrong-role | objective._target_=own.OwnObjective: give"),
    (
        {"objective": node("own.demanding", _partial_=True)},
        "wrong-role | objective._target_=own.demanding: does not ta",
    ),
    ({"objective": node("own.one_set", _partial_=True)}, "wrong-role | objective._target_=own.one_set: does not take"),
    (
        {"objective": node("trainkit.supervised", loss=node(f"{OPTIM}.SGD"))},
        "wrong-role | objective.loss._target_=torch.optim.SGD: is an optimizer, which belongs at optimizer; a loss mus",
    ),
    (
        {"objective": node("trainkit.supervised", loss=node("trainkit.supervised"))},
        "wrong-role | objective.loss._target_=trainkit.supervised: is an objective; a loss must be a function loss(pre",
    ),
    (
        {"objective": node("trainkit.supervised", loss=node("own.loss"))},
        "wrong-role | objective.loss._target_=own.loss: gives a Tensor",
    ),
    (
        {"model": wide(inner=node("torchvision.datasets.FakeData"))},
        "wrong-role | model.inner._target_=torchvision.datasets.FakeData: gives a data set, which a function at data.d",
    ),
    (
        {"model": wide(inner=node("torch.nn.ReLU", _partial_=True))},
        "wrong-role | model.inner._target_=torch.nn.ReLU: gives a function; inner must be a Module",
    ),
    (
        {"model": wide(inners=[node("own.sets", size=1)])},
        "wrong-role | model.inners[0]._target_=own.sets: gives the three data sets, which belong at data.datasets; inn",
    ),
    # targets
    ({"model": node("torch.nn.Linaer")}, "cannot-import | model._target_=torch.nn.Linaer: torch.nn has no Linaer. Did"),
    ({"model": node("Linear")}, "cannot-import | model._target_=Linear: has no package in front of it. Did you mean '"),
    ({"model": node("os.system")}, "untrusted-target | model._target_=os.system: may not be named by any config"),
    ({"model": wide(extra=[node("os.system")])}, "untrusted-target | model.extra[0]._target_=os.system: may not be na"),
    ({"model": node(3)}, "cannot-import | model._target_=3: is no dotted name"),
    ({"model": node("hydra.utils.get_object", path="os.system")}, "untrusted-target | model.path=os.system: may not b"),
    ({"trusted_packages": ["os"]}, "untrusted-target | trusted_packages=[os]: os may not be trusted"),
    # no target
    ({"model": None}, "missing-target | model: nothing chosen; a recipe or model=OPTION does"),
    ({"data": None}, "missing-target | data: nothing chosen; a recipe or data=OPTION does"),
    ({"model": {"width": 3}}, "missing-target | model={width: 3}: has no _target_, so it is not known what to build"),
    ({"callbacks": {"x": {"patience": 3}}}, "missing-target | callbacks.x={patience: 3}: has no _target_, so it is n"),
    ({"callbacks": {"x": True}}, "missing-target | callbacks.x=true: has no _target_"),
    ({"data": {"datasets": {"size": 3}}}, "missing-target | data.datasets={size: 3}: has no _target_"),
]


@pytest.mark.parametrize(("changes", "expected"), WRONG, ids=str)
def test_what_is_wrong_is_told_once(changes: dict[str, Any], expected: str) -> None:
    (line,) = told(**changes)
    assert line.startswith(expected)
    assert "\n" not in line


def test_how_to_give_a_class_or_function_is_told() -> None:
    (finding,) = found(model=node("own.Configured", norm="BatchNorm2d"))
    assert finding.fix == (
        "Write {_target_: torch.nn.BatchNorm2d, _partial_: true}, "
        "or {_target_: hydra.utils.get_object, path: torch.nn.BatchNorm2d}"
    )
    (finding,) = found(model=node("own.Configured", options={"depth": 3}))
    assert finding.fix == f"Give model.options._target_={__name__}.Options"


HERE = Trusted((), (Path(__file__).parents[2],))


@pytest.mark.parametrize("changes", RIGHT, ids=str)
def test_what_is_right_is_trusted(changes: dict[str, Any]) -> None:
    assert target_findings({**BASE, **changes}, None, HERE) == []


@pytest.mark.parametrize("place", ["model", "data.datasets", "callbacks.a", "loggers.a", "loggers.a.more"])
def test_what_writes_a_log_is_for_loggers_alone(place: str) -> None:
    inner = node("torch.utils.tensorboard.SummaryWriter", log_dir="x")
    given: dict[str, Any] = {"model": {"model": wide(extra=inner)}}
    given["data.datasets"] = {"data": {"datasets": node("own.unannotated", size=inner)}}
    given["callbacks.a"] = {"callbacks": {"a": node("own.OwnCallback", extra=inner)}}
    given["loggers.a"] = {"loggers": {"a": node("own.Writing", writer=inner)}}
    given["loggers.a.more"] = {"loggers": {"a": node("own.Writing", writer=[{"b": inner}])}}
    rules = [finding.rule for finding in target_findings({**BASE, **given[place]}, None, HERE)]
    assert rules == ([] if place.startswith("loggers") else ["untrusted-target"])
    other = node("own.Writing", writer=node("torchvision.io.write_file", filename="x", data=[]))
    (finding,) = target_findings({**BASE, "loggers": {"a": other}}, None, HERE)
    assert (finding.rule, finding.place) == ("untrusted-target", "loggers.a.writer._target_")


def test_what_is_not_trusted_is_not_told_what_the_place_is_for() -> None:
    for target in ("os.system", "math.sqr", "torch.fork"):
        (finding,) = target_findings({**BASE, "model": node(target)}, None, HERE)
        assert finding.rule == "untrusted-target"
        assert "A model must be" not in str(finding)
    (line,) = told(model=node("torch.nn.Zzzzzz"))
    assert line.endswith("A model must be a torch.nn.Module")


def test_all_is_found_at_once() -> None:
    rules = [
        (finding.rule, finding.place)
        for finding in found(
            model=wide(inner=node("torch.nn.Linear", in_features="x", colour=1), kind="c"),
            optimizer=node("torch.optim.Nothing", lr=node("os.system")),
        )
    ]
    assert rules == [
        ("unknown-argument", "model.inner.colour"),
        ("missing-argument", "model.inner.out_features"),
        ("wrong-type", "model.inner.in_features"),
        ("unknown-choice", "model.kind"),
        ("cannot-import", "optimizer._target_"),
        ("untrusted-target", "optimizer.lr._target_"),
    ]


def test_a_misspelt_required_argument_is_one_mistake() -> None:
    assert [f.place for f in found(model=node("own.Wide", widt=3))] == ["model.widt"]
    assert [f.place for f in found(model=node("own.Wide", knd="a"))] == ["model.knd", "model.width"]


def test_what_goes_on_to_who_knows_where_is_warned_of_only_if_it_is_likely_misspelt() -> None:
    assert found(model=node("own.Open", width=1, other=1)) == []
    assert [f.rule for f in found(model=node("own.Open", widthh=1))] == ["unknown-argument", "missing-argument"]
    assert found(model=node("own.Open", widthh=1))[0].severity == "warning"


def test_without_recursion_nothing_within_is_judged() -> None:
    assert told(model=wide(extra=node("os.system"), _recursive_=False)) == []


def test_a_bare_loss_is_told_the_cure() -> None:
    (finding,) = found(objective=node("torch.nn.MSELoss"))
    cure = "objective: {_target_: trainkit.objectives.supervised, loss: {_target_: torch.nn.MSELoss}}"
    assert finding.fix == f"Write {cure}"
    (finding,) = found(data={"datasets": node("torchvision.datasets.MNIST", root="x")})
    assert "returns trainkit.data.Splits(train, val, test)" in finding.fix
    for target in ("own.objective", "own.unmarked"):
        (finding,) = found(objective=node(target))
        assert "objective._partial_=true" in finding.fix


def test_what_is_taken_from_elsewhere_is_told_by_where_it_was_set() -> None:
    transform = node("torchvision.transforms.v2.RandomCrop", size=8, pading=1)
    data = {"augment": [transform], "datasets": node("own.unannotated", size=[transform])}
    assert [f.place for f in found(data=data)] == ["data.datasets.size[0].pading"]
    data = {"size": [transform], "datasets": node("own.unannotated", size=[transform])}
    (finding,) = found(data=data)
    assert (finding.place, finding.fix) == ("data.size[0].pading", "Did you mean 'data.size[0].padding'?")


def test_findings_say_who_set_it() -> None:
    state = composed(["recipe=mlp", "optimizer.lrr=1", "model._target_=torch.nn.Linaer"])
    by_place = {f.place: f for f in target_findings(state.plain, state.origins)}
    assert by_place["model._target_"].evidence == "override model._target_=torch.nn.Linaer"
    state = composed(["recipe=mlp"])
    state.plain["optimizer"]["_target_"] = "torch.optim.SGD"
    (eps,) = [f for f in target_findings(state.plain, state.origins) if f.place == "optimizer.eps"]
    assert str(eps.file).endswith("configs/optimizer/adamw.yaml")
    assert eps.line
    assert "~optimizer.eps leaves it out" in eps.fix


def test_a_shipped_recipe_costs_little_when_all_is_imported() -> None:
    config = plain(compose("cnn"))
    target_findings(config)
    started = time.process_time()
    target_findings(config)
    assert time.process_time() - started < 0.05


# ---------------------------------------------------------------------- names

NAMES = {
    "torch.optim.AdamQ": "torch.optim.AdamW",
    "torch.optim.Adamw": "torch.optim.AdamW",
    "torch.nn.linear": "torch.nn.Linear",
    "torch.nn.AdamW": "torch.optim.AdamW",
    "torch.Linear": "torch.nn.Linear",
    "Linear": "torch.nn.Linear",
    "crossentropyloss": "torch.nn.CrossEntropyLoss",
    "torch.nm.Linear": "torch.nn.Linear",
    "tourch.nn.Linear": "torch.nn.Linear",
    "torchvison.models.resnet18": "torchvision.models.resnet18",
    "torch.nn.CrossEntropy": "torch.nn.CrossEntropyLoss",
    "torchvision.models.resnet81": "torchvision.models.resnet18",
    "trainkit.callbacks.EarlyStoping": "trainkit.callbacks.EarlyStopping",
    "torch.optim.lr_schedulers.StepLR": "torch.optim.lr_scheduler.StepLR",
    "own.Abstrct": "own.Abstract",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_name_gets_the_close_one(name: str) -> None:
    with pytest.raises(TargetError) as error:
        resolve(name)
    assert error.value.cure == f"Did you mean '{NAMES[name]}'?"


def test_nothing_that_may_not_be_named_is_suggested_or_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some modules print when they are imported, as torch's compiler of extensions does."""
    asked: list[str] = []
    monkeypatch.delattr(torch.utils, "cpp_extension", raising=False)
    monkeypatch.setattr(torch.utils, "__getattr__", asked.append, raising=False)
    monkeypatch.setattr(torch.utils, "__dir__", lambda: ["cpp_extension", "lazy_module", "data"], raising=False)
    for target in ("cpp_extensions.load", "hipifyy.x", "dta.X", "cpp_ext", "benchmark_.Timer", "lazy_modul"):
        hint = _near(torch.utils, "torch.utils", f"torch.utils.{target}")
        assert hint == ("Did you mean 'torch.utils.data'?" if target == "dta.X" else "")
    assert asked == []


def test_a_package_that_is_not_there_is_told_how_to_install() -> None:
    with pytest.raises(TargetError) as error:
        resolve("cv2.imread", Trusted())
    assert "pip install opencv-python and trusted_packages=[cv2]" in str(error.value)
    with pytest.raises(TargetError, match="pip install nowhere_at_all;"):
        resolve("nowhere_at_all.Net", Trusted(("nowhere_at_all",)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, that is not on the path."""
    (tmp_path / "broken_one.py").write_text("def fail():\n    1 / 0\n\nfail()\n")
    (tmp_path / "needy_one.py").write_text("import nowhere_at_all\n")
    (tmp_path / "sound_one").mkdir()
    (tmp_path / "sound_one" / "__init__.py").write_text("")
    (tmp_path / "sound_one" / "models.py").write_text("import os\nclass Net: pass\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("broken_one", "needy_one", "sound_one", "sound_one.models"):
        sys.modules.pop(name, None)


def test_modules_of_the_project_are_found_in_its_folders(project: Path) -> None:
    trusted = Trusted((), (project,))
    assert resolve("sound_one.models.Net", trusted).__name__ == "Net"
    with pytest.raises(TargetError, match=r"sound_one\.models has no Ne\. Did you mean 'sound_one\.models\.Net'"):
        resolve("sound_one.models.Ne", trusted)
    with pytest.raises(TargetError, match="leads to os: may not be named"):
        resolve("sound_one.models.os.system", trusted)


def test_an_import_that_raises_is_told_with_the_users_frames(project: Path) -> None:
    with pytest.raises(TargetError) as error:
        resolve("broken_one.Net", Trusted((), (project,)))
    told = str(error.value)
    assert told.startswith("broken_one.Net: importing broken_one fails: ZeroDivisionError: division by zero (")
    assert "broken_one.py:4 in <module>: fail();" in told
    assert told.endswith("broken_one.py:2 in fail: 1 / 0)")
    assert error.value.__cause__ is not None
    with pytest.raises(TargetError, match=r"importing needy_one fails: No module named .*pip install nowhere_at_all"):
        resolve("needy_one.Net", Trusted((), (project,)))


def test_text_for_an_argument_without_an_annotation_is_no_alarm() -> None:
    """Of a required one nothing is known; one whose default is a function wants another one."""
    found = value_problem("canary", "callbacks.hub.token", signature_of(lambda token: token).parameters["token"])
    assert found is None
    told = value_problem("relu", "model.act", signature_of(lambda act=len: act).parameters["act"])
    assert told is not None
    assert "must be a class or function" in told.message
