"""Building what a config describes, and what a constructor that raises is told with."""

import functools
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainkit.config.targets.instantiate import instantiate
from trainkit.config.targets.trusted import Trusted
from trainkit.errors import ConfigError, TrainingError

LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}


class Colour(Enum):
    RED = "crimson"
    BLUE = "navy"


class Recorded:
    """Keeps what it was given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


def typed(colour: Colour | None = None, dtype: torch.dtype = torch.float32, text: str = "") -> tuple:
    return colour, dtype, text


def either(colour: Colour | str) -> Any:
    return colour


def bare(dtype=None) -> Any:
    return dtype


def failing(**arguments: Any) -> None:
    inner(arguments)


def inner(arguments: Any) -> None:
    raise arguments.pop("error", ValueError)(*arguments.pop("words", ("first\nsecond\n\nthird\nfourth\nfifth",)))


def within_torch() -> nn.Module:
    return nn.Linear(-1, 2)


def chained(**_: Any) -> None:
    try:
        raise KeyError("deep inside")
    except KeyError as error:
        raise RuntimeError("on top") from error


def meant_for_users(**arguments: Any) -> nn.Module:
    raise ConfigError(arguments["words"])


def stopped() -> None:
    raise TrainingError("stopped")


class Other(ConfigError):
    """One that somebody waits for."""


def other() -> None:
    raise Other("as it is")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "somebody", sys.modules[__name__])


def recorded(**values: Any) -> dict[str, Any]:
    return {"_target_": "somebody.Recorded", **values}


# ---------------------------------------------------------------------- what is built


def test_nested_ones_come_first_wherever_they_stand() -> None:
    node = recorded(a=LINEAR, b=[1, [LINEAR]], c={"d": LINEAR, "e": None}, _args_=[LINEAR, 2])
    built = instantiate(node, "model")
    assert isinstance(built.args[0], nn.Linear)
    assert built.args[1] == 2
    assert isinstance(built.kwargs["a"], nn.Linear)
    assert built.kwargs["b"][0] == 1
    assert isinstance(built.kwargs["b"][1][0], nn.Linear)
    assert isinstance(built.kwargs["c"]["d"], nn.Linear)
    assert built.kwargs["c"]["e"] is None
    assert type(built.kwargs["c"]) is dict


def test_the_config_stays_as_it_was() -> None:
    node = recorded(a=[1], _args_=[LINEAR])
    instantiate(node, "model").kwargs["a"].append(2)
    assert node == recorded(a=[1], _args_=[LINEAR])


def test_arguments_come_before_all_others() -> None:
    built = instantiate(recorded(a=1), "optimizer", 7, 8)
    assert (built.args, built.kwargs) == ((7, 8), {"a": 1})
    with pytest.raises(ConfigError, match=r"^optimizer\._args_: trainkit gives the first argument itself"):
        instantiate(recorded(_args_=[1]), "optimizer", 7)


def test_a_partial_still_takes_arguments() -> None:
    built = instantiate({"_target_": "torch.nn.Linear", "out_features": 3, "_partial_": True}, "model")
    assert isinstance(built, functools.partial)
    assert built(in_features=2).weight.shape == (3, 2)
    nested = instantiate(recorded(norm={"_target_": "torch.nn.BatchNorm1d", "_partial_": True}), "model")
    assert nested.kwargs["norm"](4).num_features == 4


def test_a_partial_leaves_out_what_is_missing() -> None:
    assert instantiate(recorded(a="???", b=1, _partial_=True), "x").keywords == {"b": 1}


def test_without_recursion_nested_nodes_stay() -> None:
    built = instantiate(recorded(a=LINEAR, _args_=[LINEAR], _recursive_=False), "model")
    assert built.kwargs == {"a": LINEAR}
    assert built.args == (LINEAR,)


@pytest.mark.parametrize("conversion", ["none", "partial", "object", "all"])
def test_conversions_are_read(conversion: str) -> None:
    assert instantiate(recorded(a=[1], _convert_=conversion), "x").kwargs == {"a": [1]}


@pytest.mark.parametrize(
    ("directives", "told"),
    [
        ({"_partial_": "true"}, "x._partial_=true: must be true or false"),
        ({"_recursive_": 1}, "x._recursive_=1: must be true or false"),
        ({"_convert_": "some"}, "x._convert_=some: must be one of none, partial, object, all"),
        ({"_args_": 3}, "x._args_=3: must be a list"),
    ],
)
def test_wrong_directives_are_refused(directives: dict, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        instantiate(recorded(**directives), "x")
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("node", [{}, {"a": 1}, None, 3, [LINEAR]])
def test_a_node_without_a_target_is_refused(node: Any) -> None:
    with pytest.raises(ConfigError, match=r"^model: has no _target_, so it is not known what to build"):
        instantiate(node, "model")


@pytest.mark.parametrize(
    ("text", "member"),
    [("RED", Colour.RED), ("crimson", Colour.RED), ("Colour.BLUE", Colour.BLUE), ("red", Colour.RED)],
)
def test_text_becomes_a_member_of_an_enum(text: str, member: Colour) -> None:
    assert instantiate({"_target_": "somebody.typed", "colour": text}, "x")[0] is member
    assert instantiate({"_target_": "somebody.typed", "_args_": [text]}, "x")[0] is member
    assert instantiate({"_target_": "somebody.either", "colour": text}, "x") == text  # text is right as it is


@pytest.mark.parametrize("text", ["bfloat16", "torch.bfloat16"])
def test_text_becomes_a_dtype(text: str) -> None:
    assert instantiate({"_target_": "somebody.typed", "dtype": text}, "x")[1] is torch.bfloat16
    assert instantiate({**LINEAR, "dtype": text}, "x").weight.dtype is torch.bfloat16
    assert instantiate({"_target_": "torch.zeros", "_args_": [2], "dtype": text}, "x").dtype is torch.bfloat16
    assert instantiate({"_target_": "somebody.bare", "dtype": text}, "x") == text  # whose meaning is its own
    assert instantiate({"_target_": "somebody.typed", "text": text}, "x")[2] == text


def test_what_a_path_names_is_looked_up_and_not_called() -> None:
    for name in ("get_object", "get_class", "get_method", "get_static_method"):
        assert instantiate({"_target_": f"hydra.utils.{name}", "path": "torch.nn.Linear"}, "x") is nn.Linear
        assert instantiate({"_target_": f"hydra.utils.{name}", "_args_": ["torch.float64"]}, "x") is torch.float64
    nested = instantiate(recorded(dtype={"_target_": "hydra.utils.get_object", "path": "torch.float32"}), "x")
    assert nested.kwargs == {"dtype": torch.float32}
    with pytest.raises(ConfigError, match=r"^x\.path=os\.system: may not be named"):
        instantiate({"_target_": "hydra.utils.get_object", "path": "os.system"}, "x")
    with pytest.raises(ConfigError, match=r"^x: hydra\.utils\.get_object takes one argument, path"):
        instantiate({"_target_": "hydra.utils.get_object", "path": "torch.nn", "other": 1}, "x")


def test_objects_of_python_are_targets_too() -> None:
    assert isinstance(instantiate({**LINEAR, "_target_": nn.Linear}, "x"), nn.Linear)


def test_what_is_shared_goes_to_nested_targets_that_need_it() -> None:
    node = {"_target_": "somebody.Recorded", "inner": {"_target_": "torch.nn.Linear", "out_features": 3}}
    assert instantiate(node, "x", shared={"in_features": 5}).kwargs["inner"].in_features == 5
    own = {"_target_": "somebody.Recorded", "inner": {"_target_": "torch.nn.Linear", "_args_": [2, 3]}}
    assert instantiate(own, "x", shared={"in_features": 5}).kwargs["inner"].in_features == 2
    assert instantiate(LINEAR, "x", shared={"in_features": 5, "bias": False}).bias is not None


# ---------------------------------------------------------------------- what cannot be built


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("os.system", "x._target_=os.system: may not be named by any config"),
        ("torch.float32", "x._target_=torch.float32: is the value torch.float32, and nothing that can be called"),
        ("torch.nn", "x._target_=torch.nn: is a module, and nothing that can be called"),
        ("torch.nn.Linaer", "x._target_=torch.nn.Linaer: torch.nn has no Linaer. Did you mean 'torch.nn.Linear'?"),
        (3, "x._target_=3: is no dotted name"),
    ],
)
def test_a_target_that_is_none_is_told(target: Any, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        instantiate({"_target_": target}, "x")
    assert str(error.value).startswith(told)


def test_what_is_not_trusted_is_not_built() -> None:
    with pytest.raises(ConfigError, match=r"^x\.inner\._target_=numpy\.array: numpy is not trusted\. .*=\[numpy\]"):
        instantiate({**LINEAR, "inner": {"_target_": "numpy.array"}}, "x", trusted=Trusted())
    assert instantiate({"_target_": "numpy.ones", "_args_": [2]}, "x", trusted=Trusted(("numpy",))).shape == (2,)


def lines_of(node: dict[str, Any], path: str = "model") -> list[str]:
    with pytest.raises(ConfigError) as error:
        instantiate(node, path)
    assert error.value.__cause__ is not None  # TRAINKIT_DEBUG=1 shows where it comes from
    return str(error.value).splitlines()


def test_the_path_is_that_of_the_nested_node() -> None:
    node = recorded(layers=[LINEAR, {**LINEAR, "in_features": "x"}])
    (first, *_) = lines_of(node)
    assert first.startswith("model.layers[1] (torch.nn.Linear): TypeError: ")
    assert first.endswith("; given in_features='x', out_features=3")
    (first, *_) = lines_of({**LINEAR, "bias": {"_target_": "torch.nn.Linear"}}, "callbacks.x")
    assert first.startswith("callbacks.x.bias (torch.nn.Linear): TypeError: ")


def test_only_the_two_innermost_frames_of_ones_own_are_told() -> None:
    lines = lines_of({"_target_": "somebody.failing", "words": ["short"]})
    here = Path(__file__).name
    assert lines[0] == "model (somebody.failing): ValueError: short; given words=['short']"
    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == ["failing", "inner"]
    assert all(here in line for line in lines if line.startswith("  File"))
    assert lines[2].strip() == "inner(arguments)"
    assert len(lines) == 5


def test_where_all_is_a_librarys_its_innermost_frame_is_told() -> None:
    lines = lines_of({**LINEAR, "in_features": -1})
    assert len(lines) == 3
    assert "torch" in lines[1]
    assert lines[1].startswith('  File "')


def test_ones_own_frames_matter_more_than_the_librarys_that_they_called() -> None:
    lines = lines_of({"_target_": "somebody.within_torch"})
    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == ["within_torch"]
    assert lines[-1].strip() == "return nn.Linear(-1, 2)"


def test_frames_of_the_standard_library_tell_nothing() -> None:
    assert len(lines_of({"_target_": "somebody.Colour", "value": "green"})) == 1


def test_an_argument_that_is_not_taken_has_no_frames() -> None:
    (line,) = lines_of({**LINEAR, "colour": 1})
    assert "unexpected keyword argument 'colour'" in line


def test_a_long_message_is_cut() -> None:
    lines = lines_of({"_target_": "somebody.failing", "more": "x" * 999})
    assert lines[:4] == ["model (somebody.failing): ValueError: first", "  second", "  third", "  ..."]
    assert lines[4].startswith("  given more='xxx") or lines[4].startswith("  given")
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 400
    (line, *_) = lines_of({"_target_": "somebody.failing", "words": ["long " * 200]})
    assert len(line) < 800


def test_no_words_at_all_are_told_too() -> None:
    assert lines_of({"_target_": "somebody.failing", "words": []})[0].startswith("model (somebody.failing): ValueError")


def test_a_chain_is_not_told() -> None:
    told = "\n".join(lines_of({"_target_": "somebody.chained"}))
    assert "on top" in told
    assert "deep inside" not in told


def test_secrets_among_the_arguments_are_not_told() -> None:
    told = "\n".join(lines_of({**LINEAR, "api_key": "canary", "token": "canary"}))
    assert "canary" not in told
    assert "api_key=***" in told


def test_nested_arguments_are_told_by_their_targets() -> None:
    (line, *_) = lines_of({**LINEAR, "norm": LINEAR, "_args_": [4]})
    assert "given 4, in_features=2, out_features=3, norm={torch.nn.Linear}" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("an own word", "model.encoder: an own word"),
        ("model.hidden=3: too few", "model.hidden=3: too few"),
        ("model: too few", "model: too few"),
        ("modelled wrongly", "model.encoder: modelled wrongly"),
    ],
)
def test_an_error_meant_for_the_user_is_passed_on_under_its_path(words: str, told: str) -> None:
    assert lines_of({"_target_": "somebody.meant_for_users", "words": words}, "model.encoder") == [told]


def test_errors_that_others_wait_for_stay_what_they_are() -> None:
    with pytest.raises(TrainingError, match=r"^stopped$"):
        instantiate({"_target_": "somebody.stopped"}, "x")
    with pytest.raises(Other, match=r"^as it is$"):
        instantiate({"_target_": "somebody.other"}, "x")
