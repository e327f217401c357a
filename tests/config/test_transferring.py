"""What a model starts from: preprocessing, head, weights and freeze plan, from the config to what a run keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from trainkit.__main__ import main
from trainkit.checkpoint import read
from trainkit.commands.training import Result, run
from trainkit.config.build import build_parts, build_trainer
from trainkit.config.composing.class_folders import class_folders
from trainkit.config.composing.compose import compose
from trainkit.config.transferring import prepared
from trainkit.errors import ConfigError
from trainkit.recipes.data import class_names
from trainkit.recipes.models import CNN

QUIET = ("callbacks.progress=null", "callbacks.predictions=null", "trainer.device=cpu", "trainer.threads=1")
VALUES = {"size": [8, 8], "mean": [0.25], "std": [0.5]}
FULL = {"size": [8, 8], "crop": None, "mean": [0.25], "std": [0.5], "interpolation": "bilinear", "antialias": True}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: eight grey pictures in two class folders, and the weights of a network of three classes."""
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        folder = tmp_path / "pictures" / ("bright" if number % 2 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 150 + number if number % 2 else number).save(folder / f"{number}.png")
    torch.manual_seed(1)
    torch.save(CNN(1, 3, channels=(4, 4)).state_dict(), tmp_path / "trained.pt")
    return tmp_path


NETWORK = ("model=cnn", "model.channels=[4,4]", "data.channels=1", "data=image_folder", "data.folder=pictures")
PLAN = ("weights.source=trained.pt", "head.outputs=${data.outputs}", "freeze=feature_extraction")
RUN = ("cnn", *NETWORK, "data.augment=null", *PLAN, f"data.preprocessing={json.dumps(VALUES)}".replace('"', ""))
RUN = (*RUN, "trainer.max_epochs=1", "metrics=default", *QUIET)


def trained(*overrides: str) -> Result:
    return run(*RUN, *overrides)


def summary(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "summary.json").read_text())
    return found


def test_weights_come_after_the_head_and_before_the_plan(place: Path) -> None:
    parts = build_parts(compose(*RUN))
    file = torch.load("trained.pt", weights_only=True)
    state = parts.model.state_dict()
    assert [name for name in file if not torch.equal(state[name], file[name])] == [
        "head.linear.weight",
        "head.linear.bias",
    ]
    assert state["head.linear.weight"].shape == (2, 4)
    assert parts.start.heads == ["head.linear"]
    trainer = build_trainer(parts)
    assert [name for name, p in trainer.model.named_parameters() if p.requires_grad] == list(parts.start.loaded.fresh)
    assert sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"]) == 2 * 4 + 2


