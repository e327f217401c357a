"""Weights into models: prefixes, nested files, ties, and the table where they do not fit."""

import json
import logging

import pytest
import torch
from torch import nn

from trainkit.checkpoint.weights import Misfit, evaluated, fit, hinted, load, unnested
from trainkit.errors import ConfigError


def net(hidden: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 2))


class Tied(nn.Module):
    """An embedding and a head that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


def same(model: nn.Module, weights: dict) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


PREFIXES = [("module.",), ("_orig_mod.",), ("model.",), ("module.", "_orig_mod."), ("model.", "module.")]


@pytest.mark.parametrize("prefixes", PREFIXES)
def test_prefixes_that_all_names_carry_are_taken_off_and_named(prefixes: tuple[str, ...], caplog) -> None:
    model, weights = net(), net().state_dict()
    with caplog.at_level(logging.WARNING, logger="trainkit"):
        loaded = load(model, {"".join(prefixes) + name: value for name, value in weights.items()}, "x.pt")
    assert same(model, weights)
    assert set(loaded.prefixes) == set(prefixes)
    assert all(repr(prefix) in caplog.text for prefix in prefixes)


def test_a_compiled_part_inside_is_known_by_its_plain_name() -> None:
    model, weights = net(), net().state_dict()
    load(model, {name.replace("0.", "0._orig_mod.", 1): value for name, value in weights.items()})
    assert same(model, weights)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_wrapped_model_takes_plain_weights(prefix: str) -> None:
    inner, weights = net(), net().state_dict()
    wrapped = nn.DataParallel(inner) if prefix == "module." else torch.compile(inner)
    assert load(wrapped, weights).fresh == []
    assert same(inner, weights)


def test_nothing_is_taken_off_where_names_fit_as_they_are(caplog) -> None:
    model = nn.ModuleDict({"model": nn.ModuleDict({"module": net()})})
    weights = {name: value + 1 for name, value in model.state_dict().items()}
    assert load(model, weights).prefixes == ()
    assert same(model, weights)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["model", "state_dict", "model_state_dict", "module"])
def test_weights_are_found_in_a_nested_file(name: str) -> None:
    model, weights = net(), net().state_dict()
    load(model, {"epoch": 3, "optimizer": {"state": {}}, name: weights})
    assert same(model, weights)
    load(model, {"state": 1, name: {"state_dict": weights}})


@pytest.mark.parametrize("content", [{}, {"epoch": 1}, {"model": {"a": 1}}, [1], "text", None])
def test_a_file_without_tensors_by_name_is_told(content: object) -> None:
    with pytest.raises(ConfigError, match=r"^x\.pt hold no tensors by name"):
        unnested(content, "x.pt")


def test_what_does_not_fit_is_one_table_and_nothing_is_loaded() -> None:
    model, weights = net(), net(hidden=6).state_dict()
    del weights["2.bias"]
    weights["extra"] = torch.zeros(7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(Misfit) as error:
        load(model, weights)
    told = str(error.value).splitlines()
    assert told[0] == (
        "the checkpoint's weights do not fit the model: 7 of another shape, 1 missing, 1 unexpected, 1 fit"
    )
    assert told[1].split() == ["name", "checkpoint", "model"]
    assert told[2].split() == ["0.weight", "6x3", "4x3"]
    assert told[-1] == "  and 5 more"
    assert len(told) <= 8
    assert same(model, before)


@pytest.mark.parametrize(("left", "right"), [("2.bias", "missing"), (None, "unexpected")])
def test_one_name_too_few_or_too_many_is_a_row(left: str | None, right: str) -> None:
    weights = net().state_dict()
    if left is None:
        weights["extra.weight"] = torch.zeros(2, 3)
    else:
        del weights[left]
    with pytest.raises(Misfit, match=f"1 {right}") as error:
        fit(net(), weights)
    row = str(error.value).splitlines()[2].split()
    assert row == (["extra.weight", "2x3", "-"] if left is None else ["2.bias", "-", "2"])


def test_real_and_complex_weights_do_not_fit_each_other() -> None:
    weights = net().state_dict()
    weights["0.weight"] = weights["0.weight"].to(torch.complex64)
    with pytest.raises(Misfit, match="1 of another shape"):
        fit(net(), weights)


def test_tied_weights_stay_tied() -> None:
    model, weights = Tied(), {name: value + 1 for name, value in Tied().state_dict().items()}
    weights["head.weight"] = weights["embed.weight"]
    load(model, weights)
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.embed.weight, weights["embed.weight"])


@pytest.mark.parametrize("left_out", ["head.weight", "embed.weight"])
def test_one_name_of_tied_weights_is_enough(left_out: str) -> None:
    model, weights = Tied(), Tied().state_dict()
    del weights[left_out]
    assert load(model, weights).fresh == []
    assert fit(model, weights).keys() == model.state_dict().keys()
    assert same(model, fit(model, weights))


def test_two_values_for_one_tensor_are_refused() -> None:
    weights = {name: value.clone() for name, value in Tied().state_dict().items()}
    weights["head.weight"] += 1
    with pytest.raises(Misfit, match=r"embed\.weight and head\.weight are one tensor in the model, but two there"):
        load(Tied(), weights)


def test_a_transfer_says_what_was_loaded_skipped_and_new() -> None:
    model, weights = net(), net().state_dict()
    weights["2.weight"] = torch.zeros(9, 4)
    weights["decoder"] = torch.zeros(1)
    del weights["0.bias"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = load(model, weights, strict=False)
    assert loaded.skipped == ["2.weight", "decoder"]
    assert loaded.fresh == ["0.bias", "2.weight"]
    assert str(loaded) == (
        f"loaded {len(before) - 2} of {len(before)} tensors; skipped 2: 2.weight, decoder; "
        "newly initialised 2: 0.bias, 2.weight"
    )
    after = model.state_dict()
    assert torch.equal(after["0.weight"], weights["0.weight"])
    assert torch.equal(after["2.weight"], before["2.weight"])


def test_loading_not_a_single_tensor_is_always_an_error() -> None:
    with pytest.raises(Misfit, match="none fits"):
        load(net(), {"other": torch.zeros(1)}, strict=False)
    with pytest.raises(ConfigError, match="hold no tensors"):
        load(net(), {}, strict=False)


def test_batch_norms_from_before_they_counted_batches_still_load() -> None:
    weights = {name: value for name, value in net().state_dict().items() if "num_batches" not in name}
    model = net()
    load(model, weights)
    assert fit(model, weights).keys() == model.state_dict().keys()


def test_a_module_that_knows_its_old_names_loads_them() -> None:
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest) -> None:
            super()._load_from_state_dict(state_dict, prefix, *rest)

    model = Renamed(2, 2)
    model.register_load_state_dict_pre_hook(lambda module, state, *_: state.update(weight=state.pop("old_weight")))
    weights = {"old_weight": torch.ones(2, 2), "bias": torch.ones(2)}
    load(model, weights)
    assert torch.equal(model.weight, torch.ones(2, 2))
    with pytest.raises(Misfit):
        load(model, {"old_weight": torch.ones(3, 2), "bias": torch.ones(2)})
    assert torch.equal(model.weight, torch.ones(2, 2))


def test_averaged_weights_are_the_ones_to_evaluate() -> None:
    state = {"model": {"a": 1}, "averaging": {"n_averaged": torch.tensor(2), "module.a": 5}}
    assert evaluated(state) == {"a": 5}
    state["averaging"]["n_averaged"] = torch.tensor(0)
    assert evaluated(state) == {"a": 1}
    assert evaluated({"model": {"a": 1}, "averaging": {}}) == {"a": 1}


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"hidden": 4}, "model.hidden=6 would fit"),
        ({"hidden": [4, 4]}, "model.hidden=[6,6] would fit"),
        ({"body": {"width": 4}, "out": 2}, "model.body.width=6 would fit"),
        ({"width": 2}, "model.width=3 would fit"),  # used twice over
        ({"out": 3}, None),
        ({"a": 4, "b": 4}, None),
    ],
)
def test_the_key_that_explains_all_is_named(config: dict, hint: str | None) -> None:
    with pytest.raises(Misfit) as error, hinted({"model": config}, {}):
        load(net(), net(hidden=6).state_dict())
    last = str(error.value).splitlines()[-1]
    assert last == hint if hint else "would fit" not in last


def test_a_checkpoint_that_knows_its_config_says_how_it_was_made() -> None:
    made = {"model": {"_target_": "Net", "hidden": 6, "out": 2}}
    now = {"model": {"_target_": "Net", "hidden": 4, "out": 2}}
    state = {"about": {"config": json.dumps(made)}}
    with pytest.raises(Misfit, match=r"made with model\.hidden=6$"), hinted(now, state):
        load(net(), net(hidden=6).state_dict())
    now["model"]["_target_"] = "Other"
    with pytest.raises(Misfit, match=r"made with model\._target_=Net$"), hinted(now, state):
        load(net(), {"other": torch.zeros(1)})
