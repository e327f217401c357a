"""What callables take: of torch and torchvision without a false alarm, of one's own through ``**kwargs``."""

from __future__ import annotations

import collections.abc
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import pytest
import torch
import torchvision
from torch import nn
from torch.optim import lr_scheduler
from torchvision.transforms import v2

from trainkit.config.targets.signatures import REQUIRED, Signature, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nowhere import Absent


def names(function: Any) -> list[str]:
    return signature_of(function).names


def required(function: Any) -> list[str]:
    return [name for name, parameter in signature_of(function).parameters.items() if parameter.required]


def is_closed(signature: Signature) -> bool:
    return not signature.open_names


class Net(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()


class Wider(Net):
    def __init__(self, extra: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Fixed(Net):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(depth=3, **kwargs)


class First(Net):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Explicit(Net):
    def __init__(self, extra: int, **kwargs: Any) -> None:
        Net.__init__(self, 7, **kwargs)


class Through(Wider):
    def __init__(self, own: str = "a", **kwargs: Any) -> None:
        super().__init__(1.0, **kwargs)


class Old(Net):
    def __init__(self, **kwargs: Any) -> None:
        super(Old, self).__init__(**kwargs)  # noqa: UP008 - as it is written in older code


class Swallowing(Net):
    def __init__(self, width: int, **_: Any) -> None:
        super().__init__(width)


class Handing(Net):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(kwargs.pop("width"), depth=kwargs["depth"])
        self.more = "more" in kwargs or kwargs.get("most", 1)


class Reading(Net):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1)
        for name in kwargs:
            setattr(self, name, kwargs[name])


class Stored(Net):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1)
        self.options = kwargs


class Bare(nn.Module):
    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Choosing(Net):
    def __init__(self, kind: str = "a", **kwargs: Any) -> None:
        if kind == "a":
            super().__init__(**kwargs)
        else:
            Explicit.__init__(self, **kwargs)


class Composed(nn.Module):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.inner = Net(4, **kwargs)
        self.method(**kwargs)

    def method(self, depth: int = 1, third: int = 3) -> None: ...

    @classmethod
    def made(cls, scale: int, **kwargs: Any) -> Composed:
        return cls(**kwargs)


