"""The loaders of a config: what the data keys do, and streams."""

from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from trainkit.config.build import Parts, build_parts, build_trainer
from trainkit.config.composing.compose import compose
from trainkit.data import Foreign, Loader, Splits
from trainkit.errors import ConfigError


class Digits(IterableDataset):
    """Random images, without an end that anybody could know."""

    def __iter__(self):
        for _ in range(40):
            yield torch.rand(1, 8, 8), torch.randint(10, ())


def parts_of(*overrides: str, splits: Splits | None = None) -> Parts:
    parts = build_parts(compose("mlp", *overrides))
    if splits is not None:
        parts.splits = splits
    return parts


def test_the_data_keys_reach_each_loader() -> None:
    keys: dict[str, Any] = {"on_error": "skip", "max_errors": 7, "changed": "allow", "timeout": 12.5}
    parts = parts_of(*(f"data.{key}={value}" for key, value in keys.items()))
    for name in ("train", "val", "test"):
        loader = parts.loader(name)
        assert isinstance(loader, Loader)
        assert (loader.name, {key: getattr(loader, key) for key in keys}) == (name, keys)


def test_the_defaults_are_those_of_python() -> None:
    loader, plain = parts_of().loader("train"), Loader([0])  # type: ignore[arg-type]
    assert isinstance(loader, Loader)
    for key in ("on_error", "max_errors", "changed", "timeout"):
        assert getattr(loader, key) == getattr(plain, key)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.on_error=ignore", "data.on_error=ignore: must be stop or skip"),
        ("data.changed=yes", "data.changed=yes: must be refuse or allow"),
        ("data.timeout=-3", "data.timeout=-3: must be at least 0"),
        ("data.max_errors=many", "data.max_errors=many: must be a whole number"),
    ],
)
def test_a_wrong_choice_is_told_by_its_key(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parts_of(override).loader("train")
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recipe_may_train_on_a_stream(workers: int) -> None:
    splits = Splits(Digits(), Digits())
    overrides = ("data.batch_size=8", "trainer.max_steps=7", f"data.num_workers={workers}", "schedule=constant")
    trainer = build_trainer(parts_of(*overrides, splits=splits))
    assert isinstance(trainer.train_loader, Foreign)
    trainer.fit()
    assert (trainer.counters.step, trainer.counters.epoch, trainer.counters.batch) == (7, 1, 2)
    again = build_trainer(parts_of(*overrides, splits=splits))
    again.fit()
    first, second = (list(t.model.parameters()) for t in (trainer, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_stream_without_samples_skips_none() -> None:
    with pytest.raises(ConfigError, match=r"data\.on_error=skip: Digits is iterable"):
        parts_of("data.on_error=skip", splits=Splits(Digits())).loader("train")
