"""Errors for people: an exit code each, and the nearest word."""

from itertools import pairwise

import pytest

from trainkit.errors import OTHER_NAMES, ConfigError, TrainingError, closest, likeness, nearest


def test_exit_codes_are_those_of_the_contract():
    assert (ConfigError.exit_code, TrainingError.exit_code) == (2, 1)


def test_closest_suggests_the_nearest_choice():
    assert closest("max_epoch", ["min_epochs", "max_epochs", "max_steps"]) == " Did you mean 'max_epochs'?"


@pytest.mark.parametrize("choices", [["cosine", "linear"], []])
def test_closest_is_silent_when_nothing_is_near(choices):
    assert closest("zzz", choices) == ""


PATHS = (
    *("seed", "name", "run_dir", "resume", "monitor.metric", "monitor.mode", "optimizer.lr", "optimizer.weight_decay"),
    *("trainer.max_epochs", "trainer.min_epochs", "trainer.max_steps", "trainer.precision", "data.batch_size"),
    *("data.val_batch_size", "data.num_workers", "callbacks.early_stopping.patience", "callbacks.early_stopping.mode"),
    *("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm", "model.hidden", "model.dropout"),
)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("optimizer.lt", "optimizer.lr"),
        ("optimzer.lr", "optimizer.lr"),
        ("optimizer.rl", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("LR", "optimizer.lr"),
        ("trainer.lr", "optimizer.lr"),
        ("trainer.optimizer.lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("max_epoch", "trainer.max_epochs"),
        ("trainer.mxa_epochs", "trainer.max_epochs"),
        ("trainer.maxEpochs", "trainer.max_epochs"),
        ("trainer.max-epochs", "trainer.max_epochs"),
        ("trainer.epochs_max", "trainer.max_epochs"),
        ("trainer_max_epochs", "trainer.max_epochs"),
        ("epochs", "trainer.max_epochs"),
        ("bs", "data.batch_size"),
        ("batchsize", "data.batch_size"),
        ("early_stopping.patience", "callbacks.early_stopping.patience"),
        ("callbacks.patience", "callbacks.early_stopping.patience"),
        ("callbacks.early_stoping.patiense", "callbacks.early_stopping.patience"),
        ("gradient_clip", "trainer.gradient_clip_val"),
        ("sede", "seed"),
        ("xyz", None),
        ("weigt_dek", None),  # neither the name nor the place
        ("callbacks.early_stopping.zzz", None),
        ("zzz.hidden_layers_of_doom", None),
        ("", None),
    ],
)
def test_the_nearest_path_is_found_by_its_parts(word: str, meant: str | None) -> None:
    assert nearest(word, PATHS) == ([] if meant is None else [meant])


@pytest.mark.parametrize("path", PATHS)
def test_every_slip_of_one_letter_finds_its_path(path: str) -> None:
    """In at least 95 of 100 the first suggestion is the word itself."""
    letters = [place for place, letter in enumerate(path) if letter not in "._"]
    slips = [path[:place] + path[place + 1 :] for place in letters]
    slips += [path[:place] + "q" + path[place + 1 :] for place in letters]
    slips += [path[:place] + path[place] + path[place:] for place in letters]
    slips += [path[:a] + path[b] + path[a] + path[b + 1 :] for a, b in pairwise(letters) if b == a + 1]
    slips = [slip for slip in slips if slip not in PATHS]
    found = [nearest(slip, PATHS) == [path] for slip in slips]
    assert sum(found) >= 0.95 * len(found), [slip for slip, right in zip(slips, found, strict=True) if not right]


@pytest.mark.parametrize(
    ("value", "choices", "meant"),
    [
        ("16", ("fp32", "bf16", "fp16"), "fp16"),
        ("16-mixed", ("fp32", "bf16", "fp16"), "fp16"),
        ("gpu", ("auto", "cpu", "cuda", "mps"), "cuda"),
        ("cosin", ("constant", "cosine", "linear"), "cosine"),
        ("Adam", ("adam", "adamw", "sgd"), "adam"),
        ("adm", ("adam", "adamw", "sgd"), "adam"),
    ],
)
def test_values_have_names_elsewhere_too(value: str, choices: tuple[str, ...], meant: str) -> None:
    assert nearest(value, choices) == [meant]


def test_likeness_goes_from_0_to_1_and_counts_slips() -> None:
    assert likeness("mode", "mode") == 1
    assert likeness("mide", "mode") == 0.75
    assert likeness("mdoe", "mode") == 0.75  # two letters exchanged are one slip
    assert likeness("qqqq", "mode") == 0
    assert likeness("", "") == 1
    assert 0.6 < likeness("l", "lr") < 0.74


def test_the_best_come_first_and_no_more_than_asked_for() -> None:
    choices = ["max_epochs", "min_epochs", "max_steps"]
    assert nearest("max_epoch", choices, most=5)[:2] == ["max_epochs", "min_epochs"]
    assert nearest("max_epoch", choices, most=1) == ["max_epochs"]
    assert nearest("max_epoch", choices, cutoff=0.99) == []
    assert nearest("aa", ["ab", "ac"], most=2) == ["ab", "ac"]


def test_every_other_name_stands_for_a_word_that_it_is_not() -> None:
    assert all(word not in others.split() for word, others in OTHER_NAMES.items())
    assert nearest("gradient-accumulation-steps", ["accumulate_grad_batches"]) == ["accumulate_grad_batches"]
