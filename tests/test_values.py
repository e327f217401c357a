"""What fits an annotation, in words: no false alarms, no wrong value let through, and the cure for the usual traps."""

import collections
import math
import os
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import pytest
import torch
from torch import nn
from torchvision.transforms import InterpolationMode

from trainkit.annotations import DTYPES, kind, members
from trainkit.forms import DURATION, STEPS, TIME
from trainkit.values import REQUIRED, described, judged, key, misfit, part, shown

Whole = NewType("Whole", int)
Free, Bound, Either = TypeVar("Free"), TypeVar("Bound", bound=int), TypeVar("Either", int, str)


class Colour(Enum):
    RED = "red"
    DEEP_BLUE = "blue"
    THIRD = 3


class Size(NamedTuple):
    height: int
    width: int


class Mine:
    pass


YES_AND_NO = "YAML reads yes, no, on and off as true and false: put the word in quotes."
FITS: list[tuple[Any, Any]] = [
    *[(value, Any) for value in (None, True, 1, 1.5, "a", [], {})],
    *[(value, object) for value in (None, 1, "a")],
    *[(value, Mine) for value in (1, "a", [], None)],  # nobody knows what one's own class makes of a value
    *[(value, "int") for value in (1, "a")],
    *[(value, Free) for value in (1, "a")],
    (None, None),
    (None, type(None)),
    (None, Optional[int]),  # noqa: UP045 - as other people's code has it
    (3, Optional[int]),  # noqa: UP045
    (True, bool),
    (3, int),
    (-3, int),
    (3, float),
    (0.5, float),
    (math.inf, float),
    (math.nan, float),
    (3, complex),
    ("a", str),
    ("", str),
    ("None", str),
    ("None", Any | None),
    ("None", Literal["None"] | str | None),
    ("a", Path),
    (Path("a"), str),
    ("a", os.PathLike),
    ("a", str | Path),
    (3, Whole),
    (3, Bound),
    (3, Either),
    ("a", Either),
    (3, Annotated[int, "in metres"]),
    (3, Annotated[int, []]),
    (3, typing.Final[int]),
    (3, typing.SupportsFloat),
    ([], list),
    ([1, "a"], list),
    ([1, 2], list[int]),
    ((1, 2), list[int]),
    ([1, 2.5], list[float]),
    ([], Sequence[int]),
    ([1], Iterable[int]),
    ([1], set[int]),
    ([1], collections.deque[int]),
    ([0.9, 0.99], tuple[float, float]),
    ([1, 2, 3], tuple[int, ...]),
    ([], tuple[int, ...]),
    ([], tuple[()]),
    ([1, "a"], tuple),
    ([1, "a"], tuple[int, str]),
    ([[1, 2], [3]], list[list[int]]),
    (["a", None], list[str | None]),
    ([8, 8], Size),
    ([8, 8], torch.Size),
    ({}, dict),
    ({"a": 1}, dict[str, int]),
    ({"a": [1]}, Mapping[str, Sequence[int]]),
    ({"a": 1}, collections.OrderedDict[str, int]),
    ("a", Literal["a", "b"]),
    (1, Literal[1, "b"]),
    (None, Literal["a", None]),
    ("RED", Colour),
    ("red", Colour),
    (3, Colour),
    (Colour.RED, Colour),
    ("RED", Literal[Colour.RED]),
    ("bilinear", InterpolationMode),
    ("NEAREST_EXACT", str | InterpolationMode | int),
    ("float32", torch.dtype),
    ("torch.bfloat16", torch.dtype | None),
    ("float8_e4m3fn", torch.dtype),
    (torch.float32, torch.dtype),
    ("cpu", torch.device),
    ("cuda:1", torch.device),
    (0, torch.device),
    (torch.device("cpu"), torch.device),
    (0.5, torch.Tensor),
    ([1.0, 2.0], torch.Tensor),
    (torch.ones(1), float | torch.Tensor),
    (3, Union[int, tuple[int, int]]),  # noqa: UP007
    ([3, 3], int | tuple[int, int]),
    ("same", str | int | tuple[int, int]),
    (nn.ReLU(), nn.Module),
    (len, Callable[[Any], int]),
    (int, type[int]),
    ("builtins.int", type),
    *[
        ({"_target_": "my.Thing"}, annotation)
        for annotation in (int, str, list[int], nn.Module, Callable, Literal["a"])
    ],
    ([{"_target_": "my.Thing"}], list[nn.Module]),
    ({"a": {"_target_": "my.Thing"}}, dict[str, int]),
]