class Mixin:
    def __init__(self, mixed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Both(Mixin, Net): ...


def build(kind: str, **kwargs: Any) -> Net:
    return _build(kind, 2, **kwargs)


def _build(kind: str, depth: int, *, seed: int = 0, **kwargs: Any) -> Net:
    return Net(depth=depth, **kwargs)


def chosen(factory: Any, **kwargs: Any) -> Net:
    return factory(**kwargs)


def shadowing(Net: Any, **kwargs: Any) -> Any:
    return Net(**kwargs)


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@decorated
def wrapped(alpha: int, beta: float = 1.0) -> Net:
    return Net(alpha)


def undocumented(function: Any) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Single(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class Alone(metaclass=Single):
    def __init__(self, only: int) -> None: ...


class New:
    def __new__(cls, first: int, second: int = 2) -> New:
        return super().__new__(cls)


@dataclass
class Data:
    here: int
    there: Sequence[int] = ()


class Colour(Enum):
    RED = "red"


class Called:
    def __call__(self, given: int) -> int:
        return given


def scheduled(rate: Callable[[int], float], rates: list[Callable[[int], float]], unknown: Absent) -> None: ...


def annotated(known: Literal["a", "b"], unknown: Absent, text: str = "x", *, bare=None) -> None: ...


def inner_mode(width: int, **kwargs: Any) -> None:
    kwargs.update(depth=2)
    Net(width, **kwargs)


@pytest.mark.parametrize(
    ("function", "takes", "needs"),
    [
        (Net, ["width", "depth"], ["width"]),
        (Wider, ["extra", "width", "depth"], ["extra", "width"]),
        (Fixed, ["width"], ["width"]),
        (First, ["width", "depth"], []),
        (Explicit, ["extra", "depth"], ["extra"]),
        (Through, ["own", "width", "depth"], ["width"]),
        (Old, ["width", "depth"], ["width"]),
        (Handing, ["width", "depth", "more", "most"], []),
        (Bare, ["width"], ["width"]),
        (Choosing, ["kind", "width", "depth", "extra"], []),
        (Composed, ["depth", "third"], []),
        (Composed.made, ["scale", "depth", "third"], ["scale"]),
        (Both, ["mixed", "width", "depth"], ["width"]),
        (build, ["kind", "seed", "width"], ["kind", "width"]),
        (wrapped, ["alpha", "beta"], ["alpha"]),
        (undocumented(wrapped), ["alpha", "beta"], []),
        (Alone, ["only"], ["only"]),
        (New, ["first", "second"], ["first"]),
        (Data, ["here", "there"], ["here"]),
        (Colour, ["value"], ["value"]),
        (Called(), ["given"], ["given"]),
        (functools.partial(Net, 3), ["depth"], []),
        (functools.partial(Net, width=3), ["width", "depth"], []),
        (functools.partial(build, "a"), ["seed", "width"], ["width"]),
        (nn.Sigmoid, [], []),
        (len, [], ["obj"]),
    ],
    ids=lambda value: getattr(value, "__name__", None) or "-",
)
def test_what_is_taken_and_needed(function: Any, takes: list[str], needs: list[str]) -> None:
    assert is_closed(signature_of(function))
    assert sorted(names(function)) == sorted(takes)
    assert sorted(required(function)) == sorted(needs)


@pytest.mark.parametrize(
    "function",
    [Swallowing, Reading, Stored, chosen, shadowing, torch.relu, torch.tensor, dict, inner_mode, nn.Identity],
)
def test_where_it_cannot_be_known_anything_goes(function: Any) -> None:
    assert signature_of(function).open_names


def test_positions_are_known() -> None:
    assert [p.name for p in signature_of(Net).positional] == ["width", "depth"]
    assert [p.name for p in signature_of(Wider).positional] == ["extra"]
    assert [p.name for p in signature_of(First).positional] == ["width", "depth"]
    assert not signature_of(First).open_positions
    assert [p.name for p in signature_of(nn.LSTM).positional][:2] == ["input_size", "hidden_size"]
    assert signature_of(nn.Sequential).open_positions
    assert signature_of(functools.partial(Net, width=3)).positional == []


def test_annotations_that_type_checkers_alone_import_are_understood() -> None:
    parameters = signature_of(scheduled).parameters
    rate = collections.abc.Callable[[int], float]
    assert [one.annotation for one in parameters.values()] == [rate, list[rate], Any]
    lambdas = signature_of(lr_scheduler.LambdaLR).parameters["lr_lambda"].annotation
    assert get_origin(get_args(lambdas)[0]) is collections.abc.Callable


def test_annotations_are_known_where_they_can_be() -> None:
    parameters = signature_of(annotated).parameters
    assert parameters["known"].annotation == Literal["a", "b"]
    assert parameters["unknown"].annotation is Any
    assert parameters["text"].annotation is str
    assert (parameters["bare"].annotation, parameters["bare"].default) == (Any, None)
    assert signature_of(Wider).parameters["width"].annotation is int


def test_weights_of_torchvision_are_annotated() -> None:
    parameters = signature_of(torchvision.models.resnet18).parameters
    assert torchvision.models.ResNet18_Weights in parameters["weights"].annotation.__args__
    assert parameters["num_classes"].annotation is int
    assert "pretrained" in parameters  # which its decorator still takes


# ---------------------------------------------------------------------- torch and torchvision, without a false alarm

OPEN_MODULES = {"Container", "Identity", "Module"}


def public(module: Any, kind: type) -> list[Any]:
    found = [getattr(module, name) for name in dir(module) if not name.startswith("_")]
    return [each for each in found if isinstance(each, type) and issubclass(each, kind)]


EVERY = [
    *public(nn, nn.Module),
    *public(v2, nn.Module),
    *public(torch.optim, torch.optim.Optimizer),
    *public(lr_scheduler, lr_scheduler.LRScheduler),
    *public(torchvision.models, nn.Module),
    *(torchvision.models.get_model_builder(name) for name in torchvision.models.list_models()),
]


def test_there_are_many() -> None:
    assert len(EVERY) > 350


@pytest.mark.parametrize("function", EVERY, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_what_python_itself_sees_is_taken(function: Any) -> None:
    """Each parameter with a name of its own is known, with its default, and nothing more is needed."""
    signature = signature_of(function)
    seen = inspect.signature(function).parameters.values()
    own = {p.name: p for p in seen if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    assert own.keys() <= signature.parameters.keys()
    for name, parameter in own.items():
        assert signature.parameters[name].required is (parameter.default is inspect.Parameter.empty)
    if not any(p.kind == p.VAR_KEYWORD for p in seen):
        assert signature.parameters.keys() - own.keys() <= {"pretrained", "pretrained_backbone"}
        assert is_closed(signature)


def test_modules_and_transforms_are_closed() -> None:
    open_ones = {f.__name__ for f in [*public(nn, nn.Module), *public(v2, nn.Module)] if signature_of(f).open_names}
    assert open_ones <= OPEN_MODULES


CLASSIFIERS = torchvision.models.list_models(module=torchvision.models)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_builders_of_models_take_what_their_models_do(name: str) -> None:
    """``num_classes`` stands in no builder's own signature; where a model refuses a wrong name, so does it."""
    builder = torchvision.models.get_model_builder(name)
    signature = signature_of(builder)
    assert "num_classes" in signature.names
    assert signature.parameters["num_classes"].default is not REQUIRED
    if is_closed(signature):
        device = "cpu" if name.startswith("regnet") else "meta"  # which reads numbers off tensors at once
        with torch.device(device), pytest.raises(TypeError):
            builder(num_clases=3)


def test_most_builders_are_closed() -> None:
    closed = [name for name in CLASSIFIERS if is_closed(signature_of(torchvision.models.get_model_builder(name)))]
    assert len(closed) > 0.7 * len(CLASSIFIERS)
    assert {"resnet18", "vit_b_16", "efficientnet_b0", "densenet121", "swin_t", "vgg11", "regnet_y_400mf"} <= set(
        closed
    )
