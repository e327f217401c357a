"""The folder of photographs that is laid from a package's pictures, and the package's own where it is installed."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from trainkit.errors import ConfigError
from trainkit.recipes.data import photographs
from trainkit.recipes.data.photographs import CLASSES, STAMPS, lay


@pytest.fixture
def stamps(tmp_path):
    """A folder of the same form as the package's."""
    for number, place in enumerate(CLASSES.values()):
        for file in ("a.png", "b.png", "deeper/c.png", "d.png", "e.png"):
            path = tmp_path / "stamps" / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGBA", (6, 6), (0, 0, 0, 51 * number)).save(path)
        (tmp_path / "stamps" / place / "a.txt").write_text("A stamp.")
    return tmp_path / "stamps"


def test_class_folders_are_laid_at_the_first_run(stamps, tmp_path):
    root = tmp_path / "data" / "photographs"
    splits = photographs(root, source=stamps, size=4, classes=5)
    assert splits.train.classes == ["birds", "fruit", "insects", "mammals", "vehicles"]
    assert [len(part) for part in splits] == [15, 5, 5]
    means = {label: image.mean().item() for image, label in (splits.train[i] for i in range(15))}
    assert [round(means[label] * 5) for label in range(5)] == [5, 4, 3, 2, 1]  # the more opaque, the less white
    assert os.listdir(root.parent) == ["photographs"]
    stamps.rename(tmp_path / "gone")
    with pytest.raises(ConfigError):
        photographs(root, source=stamps)  # the links lead nowhere


def test_a_folder_of_ones_own_is_left_alone(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (6, 6)).save(tmp_path / "mine" / name / f"{number}.png")
    assert photographs(tmp_path / "mine", source=tmp_path / "nowhere").train.classes == ["cat", "dog"]


def test_without_links_the_pictures_are_copied(stamps, tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    lay(tmp_path / "copies", stamps)
    assert not (tmp_path / "copies" / "birds").is_symlink()
    assert (tmp_path / "copies" / "birds" / "deeper" / "c.png").is_file()


def test_two_runs_may_lay_them_at_once(stamps, tmp_path, monkeypatch):
    rename = Path.rename

    def late(self, target):
        lay_other()
        return rename(self, target)

    def lay_other():
        monkeypatch.setattr(Path, "rename", rename)
        lay(tmp_path / "photographs", stamps)

    monkeypatch.setattr(Path, "rename", late)
    lay(tmp_path / "photographs", stamps)
    assert sorted(os.listdir(tmp_path)) == ["photographs", "stamps"]
    assert sorted(os.listdir(tmp_path / "photographs")) == sorted(CLASSES)


def test_a_folder_is_laid_whole_or_not_at_all(stamps, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr("shutil.copytree", refuse)
    with pytest.raises(ConfigError, match="cannot be made: the disk is full"):
        lay(tmp_path / "photographs", stamps)
    assert os.listdir(tmp_path) == ["stamps"]


def test_without_the_package_it_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.folder=.*apt-get install tuxpaint-stamps-default.*data=image_folder"):
        photographs(tmp_path / "photographs", source=tmp_path / "nowhere")
    assert not (tmp_path / "photographs").exists()


@pytest.mark.skipif(not Path(STAMPS).is_dir(), reason="the Debian package tuxpaint-stamps-default is not installed")
def test_the_real_ones_are_204_in_5_classes(tmp_path):
    splits = photographs(tmp_path / "photographs", size=16, classes=5)
    labels = torch.tensor([label for part in splits for _, label in part.samples])
    assert labels.bincount().tolist() == [38, 41, 20, 67, 38]
    images = torch.stack([part[i][0] for part in splits for i in range(len(part))])
    assert images.shape == (204, 3, 16, 16)
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 1).float().mean() > 0.5  # what is transparent became white, not black
