"""The data sets that travel with the code, and augmentation."""

import pytest
import torch
from torch.utils.data import TensorDataset, default_collate

from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.recipes.data import Augmented, auto_mpg, digits, image_dataset


def tensors(splits):
    return [part.tensors for part in splits]


def test_digits_are_images_from_0_to_1():
    splits = digits()
    assert [len(part) for part in splits] == [1078, 359, 360]
    for part in splits:
        assert type(part) is TensorDataset  # what the loader reads a whole batch at a time
        images, labels = part.tensors
        assert images.shape[1:] == (1, 8, 8)
        assert images.dtype == torch.float32
        assert (images.min(), images.max()) == (0, 1)
        assert labels.dtype == torch.int64
        assert labels.unique().tolist() == list(range(10))


def test_digits_are_dealt_out_whole():
    images = torch.cat([images for images, _ in tensors(digits())])
    labels = torch.cat([labels for _, labels in tensors(digits())])
    assert len(images.flatten(1).unique(dim=0)) == 1797  # no two digits of the set are equal, so none is in two parts
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("read", [digits, auto_mpg])
def test_split_depends_on_its_seed_alone(read):
    first, again, other = tensors(read()), tensors(read()), tensors(read(split_seed=1))
    for (a, _), (b, _), (c, _) in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("read", [digits, auto_mpg])
def test_fraction_of_nothing_gives_no_set(read):
    train, val, test = read((0.8, 0, 0.2))
    assert val is None
    assert len(train) > 3 * len(test)


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.3, 0.2), (1.2, -0.2, 0), (0, 0.5, 0.5)])
@pytest.mark.parametrize("read", [digits, auto_mpg])
def test_wrong_fractions_are_refused(read, fractions):
    with pytest.raises(ConfigError, match=r"data\.datasets\.fractions=.*three numbers"):
        read(fractions)


def test_auto_mpg_is_standardised_by_the_training_set():
    train, val, test = tensors(auto_mpg())
    assert [len(inputs) for inputs, _ in (train, val, test)] == [235, 78, 79]
    assert train[0].shape[1:] == (9,)
    assert torch.allclose(train[0].mean(0), torch.zeros(9), atol=1e-5)
    assert torch.allclose(train[0].std(0), torch.ones(9), atol=1e-5)
    assert test[0].mean(0).abs().max() > 0.1  # it has its own statistics, which nobody looked at


def test_auto_mpg_is_predicted_in_miles_per_gallon():
    train, val, test = tensors(auto_mpg())
    targets = torch.cat([train[1], val[1], test[1]])
    assert targets.shape == (392, 1)
    assert targets.mean().item() == pytest.approx(23.446, abs=1e-3)
    assert (targets.min(), targets.max()) == (9, pytest.approx(46.6))
    design = torch.cat([train[0], torch.ones(len(train[0]), 1)], dim=1)
    weights = torch.linalg.pinv(design, rtol=1e-5) @ train[1]  # least squares; the three origins sum to a constant
    predicted = torch.cat([test[0], torch.ones(len(test[0]), 1)], dim=1) @ weights
    assert torch.nn.functional.mse_loss(predicted, test[1]).sqrt() < 3.5  # the mean alone misses by 7.9


def test_augmentation_is_for_the_training_set():
    splits = digits(augment=torch.fliplr)
    assert isinstance(splits.train, Augmented)
    assert type(splits.val) is type(splits.test) is TensorDataset
    image, label = splits.train[5]
    plain, plain_label = digits().train[5]
    assert torch.equal(image, torch.fliplr(plain))
    assert label == plain_label


def test_transforms_are_called_in_order_before_normalisation():
    images, labels = torch.rand(4, 3, 2, 2), torch.arange(4)
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    double, add = (lambda image: 2 * image), (lambda image: image + 1)
    augmented = image_dataset(images, labels, mean=mean, std=std, augment=[double, add])
    by_hand = (2 * images[3] + 1 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(augmented[3][0], by_hand)
    kept = images.clone()
    plain = image_dataset(images, labels, mean=mean, std=std)
    assert torch.allclose(plain[3][0] * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1), images[3])
    assert torch.equal(images, kept)


def test_augmentation_is_keyed_by_sample():
    v2 = pytest.importorskip("torchvision.transforms.v2")
    augment = [v2.RandomAffine(10, translate=(0.1, 0.1)), v2.RandomCrop(8, padding=1), v2.RandomErasing()]
    train = torch.utils.data.Subset(digits(augment=augment).train, range(40))

    def epoch(number, **options):
        return torch.cat([images for images, _ in Loader(train, 16, seed=3, **options).batches(number)])

    first = epoch(0)
    assert torch.equal(first, epoch(0))
    assert torch.equal(first, epoch(0, num_workers=2))
    assert not torch.equal(first, epoch(1))
    assert not torch.equal(first, default_collate([digits().train[i] for i in range(40)])[0])


def test_some_digits_alone_are_numbered_as_they_are_named():
    whole = torch.cat([labels for _, labels in tensors(digits())]).bincount()
    chosen = torch.cat([labels for _, labels in tensors(digits(only=[7, 5]))])
    assert chosen.bincount().tolist() == [whole[7], whole[5]]
    sevens = {image.numpy().tobytes() for part in digits() for image, label in part if label == 7}
    assert {image.numpy().tobytes() for part in digits(only=[7, 5]) for image, label in part if label == 0} == sevens


@pytest.mark.parametrize("only", [[], [1, 1], [10], [-1, 2]])
def test_what_is_no_digit_is_refused(only):
    with pytest.raises(ConfigError, match=r"data\.datasets\.only=.*different digits"):
        digits(only=only)