@pytest.mark.parametrize(("value", "annotation"), FITS, ids=repr)
def test_what_fits_is_no_misfit(value, annotation):
    assert misfit(value, annotation) == ""


WRONG: list[tuple[Any, Any, str]] = [
    ("ten", int, "must be a whole number"),
    (1.5, int, "must be a whole number"),
    (True, int, "must be a whole number"),
    (None, int, "must be a whole number"),
    ([1], int, "must be a whole number"),
    ({"a": 1}, int, "must be a whole number"),
    ("a", Whole, "must be a whole number"),
    ("a", Bound, "must be a whole number"),
    (1.5, Either, "must be a whole number or text"),
    ("a", Annotated[int, "in metres"], "must be a whole number"),
    ("1e-3x", float, "must be a number"),
    ("1e-3", float, "must be a number"),
    (True, float, "must be a number"),
    ("a", int | float, "must be a number"),
    ("a", float | torch.Tensor, "must be a number"),
    (1, bool, "must be true or false"),
    ("yes", bool, "must be true or false"),
    (7, bool | None, "must be true, false or null"),
    (1, str, "must be text"),
    (False, str, "must be text"),
    ("None", str | None, "must be text or null"),
    ("None", str | int | None, "must be text, a whole number or null"),
    (1, None, "must be null"),
    (0, Path, "must be text"),
    (128, list[int], "must be a list of whole numbers"),
    ("abc", Sequence[str], "must be a list of texts"),
    ({}, list[int], "must be a list of whole numbers"),
    (1, list, "must be a list of values"),
    (1, tuple[int, str], "must be a list of 2 whole numbers or texts"),
    (1, list[list[int]], "must be a list of lists of whole numbers"),
    (1, list[bool], "must be a list of true or false"),
    ([1, "a"], list[int], "item [1], a, must be a whole number"),
    ([[1], [True]], list[list[int]], "item [1], [true], item [0], true, must be a whole number"),
    ([0.9], tuple[float, float], "must have 2 items, not 1"),
    ([1], tuple[()], "must have 0 items, not 1"),
    ([1, 2, 3], Size, "must have 2 items, not 3"),
    (["a", 1], tuple[str, str], "item [1], 1, must be text"),
    ([1.5], torch.Size, "item [0], 1.5, must be a whole number"),
    ([1], dict, "must be a mapping"),
    ({"a": "b"}, dict[str, int], "its a, b, must be a whole number"),
    ("c", Literal["a", "b"], "must be a or b"),
    (True, Literal[1, 2], "must be 1 or 2"),
    ("c", Literal["a"] | None, "must be a or null"),
    ("green", Colour, "must be RED, red, DEEP_BLUE, blue, THIRD or 3"),
    ("float23", torch.dtype, "must be a dtype of torch, such as float32"),
    (32, torch.dtype, "must be a dtype of torch, such as float32"),
    ("the gpu", torch.device, "must be a device, such as cpu or cuda:0"),
    (0.5, torch.device, "must be a device, such as cpu or cuda:0"),
    ("much", torch.Tensor, "must be a tensor"),
    ("cross_entropy", nn.Module, "must be a Module (a node with a _target_)"),
    (3, nn.Linear | None, "must be a Linear (a node with a _target_) or null"),
    ({"lr": 1}, torch.optim.Optimizer, "must be a Optimizer (a node with a _target_)"),
    ("relu", Callable[[Any], Any], "must be something to call (a node with a _target_)"),
    (3, type[int], "must be a class"),
    ("a", int | tuple[int, int], "must be a whole number or a list of 2 whole numbers"),
    ([1, 2, 3], int | tuple[int, int], "must have 2 items, not 3"),
]


@pytest.mark.parametrize(("value", "annotation", "told"), WRONG, ids=repr)
def test_what_does_not_fit_is_told_in_words(value, annotation, told):
    assert misfit(value, annotation) == told


