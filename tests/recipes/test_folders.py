"""Images in class folders, made here in every mode that real ones come in."""

import os

import numpy
import pytest
import torch
from PIL import Image

from trainkit.data import Loader
from trainkit.data.fingerprint import content
from trainkit.errors import ConfigError
from trainkit.recipes.data import class_names, image_folder, read_picture

COUNTS = {"ant": 10, "bee": 20, "cat": 5}
SHADES = {"ant": 0, "bee": 100, "cat": 200}


def paint(path, colour=0, size=(8, 8), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (colour,) * 3 if mode == "RGB" and isinstance(colour, int) else colour).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    for name, count in COUNTS.items():
        for number in range(count):
            paint(tmp_path / "images" / name / f"{number:02}.png", SHADES[name] + number)
    return tmp_path / "images"


def shade(image):
    return round(image.mean().item() * 255)


def shades(dataset):
    return sorted(shade(dataset[i][0]) for i in range(len(dataset)))


def test_classes_are_the_folders_in_the_order_of_their_names(root):
    splits = image_folder(root, size=4)
    assert class_names(root) == ["ant", "bee", "cat"]
    for part in splits:
        assert part.classes == ["ant", "bee", "cat"]
        for index, (path, label) in enumerate(part.samples):
            image, given = part[index]
            assert (image.shape, image.dtype) == ((3, 4, 4), torch.float32)
            name = os.path.basename(os.path.dirname(path))
            assert given == label == ["ant", "bee", "cat"].index(name)
            assert shade(image) == SHADES[name] + int(os.path.basename(path)[:2])


def test_each_class_is_dealt_by_the_same_shares_and_each_image_once(root):
    splits = image_folder(root, size=4, fractions=(0.6, 0.2, 0.2))
    labels = [torch.tensor([label for _, label in part.samples]).bincount().tolist() for part in splits]
    assert labels == [[6, 12, 3], [2, 4, 1], [2, 4, 1]]
    assert len({path for part in splits for path, _ in part.samples}) == 35
    assert [len(part) for part in image_folder(root, fractions=(0.6, 0.2, 0.0)) if part] == [21, 7]


def test_the_split_depends_on_its_seed_and_on_the_class_alone(root):
    first, again, other = (image_folder(root, split_seed=seed).train.samples for seed in (0, 0, 1))
    assert first == again != other
    paint(root / "dog" / "1.png")
    assert [sample for sample in image_folder(root).train.samples if "dog" not in sample[0]] == first
    for number in range(20):
        paint(root / "dog" / f"{number:02}.png")
    (root / "dog" / "1.png").unlink()
    chosen = {path[-10:] for path, _ in image_folder(root).train.samples}
    assert {f"bee/{path[-6:]}" for path in chosen if "dog" in path} != {path[-10:] for path in chosen if "bee" in path}


@pytest.mark.parametrize("val", ["val", "valid"])
def test_a_split_on_disk_is_taken_as_it_is(tmp_path, val):
    for part, count in (("train", 6), (val, 3), ("test", 2)):
        for name in ("ant", "bee"):
            for number in range(count):
                paint(tmp_path / part / name / f"{number}.png", count)
    (tmp_path / "test" / "ant").rename(tmp_path / "ant")  # a class that has no test images
    splits = image_folder(tmp_path, size=4)
    assert [len(part) for part in splits] == [12, 6, 2]
    assert [shades(part)[0] for part in splits] == [6, 3, 2]
    assert splits.test[0][1] == 1
    assert class_names(tmp_path) == ["ant", "bee"]


def test_training_images_become_the_validation_set_that_is_missing(tmp_path):
    for name in ("ant", "bee"):
        for number in range(8):
            paint(tmp_path / "train" / name / f"{number}.png", number)
    train, val, test = image_folder(tmp_path, fractions=(0.6, 0.2, 0.2))
    assert (len(train), len(val), test) == (12, 4, None)
    assert not set(train.samples) & set(val.samples)
    assert image_folder(tmp_path, fractions=(0.8, 0, 0.2)).val is None


