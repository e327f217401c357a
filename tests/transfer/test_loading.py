"""Pretrained weights into models: whole, mapped, allowed to differ or refused; never a part without a word."""

import re
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision import models

from trainkit.checkpoint.weights import Misfit
from trainkit.errors import ConfigError
from trainkit.transfer import Pretrained, load_pretrained, replace_heads


def net(inputs: int = 3, hidden: int = 4, outputs: int = 2) -> nn.Sequential:
    parts = {"stem": nn.Linear(inputs, hidden), "norm": nn.BatchNorm1d(hidden), "fc": nn.Linear(hidden, outputs)}
    return nn.Sequential(OrderedDict(parts))


def filled(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return tensors for a model that no initialisation gives."""
    state = model.state_dict()
    for number, (name, value) in enumerate(state.items()):
        state[name] = torch.full_like(value, number + 3)
    return state


def load(model: nn.Module, tensors, **options):
    return load_pretrained(model, Pretrained("x.pt", tensors), **options)


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def refused(model: nn.Module, tensors, told: str, **options) -> str:
    """Hold that a load is refused with words, and that the model is left as it was."""
    before = snapshot(model)
    with pytest.raises(ConfigError, match=told) as error:
        load(model, tensors, **options)
    assert same(before, model.state_dict())
    return str(error.value)


# ---------------------------------------------------------------------- whole


def test_weights_that_fit_are_loaded_whole_buffers_included() -> None:
    model, tensors = net(), filled(net())
    report = load(model, tensors)
    assert same(model.state_dict(), tensors)
    assert report.matched == {name: name for name in tensors}
    assert report.total == len(tensors)
    assert [report.missing, report.unexpected, report.mismatched, report.fresh, report.left_out] == [[]] * 5


def test_dtype_device_and_objects_stay_the_models() -> None:
    model = net().to(torch.bfloat16)
    before = dict(model.named_parameters())
    load(model, filled(net()))
    assert all(value is before[name] for name, value in model.named_parameters())
    assert model.stem.weight.dtype == torch.bfloat16
    assert model.stem.weight.flatten()[0] == 3


def test_tied_weights_stay_tied_and_two_values_for_one_are_refused() -> None:
    def tied() -> nn.ModuleDict:
        model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "out": nn.Linear(3, 5, bias=False)})
        model["out"].weight = model["embed"].weight
        return model

    model = tied()
    report = load(model, {"embed.weight": torch.ones(5, 3)})
    assert model["out"].weight is model["embed"].weight
    assert model["out"].weight.sum() == 15
    assert not report.fresh
    tensors = {"embed.weight": torch.ones(5, 3), "out.weight": torch.zeros(5, 3)}
    refused(tied(), tensors, "weights.source=x.pt: .*are one tensor in the model, but two there")


@pytest.mark.parametrize("prefixes", [("module.",), ("_orig_mod.",), ("model.",), ("module.", "_orig_mod.")])
def test_what_wrappers_put_before_names_is_taken_off(prefixes: tuple[str, ...]) -> None:
    model, tensors = net(), filled(net())
    report = load(model, {"".join(prefixes) + name: value for name, value in tensors.items()})
    assert same(model.state_dict(), tensors)
    assert set(report.prefixes) == set(prefixes)


def test_batches_that_old_files_did_not_count_may_be_missing() -> None:
    model, tensors = net(), filled(net())
    del tensors["norm.num_batches_tracked"]
    report = load(model, tensors)
    assert report.fresh == []
    assert model.norm.num_batches_tracked == 0
    assert len(report.matched) == report.total - 1


def test_a_lazy_model_takes_the_shapes_of_the_file() -> None:
    model = nn.Sequential(nn.LazyLinear(2))
    load(model, {"0.weight": torch.ones(2, 7), "0.bias": torch.ones(2)})
    assert model(torch.ones(1, 7)).tolist() == [[8.0, 8.0]]


# ---------------------------------------------------------------------- misfits


def test_a_missing_tensor_is_an_error() -> None:
    tensors = filled(net())
    del tensors["norm.running_mean"]
    text = refused(net(), tensors, "^weights.source=x.pt: the weights do not fit the model: 1 missing; 7 of 8 names")
    assert re.search(r"norm\.running_mean +- +4", text)


def test_a_tensor_too_many_is_an_error() -> None:
    refused(net(), filled(net()) | {"extra": torch.ones(1)}, "do not fit the model: 1 unexpected; 8 of 8 names fit")


def test_a_tensor_of_another_shape_is_an_error_with_both_shapes() -> None:
    text = refused(net(inputs=5), filled(net()), "do not fit the model: 1 of another shape; 7 of 8 names fit")
    assert re.search(r"stem\.weight +4x3 +4x5", text)


def test_lengths_that_alone_differ_are_told_to_whoever_knows_the_config() -> None:
    with pytest.raises(Misfit) as error:
        load(net(hidden=6), filled(net()), allow=["fc"])
    assert error.value.sizes == {(4, 6)}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.ones(4, 3, dtype=torch.int8), "int8 +float32"),
        (torch.ones(4, 3, dtype=torch.complex64), "complex64 +float32"),
        (torch.full((4, 3), float("nan")), "not finite +4x3"),
        (torch.full((4, 3), float("inf")), "not finite +4x3"),
    ],
)
def test_numbers_that_cannot_become_weights_are_an_error(value: torch.Tensor, told: str) -> None:
    text = refused(net(), filled(net()) | {"stem.weight": value}, "1 of another shape")
    assert re.search(rf"stem\.weight +{told}", text)
    report = load(net(), filled(net()) | {"stem.weight": value}, allow=["stem.weight"])
    assert report.fresh == ["stem.weight"]


def test_names_near_each_other_are_shown_where_shapes_agree() -> None:
    tensors = filled(net())
    tensors["stm.weight"] = tensors.pop("stem.weight")
    text = refused(net(), tensors, "1 missing, 1 unexpected")
    assert re.search(r"stem\.weight .*near stm\.weight", text)
    assert re.search(r"stm\.weight .*near stem\.weight", text)


def test_weights_of_another_network_are_called_so() -> None:
    model = models.resnet18()
    state = models.mobilenet_v3_small().state_dict()
    state["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    refused(model, state, r"these are weights of another network: 1 of 102 names fit \(")
    text = refused(model, state, "another network", allow=["conv1"])
    assert len(text.splitlines()) <= 8
    assert "by_position" not in text


def test_a_larger_network_of_the_family_is_no_partial_load() -> None:
    refused(models.resnet18(), models.resnet34().state_dict(), r"\d+ unexpected; 102 of 102 names fit")
    refused(models.resnet34(), models.resnet18().state_dict(), r"\d+ missing; 102 of 182 names fit")


def test_nothing_at_all_is_an_error_whatever_is_allowed() -> None:
    refused(net(), {"a": torch.ones(3)}, "another network: 0 of 8 names fit", allow=["*"])
    counts = {"norm.num_batches_tracked": torch.tensor(3)}
    refused(net(), counts, "another network: 0 of 8 names fit", allow=["*"])
    refused(net(), {}, "0 of 8", allow=["*"])


def test_a_prefix_that_would_fit_is_proposed() -> None:
    tensors = {f"net.backbone.{name}": value for name, value in filled(net()).items()} | {"queue": torch.ones(2)}
    refused(net(), tensors, r"weights\.prefix=net\.backbone\. would fit 8 of 8$")
    model = nn.ModuleDict({"body": net()})
    refused(model, filled(net()), re.escape('weights.rename={"*": "body.*"} would fit 8 of 8') + "$")
    tensors = {f"encoder.{name}": value for name, value in filled(net()).items()}
    refused(model, tensors, re.escape('weights.rename={"encoder.*": "body.*"} would fit 8 of 8') + "$")


def test_a_head_that_alone_differs_is_said_to_be_one() -> None:
    told = r"2 of another shape; 6 of 8 .*\n.*\n.*\n.*\nonly the last layer differs: head .* weights.allow=\[fc\]"
    refused(net(outputs=5), filled(net()), told)
    text = refused(net(hidden=5), filled(net()), "another network: 1 of 8 names fit")
    assert "only the last layer" not in text


def test_images_of_another_size_are_told_by_their_positions() -> None:
    small, large = (models.VisionTransformer(size, 8, 1, 2, 16, 16, num_classes=2) for size in (16, 32))
    refused(
        large, small.state_dict(), "1 of another shape.*\n.*\n.*pos_embedding.*\nthey were made for images of another"
    )


def test_order_that_agrees_is_proposed() -> None:
    refused(
        net(),
        anonymous(net()),
        "another network.*\n(.*\n)+all shapes agree in order: weights.by_position=true would fit$",
    )


# ---------------------------------------------------------------------- what may differ


def test_what_is_allowed_stays_as_initialised_and_is_reported() -> None:
    model, tensors = net(outputs=5), filled(net()) | {"teacher.a": torch.ones(1)}
    before = snapshot(model)
    report = load(model, tensors, allow=["fc.*", "teacher"])
    assert report.fresh == ["fc.weight", "fc.bias"]
    assert report.mismatched == [("fc.weight", "2x4", "5x4"), ("fc.bias", "2", "5")]
    assert report.unexpected == ["teacher.a"]
    assert torch.equal(model.fc.weight, before["fc.weight"])
    assert torch.equal(model.stem.weight, tensors["stem.weight"])
    del tensors["stem.bias"]
    report = load(model, tensors, allow=["fc.*", "teacher", "stem.bias"])
    assert report.missing == ["stem.bias"]


def test_a_pattern_means_all_of_a_name_or_a_whole_module() -> None:
    tensors = filled(net(outputs=5))
    for pattern in ("f", "c.weight", "fc.w*", "fc.weigh?", "FC.*"):
        with pytest.raises(ConfigError):
            load(net(), tensors, allow=[pattern])
    for pattern in ("fc", "f?.*", "*", "fc.*"):
        assert load(net(), tensors, allow=[pattern]).fresh == ["fc.weight", "fc.bias"]


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    told = r"^weights\.allow=fcc\.\*: matches no tensor of the model and none of the file\. Did you mean 'fc\.\*'\?$"
    refused(net(), filled(net()), told, allow=["fcc.*"])


def test_a_replaced_head_may_differ_and_nothing_else() -> None:
    model = net()
    heads = replace_heads(model, 7, init="zero")
    report = load(model, filled(net()), heads=heads)
    assert report.fresh == ["fc.weight", "fc.bias"]
    assert (report.heads, model.fc.weight.count_nonzero()) == ([], 0)
    tensors = filled(net())
    del tensors["fc.weight"], tensors["fc.bias"]
    assert load(model, tensors, heads=heads).missing == ["fc.weight", "fc.bias"]
    del tensors["stem.bias"]
    refused(model, tensors, "1 missing; 5 of 6 names fit", heads=heads)


def test_a_head_with_a_dropout_before_it_leaves_the_old_one_over() -> None:
    model = net()
    heads = replace_heads(model, 7, dropout=0.5)
    report = load(model, filled(net()), heads=heads)
    assert report.fresh == ["fc.1.weight", "fc.1.bias"]
    assert report.unexpected == ["fc.weight", "fc.bias"]


def test_a_replaced_head_that_happens_to_fit_stays_new_and_is_said_to() -> None:
    model = net()
    heads = replace_heads(model, 2, init="zero")
    report = load(model, filled(net()), heads=heads)
    assert (report.heads, report.anew, report.fresh) == ([], ["fc"], ["fc.weight", "fc.bias"])
    assert model.fc.weight.count_nonzero() == 0
    assert model.stem.weight.flatten()[0] == 3
    assert "heads made anew    1  fc (head.outputs=null takes the file's)" in str(report)
    assert report.as_dict()["heads_made_anew"] == ["fc"]


def test_a_head_of_the_same_classes_is_loaded_whole_or_not_at_all() -> None:
    model = net()
    heads = replace_heads(model, 2, init="zero")
    report = load(model, filled(net()), heads=heads, keep_heads=True)
    assert (report.heads, report.anew, report.fresh) == (["fc"], [], [])
    assert model.fc.weight.count_nonzero() == 8
    heads = replace_heads(model, 2, init="zero")
    tensors = filled(net()) | {"fc.weight": torch.ones(2, 9)}  # its bias alone would fit
    report = load(model, tensors, heads=heads, keep_heads=True)
    assert set(report.fresh) == {"fc.weight", "fc.bias"}
    assert (report.heads, report.anew, model.fc.bias.count_nonzero()) == ([], [], 0)
    assert "fc.bias" not in report.matched


# ---------------------------------------------------------------------- names


def test_a_prefix_chooses_a_part_of_the_file() -> None:
    tensors = filled(net())
    given = {f"encoder.{name}": value for name, value in tensors.items()} | {"queue": torch.ones(4)}
    for prefix in ("encoder.", "encoder"):
        model = net()
        report = load(model, given, prefix=prefix)
        assert same(model.state_dict(), tensors)
        assert report.left_out == ["queue"]
        assert report.matched["stem.weight"] == "encoder.stem.weight"
    given = {f"module.{name}": value for name, value in given.items()}
    assert load(net(), given, prefix="encoder.").left_out == ["module.queue"]


def test_a_prefix_of_no_name_is_refused() -> None:
    given = {f"encoder.{name}": value for name, value in filled(net()).items()}
    refused(net(), given, r"^weights\.prefix=encodr\.: .*Did you mean 'encoder\.'\?$", prefix="encodr.")
    refused(net(), given, r"They begin with encoder\.$", prefix="xyz")


def test_names_are_made_anew_by_globs_and_by_paths() -> None:
    tensors = filled(net())
    for rules in (
        {"a.stem.*": "stem.*", "a.norm.*": "norm.*", "a.fc.*": "fc.*"},
        {"a.*.*": "*.*"},
        {"a": ""},
        {"a.": ""},
        {"a.????.weight": "????.weight", "a.*": "*"},
        {"a.stem": "stem", "a.fc.weight": "fc.weight", "a.*": "*"},
    ):
        model = net()
        report = load(model, {f"a.{name}": value for name, value in tensors.items()}, rename=rules)
        assert same(model.state_dict(), tensors), rules
        assert report.matched["fc.bias"] == "a.fc.bias"


def test_the_first_rule_wins_and_wildcards_repeat_in_order() -> None:
    model = nn.ModuleDict({"b": nn.ModuleDict({"x": nn.Linear(1, 1), "y": nn.Linear(1, 1)})})
    given = {"x.0.weight": torch.tensor([[5.0]]), "x.0.bias": torch.tensor([6.0])}
    given |= {"y.0.weight": torch.tensor([[7.0]]), "y.0.bias": torch.tensor([8.0])}
    load(model, given, rename={"?.0.*": "b.?.*"})
    assert [model["b"][n].weight.item() for n in "xy"] == [5.0, 7.0]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            {"encodr.*": "*"},
            r"^weights\.rename\.encodr\.\*: matches no name in the file\. Did you mean 'encoder\.\*'\?$",
        ),
        ({"*": "*", "encoder": ""}, r"weights\.rename\.encoder: matches no name in the file \(an earlier rule"),
        ({"encoder.*": "*.*"}, r"weights\.rename\.encoder\.\*=\*\.\*: has more wildcards than"),
        ({"encoder.*": "one"}, r"weights\.rename: .*stem\.weight and encoder\.stem\.bias would both become one"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rules: dict[str, str], told: str) -> None:
    refused(net(), {f"encoder.{name}": value for name, value in filled(net()).items()}, told, rename=rules)


def test_modules_that_know_their_old_names_are_asked() -> None:
    model, old = (models.VisionTransformer(16, 8, 2, 2, 16, 16, num_classes=2) for _ in range(2))
    tensors = filled(old)
    renames = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}
    given = {}
    for name, value in tensors.items():
        for new, past in renames.items():
            name = name.replace(new, past)
        given[name] = value
    assert given.keys() != tensors.keys()
    report = load(model, given)
    assert same(model.state_dict(), tensors)
    name = "encoder.layers.encoder_layer_0.mlp.0.weight"
    assert report.matched[name] == name.replace("mlp.0", "mlp.linear_1")
    heads = replace_heads(model, 9)
    assert load(model, given, heads=heads).fresh == ["heads.head.weight", "heads.head.bias"]


def test_a_hook_for_old_names_is_asked_too_and_changes_nothing_if_it_does_not_help() -> None:
    class Moved(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.register_load_state_dict_pre_hook(self.known)

        @staticmethod
        def known(module, state, prefix, *rest) -> None:
            for name in ("weight", "bias"):
                if f"{prefix}old_{name}" in state:
                    state[f"{prefix}{name}"] = state.pop(f"{prefix}old_{name}")

    model = nn.ModuleDict({"a": Moved(), "b": Moved()})
    given = {f"{part}.old_weight": torch.ones(2, 2) for part in "ab"}
    given |= {f"{part}.old_bias": torch.ones(2) for part in "ab"}
    report = load(model, given)
    assert model["b"].weight.sum() == 4
    assert report.matched["b.bias"] == "b.old_bias"
    refused(model, {"a.old_weight": torch.ones(2, 2)}, "missing")


def test_densenets_of_torchvision_are_known_by_their_names_of_2017() -> None:
    model = models.DenseNet(4, (2, 2), 8)
    tensors = filled(model)
    given = {
        re.sub(r"(denselayer\d\.(?:norm|conv))([12])\.", r"\1.\2.", name): value for name, value in tensors.items()
    }
    assert given.keys() != tensors.keys()
    load(model, given)
    assert same(model.state_dict(), tensors)


def test_mnasnet_which_insists_on_a_version_takes_weights_without_one() -> None:
    model = models.mnasnet0_5()
    tensors = dict(filled(model))
    load(model, tensors)
    assert same(model.state_dict(), tensors)


@pytest.mark.parametrize("entry", ["GoogLeNet_Weights.IMAGENET1K_V1", "Inception_V3_Weights.IMAGENET1K_V1"])
def test_networks_that_convert_their_inputs_must_be_told_to(entry: str) -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    weights = Pretrained(entry, model.state_dict())
    model.transform_input = False
    with pytest.raises(ConfigError, match=rf"^weights\.source={entry}: .*model\.transform_input=true"):
        load_pretrained(model, weights)
    model.transform_input = True
    load_pretrained(model, weights)


# ---------------------------------------------------------------------- by position


def anonymous(model: nn.Module) -> dict[str, torch.Tensor]:
    tensors = (value for name, value in filled(model).items() if not name.endswith("num_batches_tracked"))
    return {f"p{number}": value for number, value in enumerate(tensors)}


def test_by_position_names_mean_nothing_and_shapes_must_agree() -> None:
    model = models.resnet18(num_classes=5)
    tensors = anonymous(model)
    report = load(model, tensors, by_position=True)
    own = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert same(dict(enumerate(own.values())), dict(enumerate(tensors.values())))
    assert len(report.matched) == report.total == 102
    assert report.matched["conv1.weight"] == "p0"


def test_by_position_the_head_may_differ_or_be_absent() -> None:
    model = models.resnet18(num_classes=5)
    tensors = anonymous(models.resnet18(num_classes=9))
    heads = replace_heads(model, 5, init="zero")
    for given in (tensors, dict(list(tensors.items())[:-2])):
        report = load(model, given, by_position=True, heads=heads)
        assert report.fresh == ["fc.weight", "fc.bias"]
        assert model.fc.weight.count_nonzero() == 0
        assert model.layer4[1].bn2.running_var[0] == tensors["p99"][0]
    told = r"^weights\.by_position=true: tensor 101 of 102 is p100 \(9x512\) in the file and fc\.weight \(5x512\)"
    text = refused(model, tensors, told, by_position=True)
    assert text.endswith("\nonly the last layer differs: head.outputs=${data.outputs} replaces it by a new one")
    tensors["p0"] = tensors["p0"][:1]
    assert "only the last" not in refused(model, tensors, "tensor 1 of 102", by_position=True)


def test_by_position_another_number_of_tensors_is_refused() -> None:
    model = models.resnet18()
    refused(model, anonymous(models.resnet34()), r"the file has 182 tensors and the model 102, num_b", by_position=True)
    heads = replace_heads(model, 5)
    told = "the file has 182 tensors and the model 102, 100 without its heads"
    refused(model, anonymous(models.resnet34()), told, by_position=True, heads=heads)
    told = "weights.rename has no meaning with it"
    refused(model, anonymous(model), told, by_position=True, rename={"a": "b"})


# ---------------------------------------------------------------------- the report


def test_the_report_is_a_short_table_and_plain_values() -> None:
    model = net(outputs=5)
    given = {f"module.{name}": value for name, value in filled(net()).items()} | {"module.old": torch.ones(1)}
    report = load(model, given, allow=["fc", "old"])
    renamed = ", ".join(f"{name} from module.{name}" for name in ("stem.weight", "stem.bias", "norm.weight"))
    assert str(report).splitlines() == [
        "weights of x.pt: 7 of 9 tensors loaded",
        f"  matched                7  {renamed} and 4 more",
        "  newly initialised      2  fc.weight, fc.bias",
        "  of another shape       2  fc.weight 2x4 (model 5x4), fc.bias 2 (model 5)",
        "  left over in the file  1  module.old",
        "  taken off the names    1  module.",
    ]
    assert report.markdown().splitlines()[4].startswith("| matched | 7 | ")
    assert report.as_dict() == {
        "source": "x.pt",
        "total": 9,
        "matched": 7,
        "newly_initialised": ["fc.weight", "fc.bias"],
        "missing": [],
        "mismatched": [["fc.weight", "2x4", "5x4"], ["fc.bias", "2", "5"]],
        "unexpected": ["module.old"],
        "left_out": 0,
        "heads_loaded": [],
        "heads_made_anew": [],
    }
