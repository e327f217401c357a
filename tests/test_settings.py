"""The Trainer's settings: each wrong value is refused by name, and the config group has the same fields."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from trainkit.errors import ConfigError
from trainkit.settings import Settings, limited

NUMBERS = {"max_epochs": 0, "min_epochs": 0, "max_steps": 0, "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1}
NUMBERS |= {"limit_train_batches": 0, "limit_val_batches": 0, "limit_test_batches": 0, "overfit_batches": 0}
NUMBERS |= {"fast_dev_run": 0, "num_sanity_val_steps": 0, "log_every_n_steps": 1, "threads": 1, "nonfinite_limit": 1}
POSITIVE = ("gradient_clip_val", "val_check_interval", "grace_period")
SWITCHES = ("inference_mode", "deterministic", "detect_anomaly")
CHOICES = {"strategy": ["auto"], "precision": ["fp32", "bf16", "fp16"]}
CHOICES |= {"gradient_clip_algorithm": ["norm", "param_norm", "value"], "on_nonfinite": ["stop", "skip", "rollback"]}
SHARES = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches", "val_check_interval")
OTHERS = ("max_time", "device", "compile")


def test_these_tests_know_every_setting():
    assert {f.name for f in fields(Settings)} == {*NUMBERS, *POSITIVE, *SWITCHES, *CHOICES, *OTHERS}


@pytest.mark.parametrize(("name", "least"), NUMBERS.items())
def test_the_least_number_is_allowed_and_no_less(name, least):
    assert getattr(Settings(**{name: least}), name) == least
    with pytest.raises(ConfigError, match=rf"trainer\.{name}={least - 1}: must be at least {least}($|\. null)"):
        Settings(**{name: least - 1})


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan")])
def test_what_must_be_positive_is(name, value):
    assert getattr(Settings(**{name: 0.1}), name) == 0.1
    with pytest.raises(ConfigError, match=rf"trainer\.{name}={value}(\.0)?: must be more than 0($|\. null)"):
        Settings(**{name: value})


def test_a_share_is_a_number():
    with pytest.raises(ConfigError, match=r"trainer\.limit_val_batches=nan: must be at least 0$"):
        Settings(limit_val_batches=float("nan"))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["true", 1, None])
def test_switches_are_true_or_false(name, value):
    told = {"true": "'true'", 1: "1", None: "null"}[value]
    with pytest.raises(ConfigError, match=rf"trainer\.{name}={told}: must be true or false($|\. Write true)"):
        Settings(**{name: value})


@pytest.mark.parametrize(("name", "choices"), CHOICES.items())
def test_choices_are_listed(name, choices):
    for choice in choices:
        assert getattr(Settings(**{name: choice}), name) == choice
    told = f"one of {', '.join(choices)}" if len(choices) > 2 else " or ".join(choices)
    with pytest.raises(ConfigError, match=rf"trainer\.{name}=other: must be {told}$"):
        Settings(**{name: "other"})


def test_a_near_choice_is_suggested():
    with pytest.raises(ConfigError, match=r"precision=bf61.*Did you mean 'bf16'\?"):
        Settings(precision="bf61")


@pytest.mark.parametrize("name", [f.name for f in fields(Settings)])
def test_a_list_fits_no_setting(name):
    with pytest.raises(ConfigError, match=rf"trainer\.{name}=\[1\]: must be "):
        Settings(**{name: [1]})


@pytest.mark.parametrize("name", ["max_epochs", "accumulate_grad_batches", "log_every_n_steps"])
@pytest.mark.parametrize("value", [1.5, True, "3"])
def test_whole_numbers_are_whole(name, value):
    told = {1.5: "1.5", True: "true", "3": "'3'"}[value]
    with pytest.raises(ConfigError, match=rf"trainer\.{name}={told}: must be a whole number, at least "):
        Settings(**{name: value})


@pytest.mark.parametrize("name", SHARES)
def test_a_share_is_at_most_one(name):
    assert getattr(Settings(**{name: 1.0}), name) == 1.0
    with pytest.raises(ConfigError, match=rf"trainer\.{name}=1\.5: a float is a share and at most 1\.0"):
        Settings(**{name: 1.5})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"max_time": "soon"}, "must be a time such as 90s"),
        ({"max_time": "10ep"}, "must be a time such as 90s"),
        ({"max_time": 30}, "must be a time .* Write 30s, 30min or 30h"),
        ({"val_check_interval": "often"}, "or a duration in epochs or steps, such as 2ep or 500st"),
        ({"val_check_interval": "10min"}, "or a duration in epochs or steps"),
        ({"val_check_interval": "3epochs"}, "Did you mean '3ep'"),
    ],
)
def test_durations_are_read_at_once(values, told):
    with pytest.raises(ConfigError, match=told):
        Settings(**values)


@pytest.mark.parametrize("values", [{"max_time": "1:30:00"}, {"max_time": "2h"}, {"val_check_interval": "0.5ep"}])
def test_durations_of_the_right_kind_are_taken(values):
    Settings(**values)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:3", "mps"])
def test_devices_are_known_by_name(device):
    assert Settings(device=device).device == device


@pytest.mark.parametrize(("device", "meant"), [("gpu", "cuda"), ("cdua", "cuda"), ("cuda0", "cuda"), ("cpus", "cpu")])
def test_a_device_by_another_name_is_refused(device, meant):
    with pytest.raises(ConfigError, match=rf"trainer\.device={device}: must be auto, cpu.*Did you mean '{meant}'"):
        Settings(device=device)


@pytest.mark.parametrize("mode", [True, False, "max-autotune", "reduce-overhead"])
def test_compile_takes_the_modes_of_torch(mode):
    assert Settings(compile=mode).compile is mode


def test_the_modes_of_compile_are_those_of_the_installed_torch():
    import torch._inductor

    modes = set(torch._inductor.list_mode_options())
    (compile_,) = (f for f in fields(Settings) if f.name == "compile")
    assert modes <= set(compile_.metadata["choices"])
    with pytest.raises(ConfigError, match=r"compile=max-autotun: .*Did you mean 'max-autotune'"):
        Settings(compile="max-autotun")


@pytest.mark.parametrize(("name", "value"), [("max_steps", -1), ("max_epochs", -1), ("gradient_clip_val", 0)])
def test_what_other_frameworks_write_for_none_is_null(name, value):
    with pytest.raises(ConfigError, match=r"null stands for none\."):
        Settings(**{name: value})


@pytest.mark.parametrize(("value", "meant"), [("16-mixed", "fp16"), ("bf16-mixed", "bf16"), (32, "fp32"), (16, "fp16")])
def test_precisions_of_other_frameworks_are_translated(value, meant):
    with pytest.raises(ConfigError, match=rf"precision='?{value}'?: must be one of .*Did you mean '{meant}'"):
        Settings(precision=value)


def test_threads_are_a_number_auto_or_null():
    assert [Settings(threads=value).threads for value in (2, "auto", None)] == [2, "auto", None]
    with pytest.raises(ConfigError, match=r"trainer\.threads=all: must be a whole number, at least 1, auto, or null"):
        Settings(threads="all")


def test_an_unknown_name_suggests_the_closest():
    with pytest.raises(
        ConfigError, match=r"trainer\.max_epoch: no such setting of the Trainer\. Did you mean 'max_epochs'"
    ):
        Settings.of({"max_epoch": 3})
    assert Settings.of({"max_epochs": 3}) == Settings(max_epochs=3)


def test_something_must_end_the_training():
    with pytest.raises(ConfigError, match="nothing ends the training: set max_epochs, max_steps or max_time"):
        Settings().resolved()
    for end in ({"max_epochs": 1}, {"max_steps": 1}, {"max_time": "1h"}):
        Settings(**end).resolved()


def test_fast_dev_run_spells_itself_out():
    settings = Settings(fast_dev_run=3, accumulate_grad_batches=2, max_epochs=100).resolved()
    assert (settings.max_epochs, settings.max_steps, settings.log_every_n_steps) == (1, 3, 1)
    assert (settings.limit_train_batches, settings.limit_val_batches, settings.limit_test_batches) == (6, 3, 3)
    assert Settings(fast_dev_run=True).resolved().max_steps == 1


def test_overfitting_validates_as_many_batches_as_it_trains_on():
    settings = Settings(overfit_batches=4, limit_train_batches=7, max_epochs=1).resolved()
    assert (settings.train_batches(10), settings.limit_val_batches) == (4, 4)
    assert Settings(overfit_batches=0.01, max_epochs=1).train_batches(10) == 1


@pytest.mark.parametrize(
    ("total", "limit", "left"),
    [
        (10, None, 10),
        (10, 3, 3),
        (10, 30, 10),
        (10, 0.25, 2),
        (10, 1.0, 10),
        (10, 0, 0),
        (None, 3, 3),
        (None, None, None),
    ],
)
def test_limits_leave_so_many_batches(total, limit, left):
    assert limited(total, limit) == left


def test_a_share_of_an_unknown_length_is_refused():
    with pytest.raises(ConfigError, match="needs a loader with a length"):
        limited(None, 0.5)


@pytest.mark.parametrize(
    ("values", "batches", "per_epoch", "total"),
    [
        ({"max_epochs": 3}, 10, 10, 30),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 10, 3, 9),
        ({"max_epochs": 3, "max_steps": 5}, 10, 10, 5),
        ({"max_epochs": 3, "limit_train_batches": 4}, 10, 4, 12),
        ({"max_steps": 50}, 10, 10, 50),
        ({"max_steps": 50}, None, None, 50),
        ({"max_epochs": 3}, None, None, None),
        ({"max_time": "1h"}, 10, 10, None),
    ],
)
def test_steps_of_an_epoch_and_of_the_run(values, batches, per_epoch, total):
    settings = Settings(**values)
    assert (settings.steps_per_epoch(batches), settings.total_steps(batches)) == (per_epoch, total)


def test_the_config_group_has_these_fields_with_these_defaults():
    group = yaml.safe_load((Path(__file__).parents[1] / "configs" / "trainer" / "default.yaml").read_text())
    defaults = {f.name: f.default for f in fields(Settings)}
    assert list(group) == list(defaults)
    assert {name for name in group if group[name] != defaults[name]} == {"max_epochs", "threads"}
    Settings.of(group).resolved()


def test_every_setting_says_what_it_is_for():
    assert all(f.metadata["doc"].endswith(".") for f in fields(Settings))