def test_a_class_may_be_called_train(tmp_path):
    for name in ("plane", "train"):
        for number in range(5):
            paint(tmp_path / name / f"{number}.png")
    assert image_folder(tmp_path).train.classes == ["plane", "train"]
    paint(tmp_path / "train" / "deeper" / "1.png")
    assert image_folder(tmp_path).train.classes == ["plane", "train"]


def test_hidden_files_and_other_files_are_no_images(root):
    paint(root / ".ipynb_checkpoints" / "1.png")
    (root / "ant" / "._01.png").write_bytes(b"not an image")
    (root / "ant" / "notes.txt").write_text("none either")
    paint(root / "ant" / "deeper" / "11.PNG", 50)
    splits = image_folder(root)
    assert splits.train.classes == ["ant", "bee", "cat"]
    paths = [path for part in splits for path, _ in part.samples]
    assert len(paths) == 36
    assert sum(path.endswith("11.PNG") for path in paths) == 1


def test_links_are_followed_once(root):
    (root / "links").symlink_to(root / "ant", target_is_directory=True)
    (root / "ant" / "again").symlink_to(root / "ant", target_is_directory=True)
    names = [label for part in image_folder(root) for _, label in part.samples]
    assert torch.tensor(names).bincount().tolist() == [10, 20, 5, 10]