@pytest.mark.parametrize(
    ("value", "annotation", "fix"),
    [
        ("5", int, "It is text: write 5, without quotes."),
        ("5.0", int, "It is text: write 5, without quotes."),
        ("1e-3", float, "It is text: write 0.001, without quotes."),
        ("-.5", float | None, "It is text: write -0.5, without quotes."),
        ("1e-3x", float, ""),
        ("1.2.3", float, ""),
        ("yes", bool, "Write true, without quotes."),
        ("OFF", bool, "Write false, without quotes."),
        ("True", bool | None, "Write true, without quotes."),
        ("maybe", bool, ""),
        (1, bool, "Write true."),
        (0, bool, "Write false."),
        (7, bool, ""),
        (3.0, int, "Write 3."),
        (1e5, int | None, "Write 100000."),
        (1.5, int, ""),
        (math.inf, int, ""),
        ("None", int | None, "Write null."),
        ("none", float | None, "Write null."),
        ("None", str | None, "Write null."),
        ("None", int, ""),
        (False, str, YES_AND_NO),
        (5, str, "Put it in quotes."),
        (None, str, ""),
        (128, list[int], "Write [128]."),
        ("a", list[int], ""),
        ("a", list[str], "Write [a]."),
        (1, tuple[int, int], ""),
        ("gren", Literal["green", "red"], "Did you mean 'green'?"),
        ("deep_bleu", Colour, "Did you mean 'DEEP_BLUE'?"),
        ("bicubicc", InterpolationMode, "Did you mean 'BICUBIC'?"),
        ("flaot32", torch.dtype, "Did you mean 'float32'?"),
        ("torch.flaot32", torch.dtype, "Did you mean 'float32'?"),
        ("zzz", Literal["green", "red"], ""),
    ],
    ids=repr,
)
def test_the_cure_is_told(value, annotation, fix):
    found = judged(value, annotation)
    assert found is not None
    assert found.fix == fix


@pytest.mark.parametrize(
    ("value", "annotation", "rules", "told"),
    [
        (0, int, {"least": 0}, ""),
        (-1, int, {"least": 0}, "must be at least 0"),
        (0, float, {"more_than": 0}, "must be more than 0"),
        (1e-9, float, {"more_than": 0}, ""),
        (1, float, {"least": 0, "most": 1}, ""),
        (1.5, float, {"least": 0, "most": 1}, "must be from 0 to 1"),
        (1, float, {"least": 0, "less_than": 1}, "must be at least 0 and less than 1"),
        (2, float, {"most": 1}, "must be at most 1"),
        (math.nan, float, {"least": 0}, "must be at least 0"),
        (math.nan, float, {"most": 0}, "must be at most 0"),
        (math.inf, float, {"least": 0}, "must be a finite number"),
        (math.inf, float, {"least": 0, "infinite": True}, ""),
        (math.nan, float, {"infinite": True}, "must be a finite number"),
        (None, int | None, {"least": 0}, ""),
        (True, bool | int, {"least": 2}, ""),
        ("a", float, {"least": 0, "most": 1}, "must be a number, from 0 to 1"),
        ("a", int | None, {"least": 1}, "must be a whole number, at least 1, or null"),
        ("a", list[int], {"least": 1}, "must be a list of whole numbers, each at least 1"),
        ([1, 0], list[int], {"least": 1}, "item [1], 0, must be at least 1"),
        ([1], list[int], {"length": 2}, "must have 2 items, not 1"),
        ([1, 2], list[int], {"length": 1}, "must have 1 item, not 2"),
        (1, list[int], {"length": 2}, "must be a list of 2 whole numbers"),
        ([], list[int], {"shortest": 1}, "must have at least 1 item"),
        ([1], list[int], {"shortest": 1}, ""),
        ([[1]], list[list[int]], {"length": 1, "least": 2}, "item [0], [1], item [0], 1, must be at least 2"),
        ([[1, 2]], list[list[int]], {"length": 1}, ""),
        ([[], [1]], list[list[int]], {"shortest": 2}, ""),
        ("a", str, {"choices": ("a", "b")}, ""),
        ("c", str, {"choices": ("a", "b")}, "must be a or b"),
        ("c", str, {"choices": ("a", "b", "d")}, "must be one of a, b, d"),
        ("c", str | None, {"choices": ("a", "b")}, "must be one of a, b, null"),
        (None, str | None, {"choices": ("a", "b")}, ""),
        (None, str, {"choices": ("a", "b")}, "must be a or b"),
        (1, bool | str, {"choices": (True, "a")}, "must be true or a"),
        (["a"], list[str], {"choices": ("a", "b")}, ""),
        (["c"], list[str], {"choices": ("a", "b")}, "item [0], c, must be a or b"),
        ("a", list[str], {"choices": ("a", "b")}, "must be a list of a or b"),
        (None, list[str] | None, {"choices": ("a", "b")}, ""),
        ("x", str, {"choices": tuple("abcdefghijklmnop")}, "must be one of a, b, c, d, e, f, g, h, i, j, k, 5 others"),
        (0.5, int | float, {"share": True}, ""),
        (1.0, int | float, {"share": True}, ""),
        (2, int | float, {"share": True}, ""),
        (2.0, int | float, {"share": True}, "a float is a share and at most 1.0; batches are an integer"),
        ("a", int | float | None, {"share": True, "least": 0}, "must be a whole number, a share up to 1.0 or null"),
        (5, str, {"numbers": True}, ""),
        (True, str, {"numbers": True}, "must be text"),
        ([5, "a"], list[str], {"numbers": True}, ""),
        ("3ep", str, {"form": DURATION}, ""),
        ("10min", str, {"form": DURATION}, ""),
        ("soon", str, {"form": DURATION}, "must be a duration such as 1ep, 500st or 10min"),
        ("0ep", str, {"form": DURATION}, "must be a duration such as 1ep, 500st or 10min"),
        ("10min", str, {"form": STEPS}, "must be a duration in epochs or steps, such as 2ep or 500st"),
        ("0.5ep", str | None, {"form": STEPS}, ""),
        ("10ep", str, {"form": TIME}, "must be a time such as 90s, 30min, 2h or 1:30:00"),
        ("1:30:00", str, {"form": TIME}, ""),
    ],
    ids=repr,
)
def test_rules_are_held(value, annotation, rules, told):
    assert misfit(value, annotation, rules) == told


