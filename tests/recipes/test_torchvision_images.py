"""torchvision's data sets, read from small local files of the same form as the real ones."""

import hashlib
import pickle
import socket
from urllib.error import URLError

import numpy
import pytest
import torch
from torch.utils.data import TensorDataset

from trainkit.errors import ConfigError
from trainkit.recipes.data import Augmented, torchvision_images

datasets = pytest.importorskip("torchvision.datasets")
random = numpy.random.default_rng(0)
PIXELS = {
    "train": random.integers(0, 256, (20, 28, 28), numpy.uint8),
    "t10k": random.integers(0, 256, (6, 28, 28), numpy.uint8),
}


@pytest.fixture
def mnist(tmp_path):
    """A folder with 20 + 6 images in MNIST's idx files: two zero bytes, the type, the rank, the sizes, the values."""
    for name in ("MNIST", "FashionMNIST"):
        raw = tmp_path / name / "raw"
        raw.mkdir(parents=True)
        for part, images in PIXELS.items():
            for kind, array in (
                ("images-idx3", images),
                ("labels-idx1", numpy.arange(len(images), dtype=numpy.uint8) % 10),
            ):
                header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
                (raw / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A folder with 5 x 4 + 4 images in CIFAR-10's pickles, and torchvision told their checksums."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(first):
        rows = numpy.zeros((4, 3072), numpy.uint8)
        rows[:, :1024] = 255  # the red plane comes first
        return {"data": rows, "labels": [first, first + 1, 8, 9]}

    train = [[f"data_batch_{i}", write(f"data_batch_{i}", batch(i))] for i in range(1, 6)]
    meta = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": write("batches.meta", {"label_names": list("abcdefghij")}),
    }
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", write("test_batch", batch(0))]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize(("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion_mnist", 0.2860, 0.3530)])
def test_mnist(mnist, name, mean, std):
    splits = torchvision_images(name, str(mnist), validation=0.25)
    assert [len(part) for part in splits] == [15, 5, 6]
    assert all(type(part) is TensorDataset for part in splits)
    images, labels = splits.test.tensors
    assert images.dtype == torch.float32
    assert torch.allclose(images[:, 0] * std + mean, torch.from_numpy(PIXELS["t10k"]) / 255, atol=1e-6)
    assert labels.tolist() == list(range(6))


def test_training_images_are_dealt_out_once(mnist):
    train, val, _ = torchvision_images("mnist", str(mnist), validation=0.25)
    images = torch.cat([train.tensors[0], val.tensors[0]]) * 0.3081 + 0.1307
    known = {image.tobytes() for image in PIXELS["train"]}
    assert {image.numpy().tobytes() for image in (images * 255).round().to(torch.uint8)} == known
    other, _, _ = torchvision_images("mnist", str(mnist), validation=0.25, split_seed=1)
    assert not torch.equal(other.tensors[0], train.tensors[0])
    assert torchvision_images("mnist", str(mnist), validation=0.0).val is None


def test_cifar10(cifar10):
    splits = torchvision_images("cifar10", str(cifar10), validation=0.1)
    assert [len(part) for part in splits] == [18, 2, 4]
    images, labels = splits.test.tensors
    assert images.shape == (4, 3, 32, 32)
    for channel, value in enumerate([(1 - 0.4914) / 0.2470, -0.4822 / 0.2435, -0.4465 / 0.2616]):
        assert torch.allclose(images[:, channel], torch.tensor(value))
    assert labels.tolist() == [0, 1, 8, 9]


def test_augmentation_sees_images_from_0_to_1(cifar10):
    seen = []
    splits = torchvision_images("cifar10", str(cifar10), augment=lambda image: seen.append(image) or image)
    assert isinstance(splits.train, Augmented)
    assert type(splits.test) is TensorDataset
    image, _ = splits.train[0]
    assert (seen[0].min(), seen[0].max()) == (0, 1)
    assert torch.equal(image, splits.test[0][0])  # the two images have the same pixels


@pytest.mark.parametrize(
    ("name", "place", "file"),
    [
        ("mnist", "MNIST/raw", "t10k-labels-idx1-ubyte"),
        ("fashion_mnist", "FashionMNIST/raw", "train-images-idx3-ubyte"),
        ("cifar10", "cifar-10-batches-py", "data_batch_5"),
    ],
)
@pytest.mark.parametrize("download", [True, False])
def test_missing_files_are_named_with_their_folder(
    tmp_path, monkeypatch, capsys, no_network, name, place, file, download
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        torchvision_images(name, "data", download=download)
    message = str(raised.value)
    assert f"data={name}: these files are not in {tmp_path / 'data' / place}: " in message
    assert file in message
    assert "data.folder=PATH" in message
    assert ("no network here" in message) == download
    assert ("data.download=false" in message) != download
    assert "\n" not in message
    assert capsys.readouterr() == ("", "")
    assert socket.getdefaulttimeout() is None


def test_only_the_missing_files_are_named(mnist, no_network):
    (mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(ConfigError) as raised:
        torchvision_images("mnist", str(mnist))
    assert "MNIST/raw: train-labels-idx1-ubyte. " in str(raised.value)


def test_damaged_files_are_named(mnist):
    file = mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"the files in .*MNIST/raw cannot be read .* data\.folder=PATH"):
        torchvision_images("mnist", str(mnist))


def test_unknown_names_and_shares_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown image set 'cifar'.*'cifar10'"):
        torchvision_images("cifar", str(tmp_path))
    with pytest.raises(ConfigError, match=r"data\.datasets\.validation=1"):
        torchvision_images("mnist", str(tmp_path), validation=1)


def test_preprocessing_of_weights_takes_the_place_of_the_usual(cifar10, mnist):
    steps = {"size": 16, "crop": 8, "mean": [0.5, 0.25, 0.0], "std": [0.5, 1.0, 2.0]}
    splits = torchvision_images("cifar10", str(cifar10), preprocessing=steps)
    assert [len(part) for part in splits] == [18, 2, 4]
    for part in splits:
        image, label = part[0]
        assert (image.shape, label.dtype) == ((3, 8, 8), torch.int64)
        assert torch.allclose(image[:, 0, 0], torch.tensor([1.0, -0.25, 0.0]), atol=1e-6)
    grey = torchvision_images("mnist", str(mnist), preprocessing={"mean": [0.0] * 3, "std": [1.0] * 3}).test
    assert torch.allclose(grey[2][0], torch.from_numpy(PIXELS["t10k"][2]).expand(3, 28, 28) / 255, atol=1e-6)


def test_named_augmentation_goes_with_preprocessing(cifar10):
    steps = {"size": 8, "crop": 8, "mean": [0.5] * 3, "std": [0.5] * 3}
    splits = torchvision_images("cifar10", str(cifar10), preprocessing=steps, augment="light")
    assert splits.train.transform is not splits.test.transform
    assert splits.train[0][0].shape == (3, 8, 8)
    with pytest.raises(ConfigError, match=r"data\.augment=light: goes with a data\.preprocessing"):
        torchvision_images("cifar10", str(cifar10), augment="light")
