"""Low-rank adapters: what they compute, which names they add, and that merging them changes nothing."""

import copy

import pytest
import torch
from torch import nn

import trainkit
from trainkit.checkpoint import Store
from trainkit.errors import ConfigError
from trainkit.recipes.adapters import AdaptedConv2d, AdaptedLinear, adapted, main, merged
from trainkit.recipes.models import CNN, MLP

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def stirred(model):
    """Give the adapters values other than zero, as training does."""
    for name, parameter in model.named_parameters():
        if "adapter" in name:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


class Convolutions(nn.Module):
    """Every kind of convolution that can have an adapter, and one that cannot."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.Conv2d(4, 6, (1, 3), padding="same", dilation=2, bias=False),
            nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular"),
            nn.Conv2d(6, 6, 3, padding=1, groups=3),
            nn.Conv2d(6, 5, 1),
            nn.Flatten(),
        )

    def forward(self, images):
        return self.layers(images)


MODELS = {
    "mlp": lambda: MLP(64, [16, 8], 5),
    "cnn": lambda: CNN(1, 5, channels=(4, 8)),
    "convolutions": Convolutions,
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False)),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@each_model
def test_nothing_is_changed_at_first_and_names_stay(make):
    model = make().eval()
    before, names = model(IMAGES), list(model.state_dict())
    model = adapted(model, rank=2)
    assert torch.equal(model(IMAGES), before)
    added = set(model.state_dict()) - set(names)
    assert added
    assert set(model.state_dict()) - added == set(names)
    assert {name.rsplit(".", 1)[-1] for name in added} == {"adapter_down", "adapter_up", "adapter_scale"}


@each_model
def test_merged_weights_compute_the_same_in_the_plain_network(make):
    torch.manual_seed(0)
    model = stirred(adapted(make(), rank=3, alpha=5.0))
    assert (model(IMAGES) - make().eval()(IMAGES)).abs().max() > 0.1
    state = copy.deepcopy(model.state_dict())
    plain = make().eval()
    plain.load_state_dict(merged(state), strict=True)
    assert not any(isinstance(module, AdaptedLinear | AdaptedConv2d) for module in plain.modules())
    assert (plain(IMAGES) - model(IMAGES)).abs().max() < 1e-5
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_change_is_that_of_the_paper():
    torch.manual_seed(0)
    layer = nn.Linear(7, 5)
    model = stirred(adapted(copy.deepcopy(layer), rank=2, alpha=6.0))
    assert isinstance(model, AdaptedLinear)
    assert (model.adapter_down.shape, model.adapter_up.shape) == ((2, 7), (5, 2))
    inputs = torch.rand(3, 7)
    weight = layer.weight + 6.0 / 2 * model.adapter_up @ model.adapter_down
    assert torch.allclose(model(inputs), inputs @ weight.T + layer.bias, atol=1e-6)
    assert torch.linalg.matrix_rank(merged(model.state_dict())["weight"] - layer.weight, rtol=1e-3) == 2


def test_patterns_say_what_is_adapted():
    model = adapted(CNN(1, 5, channels=(4, 8)), match=["encoder.stages.1.*", "head.*"], skip=["*.1.3"])
    found = [name for name, module in model.named_modules() if isinstance(module, AdaptedLinear | AdaptedConv2d)]
    assert found == ["encoder.stages.1.0", "head.linear"]


def test_a_layer_at_two_places_stays_one_layer():
    shared = nn.Linear(4, 4)
    plain = copy.deepcopy(nn.Sequential(shared, nn.ReLU(), shared))
    model = adapted(nn.Sequential(shared, nn.ReLU(), shared))
    assert model[0] is model[2]
    assert len(list(model.parameters())) == 4
    stirred(model)
    inputs = torch.rand(3, 4)
    plain.load_state_dict(merged(model.state_dict()))
    assert torch.allclose(plain(inputs), model(inputs), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"match": "encodre.*"}, r"model\.match=encodre\.\*: matches no linear layer.*Did you mean 'encoder"),
        ({"match": "encoder.stages.0.1"}, r"model\.match=encoder\.stages\.0\.1: matches no"),  # a BatchNorm
        ({"skip": ["haed.*"]}, r"model\.skip=haed\.\*: matches no"),
        ({"skip": ["*"]}, r"model\.skip: leaves no layer"),
        ({"rank": 0}, r"model\.rank=0: must be a whole number"),
        ({"rank": 2.5}, r"model\.rank=2\.5: must be a whole number"),
    ],
)
def test_wrong_patterns_and_ranks_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        adapted(CNN(1, 5, channels=(4, 8)), **options)


def test_layers_whose_weights_are_read_without_a_call_are_refused():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(ConfigError, match=r"layers\.0\.linear1 is inside a TransformerEncoderLayer.*would do nothing"):
        adapted(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False))
    with pytest.raises(ConfigError, match=r"matches no linear layer"):
        adapted(nn.MultiheadAttention(8, 2))


def test_only_the_adapters_train_and_a_resume_goes_on_exactly(tmp_path):
    images, labels = torch.rand(64, 1, 8, 8), torch.arange(64) % 3

    def trainer(folder, epochs):
        torch.manual_seed(1)
        model = adapted(CNN(1, 3, channels=(4, 8), dropout=0.1), rank=2)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("adapter" in name)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        loader = trainkit.Loader(torch.utils.data.TensorDataset(images, labels), 16, shuffle=True)
        objective = trainkit.supervised(nn.CrossEntropyLoss())
        store = Store(folder)
        return trainkit.Trainer(model, objective, optimizer, loader, store=store, max_epochs=epochs, device="cpu")

    whole = trainer(tmp_path / "whole", 4)
    before = {name: value.clone() for name, value in whole.model.named_parameters()}
    whole.fit()
    moved = {name for name, value in whole.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "adapter" in name}
    trainer(tmp_path / "half", 2).fit()
    rest = trainer(tmp_path / "half", 4)
    rest.resume(tmp_path / "half" / "last.ckpt")
    rest.fit()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_export_merges_what_a_file_holds(tmp_path, capsys, suffix):
    model = stirred(adapted(CNN(1, 5, channels=(4, 8))))
    torch.save({"model": model.state_dict()}, tmp_path / "run.pt")
    out = tmp_path / f"plain.{suffix}"
    assert main([str(tmp_path / "run.pt"), str(out)]) == 0
    assert "merged" in capsys.readouterr().out
    if suffix == "pt":
        weights = torch.load(out, weights_only=True)
    else:
        weights = pytest.importorskip("safetensors.torch").load_file(out)
    plain = CNN(1, 5, channels=(4, 8)).eval()
    plain.load_state_dict(weights, strict=suffix == "pt")
    assert torch.allclose(plain(IMAGES), model(IMAGES), atol=1e-5)
    torch.save(plain.state_dict(), tmp_path / "plain2.pt")
    with pytest.raises(ConfigError, match="no adapters to merge"):
        main([str(tmp_path / "plain2.pt"), str(tmp_path / "out.pt")])


def test_merging_keeps_the_type_of_the_weights():
    model = stirred(adapted(nn.Linear(4, 4).bfloat16()))
    weights = merged(model.state_dict())
    assert weights.keys() == {"weight", "bias"}
    assert weights["weight"].dtype == torch.bfloat16