def test_a_new_head_is_keyed_by_the_seed_alone(place: Path) -> None:
    first, again, other, deeper = (
        build_parts(compose(*RUN, *more)).model.head.linear.weight
        for more in ([], ["data.split_seed=3"], ["seed=1"], ["head.init=zero"])
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not deeper.any()


def test_a_checkpoint_needs_the_structure_alone(place: Path) -> None:
    parts = build_parts(compose(*RUN), load=False)
    assert parts.start.loaded is None
    assert parts.start.heads == ["head.linear"]
    torch.save(CNN(1, 2, channels=(4, 8)).state_dict(), "trained.pt")
    config = compose(*RUN, "weights.source=null")
    config.weights.source = "trained.pt"
    build_parts(config, load=False)
    with pytest.raises(ConfigError, match=r"weights\.source=trained\.pt"):
        build_parts(config)


def test_a_named_head_that_stays_is_what_the_plan_calls_head(place: Path) -> None:
    named = ("head.outputs=null", "head.name=encoder", "weights.source=null")
    trainer = build_trainer(build_parts(compose(*RUN, *named)))
    moving = {name.split(".")[0] for name, p in trainer.model.named_parameters() if p.requires_grad}
    assert moving == {"encoder"}


def test_a_named_head_that_stays_must_fit_the_weights(place: Path) -> None:
    kept = ("head.outputs=null", "head.name=head.linear")
    with pytest.raises(ConfigError, match="only the last layer differs"):  # by the check
        compose(*RUN, *kept)
    config = compose(*RUN, *kept, "weights.source=null")
    config.weights.source = "trained.pt"
    with pytest.raises(ConfigError, match="only the last layer differs"):  # by the load
        build_parts(config)


def test_a_new_head_takes_the_weights_of_a_run_on_the_same_classes_alone(place: Path) -> None:
    trained("run_dir=first")
    head = read(Path("first/checkpoints/best.ckpt"))["model"]["head.linear.weight"]
    Path("others").symlink_to("pictures")
    for more, kept in (
        ([], True),
        (["data.split_seed=1", "freeze=fine_tuning"], True),
        (["data.folder=others"], False),
        (["data.folder=others", "head.outputs=null"], True),  # what is no new head comes from the file
    ):
        start = build_parts(compose(*RUN, "weights.source=first", *more)).start
        assert torch.equal(start.model.head.linear.weight, head) is kept, more
        assert start.loaded.anew == ([] if kept else ["head.linear"])


def test_a_run_keeps_its_preprocessing_report_and_plan(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = trained("run_dir=one").model.state_dict()
    printed = capsys.readouterr().out
    told = summary("one")
    assert f"weights of trained.pt: {len(state) - 2} of {len(state)} tensors loaded" in printed
    assert "of which 10 trained" in printed
    assert told["weights"]["matched"] == len(state) - 2
    assert told["weights"]["newly_initialised"] == ["head.linear.weight", "head.linear.bias"]
    assert sum(row["parameters"] for row in told["freeze"] if row["trainable"]) == 10
    config = OmegaConf.to_container(OmegaConf.load("one/config.yaml"))
    about = read(Path("one/checkpoints/last.ckpt"))["about"]
    for kept in (config, json.loads(about["config"])):
        assert kept["data"]["preprocessing"] == kept["data"]["datasets"]["preprocessing"] == FULL
        assert kept["data"]["classes"] == 2


def test_a_run_that_goes_on_needs_no_weights_and_keeps_the_report(place: Path) -> None:
    trained("run_dir=one")
    before = summary("one")["weights"]
    Path("trained.pt").unlink()
    result = run(*RUN, "weights.source=null", "run_dir=one", "resume=auto", "trainer.max_epochs=2")
    assert result.status == "completed"
    assert summary("one")["weights"] == before


def test_a_key_of_the_preset_is_applied_to_a_run_that_goes_on_without_a_recipe(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("run_dir=first", "freeze=linear_probe_then_finetune", "freeze.thaw=1ep", "trainer.max_epochs=2")
    before = read(Path("first/checkpoints/last.ckpt"))["model"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["resume=first", "run_dir=first", "trainer.max_epochs=3", "freeze.lr_scale=0"])
    told = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "freeze.lr_scale 0.1 0 applied" in told
    after = read(Path("first/checkpoints/last.ckpt"))["model"]
    statistics = {name for name in after if "running" in name or "num_batches" in name}
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved - statistics == {"head.linear.weight", "head.linear.bias"}  # all of it thawed, at no rate
    assert moved & statistics


def test_auto_is_what_the_run_of_the_weights_was_prepared_with(place: Path) -> None:
    trained("run_dir=one")
    config = prepared(compose(*RUN, "weights.source=one", "data.preprocessing=auto"))
    assert OmegaConf.to_container(config.data.preprocessing) == FULL
    assert OmegaConf.to_container(config.data.datasets.preprocessing) == FULL


def test_names_with_dots_can_be_renamed_on_the_command_line(place: Path) -> None:
    file = torch.load("trained.pt", weights_only=True)
    torch.save({f"old.{name}": value for name, value in file.items()}, "trained.pt")
    config = compose(*RUN, "weights.rename={old.*:'*'}")
    assert config.weights.rename == {"old.*": "*"}
    assert len(build_parts(config).start.loaded.matched) == len(file) - 2


def test_auto_of_a_run_that_goes_on_is_its_own(place: Path) -> None:
    config = compose(*RUN)
    config.data.preprocessing = config.data.datasets.preprocessing = "auto"
    stored = {"data": {"preprocessing": {**FULL, "mean": [0.75]}}}
    assert prepared(config, stored).data.preprocessing.mean == [0.75]
    with pytest.raises(ConfigError, match=r"data\.preprocessing=auto: trained\.pt does not say"):
        prepared(config)


def test_auto_of_torchvisions_weights_reaches_the_data_sets(place: Path) -> None:
    config = compose(*RUN)
    config.weights.source, config.data.preprocessing = "ResNet18_Weights.DEFAULT", "auto"
    config.data.datasets.preprocessing = "auto"
    found = OmegaConf.to_container(prepared(config).data)
    assert found["preprocessing"]["size"] == 256
    assert found["datasets"]["preprocessing"] == found["preprocessing"]
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    assert found["preprocessing"]["mean"] == weights.transforms().mean
    assert config.data.preprocessing == "auto"  # is not changed in place


def test_pictures_are_prepared_as_the_config_says(place: Path) -> None:
    splits = build_parts(compose(*RUN)).splits
    for part in (splits.train, splits.val, splits.test):
        image, label = part[0]
        brightness = image.mean().item() * 0.5 + 0.25  # back from the mean and deviation
        assert image.shape == (1, 8, 8)
        assert (brightness > 0.5) == (label == 0)  # bright comes before dark
        assert 0 <= brightness <= 1


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ([], None),
        (["cat/1.png", "dog/2.png", ".hidden/3.png"], 2),
        (["train/cat/1.png", "train/dog/2.png", "train/owl/2.png", "val/cat/2.png"], 3),
        (["train/1.png", "test/2.png"], 2),  # classes of such names
        (["train/sub/1.png", "train/2.jpg", "other/1.png", "third/1.png"], 3),
    ],
)
def test_classes_are_counted_as_the_data_set_counts_them(tmp_path: Path, files: list[str], count: int | None) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert class_folders(str(tmp_path)) == count
    assert (len(class_names(tmp_path)) or None) == count


def test_the_number_of_classes_reaches_the_model(place: Path) -> None:
    (place / "pictures" / "third").mkdir()
    assert compose(*RUN).model.out_features == 3
    assert class_folders("nowhere") is None
    assert class_folders(None) is None


def test_a_model_that_froze_itself_stays_frozen(place: Path) -> None:
    parts = build_parts(compose(*RUN, "freeze=none", "head.outputs=null", "weights.source=null"))
    module = parts.model.encoder
    assert isinstance(module, nn.Module)
    module.requires_grad_(False)
    trainer = build_trainer(parts)
    assert not any(p.requires_grad for p in trainer.model.encoder.parameters())
    assert sum(p.numel() for group in trainer.optimizer.param_groups for p in group["params"]) == 10