# ---------------------------------------------------------------------- pictures of every mode


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("RGB", (10, 20, 30), "png", (10, 20, 30)),
        ("L", 70, "png", (70, 70, 70)),
        ("1", 1, "png", (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), "png", (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), "png", (255, 255, 255)),
        ("RGBA", (0, 0, 255, 51), "png", (204, 204, 255)),
        ("LA", (0, 51), "png", (204, 204, 204)),
        ("I;16", 58982, "png", (229, 229, 229)),
        ("I;16", 257 * 3, "tif", (3, 3, 3)),
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb_on_white(tmp_path, mode, colour, suffix, expected):
    picture = read_picture(paint(tmp_path / f"a.{suffix}", colour, (3, 2), mode))
    assert (picture.shape, picture.dtype) == ((3, 2, 3), torch.uint8)
    assert picture[:, 0, 0].tolist() == list(expected)
    assert (picture == picture[:, :1, :1]).all()


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\xff"])
def test_palettes_are_looked_up_and_their_transparent_colour_is_white(tmp_path, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png", **({} if transparency is None else {"transparency": transparency}))
    first = [10, 20, 30] if transparency is None else [255] * 3
    assert read_picture(tmp_path / "a.png")[:, 0].T.tolist() == [first, [40, 50, 60]]


def test_photographs_stand_upright(tmp_path):
    picture = Image.fromarray(numpy.array([[0, 255]], numpy.uint8).repeat(8, 0).repeat(8, 1))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned
    picture.save(tmp_path / "a.jpg", exif=exif)
    turned = read_picture(tmp_path / "a.jpg")
    assert turned.shape == (3, 16, 8)
    assert turned[:, 0].max() < 20
    assert turned[:, -1].min() > 235


# ---------------------------------------------------------------------- what is done to them


def test_preprocessing_is_the_same_for_all_sets_and_by_the_formula(root):
    steps = {"size": 6, "crop": 4, "mean": [0.1, 0.2, 0.3], "std": [0.5, 1.0, 2.0]}
    splits = image_folder(root, size=99, preprocessing=steps)
    for part in splits:
        image, _ = part[0]
        path = part.samples[0][0]
        value = (SHADES[os.path.basename(os.path.dirname(path))] + int(os.path.basename(path)[:2])) / 255
        expected = [(value - 0.1) / 0.5, (value - 0.2) / 1.0, (value - 0.3) / 2.0]
        assert image.shape == (3, 4, 4)
        assert torch.allclose(image[:, 0, 0], torch.tensor(expected), atol=1e-6)


def test_the_shorter_side_is_resized_and_the_middle_is_cut_out(tmp_path):
    stripes = numpy.array([[0] * 8 + [255] * 16 + [0] * 8], numpy.uint8).repeat(16, 0)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(stripes).save(tmp_path / name / "1.png")
    options = {"mean": [0.0] * 3, "std": [1.0] * 3}
    (cut, _), (whole, _) = (
        image_folder(tmp_path, size=8, fractions=(1, 0, 0), preprocessing=options | more).train[0]
        for more in ({}, {"size": [8, 8]})
    )
    assert cut.min() > 0.8  # white but for the blur at its sides
    assert whole[:, :, 0].max() < 0.2
    assert whole[:, :, 4].min() > 0.9


def test_a_size_of_null_leaves_images_as_they_are(root):
    assert image_folder(root, size=None).train[0][0].shape == (3, 8, 8)


@pytest.mark.parametrize("cache_limit", [512, 0])
def test_augmentation_is_for_training_and_sees_values_from_0_to_1(root, cache_limit):
    seen = []

    def double(image):
        seen.append((image.max().item(), tuple(image.shape)))
        return image * 2

    steps = {"size": 4, "crop": 4, "mean": [0.5] * 3, "std": [0.1] * 3}
    plain = image_folder(root, preprocessing=steps)
    splits = image_folder(root, preprocessing=steps, augment=double, cache_limit=cache_limit)
    image, _ = splits.train[3]
    assert torch.allclose(image, ((plain.train[3][0] * 0.1 + 0.5) * 2 - 0.5) / 0.1, atol=1e-4)
    assert 0 <= seen[0][0] <= 1
    assert seen == [(seen[0][0], (3, 4, 4))]
    assert all(torch.equal(a[0][0], b[0][0]) for a, b in zip(plain[1:], splits[1:], strict=True))
    assert len(seen) == 1


def test_a_named_augmentation_is_keyed_by_sample_for_any_number_of_workers(root):
    for path in root.rglob("*.png"):
        noise = numpy.random.default_rng(0).integers(0, 255, (12, 12, 3), numpy.uint8)
        Image.fromarray(noise).save(path)
    train = image_folder(root, size=6, augment="light").train

    def epoch(number, **options):
        return torch.cat([images for images, _ in Loader(train, 8, seed=3, **options).batches(number)])

    assert torch.equal(epoch(0), epoch(0))
    assert torch.equal(epoch(0), epoch(0, num_workers=2))
    assert not torch.equal(epoch(0), epoch(1))


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize("augment", [None, "flip"])
def test_images_are_decoded_once_where_they_fit(root, monkeypatch, augment):
    read = []
    monkeypatch.setattr("trainkit.recipes.data.folders.read_picture", lambda p: read.append(p) or read_picture(p))
    kept = image_folder(root, size=4, augment=augment)
    assert len(read) == 35
    values = [torch.stack([part[i][0] for i in range(len(part))]) for part in kept for _ in range(2)]
    assert len(read) == 35
    anew = image_folder(root, size=4, augment=augment, cache_limit=0)
    assert len(read) == 35
    for _ in range(2):
        again = [torch.stack([part[i][0] for i in range(len(part))]) for part in anew]
        assert all(torch.equal(a, b) for a, b in zip(again[1:], values[2::2], strict=True))
    assert len(read) == 3 * 35


@pytest.mark.parametrize(("side", "augment", "kept"), [(120, None, True), (130, None, False), (800, "flip", True)])
def test_only_what_fits_into_the_limit_is_kept(tmp_path, side, augment, kept):
    """Six float images of 130x130 take more than 1 MiB, of 120x120 less; those to be augmented are kept as they lie."""
    for name in "ab":
        for number in range(3):
            paint(tmp_path / name / f"{number}.png", size=(200, 200))
    train = image_folder(tmp_path, size=side, augment=augment, fractions=(1, 0, 0), cache_limit=1).train
    assert (train._kept is not None) == kept
    if augment:
        paint(tmp_path / "a" / "9.png", size=(400, 400))
        assert image_folder(tmp_path, augment=augment, fractions=(1, 0, 0), cache_limit=1).train._kept is None


def test_the_fingerprint_knows_the_files(root):
    before = content(image_folder(root).train)
    assert before == content(image_folder(root).train)
    assert before != content(image_folder(root, split_seed=1).train)


# ---------------------------------------------------------------------- what is wrong with a folder


def test_a_missing_folder_is_named_with_the_one_beside_it(root):
    with pytest.raises(ConfigError, match=r"data\.folder=.*/imagse: there is no such folder\. Did you mean 'images'\?"):
        image_folder(root.parent / "imagse")


def test_images_without_class_folders_are_refused(tmp_path):
    for number in range(3):
        paint(tmp_path / f"{number}.png")
    with pytest.raises(ConfigError, match=r"has no class folders; its 3 images must lie in such"):
        image_folder(tmp_path)


def test_an_empty_class_is_named(root):
    (root / "dog").mkdir()
    (root / "dog" / "1.heic").touch()
    with pytest.raises(ConfigError, match=r"/dog has no images, .*\.png"):
        image_folder(root)


def test_a_class_too_small_to_be_trained_on_is_named(root):
    paint(root / "dog" / "1.png")
    with pytest.raises(ConfigError, match=r"fractions=\[0\.4, 0\.3, 0\.3\]: none of the 1 images of the class 'dog'"):
        image_folder(root, fractions=(0.4, 0.3, 0.3))


def test_a_class_that_is_tested_but_not_trained_is_named(tmp_path):
    for part, name in (("train", "ant"), ("train", "bee"), ("val", "bees")):
        paint(tmp_path / part / name / "1.png")
    with pytest.raises(ConfigError, match=r"val/bees is a class that the training images do not have\. .*'bee'"):
        image_folder(tmp_path)


def test_another_number_of_classes_is_refused_with_the_names(root):
    with pytest.raises(ConfigError, match=r"data\.classes=4: .* has 3 class folders: ant, bee, cat"):
        image_folder(root, classes=4)
    assert image_folder(root, classes=3).train.classes == ["ant", "bee", "cat"]


@pytest.mark.parametrize("damage", [b"no image at all", "cut"])
def test_a_damaged_image_is_named(root, damage):
    file = root / "bee" / "07.png"
    noise = numpy.random.default_rng(0).integers(0, 255, (40, 40, 3), numpy.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:2000] if damage == "cut" else damage)
    with pytest.raises(ConfigError, match=r"bee/07\.png: cannot be read as a picture: .*data\.on_error=skip") as raised:
        image_folder(root)
    assert "\n" not in str(raised.value)
    splits = image_folder(root, cache_limit=0)
    part, index = next((p, i) for p in splits for i, (path, _) in enumerate(p.samples) if path == str(file))
    with pytest.raises(ValueError, match=r"bee/07\.png"):
        part[index]


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.3, 0.2), (1.2, -0.2, 0), (0, 0.5, 0.5)])
def test_wrong_fractions_are_refused(root, fractions):
    with pytest.raises(ConfigError, match=r"data\.datasets\.fractions=.*three numbers"):
        image_folder(root, fractions=fractions)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"preprocessing": "auto"}, r"data\.preprocessing=auto: nothing is known here"),
        ({"preprocessing": {"maen": [0.5]}}, r"data\.preprocessing\.maen: .*'mean'"),
        ({"augment": "lihgt"}, r"augment=lihgt: .*'light'"),
    ],
)
def test_wrong_preprocessing_is_refused(root, options, told):
    with pytest.raises(ConfigError, match=told):
        image_folder(root, **options)
