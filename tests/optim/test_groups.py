"""Parameter groups by name pattern."""

import pytest
import torch
from torch import nn

from trainkit.errors import ConfigError
from trainkit.optim import parameter_groups


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 2)
        self.rest = nn.Parameter(torch.zeros(2))


def named(model, groups):
    """Return each group as (name, names of its parameters, its options)."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [
        (g["name"], [names[id(p)] for p in g["params"]], {k: v for k, v in g.items() if k not in ("name", "params")})
        for g in groups
    ]


BODY = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"]


def test_without_rules_all_are_one_group():
    model = Net()
    assert named(model, parameter_groups(model)) == [("rest", ["rest", *BODY, "head.weight", "head.bias"], {})]


def test_the_first_rule_that_matches_wins_and_groups_keep_the_order_of_the_rules():
    model = Net()
    rules = [{"match": "head.*", "lr": 0.1}, {"match": "*.weight", "lr": 0.2, "weight_decay": 0.3}]
    assert named(model, parameter_groups(model, rules)) == [
        ("head.*", ["head.weight", "head.bias"], {"lr": 0.1}),
        ("*.weight", ["body.0.weight", "body.1.weight"], {"lr": 0.2, "weight_decay": 0.3}),
        ("rest", ["rest", "body.0.bias", "body.1.bias"], {}),
    ]


def test_no_decay_on_norms_and_biases():
    model = Net()
    groups = parameter_groups(model, [{"match": "head.*", "lr": 0.1}], decay_norm_and_bias=False)
    assert named(model, groups) == [
        ("head.*", ["head.weight"], {"lr": 0.1}),
        ("head.* (no decay)", ["head.bias"], {"lr": 0.1, "weight_decay": 0.0}),
        ("rest", ["body.0.weight"], {}),
        ("rest (no decay)", ["rest", *BODY[1:]], {"weight_decay": 0.0}),
    ]


def test_a_rule_with_its_own_decay_keeps_it():
    model = Net()
    groups = parameter_groups(model, [{"match": "head.*", "weight_decay": 0.5}], decay_norm_and_bias=False)
    assert named(model, groups)[0] == ("head.*", ["head.weight", "head.bias"], {"weight_decay": 0.5})


def test_a_rule_that_is_called_rest_takes_only_what_it_matches():
    model = Net()
    groups = parameter_groups(model, [{"match": "rest", "lr": 0.1}])
    assert named(model, groups) == [("rest", ["rest"], {"lr": 0.1}), ("rest", [*BODY, "head.weight", "head.bias"], {})]


def test_frozen_parameters_are_left_out_and_shared_ones_come_once():
    model = Net()
    model.body.requires_grad_(False)
    model.tied = model.head
    assert named(model, parameter_groups(model)) == [("rest", ["rest", "head.weight", "head.bias"], {})]


def test_the_rules_are_left_as_they_are():
    rules = [{"match": "head.*", "lr": 0.1}]
    parameter_groups(Net(), rules, decay_norm_and_bias=False)
    assert rules == [{"match": "head.*", "lr": 0.1}]


def test_an_optimizer_takes_the_groups():
    model = Net()
    optimizer = torch.optim.AdamW(parameter_groups(model, [{"match": "head.*", "lr": 0.1}]), lr=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]


def test_a_rule_without_match_is_refused():
    with pytest.raises(ConfigError, match=r"rules\[1\]: has no 'match'"):
        parameter_groups(Net(), [{"match": "head.*"}, {"lr": 0.1}])


@pytest.mark.parametrize("rules", [["heads.weight"], ["head.*", "head.weight"], ["head.*", "head.*"]])
def test_a_rule_that_nothing_is_left_for_is_refused(rules):
    number = len(rules) - 1
    with pytest.raises(ConfigError, match=rf"rules\[{number}\]\.match=.*: no trainable parameter left to match"):
        parameter_groups(Net(), [{"match": match} for match in rules])


def test_a_near_parameter_is_suggested():
    with pytest.raises(ConfigError, match=r"Did you mean 'head\.weight'\?"):
        parameter_groups(Net(), [{"match": "heads.weight"}])