@pytest.mark.parametrize(
    ("value", "annotation", "rules", "rule", "fix"),
    [
        ("ten", int, {}, "wrong-type", ""),
        (-1, int, {"least": 0}, "out-of-range", ""),
        (-1, int | None, {"least": 0}, "out-of-range", "null stands for none."),
        (-2, int | None, {"least": 0}, "out-of-range", ""),
        ("zzz", str, {"choices": ("aa", "cc")}, "unknown-choice", ""),
        ("mni", str, {"choices": ("min", "max")}, "unknown-choice", "Did you mean 'min'?"),
        ("x" * 5000, str, {"choices": ("x", "max")}, "unknown-choice", ""),
        (16, str, {"choices": ("fp32", "bf16", "fp16")}, "unknown-choice", "Did you mean 'fp16'?"),
        (None, str, {"choices": ("min", "max")}, "wrong-type", ""),
        ("gren", Literal["green", "red"], {}, "unknown-choice", "Did you mean 'green'?"),
        ("accuracy", list[str], {"choices": ("accuracy", "f1")}, "wrong-type", "Write [accuracy]."),
        (["acuracy"], list[str], {"choices": ("accuracy", "f1")}, "unknown-choice", "Did you mean 'accuracy'?"),
        (2.0, int | float, {"share": True}, "out-of-range", "Write 2."),
        (math.inf, int | float, {"share": True}, "out-of-range", ""),
        ("1e400", int, {}, "wrong-type", "It is text: write inf, without quotes."),
        (math.nan, int, {}, "wrong-type", ""),
        (1.5, int | float, {"share": True}, "out-of-range", ""),
        ("3epochs", str, {"form": DURATION}, "wrong-type", "Did you mean '3ep'?"),
        ("500steps", str, {"form": DURATION}, "wrong-type", "Did you mean '500st'?"),
        ("500 ba", str, {"form": DURATION}, "wrong-type", "Did you mean '500st'?"),
        ("10m", str, {"form": DURATION}, "wrong-type", "Did you mean '10min'?"),
        ("2hours", str, {"form": TIME}, "wrong-type", "Did you mean '2h'?"),
        ("10m", str, {"form": STEPS}, "wrong-type", ""),
        (500, str, {"form": DURATION}, "wrong-type", "Write 500ep or 500st."),
        (True, str, {"form": DURATION}, "wrong-type", YES_AND_NO),
        (30, str | None, {"form": TIME}, "wrong-type", "Write 30s, 30min or 30h."),
        ("None", str | None, {"form": TIME}, "wrong-type", "Write null."),
        ("soon", str, {"form": DURATION}, "wrong-type", ""),
    ],
    ids=repr,
)  # fmt: skip
def test_each_misfit_has_its_rule_and_cure(value, annotation, rules, rule, fix):
    found = judged(value, annotation, rules)
    assert found is not None
    assert (found.rule, found.fix) == (rule, fix)


