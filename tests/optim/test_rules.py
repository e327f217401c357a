"""The rules of a freeze plan: what they match, when they hold, and what is refused."""

import pytest
from torch import nn

from trainkit.errors import ConfigError
from trainkit.optim.rules import Plateau, matches, read_rules
from trainkit.timing import Duration, Moment


class Special(nn.BatchNorm2d):
    pass


MODEL = nn.ModuleDict({"stem": nn.Sequential(nn.Conv2d(1, 2, 1), Special(2)), "head": nn.Linear(2, 2)})
ANCESTORS = [("", MODEL), ("stem", MODEL["stem"]), ("stem.1", MODEL["stem"][1])]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("stem.1.weight", True),
        ("stem.*", True),
        ("*", True),
        ("stem", True),
        ("stem.1", True),
        ("ste", False),
        ("*.bias", False),
        ("STEM", False),
        ("re:stem\\.\\d+", True),
        ("re:stem\\.\\d", True),
        ("re:tem.*", False),
        ("re:.*weight", True),
        ("type:BatchNorm2d", True),
        ("type:Special", True),
        ("type:Conv2d", False),
        ("type:Sequential", True),
        ("@head", False),
    ],
)
def test_patterns(pattern: str, fits: bool) -> None:
    assert matches(pattern, "stem.1.weight", ANCESTORS, ["head"]) is fits


def test_the_head_is_a_module_or_a_parameter() -> None:
    around = [("", MODEL), ("head", MODEL["head"])]
    assert matches("@head", "head.weight", around, ["head"])
    assert matches("@head", "head.weight", around, ["head.weight"])
    assert not matches("@head", "header.weight", [("", MODEL)], ["head"])


def at(epochs: float = 0.0, steps: int = 0) -> Moment:
    return Moment(epochs, steps, 0.0)


@pytest.mark.parametrize(
    ("rule", "trains"),
    [
        ({}, [True, True, True]),
        ({"trainable": False}, [False, False, False]),
        ({"from": "2ep"}, [False, True, True]),
        ({"until": "2ep"}, [True, False, False]),
        ({"trainable": False, "until": "2ep"}, [False, True, True]),
        ({"trainable": False, "from": "2ep"}, [True, False, False]),
        ({"from": "2ep", "until": "3ep"}, [False, True, False]),
        ({"from": "25st"}, [False, False, True]),
    ],
)
def test_from_and_until_say_when_a_rule_holds(rule: dict, trains: list[bool]) -> None:
    (read,) = read_rules([{"match": "*", **rule}])
    assert [read.holds(at(epoch, int(epoch * 10)), 0) for epoch in (1.9, 2.0, 3.0)] == trains


def test_plateaus_come_one_after_another() -> None:
    first, _, second = read_rules(
        [{"match": "a", "from": "plateau"}, {"match": "b"}, {"match": "c", "from": "plateau"}]
    )
    assert (first.start, second.start) == (Plateau(1), Plateau(2))
    assert [first.holds(at(), n) for n in (0, 1, 2)] == [False, True, True]
    assert [second.holds(at(), n) for n in (0, 1, 2)] == [False, False, True]


def test_stages_thaw_by_their_distance_from_the_head() -> None:
    (timed,) = read_rules([{"match": "*", "thaw_every": "2ep"}])
    assert [[timed.holds(at(e), 0, d) for d in (0, 1, 2)] for e in (0.0, 2.0, 4.0)] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    (waiting,) = read_rules([{"match": "*", "thaw_every": "plateau"}])
    assert [[waiting.holds(at(), n, d) for d in (0, 1, 2)] for n in (0, 1, 2)] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_what_is_read() -> None:
    (rule,) = read_rules([{"match": ["a.*", "b"], "lr_scale": 0.1, "warmup": "10st", "grad_clip": 1, "norm": "eval"}])
    assert rule.match == ("a.*", "b")
    assert str(rule) == "a.*, b"
    assert rule.warmup == Duration(10, "st")
    assert (rule.lr_scale, rule.grad_clip, rule.norm, rule.staged) == (0.1, 1, "eval", False)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"mach": "*"}, "freeze.rules[1].mach: there is no such key. Did you mean 'match'?"),
        ({"lr": 1}, "freeze.rules[1].match: must be a glob"),
        ({"match": [1]}, "freeze.rules[1].match: must be a glob"),
        ({"match": "*", "trainable": "no"}, "freeze.rules[1].trainable=no: must be true or false"),
        ({"match": "*", "from": "soon"}, "freeze.rules[1].from=soon: 'soon' is no duration"),
        ({"match": "*", "until": "3min"}, "freeze.rules[1].until=3min: must be in epochs or steps"),
        ({"match": "*", "warmup": "plateau"}, "freeze.rules[1].warmup=plateau: 'plateau' is no duration"),
        ({"match": "*", "lr": -1}, "freeze.rules[1].lr=-1: must be a number, at least 0"),
        ({"match": "*", "lr": "1e-3x"}, "freeze.rules[1].lr=1e-3x: must be a number"),
        ({"match": "*", "lr_decay": 1.5}, "freeze.rules[1].lr_decay=1.5: must be a number, from 0 to 1"),
        ({"match": "*", "weight_decay": True}, "freeze.rules[1].weight_decay=True: must be a number"),
        ({"match": "*", "norm": "still"}, "freeze.rules[1].norm=still: must be eval or train"),
        ({"match": "*", "lr": 1, "lr_scale": 2}, "freeze.rules[1]: has both lr and lr_scale"),
        ({"match": "*", "thaw_every": "1ep", "until": "2ep"}, "freeze.rules[1].thaw_every: says itself"),
        ({"match": "*", "thaw_every": "1ep", "trainable": False}, "freeze.rules[1].thaw_every: says itself"),
        ({"match": "re:("}, "freeze.rules[1].match=re:(: is no regular expression"),
        ("*", "freeze.rules[1]='*': must be a mapping"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(rule, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_rules([{"match": "a"}, rule])
    assert str(caught.value).startswith(told)
