"""Parameters sorted by rules, and the options that an optimizer gets for them."""

import pytest
import torch
from torch import nn

from trainkit.errors import ConfigError
from trainkit.optim import FreezePlan
from trainkit.optim.groups import head_of


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        self.head = nn.Linear(3, 2)
        self.rest = nn.Parameter(torch.zeros(2))


def groups_of(model, rules=(), lr=None, **options):
    """Return each group of the optimizer as (name, names of its parameters, its options)."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [
        (g["name"], [names[id(p)] for p in g["params"]], {k: v for k, v in g.items() if k not in ("name", "params")})
        for g in FreezePlan(rules, **options).parameter_groups(model, lr)
    ]


BODY = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"]


def test_without_rules_all_are_one_group():
    assert groups_of(Net()) == [("rest", ["rest", *BODY, "head.weight", "head.bias"], {})]


def test_the_first_rule_that_matches_wins_and_groups_keep_the_order_of_the_rules():
    rules = [{"match": "head", "lr": 0.1}, {"match": "*.weight", "lr": 0.2, "weight_decay": 0.3}]
    assert groups_of(Net(), rules) == [
        ("head", ["head.weight", "head.bias"], {"lr": 0.1}),
        ("*.weight", ["body.0.weight", "body.1.weight"], {"lr": 0.2, "weight_decay": 0.3}),
        ("rest", ["rest", "body.0.bias", "body.1.bias"], {}),
    ]


def test_rates_relative_to_the_optimizers():
    rules = [{"match": "head", "lr_scale": 10}, {"match": "body.0.*", "lr": 0.5}, {"match": "*", "lr_scale": 0}]
    assert [options for _, _, options in groups_of(Net(), rules, lr=0.1)] == [{"lr": 1.0}, {"lr": 0.5}, {"lr": 0.0}]
    with pytest.raises(ConfigError, match="the rate of head is a multiple"):
        groups_of(Net(), rules)


def test_rates_by_stage_fall_from_the_head_to_the_stem():
    model = nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)])
    found = groups_of(model, [{"match": "*", "lr_decay": 0.5}], lr=0.8)
    assert [(name, options.get("lr", 0.8)) for name, _, options in found] == [
        ("* [3]", 0.8),
        ("* [2]", 0.4),
        ("* [1]", 0.2),
        ("* [0]", 0.1),
    ]


def test_more_options_of_the_optimizer():
    rules = [{"match": "head", "options": {"betas": [0.5, 0.9]}}]
    assert groups_of(Net(), rules)[0][2] == {"betas": [0.5, 0.9]}


def test_no_decay_on_norms_and_biases():
    found = groups_of(Net(), [{"match": "head.*", "lr": 0.1}], decay_norm_and_bias=False)
    assert found == [
        ("head.*", ["head.weight"], {"lr": 0.1}),
        ("head.* (no decay)", ["head.bias"], {"lr": 0.1, "weight_decay": 0.0}),
        ("rest", ["body.0.weight"], {}),
        ("rest (no decay)", ["rest", *BODY[1:]], {"weight_decay": 0.0}),
    ]


def test_a_rule_with_its_own_decay_keeps_it():
    found = groups_of(Net(), [{"match": "head.*", "weight_decay": 0.5}], decay_norm_and_bias=False)
    assert found[0] == ("head.*", ["head.weight", "head.bias"], {"weight_decay": 0.5})


def test_rules_that_are_worded_alike_have_names_of_their_own():
    found = groups_of(Net(), [{"match": "rest", "lr": 0.1}])
    assert [(name, params) for name, params, _ in found] == [
        ("rest", ["rest"]),
        ("rest #1", [*BODY, "head.weight", "head.bias"]),
    ]


def test_what_the_model_froze_itself_stays_frozen_unless_a_rule_speaks_of_it():
    model = Net()
    model.body.requires_grad_(False)
    assert groups_of(model) == [("rest", ["rest", "head.weight", "head.bias"], {})]
    assert groups_of(model, [{"match": "body.1"}])[0] == ("body.1", BODY[2:], {})


def test_shared_parameters_come_once():
    model = Net()
    model.tied = model.head
    assert groups_of(model) == [("rest", ["rest", *BODY, "head.weight", "head.bias"], {})]


def test_what_never_trains_is_in_no_group_and_what_thaws_is():
    rules = [{"match": "body.0.*", "trainable": False}, {"match": "body.1.*", "trainable": False, "until": "1ep"}]
    assert [name for name, _, _ in groups_of(Net(), rules)] == ["body.1.*", "rest"]


def test_the_rules_are_left_as_they_are():
    rules = [{"match": "head.*", "lr": 0.1}]
    groups_of(Net(), rules, decay_norm_and_bias=False)
    assert rules == [{"match": "head.*", "lr": 0.1}]


def test_an_optimizer_takes_them():
    plan, model = FreezePlan([{"match": "head.*", "lr": 0.1}]), Net()
    optimizer = torch.optim.AdamW(plan.parameter_groups(model), lr=0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]


def test_the_head_is_the_last_stage_or_what_is_named():
    assert head_of(Net(), []) == ["head"]
    assert head_of(Net(), ["body.0"]) == ["body.0"]
    with pytest.raises(ConfigError, match=r"freeze.head=haed: the model has no such module. Did you mean 'head'\?"):
        head_of(Net(), ["haed"])
    model = Net()
    assert [name for name, _, _ in groups_of(model, [{"match": "@head"}], head="body")] == ["@head", "rest"]
    assert groups_of(model, [{"match": "@head"}], head="body")[0][1] == BODY


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([{"match": "heads.weight"}], r"rules\[0\].match=heads.weight: no parameter .* Did you mean 'head.weight'\?"),
        ([{"match": "*"}, {"match": "head.*"}], r"rules\[1\].match=head.\*: no parameter is left"),
        ([{"match": "type:BatchNorm1d"}], r"rules\[0\].match=type:BatchNorm1d: no parameter"),
        ([{"match": "*", "trainable": False}], "nothing is left to train"),
    ],
)
def test_rules_that_mean_nothing_are_refused(rules, told):
    with pytest.raises(ConfigError, match=told):
        groups_of(Net(), rules)
