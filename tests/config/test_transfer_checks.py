"""Plans, weights and heads held against the network that they are meant for, before anything is built."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torchvision import models

from trainkit.config.checking import transfer
from trainkit.config.checking.check import _transfers
from trainkit.config.checking.crosschecks import cross_findings
from trainkit.config.checking.fields import Fields
from trainkit.config.checking.freezing import gate_findings
from trainkit.config.composing.compose import compose
from trainkit.config.composing.origins import Origin, Origins
from trainkit.config.targets.trusted import Trusted
from trainkit.errors import ConfigError
from trainkit.findings import Finding

NETWORKS = "trainkit.recipes.networks.torchvision_model"
RESNET = {"_target_": NETWORKS, "name": "resnet18", "outputs": 5}
RESNET_1000 = {"_target_": "torchvision.models.resnet18"}
MOBILENET = {"_target_": NETWORKS, "name": "mobilenet_v3_small", "outputs": 5}
VIT = {"_target_": NETWORKS, "name": "vit_b_16", "outputs": 5}
MLP = {"_target_": "trainkit.recipes.models.MLP", "in_features": 64, "hidden": [32, 16], "out_features": 5}
HEAD, FROZEN = {"match": "@head"}, {"match": "*", "trainable": False}
EXTRACTION = [HEAD, FROZEN]
PICTURES = {"_target_": "trainkit.recipes.data.image_folder", "folder": "images", "preprocessing": "auto"}


def gradual(every: str = "1ep") -> list[dict[str, Any]]:
    return [HEAD, {"match": "*", "thaw_every": every}]


def config(model: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a config of 10 epochs on data of 5 classes; keys such as ``weights__source`` change it."""
    values: dict[str, Any] = {
        "seed": 0,
        "resume": None,
        "model": model,
        "trainer": {"max_epochs": 10, "device": "cpu"},
        "monitor": {"metric": "val/loss", "mode": "min"},
        "data": {"datasets": {"_target_": "trainkit.recipes.data.digits"}, "classes": 5, "outputs": 5, "batch_size": 8},
        "objective": {"_target_": "trainkit.objectives.supervised", "loss": {"_target_": "torch.nn.CrossEntropyLoss"}},
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.01},
        "freeze": {"rules": [], "patience": 3, "min_delta": 0.0},
        "weights": {"source": None, "prefix": None, "rename": {}, "by_position": False, "allow": []},
        "head": {"name": None, "outputs": None, "init": "default", "dropout": None},
    }
    for key, value in changes.items():
        *parents, leaf = key.split("__")
        node = values
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return values


def fields(model: dict[str, Any], raw: dict[str, Any] | None = None, **changes: Any) -> Fields:
    origins = Origins({key.replace("__", "."): Origin(override=f"{key}={value}") for key, value in changes.items()})
    return Fields(config(model, **changes), origins, raw=raw or {})


