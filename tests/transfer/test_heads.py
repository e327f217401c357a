"""New heads on every classifier of torchvision, on timm's where it is installed, and on modules named by path."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import regnet

from trainkit.errors import ConfigError
from trainkit.transfer import find_heads, replace_heads

CLASSIFIERS = models.list_models(module=models)
LAST = {
    "alexnet": "classifier.6",
    "convnext": "classifier.2",
    "densenet": "classifier",
    "efficientnet": "classifier.1",
    "googlenet": "fc",
    "inception": "fc",
    "maxvit": "classifier.5",
    "mnasnet": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3": "classifier.3",
    "regnet": "fc",
    "resnet": "fc",
    "resnext": "fc",
    "shufflenet": "fc",
    "squeezenet": "classifier.1",
    "swin": "head",
    "vgg": "classifier.6",
    "vit": "heads.head",
    "wide": "fc",
}
MORE = {"googlenet": ["aux1.fc2", "aux2.fc2"], "inception_v3": ["AuxLogits.fc"]}


@pytest.fixture
def on_meta(monkeypatch) -> Iterator[None]:
    """Build networks of any size without memory; RegNet computes its widths with tensors, which need contents."""
    widths = regnet.BlockParams.from_init_params.__func__

    def on_cpu(cls, *arguments, **options):
        with torch.device("cpu"):
            return widths(cls, *arguments, **options)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", classmethod(on_cpu))
    with torch.device("meta"):
        yield


def seen_by(model: nn.Module, name: str = "") -> torch.Tensor:
    side = 299 if name.startswith("inception") else 224
    with torch.no_grad():
        return model.eval()(torch.empty(2, 3, side, side, device=next(model.parameters()).device))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_of_torchvision_gets_a_head(name: str, on_meta) -> None:
    options = {"init_weights": False} if name in MORE else {}
    model = models.get_model(name, weights=None, **options)
    before = dict(model.named_parameters())
    heads = replace_heads(model, 7)
    main = next(path for start, path in LAST.items() if name.startswith(start))
    assert heads == [main, *MORE.get(name, [])]
    after = dict(model.named_parameters())
    changed = {key for key in before if after[key] is not before[key]}
    assert before.keys() == after.keys()  # the bias of MaxViT, that has none, did not appear
    assert {key.rpartition(".")[0] for key in changed} == set(heads)
    assert seen_by(model, name).shape == (2, 7)


def test_there_are_as_many_classifiers_as_are_known() -> None:
    assert len(CLASSIFIERS) >= 80


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_0", "vit_b_32", "densenet121", "efficientnet_b0"])
def test_a_dropout_stands_before_the_head(name: str, on_meta) -> None:
    model = models.get_model(name, weights=None)
    count = sum(isinstance(module, nn.Dropout) for module in model.modules())
    (head,) = replace_heads(model, 7, dropout=0.45)
    layer = model.get_submodule(head)
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert rates.count(0.45) == 1
    own = name in ("squeezenet1_0", "efficientnet_b0")  # which have one there already
    assert len(rates) == count + (not own)
    assert isinstance(layer, nn.Linear | nn.Conv2d) == own
    assert seen_by(model).shape == (2, 7)


def test_a_dropout_elsewhere_keeps_its_rate() -> None:
    model = nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 4))
    assert replace_heads(model, 2, dropout=0.5) == ["3"]
    assert model[0].p == 0.1
    assert (type(model[3][0]), model[3][0].p, type(model[3][1])) == (nn.Dropout, 0.5, nn.Linear)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [lambda b: nn.Linear(5, 3, bias=b), lambda b: nn.Conv2d(5, 3, 1, bias=b)])
def test_a_new_layer_is_like_the_old_one(make, bias: bool) -> None:
    old = make(bias)
    model = nn.Sequential(nn.Identity(), old).to(torch.bfloat16).eval()
    replace_heads(model, 11, init="zero", dropout=0.2)
    new = model[1][1]
    assert type(new) is type(old)
    assert new.weight.shape == (11, *old.weight.shape[1:])
    assert (new.bias is not None) == bias
    assert new.weight.dtype == torch.bfloat16
    assert not any(module.training for module in model.modules())


def test_a_convolution_keeps_its_geometry() -> None:
    model = nn.ModuleDict({"last": nn.Conv2d(4, 2, 3, stride=2, padding=1, dilation=2, padding_mode="reflect")})
    replace_heads(model, 5, name="last")
    new = model["last"]
    assert (new.in_channels, new.out_channels, new.kernel_size) == (4, 5, (3, 3))
    assert (new.stride, new.padding, new.dilation, new.padding_mode) == ((2, 2), (1, 1), (2, 2), "reflect")


def test_initial_weights_are_as_asked() -> None:
    expected = {"normal": 0.01, "kaiming": (2 / 400) ** 0.5, "xavier": (2 / (400 + 300)) ** 0.5}
    for init in ("default", "zero", "normal", "kaiming", "xavier"):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(400, 2))
        replace_heads(model, 300, init=init)
        weight, bias = model[0].weight.detach(), model[0].bias.detach()
        if init == "default":
            assert weight.abs().max() <= 1 / 20
            assert float(weight.std()) == pytest.approx(1 / 20 / 3**0.5, rel=0.02)
            assert bias.abs().max() > 0
        else:
            assert bias.count_nonzero() == 0
            assert float(weight.std()) == pytest.approx(expected.get(init, 0.0), rel=0.02)
    assert weight.abs().max() <= (6 / 700) ** 0.5  # uniform, as Glorot's is


def test_one_seed_gives_one_head() -> None:
    weights = []
    for _ in range(2):
        model = nn.Sequential(nn.Linear(4, 2))
        torch.manual_seed(7)
        replace_heads(model, 3)
        weights.append(model[0].weight)
    assert torch.equal(*weights)


def two_heads() -> nn.Module:
    parts = {"body": nn.Linear(3, 4), "color": nn.Linear(4, 2), "shape": nn.Sequential(nn.ReLU(), nn.Linear(4, 2))}
    return nn.ModuleDict(parts)


def test_several_heads_are_named_in_a_list_or_with_their_outputs() -> None:
    model = two_heads()
    assert replace_heads(model, 6, name=["color", "shape.1"]) == ["color", "shape.1"]
    assert (model["color"].out_features, model["shape"][1].out_features) == (6, 6)
    assert replace_heads(model, name={"color": 3, "shape.1": 9}) == ["color", "shape.1"]
    assert (model["color"].out_features, model["shape"][1].out_features) == (3, 9)
    assert model["body"].out_features == 4


def test_an_auxiliary_classifier_of_other_outputs_is_none() -> None:
    model = nn.ModuleDict({"aux": nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 7)), "fc": nn.Linear(3, 5)})
    assert find_heads(model) == ["fc"]
    model["aux"][1] = nn.Linear(5, 5)
    assert find_heads(model) == ["fc", "aux.1"]


def test_what_cannot_be_last_is_not_found() -> None:
    attention = nn.MultiheadAttention(4, 2)
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, groups=2), attention)
    assert find_heads(model) == ["0"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fcc", r"head\.name=fcc: the model has no such layer\. Did you mean 'fc'\?"),
        ("classifier.6", r"no such layer\..*It has fc, "),
        ("layer4", r"is a Sequential, not a Linear or convolution\. Did you mean 'layer4\.1\.conv2'\?"),
        ("", "the model has no such layer"),
    ],
)
def test_a_head_that_does_not_exist_is_refused_with_the_near_name(name: str, told: str) -> None:
    model = models.resnet18()
    before = dict(model.named_modules())
    with pytest.raises(ConfigError, match=told) as error:
        replace_heads(model, 3, name=["fc", name])
    assert "\n" not in str(error.value)
    assert dict(model.named_modules()) == before


def test_wrong_sizes_and_words_are_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    old = model[0]
    for options, told in [
        ({"outputs": 0}, r"head\.outputs=0: must be a whole number, at least 1"),
        ({"outputs": True}, r"head\.outputs=True"),
        ({"outputs": 2.0}, r"head\.outputs=2\.0"),
        ({}, r"head\.outputs: not given"),
        ({"name": {"0": 0}}, r"head\.name\.0=0"),
        ({"outputs": 2, "init": "norml"}, r"head\.init=norml: unknown\. Did you mean 'normal'\?"),
        ({"outputs": 2, "dropout": 1.0}, r"head\.dropout=1\.0: must be a probability"),
        ({"outputs": 2, "dropout": True}, r"head\.dropout=True"),
        ({"outputs": 2, "name": []}, r"head\.name: names no layer"),
    ]:
        with pytest.raises(ConfigError, match=told):
            replace_heads(model, **options)
    assert model[0] is old


def test_a_model_without_a_last_layer_says_so() -> None:
    with pytest.raises(ConfigError, match=r"no Linear or 1x1 convolution was found in the model \(Sequential\)"):
        find_heads(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()))
    with pytest.raises(ConfigError, match="It has no Linear and no convolution"):
        replace_heads(nn.Sequential(nn.ReLU()), 3, name="0.x")


def test_a_shared_weight_is_not_torn_apart() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    with pytest.raises(ConfigError, match=r"head\.name=head: shares its weight with embed\.weight"):
        replace_heads(model, 4)
    assert model["head"].out_features == 5


def test_a_convolution_in_groups_is_refused_before_anything_is_replaced() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Conv2d(4, 4, 1, groups=2)})
    with pytest.raises(ConfigError, match="2 groups"):
        replace_heads(model, name={"a": 5, "b": 6})
    assert model["a"].out_features == 2


def test_a_lazy_layer_stays_lazy() -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    with pytest.raises(ConfigError, match="only default works"):
        replace_heads(model, 3, init="zero")
    replace_heads(model, 3)
    assert model(torch.zeros(2, 5, 2)).shape == (2, 3)


def test_the_models_own_note_of_its_classes_stays_true() -> None:
    model = models.squeezenet1_1()
    assert model.num_classes == 1000
    replace_heads(model, 7)
    assert model.num_classes == 7


def _timm():
    return pytest.importorskip("timm", reason="timm is an optional extra")


@pytest.mark.parametrize("classes", [1000, 0])
@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("resnet18", ["fc"]),
        ("tf_efficientnet_lite0", ["classifier"]),
        ("mobilenetv3_small_050", ["classifier"]),
        ("vit_tiny_patch16_224", ["head"]),
        ("deit_tiny_distilled_patch16_224", ["head", "head_dist"]),
        ("swin_tiny_patch4_window7_224", ["head.fc"]),
        ("convnext_atto", ["head.fc"]),
        ("volo_d1_224", ["head", "aux_head"]),
        ("efficientvit_m0", ["head.linear"]),
        ("levit_128s", ["head.linear"]),
        ("vgg11", ["head.fc"]),
        ("dla34", ["fc"]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_timms_models_get_heads_also_where_theirs_were_taken_off(name: str, heads: list[str], classes: int) -> None:
    timm = _timm()
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False, num_classes=classes)
        assert [path for path in replace_heads(model, 7) if "head_dist.l" not in path][: len(heads)] == heads
    assert seen_by(model).shape == (2, 7)
    assert model.num_classes == 7


@pytest.mark.filterwarnings("ignore")
def test_a_head_that_timm_makes_is_of_the_models_dtype_and_mode() -> None:
    model = _timm().create_model("resnet10t", num_classes=0).to(torch.bfloat16).eval()
    (head,) = replace_heads(model, 3, init="zero")
    assert model.get_submodule(head).weight.dtype == torch.bfloat16
    assert model.get_submodule(head).weight.count_nonzero() == 0
    assert not model.get_submodule(head).training