@pytest.mark.parametrize(
    ("annotation", "rules", "text"),
    [
        (int, {"least": 1}, "int >= 1"),
        (int | None, {"least": 0}, "int >= 0 | null"),
        (float, {"least": 0, "less_than": 1}, "0 <= float < 1"),
        (float, {"more_than": 0, "most": 1}, "0 < float <= 1"),
        (float, {"more_than": 0}, "float > 0"),
        (float, {"less_than": 1}, "float < 1"),
        (int | float, {}, "float"),
        (int | float | str | None, {"share": True, "form": STEPS}, "int | share <= 1 | duration in ep or st | null"),
        (bool, {}, "true | false"),
        (str, {}, "text"),
        (str | None, {"choices": ("min", "max")}, "min | max | null"),
        (bool | str, {"choices": (False, "a")}, "false | a"),
        (list[str], {"choices": ("a", "b")}, "[a | b, ...]"),
        (list[int], {"least": 1, "shortest": 1}, "[int >= 1, ...]"),
        (list[float], {"length": 2}, "[float, float]"),
        (tuple[int, str], {}, "[int, text]"),
        (list, {}, "[anything, ...]"),
        (dict[str, int], {}, "{...}"),
        (Colour, {}, "RED | red | DEEP_BLUE | blue | THIRD | 3"),
        (Literal["a", 1] | None, {}, "a | 1 | null"),
        (torch.dtype | None, {}, "dtype | null"),
        (nn.Module, {}, "Module"),
        (Callable[[int], int], {}, "function"),
        (Any, {}, "anything"),
    ],
    ids=repr,
)
def test_what_is_allowed_is_described_in_few_signs(annotation, rules, text):
    assert described(annotation, rules) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.001, "0.001"),
        (1e-05, "1e-05"),
        (100000.0, "100000.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (2.0, "2.0"),
        ("ten", "ten"),
        ("5", "'5'"),
        ("1e-3", "'1e-3'"),
        ("true", "'true'"),
        ("null", "'null'"),
        ("", "''"),
        (" a", "' a'"),
        ("a\nb", r"'a\nb'"),
        ([1, "a", None], "[1, a, null]"),
        ({"a": [True]}, "{a: [true]}"),
        (math.inf, "inf"),
        ("x" * 300, "x" * 97 + "..."),
    ],
    ids=repr,
)
def test_values_are_shown_as_yaml_has_them(value, text):
    assert shown(value) == text


def test_keys_are_fields_of_a_dataclass():
    @part
    class Mouse:
        legs: int = key(4, "Legs that it has.", least=0)
        names: list[str] = key(["Minnie"], "What it is called.")
        tail: float = key(REQUIRED, "Length of the tail in metres.")
        kind: Any = key(Size, "Of another part.")

    legs, names, tail, other = fields(Mouse)
    assert (legs.default, legs.metadata["doc"], legs.metadata["least"]) == (4, "Legs that it has.", 0)
    assert names.default_factory() == ["Minnie"]
    assert names.default_factory() is not names.default_factory()
    assert (tail.default, other.default_factory()) == (REQUIRED, Size)


def test_all_dtypes_of_the_installed_torch_are_known():
    names = {name for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    assert [name for name in names if misfit(name, torch.dtype)] == []
    assert [name for name in DTYPES if not isinstance(getattr(torch, name), torch.dtype)] == []


@pytest.mark.parametrize("module", [nn, torch.optim, torch.optim.lr_scheduler], ids=lambda module: module.__name__)
def test_the_defaults_of_torchs_own_classes_fit_their_annotations(module):
    """No false alarm over a few hundred real signatures: whoever writes the default down must not be refused."""
    import inspect

    held, wrong = 0, []
    for name, cls in vars(module).items():
        if (
            not isinstance(cls, type)
            or name.startswith("_")
            or not cls.__module__.startswith("torch.")
            or cls is nn.Module
        ):
            continue
        try:
            signature = inspect.signature(cls, eval_str=True)
        except NameError:  # of a name that is there for type checkers alone
            signature = inspect.signature(cls)
        except ValueError:  # of a class that is written in C
            continue
        for parameter in signature.parameters.values():
            if parameter.default in (None, parameter.empty) or parameter.annotation is parameter.empty:
                continue
            held += 1
            value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
            if found := misfit(value, parameter.annotation):
                wrong.append((name, parameter.name, value, found))
    assert held > 20
    assert wrong == []


def test_members_of_unions_are_found_in_aliases_and_nested():
    # a set: typing hands out the Union[str, int] of whoever asked first
    assert set(members(Optional[Union[int, str]])) == {int, str, type(None)}  # noqa: UP007, UP045
    assert members(Annotated[int, 1] | Annotated[int, 2]) == (int,)
    assert members(int | None | Annotated[str, "x"]) == (int, type(None), str)
    assert [kind(base) for base in members(Callable[..., Any] | list[int] | Literal["a"])] == [
        "call",
        "list",
        "literal",
    ]


@dataclass
class Point:
    x: int


@pytest.mark.parametrize("annotation", [Point, typing.TypedDict("Box", {"a": int}), typing.Protocol, typing.Self])
@pytest.mark.parametrize("value", [{"x": 1}, "text", 3])
def test_what_is_not_known_fits(annotation, value):
    assert misfit(value, annotation) == ""