def found(model: dict[str, Any], **changes: Any) -> list[Finding]:
    """Return what is found, without that torchvision's weights are not in its cache: a machine may have them."""
    known = fields(model, **changes)
    crossed = [finding for finding in cross_findings(known, machine=False) if finding.rule == "unfit-head"]
    told = transfer.transfer_findings(known, Trusted.of({}, [Path.cwd()]))
    return [*crossed, *(finding for finding in told if finding.rule != "not-here-yet")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of networks of 1000 classes, and of an MLP."""
    from safetensors.torch import save_file

    from trainkit.recipes.models import MLP as Network

    folder = tmp_path_factory.mktemp("weights")
    mobilenet = models.mobilenet_v3_small().state_dict()
    torch.save(mobilenet, folder / "mobilenet.pth")
    torch.save({f"backbone.{name}": value for name, value in mobilenet.items()}, folder / "wrapped.pth")
    torch.save(models.resnet18().state_dict(), folder / "resnet18.pth")
    save_file(Network(64, [32, 16], 5).state_dict(), folder / "mlp.safetensors")
    torch.save(Network(64, [32, 16], 7).state_dict(), folder / "mlp7.pt")
    torch.save({str(i): value for i, value in enumerate(mobilenet.values())}, folder / "numbered.pt")
    (folder / "damaged.pt").write_bytes(b"nothing of the kind")
    (folder / "notes.txt").write_text("no weights")
    (folder / "several").mkdir()
    for name in ("one.pt", "two.pt"):
        torch.save({}, folder / "several" / name)
    (folder / "empty").mkdir()
    return folder


def rule(match: Any, **more: Any) -> dict[str, Any]:
    return {"match": match, **more}


FIRST, SECOND = "freeze.rules[0]", "freeze.rules[1]"
PLANS: list[tuple[dict[str, Any], list[Any], str, str, str, str]] = [
    # network, rules, rule of the check, severity, place, words
    (RESNET, [rule("layre4.*")], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean 'layer4.*'?"),
    (RESNET, [rule("layer5")], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean 'layer"),
    (RESNET, [rule("FC.*")], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean 'fc.*'?"),
    (RESNET, [rule("@haed"), FROZEN], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean '@head'?"),
    (RESNET, [rule("type:BatchNrom2d")], "unmatched-rule", "error", f"{FIRST}.match", "'type:BatchNorm2d'?"),
    (RESNET, [rule("type:LayerNorm", norm="eval")], "unmatched-rule", "error", f"{FIRST}.match", "type:Conv2d"),
    (RESNET, [rule("re:layer4")], "unmatched-rule", "none", "", ""),
    (RESNET, [rule("re:layer[56]")], "unmatched-rule", "error", f"{FIRST}.match", "must match a whole name"),
    (RESNET, [rule(["layer4", "layer.3"])], "unmatched-rule", "error", f"{FIRST}.match[1]", "'layer3'?"),
    (RESNET, [rule("classifier.*")], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean '@head'?"),
    (RESNET, [rule("backbone.layre4.*")], "unmatched-rule", "error", f"{FIRST}.match", "Did you mean 'layer4.*'?"),
    (MOBILENET, [rule("stem.*")], "unmatched-rule", "error", f"{FIRST}.match", "The model has features, classifier"),
    (MOBILENET, [rule("feature.*", trainable=False)], "unmatched-rule", "error", f"{FIRST}.match", "'features.*'?"),
    (VIT, [rule("encoder.layer.encoder_layer_11")], "unmatched-rule", "error", f"{FIRST}.match", "encoder.layers."),
    (VIT, [rule("head.*")], "unmatched-rule", "error", f"{FIRST}.match", "'heads.*'?"),
    (VIT, [rule("type:BatchNorm2d")], "unmatched-rule", "error", f"{FIRST}.match", "type:"),
    (VIT, [rule("*.wieght", weight_decay=0.1)], "unmatched-rule", "error", f"{FIRST}.match", "'*.weight'?"),
    (MLP, [rule("relu")], "unmatched-rule", "error", f"{FIRST}.match", "The model has"),
    (RESNET, [FROZEN, HEAD], "hidden-rule", "error", f"{SECOND}.match", f"Put it before {FIRST}"),
    (RESNET, [rule("layer*"), rule("layer4.*", lr=1e-4)], "hidden-rule", "error", f"{SECOND}.match", "(layer*)"),
    (VIT, [rule("*", lr_decay=0.7), rule("type:LayerNorm")], "hidden-rule", "error", f"{SECOND}.match", "first that"),
    (MLP, [rule("*"), rule("*", weight_decay=0.0)], "hidden-rule", "error", f"{SECOND}.match", "belongs to"),
    (RESNET, [FROZEN], "nothing-trains", "error", "freeze.rules", '{match: "@head"}'),
    (MLP, [rule("type:Linear", trainable=False)], "nothing-trains", "error", "freeze.rules", "nothing is left"),
    (RESNET, [rule("*", form=1)], "bad-freeze-rule", "error", f"{FIRST}.form", "Did you mean 'from'? Keys: match"),
    (RESNET, [HEAD, {"trainable": False}], "bad-freeze-rule", "error", f"{SECOND}.match", "must be a glob"),
    (RESNET, [rule("*", **{"from": "3epochs"})], "bad-freeze-rule", "error", f"{FIRST}.from", "or plateau"),
    (RESNET, [rule("*", until="10min")], "bad-freeze-rule", "error", f"{FIRST}.until", "in epochs or steps"),
    (RESNET, [rule("*", lr_decay=75)], "bad-freeze-rule", "error", f"{FIRST}.lr_decay", "from 0 to 1"),
    (RESNET, [rule("*", lr=1e-3, lr_scale=0.1)], "bad-freeze-rule", "error", FIRST, "has both lr and lr_scale"),
    (RESNET, [rule("re:layer(4")], "bad-freeze-rule", "error", f"{FIRST}.match", "is no regular expression"),
    (RESNET, [HEAD, rule("*", thaw_every="1ep", trainable=False)], "bad-freeze-rule", "error", "", "leave out"),
    (RESNET, [HEAD, rule("*", **{"from": "10ep"})], "never-thaws", "error", f"{SECOND}.from", "max_epochs=10; * never"),
    (RESNET, [HEAD, rule("*", trainable=False, until="50ep")], "never-thaws", "error", f"{SECOND}.until", "never tr"),
    (RESNET, [rule("*", until="12ep")], "never-freezes", "warning", f"{FIRST}.until", "is never frozen"),
    (RESNET, [HEAD, rule("*", **{"from": "5ep"}, until="3ep")], "never-thaws", "error", f"{SECOND}.until", "not after"),
    (RESNET, [HEAD, rule("*", **{"from": "3ep"}, until="3ep")], "never-thaws", "error", f"{SECOND}.until", "not after"),
    (RESNET, gradual("10ep"), "never-thaws", "error", f"{SECOND}.thaw_every", "nothing below the head ever trains"),
    (RESNET, gradual("3ep"), "never-thaws", "warning", f"{SECOND}.thaw_every", "2 of 5 stages thaw; these stages"),
    (VIT, gradual("1ep"), "never-thaws", "warning", f"{SECOND}.thaw_every", "trainer.max_epochs=14 reaches the last"),
    (RESNET, gradual("plateau"), "never-thaws", "warning", f"{SECOND}.thaw_every", "has 10 validations before 3 of 5"),
    (MLP, EXTRACTION, "random-weights", "warning", "weights.source", "2608 of 2693 parameters at random"),
]


@pytest.mark.parametrize(("model", "rules", "name", "severity", "place", "words"), PLANS, ids=lambda v: str(v)[:50])
def test_a_wrong_plan(
    model: dict[str, Any], rules: list[Any], name: str, severity: str, place: str, words: str
) -> None:
    told = [finding for finding in found(model, freeze__rules=rules) if finding.rule == name]
    if severity == "none":
        assert not told
        return
    assert [finding.severity for finding in told] == [severity]
    assert told[0].place == place or not place
    assert words in str(told[0])
    assert "\n" not in str(told[0])


CHANGES: list[tuple[dict[str, Any], dict[str, Any], str, str, str, str]] = [
    (RESNET_1000, {"head__name": "fcc", "head__outputs": 5}, "unknown-head", "error", "head.name", "'fc'?"),
    (RESNET_1000, {"head__name": "fcc"}, "unknown-head", "error", "head.name", "Did you mean 'fc'?"),
    (MOBILENET, {"head__name": "classifier", "head__outputs": 5}, "unknown-head", "error", "head.name", "classifier.3"),
    (VIT, {"head__name": "heads.haed", "head__outputs": 5}, "unknown-head", "error", "head.name", "'heads.head'?"),
    (RESNET_1000, {"head__name": ["fc", "aux.fc"], "head__outputs": 5}, "unknown-head", "error", "head.name", "aux.fc"),
    (RESNET_1000, {"head__name": {"fcc": 5}}, "unknown-head", "error", "head.name", "'fc'?"),
    (RESNET_1000, {"head__outputs": 4}, "unfit-head", "error", "head.outputs", "want 5 outputs"),
    (RESNET_1000, {"head__outputs": 7}, "unfit-head", "warning", "head.outputs", "only 5 classes"),
    (RESNET_1000, {}, "unfit-head", "warning", "head.outputs", "last layer fc of 1000 outputs"),
    (RESNET | {"outputs": 3}, {}, "unfit-head", "error", "head.outputs", "head.outputs=5 makes a new one"),
    (RESNET, {"head__init": "zero"}, "no-effect", "warning", "head.init", "keeps the model's own head"),
    (RESNET, {"head__dropout": 0.5}, "no-effect", "warning", "head.dropout", "head.outputs=null"),
    (RESNET | {"name": "resnet81"}, {}, "bad-model", "error", "model.name", "Did you mean 'resnet18'?"),
    (RESNET, {"weights__prefix": "backbone."}, "no-effect", "warning", "weights.prefix", "weights.source=null"),
    (
        RESNET,
        {"weights__source": "ResNet18_Weight.DEFAULT"},
        "bad-weights",
        "error",
        "weights.source",
        "ResNet18_Weigh",
    ),
    (RESNET, {"weights__source": "resnet18"}, "bad-weights", "error", "weights.source", "'ResNet18_Weights.DEFAULT'"),
    (RESNET, {"weights__source": "ResNet18_Weights.V2"}, "bad-weights", "error", "weights.source", "IMAGENET1K_V1"),
    (RESNET, {"weights__source": "mobilnet.pth"}, "bad-weights", "error", "weights.source", "'mobilenet.pth'?"),
    (RESNET, {"weights__source": "no/where.pt"}, "bad-weights", "error", "weights.source", "there is no folder no"),
    (
        RESNET,
        {"weights__source": "several"},
        "bad-weights",
        "error",
        "weights.source",
        "name one of them: one.pt, two.pt",
    ),
    (RESNET, {"weights__source": "empty"}, "bad-weights", "error", "weights.source", "without a file of weights"),
    (RESNET, {"weights__source": "notes.txt"}, "bad-weights", "error", "weights.source", "by its suffix"),
    (RESNET, {"weights__source": "damaged.pt"}, "bad-weights", "error", "weights.source", "damaged.pt: "),
    (RESNET, {"weights__source": "package:no_such_pack/x.pt"}, "bad-weights", "error", "weights.source", "pip install"),
    (
        RESNET,
        {"weights__source": "mobilenet.pth", "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.source",
        "these are weights of another network: 0 of",
    ),
    (MLP, {"weights__source": "resnet18.pth"}, "unfit-weights", "error", "weights.source", "another network"),
    (MLP, {"weights__source": "mlp7.pt"}, "unfit-weights", "error", "weights.source", "only the last layer differs"),
    (
        MOBILENET,
        {"weights__source": "wrapped.pth", "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.source",
        "weights.prefix=backbone. would fit",
    ),
    (
        MOBILENET,
        {"weights__source": "wrapped.pth", "weights__prefix": "backbon.", "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.prefix",
        "Did you mean 'backbone.'?",
    ),
    (
        MOBILENET,
        {"weights__source": "mobilenet.pth", "weights__allow": ["clasifier.*"], "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.allow",
        "Did you mean 'classifier.",
    ),
    (
        MOBILENET,
        {"weights__source": "mobilenet.pth", "weights__rename": {"encoder.*": "features.*"}, "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.rename.encoder.*",
        "matches no name in the file",
    ),
    (
        MOBILENET,
        {"weights__source": "numbered.pt", "weights__by_position": True, "weights__rename": {"1": "2"}},
        "unfit-weights",
        "error",
        "weights.rename",
        "Leave out one of the two",
    ),
    (MLP, {"weights__source": "numbered.pt", "weights__by_position": True}, "unfit-weights", "error", "", "tensors"),
    (
        RESNET,
        {"weights__source": "ResNet50_Weights.DEFAULT", "head__outputs": 5},
        "unfit-weights",
        "error",
        "weights.source",
        "another network: 4",
    ),
    (
        RESNET,
        {"weights__source": "ResNet18_Weights.DEFAULT"},
        "unfit-weights",
        "error",
        "weights.source",
        "replaces the last layer",
    ),
    (
        RESNET_1000,
        {"head__outputs": 5, "freeze__rules": [rule("layer4"), FROZEN]},
        "frozen-head",
        "warning",
        f"{SECOND}.match",
        "fc.weight frozen",
    ),
    (
        RESNET,
        {"data__preprocessing": "auto"},
        "unknown-preprocessing",
        "error",
        "data.preprocessing",
        "takes no prepro",
    ),
    (
        RESNET,
        {"data__preprocessing": "auto", "data__datasets": PICTURES},
        "unknown-preprocessing",
        "warning",
        "data.preprocessing",
        "weights.source=null",
    ),
    (
        MOBILENET,
        {
            "data__preprocessing": "auto",
            "data__datasets": PICTURES,
            "weights__source": "mobilenet.pth",
            "head__outputs": 5,
        },
        "unknown-preprocessing",
        "error",
        "data.preprocessing",
        "does not say how the images were prepared",
    ),
    (
        MOBILENET,
        {"data__preprocessing": {"size": 9, "crop": 9, "mean": [127.0], "std": [50.0]}, "data__datasets": PICTURES},
        "unknown-preprocessing",
        "error",
        "data.preprocessing",
        "divide them by 255",
    ),
    (
        RESNET,
        {"freeze__rules": gradual("plateau"), "trainer__limit_val_batches": 0},
        "never-thaws",
        "error",
        f"{SECOND}.thaw_every",
        "without a validation",
    ),
    (
        RESNET,
        {"freeze__rules": gradual("plateau"), "freeze__patience": 9},
        "never-thaws",
        "warning",
        "freeze.patience",
        "of the 10 validations",
    ),
]


@pytest.mark.parametrize(("model", "changes", "name", "severity", "place", "words"), CHANGES, ids=lambda v: str(v)[:60])
def test_wrong_weights_heads_and_preprocessing(
    model: dict[str, Any],
    changes: dict[str, Any],
    name: str,
    severity: str,
    place: str,
    words: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setenv("TORCH_HOME", str(files / "no_cache"))
    told = [finding for finding in found(model, **changes) if finding.rule == name]
    assert [finding.severity for finding in told] == [severity]
    assert told[0].place == place or not place
    assert words in str(told[0])
    assert "\n" not in str(told[0])


SOURCE = {"weights__source": "ResNet18_Weights.DEFAULT", "head__outputs": 5}
OWN = {"weights__source": "mobilenet.pth", "head__outputs": 5}
VALID: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (RESNET, {}),
    (RESNET_1000, SOURCE),
    (RESNET_1000, SOURCE | {"freeze__rules": EXTRACTION}),
    (RESNET_1000, SOURCE | {"freeze__rules": gradual("2ep"), "trainer__max_epochs": 11}),
    (RESNET_1000, SOURCE | {"freeze__rules": [HEAD, rule("*", **{"from": "5ep"})]}),
    (RESNET_1000, SOURCE | {"freeze__rules": [HEAD, rule("*", **{"from": "500st"}, warmup="50st")]}),
    (RESNET_1000, SOURCE | {"freeze__rules": gradual("3ep"), "trainer__fast_dev_run": True}),
    (RESNET_1000, SOURCE | {"freeze__rules": gradual("plateau"), "freeze__patience": 1}),
    (RESNET_1000, SOURCE | {"data__preprocessing": "auto", "data__datasets": PICTURES}),
    (RESNET_1000, {"head__outputs": 5, "head__init": "zero", "head__dropout": 0.5}),
    (RESNET_1000, {"head__name": {"fc": 5}}),
    (RESNET_1000, SOURCE | {"freeze__rules": [rule("type:BatchNorm2d", norm="eval"), rule("*", lr_scale=0.1)]}),
    (MOBILENET, OWN),
    (MOBILENET, OWN | {"freeze__rules": [HEAD, rule("features.*", lr_decay=0.75)]}),
    (MOBILENET, OWN | {"weights__source": "wrapped.pth", "weights__prefix": "backbone."}),
    (MOBILENET, OWN | {"weights__source": "wrapped.pth", "weights__rename": {"backbone.*": "*"}}),
    (VIT, {"freeze__rules": [rule("re:.*encoder_layer_(10|11)"), HEAD, rule("*", lr_scale=0.1)]}),
    (VIT, {"freeze__rules": [rule(["*.bias", "type:LayerNorm"], weight_decay=0.0)]}),
    (MLP, {"weights__source": "mlp.safetensors", "freeze__rules": EXTRACTION}),
    (MLP, {"weights__source": "mlp7.pt", "head__outputs": 5, "freeze__rules": EXTRACTION}),
    (MLP, {"resume": "weights:run", "weights__source": "gone.pt", "freeze__rules": EXTRACTION}),
    (
        MLP,
        {
            "freeze__rules": [
                rule("layers.1.*", until="5ep"),
            ]
        },
    ),
]


@pytest.mark.parametrize(("model", "changes"), VALID, ids=lambda v: str(v)[:60])
def test_what_is_right(
    model: dict[str, Any], changes: dict[str, Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setenv("TORCH_HOME", str(files / "no_cache"))
    assert list(map(str, found(model, **changes))) == []


def notes(model: dict[str, Any], **changes: Any) -> list[str]:
    told = found(model, freeze__rules=[rule("no_such_name")], **changes)
    assert all(finding.severity == "info" for finding in told)
    return [str(finding) for finding in told]


def test_a_network_that_fetches_weights_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise AssertionError("a check downloads nothing")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    for model in (
        RESNET_1000 | {"weights": "DEFAULT"},
        {"_target_": "torchvision.models.segmentation.fcn_resnet50"},
        {"_target_": "torch.nn.Sequential", "_args_": [RESNET_1000 | {"weights": "IMAGENET1K_V1"}]},
    ):
        (note,) = notes(model)
        assert "weights" in note.partition("not looked at")[2]


OWN_CODE = """
import random

import numpy
import torch
from torch import nn

class Odd(nn.Linear):
    def __init__(self):
        super().__init__(4, 5)
        print("odd is built")
        self.start = float(self.weight.sum())  # there is no number on the meta device

class Even(nn.Linear):
    def __init__(self):
        super().__init__(4, 5)
        print("even is built")
        torch.randn(3, device="cpu"), numpy.random.rand(), random.random()

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own, in the current folder."""
    (tmp_path / "own_networks_of_a_check.py").write_text(OWN_CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_networks_of_a_check", raising=False)
    return "own_networks_of_a_check"


def test_a_network_that_needs_its_numbers_is_not_looked_at(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    (note,) = notes({"_target_": f"{own}.Odd"})
    assert note.startswith("model: not looked at")
    assert "RuntimeError" in note
    assert notes({"_target_": "torch.nn.LazyLinear", "out_features": 5})[0].endswith("from the first batch")
    assert notes({"_target_": "torchvision.models.regnet_y_400mf"}) != []
    assert capsys.readouterr().out == ""


def test_own_networks_are_built_only_where_they_are_trusted(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    rules = [rule("wieght")]
    (told,) = found({"_target_": f"{own}.Even"}, freeze__rules=rules)
    assert told.fix == "Did you mean 'weight'?"
    known = fields({"_target_": f"{own}.Even"}, freeze__rules=rules)
    (told,) = transfer.transfer_findings(known, Trusted.of({}, []))
    assert told.place == "model._target_"
    assert capsys.readouterr().out == ""


def test_shared_parameters_are_left_to_the_run(own: str, tmp_path: Path) -> None:
    torch.save({"one.weight": torch.ones(4, 4)}, "tied.pt")
    (told,) = found({"_target_": f"{own}.Tied"}, weights__source="tied.pt")
    assert (told.rule, told.place) == ("not-looked-at", "weights.source")
    assert "shared" in told.message


def test_large_files_are_left_to_the_run(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    monkeypatch.setattr(transfer, "LARGEST", 1000)
    (told,) = found(MLP, weights__source="mobilenet.pth")
    assert (told.severity, told.place) == ("info", "weights.source")
    assert "mobilenet.pth has 9 MiB" in told.message


def test_generators_stay_as_they_were(own: str) -> None:
    before = torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    for model in ({"_target_": f"{own}.Even"}, RESNET, VIT, MLP):
        found(model, head__outputs=5, head__init="normal")
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == numpy.random.get_state()[1]).all()  # type: ignore[index]
    assert before[2] == random.getstate()


def test_it_takes_less_than_a_second(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    changes = {"weights__source": "resnet18.pth", "head__outputs": 5, "freeze__rules": EXTRACTION}
    assert found(RESNET_1000, **changes) == []
    start = time.perf_counter()
    found(RESNET_1000, **changes)
    assert time.perf_counter() - start < 1


def test_what_others_found_wrong_is_told_once(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    values = config(RESNET, freeze__rules=[rule("*", lr_decay=7), rule("layre4")], weights__source="gone.pt")

    def places(*wrong: str) -> list[str]:
        known = Fields(values, wrong=frozenset(wrong))
        return [finding.place for finding in transfer.transfer_findings(known, Trusted.of({}, []))]

    assert places() == ["freeze.rules[0].lr_decay", "freeze.rules[1].match", "weights.source"]
    assert places("freeze.rules[0].lr_decay") == ["freeze.rules[1].match", "weights.source"]
    assert places("freeze.rules[0].lr_decay", "model.name") == ["weights.source"]
    assert places("freeze.rules[0]", "weights.source") == ["freeze.rules[1].match"]
    assert places("freeze", "weights") == []


def test_a_mistake_in_one_rule_does_not_hide_those_of_others() -> None:
    told = found(RESNET, freeze__rules=[rule("*", lrr=1), rule("*", norm="evil"), rule("layre4.*")])
    assert [finding.place for finding in told] == [f"{FIRST}.lrr", f"{SECOND}.norm", "freeze.rules[2].match"]


def test_a_wrong_head_hides_no_mistake_in_the_plan() -> None:
    changes = {"head__name": "fcc", "head__outputs": 5, "weights__source": "ResNet18_Weights.DEFAULT"}
    told = found(RESNET_1000, freeze__rules=[HEAD, rule("layre4.*")], **changes)
    assert [finding.place for finding in told] == ["head.name", f"{SECOND}.match"]


def test_auto_is_no_value_for_the_data_set() -> None:
    values = ["recipe=cnn", "data=image_folder", "data.classes=5", "model=torchvision", "data.preprocessing=auto"]
    seen = checked(*values, "weights.source=ResNet18_Weights.DEFAULT", "head.outputs=5", "freeze=feature_extraction")
    assert [finding for finding in seen["found"] if finding["rule"] != "not-here-yet"] == []


def test_weights_that_a_run_will_fetch_are_told_with_where_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    known = fields(RESNET_1000, head__outputs=5, weights__source="ResNet18_Weights.DEFAULT")
    (told,) = transfer.transfer_findings(known, Trusted.of({}, []))
    assert (told.rule, told.severity, told.place) == ("not-here-yet", "info", "weights.source")
    assert f"resnet18-f37072fd.pth into {tmp_path / 'hub' / 'checkpoints'}" in told.message
    assert "from https://download.pytorch.org/models/resnet18-f37072fd.pth" in told.fix


def test_weights_that_are_not_here_are_held_by_position_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    named = {"weights__by_position": True, "head__outputs": 5}
    assert found(RESNET_1000, weights__source="ResNet18_Weights.DEFAULT", **named) == []
    (told,) = found(RESNET_1000, weights__source="ResNet34_Weights.DEFAULT", **named)
    assert (told.rule, told.severity, told.place) == ("unfit-weights", "error", "weights.by_position")
    (told,) = found(RESNET_1000, weights__source="MobileNet_V3_Small_Weights.DEFAULT", **named)
    assert told.severity == "error"
    known = fields(RESNET_1000, weights__source="ResNet34_Weights.DEFAULT", weights__prefix="net.", **named)
    assert [f.rule for f in transfer.transfer_findings(known, Trusted.of({}, []))] == ["not-here-yet"]


TIMES: list[tuple[list[dict[str, Any]], str]] = [
    ([rule("*", trainable=False)], " at any time"),
    ([rule("*", **{"from": "1ep"})], " at the start"),
    ([rule("*", trainable=False, until="3st")], " at the start"),
    ([rule("*", **{"from": "plateau"})], " at the start"),
    ([rule("*", until="5ep")], " after 5ep"),
    ([rule("@head", until="3ep"), rule("*", **{"from": "4ep"})], " after 3ep"),
    ([rule("@head", until="3ep"), rule("*", **{"from": "3ep"})], ""),
    ([rule("@head", until="20ep"), rule("*", trainable=False)], ""),  # the run ends before
    ([rule("@head", until="plateau"), rule("*", **{"from": "plateau"})], ""),
    ([rule("@head", until="3ep"), rule("*", **{"from": "2st"})], ""),
    ([rule("@head", until="2st"), rule("*", **{"from": "8ep"})], " after 2st"),
    ([rule("@head", until="3ep"), rule("*", thaw_every="4ep")], " after 3ep"),
    ([rule("@head", until="4ep"), rule("*", thaw_every="4ep")], ""),
    ([rule("@head", until="5ep")], ""),  # what no rule speaks of trains
]


@pytest.mark.parametrize(("rules", "when"), TIMES, ids=lambda value: str(value)[:70])
def test_something_trains_at_any_time(rules: list[dict[str, Any]], when: str) -> None:
    known = fields(MLP, freeze__rules=rules, weights__source=None, resume="run")
    known.batches = 10
    told = [f.message for f in transfer.transfer_findings(known, Trusted.of({}, [])) if f.rule == "nothing-trains"]
    assert told == ([f"nothing is left to train{when}"] if when else [])


OPTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"betas": [0.9, 0.95], "eps": 1e-6, "amsgrad": True}, "", ""),
    ({"beta": [0.9, 0.95]}, "beta", "AdamW has no such option. Did you mean 'betas'?"),
    ({"zzz": 1}, "zzz", "It takes betas, eps"),
    ({"momentum": 0.9}, "momentum", "AdamW has no such option"),
    ({"betas": 0.9}, "betas", "must be a list of 2 numbers"),
    ({"lr": 0.9}, "lr", "is a key of the rule itself. Write lr there"),
    ({"weight_decay": 0.9}, "weight_decay", "is a key of the rule itself"),
]


@pytest.mark.parametrize(("options", "name", "words"), OPTIONS, ids=lambda value: str(value)[:50])
def test_options_of_a_rule_are_those_of_the_optimizer(options: dict[str, Any], name: str, words: str) -> None:
    told = found(MLP, freeze__rules=[HEAD, rule("*", options=options)])
    assert [(f.rule, f.severity, f.place) for f in told] == (
        [("bad-freeze-rule", "error", f"{SECOND}.options.{name}")] if name else []
    )
    assert words in "".join(f"{f.message}. {f.fix}" for f in told)


def test_options_of_an_optimizer_of_ones_own_are_not_judged() -> None:
    own = {"_target_": "mine.Lion", "lr": 0.1}
    assert found(MLP, optimizer=own, freeze__rules=[rule("*", options={"anything": 1})]) == []


def test_a_knob_of_a_preset_is_what_is_named() -> None:
    rules = [HEAD, rule("*", **{"from": "50ep"})]
    raw = {"freeze": {"rules": [HEAD, rule("*", **{"from": "${freeze.thaw}"})]}}
    known = fields(RESNET, raw, freeze__rules=rules, freeze__thaw="50ep", resume="run")
    (told,) = transfer.transfer_findings(known, Trusted.of({}, []))
    assert str(told).startswith("freeze.thaw=50ep: the run ends before, at trainer.max_epochs=10; * never trains")


@pytest.mark.parametrize("short", [{"trainer__limit_train_batches": 0.05}, {"trainer__overfit_batches": 3}])
def test_a_trial_run_may_end_before_the_plan_does(short: dict[str, Any]) -> None:
    for rules in ([HEAD, rule("*", **{"from": "10ep"})], gradual("10ep")):
        told = [finding for finding in found(RESNET, freeze__rules=rules, **short) if finding.rule == "never-thaws"]
        assert [finding.severity for finding in told] == ["warning"]


@pytest.mark.parametrize(
    ("gate", "trainer", "is_late"),
    [
        ("500st", {"max_epochs": None, "max_steps": 500}, True),
        ("499st", {"max_epochs": None, "max_steps": 500}, False),
        ("500st", {"max_epochs": 10}, False),
        ("9ep", {"max_epochs": 10, "max_steps": 5}, False),
        ("9.5ep", {"max_epochs": 10}, False),
        ("10ep", {"max_epochs": 10, "max_time": "1h"}, True),
        ("plateau", {"max_epochs": 5}, False),
        ("plateau", {"max_epochs": 4}, True),
        ("plateau", {"max_epochs": 9, "check_val_every_n_epoch": 2}, True),
        ("plateau", {"max_epochs": 4, "val_check_interval": 0.5}, False),
        ("plateau", {"max_epochs": 4, "val_check_interval": "100st"}, False),
    ],
)
def test_a_gate_is_held_against_what_ends_the_run(gate: str, trainer: dict[str, Any], is_late: bool) -> None:
    changes = {f"trainer__{name}": value for name, value in trainer.items()}
    told = found(RESNET, freeze__rules=[HEAD, rule("*", **{"from": gate})], resume="run", **changes)
    assert [finding.rule for finding in told] == ["never-thaws"] * is_late


def test_steps_are_counted_once_the_data_are_there() -> None:
    known = fields(RESNET, freeze__rules=[HEAD, rule("*", **{"from": "200st"})], resume="run")
    assert list(gate_findings(known)) == []
    known.batches = 20
    (told,) = gate_findings(known)
    assert (told.severity, told.place) == ("error", f"{SECOND}.from")
    known.batches = 21
    assert list(gate_findings(known)) == []


def test_other_plans_ask_for_nothing() -> None:
    values = config(MLP)
    assert not _transfers(values)
    assert not _transfers(values | {"freeze": None, "weights": None, "head": None})
    for key, value in {"freeze__rules": [HEAD], "weights__source": "x", "head__outputs": 5}.items():
        assert _transfers(config(MLP, **{key: value}))
    assert _transfers(config(MLP, data__preprocessing="auto"))


def checked(*overrides: str) -> dict[str, Any]:
    """Check a config in a process of its own; return the findings, and the modules that were imported."""
    code = (
        "import json, sys; from trainkit.config.checking.check import check; "
        "from trainkit.config.composing.compose import composed; "
        f"found = check(composed({list(overrides)!r})); "
        "print(json.dumps({'found': [f.as_dict() for f in found], 'modules': sorted(sys.modules)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_a_plain_recipe_imports_nothing_for_it() -> None:
    seen = checked("recipe=mlp")
    assert seen["found"] == []
    ours = {f"trainkit.config.checking.{name}" for name in ("check", "transfer", "freezing", "networks")}
    assert ours & set(seen["modules"]) == {"trainkit.config.checking.check"}
    assert "torchvision" not in seen["modules"]


def test_the_check_of_a_whole_config_has_it() -> None:
    rules = "freeze.rules=[{match: layers.9.*}, {match: '*', norm: evil}]"
    seen = checked("recipe=mlp", rules, "weights.source=gone.pt", "head.outputs=12")
    told = {finding["place"]: (finding["severity"], finding["rule"]) for finding in seen["found"]}
    assert told["freeze.rules[0].match"] == ("error", "unmatched-rule")
    assert told["weights.source"] == ("error", "bad-weights")
    assert told["head.outputs"] == ("warning", "unfit-head")
    assert [finding["place"] for finding in seen["found"]].count("freeze.rules[1].norm") == 1


def test_missing_weights_of_a_recipe_are_told_with_the_run_that_makes_them(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = "Run first: python -m trainkit recipe=cnn run_dir=runs/low_digits data.datasets.only=[0,1,2,3,4]"
    with pytest.raises(ConfigError, match=re.escape(first)):
        compose("lora")
    with pytest.raises(ConfigError, match="no such file") as refused:
        compose("lora", "weights.source=runs/other")
    assert "Run first" not in str(refused.value)
