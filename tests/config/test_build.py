"""Building the objects of a config: every option of every recipe, and what each key does to the objects."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainkit.callbacks import EarlyStopping
from trainkit.config.build import Parts, build_evaluator, build_parts, build_trainer
from trainkit.config.composing.compose import compose, plain
from trainkit.config.composing.recipes import options
from trainkit.errors import ConfigError
from trainkit.optim import NoAverage, NoSchedule, WeightAverage
from trainkit.trainer import Trainer

GROUPS = (
    "model",
    "data",
    "objective",
    "optimizer",
    "schedule",
    "freeze",
    "averaging",
    "metrics",
    "debug",
    "callbacks",
    "loggers",
)
DOWNLOADED = {"mnist", "fashion_mnist", "cifar10"}
CHOICES = [f"{g}={o}" for g in GROUPS for o in options(g) if (g, o) != ("data", "default") and o not in DOWNLOADED]
OTHERS = {"model=torchvision", "model=timm", "data=image_folder", "data=photographs", "objective=distillation"}
"""What needs pictures of one's own in three colours, or a teacher; recipes of their own show them."""
UNFIT = {  # pictures for a recipe of numbers, and the other way round
    "linear": {f"freeze={plan}" for plan in ("feature_extraction", "gradual", "linear_probe_then_finetune")}  # all head
    | {"model=cnn", "model=nested", "data=digits", "objective=classification", "metrics=classification"},
    "mlp": {"model=linear", "data=auto_mpg", "objective=regression"},
    "cnn": {"model=linear", "data=auto_mpg", "objective=regression"},
}
CASES = [(recipe, choice) for recipe in UNFIT for choice in CHOICES if choice not in UNFIT[recipe] | OTHERS]


def parts_of(*overrides: str, run_dir: Path | None = None) -> Parts:
    return build_parts(compose(*overrides), run_dir)


def trainer_of(*overrides: str, run_dir: Path | None = None) -> Trainer:
    return build_trainer(parts_of(*overrides, run_dir=run_dir))


@pytest.mark.parametrize(("recipe", "choice"), CASES)
def test_every_recipe_trains_with_every_option(recipe: str, choice: str) -> None:
    trainer = trainer_of(recipe, choice, "trainer.fast_dev_run=true")
    trainer.fit()
    assert trainer.counters.step == 1
    assert trainer.ending.status == "completed"
    assert "val/loss" in trainer.metrics


def test_every_recipe_is_among_them() -> None:
    assert sorted([*UNFIT, "distillation", "lora", "transfer"]) == options("recipe")  # which need more than themselves


# ---------------------------------------------------------------------- parts


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_first_weights_are_keyed_by_the_seed_alone() -> None:
    first = weights(parts_of("mlp").model)
    torch.rand(7)
    assert torch.equal(weights(parts_of("mlp", "data.split_seed=4", "optimizer=sgd").model), first)
    assert not torch.equal(weights(parts_of("mlp", "seed=1").model), first)


def test_building_leaves_the_generators_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    trainer_of("cnn")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_loaders_follow_the_data_keys() -> None:
    parts = parts_of("mlp", "data.batch_size=50", "data.val_batch_size=100", "data.drop_last=true")
    train, val, test = (parts.loader(name) for name in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (1078 // 50, 4, 4)  # 1,078 / 359 / 360 images; only training drops
    assert not torch.equal(train.first()[0], parts.splits.train[:50][0])  # shuffled
    assert torch.equal(val.first()[0], parts.splits.val[:100][0])


def test_training_may_keep_its_order() -> None:
    parts = parts_of("mlp", "data.shuffle=false")
    assert torch.equal(parts.loader("train").first()[0], parts.splits.train[:64][0])


def test_no_test_set_no_loader() -> None:
    assert parts_of("mlp", "data.datasets.fractions=[0.8,0.2,0]").loader("test") is None


def test_penalties_reach_the_training_loss() -> None:
    batch = parts_of("mlp").loader("train").first()
    plain, l1, l2 = (
        parts_of("mlp", "model.dropout=0", f"penalty.{key}={value}")
        for key, value in (("l1", 0), ("l1", 0.5), ("l2", 0.5))
    )
    matrices = [p for p in plain.model.parameters() if p.ndim > 1]
    bare = plain.objective(plain.model, batch).loss
    assert torch.isclose(l1.objective(l1.model, batch).loss, bare + 0.5 * sum(m.abs().sum() for m in matrices))
    assert torch.isclose(l2.objective(l2.model, batch).loss, bare + 0.25 * sum(m.square().sum() for m in matrices))


def test_the_evaluator_takes_the_metrics_of_the_config() -> None:
    parts = parts_of("mlp", "metrics=classification", "trainer.limit_test_batches=1", "data.val_batch_size=20")
    values = build_evaluator(parts).test(parts.loader("test"))
    assert set(values) == {f"test/{name}" for name in ("loss", "accuracy", "precision", "recall", "f1")}


# ---------------------------------------------------------------------- the trainer


def test_the_keys_of_the_trainer_reach_it() -> None:
    trainer = trainer_of(
        "mlp",
        "trainer.max_steps=7",
        "trainer.gradient_clip_val=0.5",
        "monitor.metric=val/accuracy",
        "monitor.mode=max",
        "seed=9",
    )
    assert (trainer.settings.max_steps, trainer.settings.gradient_clip_val, trainer.seed) == (7, 0.5, 9)
    assert (trainer.best.metric, trainer.best.mode) == ("val/accuracy", "max")


def test_without_a_run_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of("mlp", "trainer.max_epochs=1")
    trainer.fit()
    assert (trainer.loggers, trainer.run_dir, list(tmp_path.iterdir())) == ([], None, [])


def test_a_run_folder_holds_checkpoints_and_tensorboard(tmp_path: Path) -> None:
    trainer = trainer_of("mlp", "checkpoint.keep_last=4", run_dir=tmp_path)
    assert (trainer.store.folder, trainer.store.keep_last) == (tmp_path / "checkpoints", 4)
    assert [type(logger).__name__ for logger in trainer.loggers] == ["JSONLines", "TensorBoard"]


@pytest.mark.parametrize("group", ["callbacks", "loggers", "checkpoint", "averaging", "schedule", "metrics"])
def test_a_group_may_be_left_out(group: str, tmp_path: Path) -> None:
    trainer = trainer_of("mlp", f"~{group}", "trainer.max_steps=1", run_dir=tmp_path)
    trainer.fit()
    assert trainer.counters.step == 1
    assert (trainer.callbacks == {}) is (group == "callbacks")
    assert isinstance(trainer.schedule, NoSchedule) is (group == "schedule")


def test_a_callback_may_be_left_out_changed_and_added() -> None:
    added = "+callbacks.second={_target_:trainkit.callbacks.EarlyStopping,monitor:val/accuracy,mode:max}"
    trainer = trainer_of("mlp", "~callbacks.predictions", "callbacks.early_stopping.patience=2", added)
    assert list(trainer.callbacks) == ["progress", "freeze_table", "early_stopping", "second"]
    stopping = trainer.callbacks["early_stopping"]
    assert isinstance(stopping, EarlyStopping)
    assert stopping.patience == 2


def test_averages_are_built_where_asked_for() -> None:
    average = trainer_of("mlp", "averaging=ema", "averaging.decay=0.5").averaging
    assert isinstance(average, WeightAverage)
    assert average.decay == 0.5
    assert isinstance(trainer_of("mlp").averaging, NoAverage)


def test_an_optimizer_is_fused_where_it_can_be_and_nobody_said_otherwise() -> None:
    assert trainer_of("mlp").optimizer.defaults["fused"] is True
    assert trainer_of("mlp", "optimizer.fused=false").optimizer.defaults["fused"] is False
    assert "fused" not in trainer_of("mlp", "optimizer=rmsprop").optimizer.defaults
    swapped = trainer_of("mlp", "optimizer._target_=torch.optim.NAdam").optimizer
    assert isinstance(swapped, torch.optim.NAdam)


def test_parameter_groups_get_their_own_options() -> None:
    trainer = trainer_of(
        "cnn",
        "parameter_groups.decay_norm_and_bias=false",
        "freeze.rules=[{match:'head.*',lr:0.5}]",
        "schedule=constant",
    )
    found = {g["name"]: (g["lr"], g["weight_decay"], len(g["params"])) for g in trainer.optimizer.param_groups}
    assert found == {
        "head.*": (0.5, 0.05, 1),
        "head.* (no decay)": (0.5, 0.0, 1),
        "rest": (0.01, 0.05, 4),
        "rest (no decay)": (0.01, 0.0, 8),
    }


# ---------------------------------------------------------------------- schedules


def rates(trainer: Trainer, steps: int) -> list[float]:
    """Learning rates of the first steps."""
    found = []
    for _ in range(steps):
        found.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.schedule.step_end()
    return found


@pytest.mark.parametrize(
    ("warmup", "steps"), [("5st", 5), ("1ep", 17), ("0.05", 34), ("0.5ep", 8), ("12", 12), ("null", 0)]
)
def test_a_warmup_is_a_number_of_steps_a_share_or_a_duration(warmup: str, steps: int) -> None:
    """The recipe trains for 40 epochs of 17 steps."""
    trainer = trainer_of("mlp", "schedule=constant", f"schedule.warmup={warmup}", "optimizer.lr=1")
    assert trainer.schedule.warmup == steps
    found = rates(trainer, steps + 2)
    assert found[:steps] == pytest.approx([(i + 1) / (steps + 1) for i in range(steps)])
    assert found[steps:] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("choice", ["cosine", "linear", "one_cycle"])
@pytest.mark.parametrize("warmup", ["null", "10st"])
def test_the_length_of_the_run_is_filled_in(choice: str, warmup: str) -> None:
    trainer = trainer_of("mlp", f"schedule={choice}", f"schedule.warmup={warmup}", "trainer.max_steps=100")
    found = rates(trainer, 100)
    assert max(found) == pytest.approx(0.01)
    assert found[-1] < 0.0005
    assert found[-2] > found[-1]


def test_a_schedule_by_epochs_counts_epochs() -> None:
    trainer = trainer_of("mlp", "schedule.interval=epoch")
    assert trainer.schedule.scheduler.T_max == 40
    assert rates(trainer, 20) == [0.01] * 20


def test_accumulation_shortens_the_schedule() -> None:
    assert trainer_of("mlp", "trainer.accumulate_grad_batches=4").schedule.scheduler.T_max == 40 * 5


@pytest.mark.parametrize("warmup", ["0.05", "1ep"])
def test_a_run_without_a_known_length_takes_a_warmup_in_steps_and_epochs(warmup: str) -> None:
    overrides = (
        "mlp",
        "schedule=constant",
        f"schedule.warmup={warmup}",
        "trainer.max_epochs=null",
        "trainer.max_time=1min",
    )
    if warmup == "1ep":
        assert trainer_of(*overrides).schedule.warmup == 17
    else:
        with pytest.raises(ConfigError, match=r"schedule\.warmup=0\.05: a share of the run, whose length is not known"):
            trainer_of(*overrides)


# ---------------------------------------------------------------------- what cannot be built


def unchecked(changes: dict[str, Any], recipe: str = "mlp") -> DictConfig:
    """Return a config as Python code may make one, that nobody has looked at; ``...`` takes a key out."""
    config = OmegaConf.create(plain(compose(recipe)))
    for path, value in changes.items():
        parent, _, leaf = path.rpartition(".")
        node = OmegaConf.select(config, parent) if parent else config
        if value is ...:
            del node[leaf]
        else:
            node[leaf] = value
    return config


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": "abc"}, "seed=abc: must be a whole number, at least 0"),
        ({"seed": -1}, "seed=-1: must be a whole number"),
        ({"seed": True}, "seed=True: must be a whole number"),
        ({"data.batch_size": 0}, "data.batch_size=0: must be a whole number, at least 1"),
        ({"data.val_batch_size": "many"}, "data.val_batch_size=many: must be a whole number"),
        ({"data.num_workers": -1}, "data.num_workers=-1: must be a whole number, at least 0"),
        ({"data.datasets.fractions": [1, 1, 1]}, "data.datasets.fractions=[1, 1, 1]: give the shares"),
        ({"model": None}, "model: nothing chosen; a recipe or model=OPTION does"),
        ({"optimizer": {"lr": 1}}, "optimizer: has no _target_"),
        ({"model": {"_target_": "torch.nn.Softmin"}}, ""),
        ({"model._target_": "torch.nn.Softmin"}, "model (torch.nn.Softmin): TypeError"),
        ({"model": {"_target_": "builtins.dict"}}, "model (builtins.dict): gives a dict, not a torch.nn.Module"),
        ({"model._target_": "nobody.Net"}, "model._target_=nobody.Net: there is no module nobody to import"),
        ({"model.hidden": 128}, "model (trainkit.recipes.models.MLP): TypeError"),
        ({"model.activation": "Relu"}, "model (trainkit.recipes.models.MLP): AttributeError"),
        ({"model._target_": "os.system"}, "model._target_=os.system: may not be named by any config"),
        ({"objective": {"_target_": "builtins.dict"}}, "objective (builtins.dict): gives a dict, not a function objec"),
        ({"data.datasets": {"_target_": "builtins.dict"}}, "data.datasets (builtins.dict): gives a dict, not a func"),
        ({"callbacks.mine": {"_target_": "torch.nn.ReLU"}}, "callbacks.mine (torch.nn.ReLU): gives a ReLU, not a tr"),
        ({"loggers.mine": {"_target_": "torch.nn.ReLU"}}, "loggers.mine (torch.nn.ReLU): gives a ReLU, not an obj"),
        ({"metrics": {"mine": {"_target_": "torch.nn.ReLU"}}}, "metrics.mine (torch.nn.ReLU): gives a ReLU, not an"),
        ({"optimizer._target_": "torch.optim.Foo"}, "optimizer._target_=torch.optim.Foo: torch.optim has no Foo"),
        ({"optimizer._partial_": True}, "optimizer (torch.optim.AdamW): gives a partial, not a torch.optim.Optimizer"),
        ({"optimizer.foo": 1}, "optimizer (torch.optim.AdamW): TypeError"),
        ({"optimizer._args_": [1]}, "optimizer._args_: trainkit gives the first argument itself; name the others"),
        ({"optimizer.lr": "fast"}, "optimizer (torch.optim.AdamW): TypeError"),
        ({"optimizer.lr": -1}, "optimizer (torch.optim.AdamW): ValueError: Invalid learning rate: -1"),
        ({"schedule.interval": "hour"}, "schedule.interval=hour: must be step or epoch"),
        ({"schedule.warmup": "5moons"}, "schedule.warmup=5moons: '5moons' is no duration; write such as"),
        ({"schedule.warmup": -3}, "schedule.warmup=-3: must be steps"),
        ({"schedule.warmup": 1.5}, "schedule.warmup=1.5: must be steps"),
        ({"schedule.warmup": "2min"}, "schedule.warmup=2min: a duration of 120s cannot be told in steps"),
        ({"schedule.scheduler.foo": 3}, "schedule.scheduler (torch.optim.lr_scheduler.CosineAnnealingLR): TypeError"),
        ({"schedule.scheduler._target_": "nobody.X"}, "schedule.scheduler._target_=nobody.X: there is no module"),
        ({"schedule.scheduler": {"T_max": 3}}, "schedule.scheduler: has no _target_"),
        ({"schedule.scheduler._partial_": True}, "schedule.scheduler (torch.optim.lr_scheduler.CosineAnnealingLR): "),
        ({"checkpoint.every": "1moon"}, "checkpoint: '1moon' is no duration"),
        ({"checkpoint.keep_last": 0}, "checkpoint.keep_last=0: must be at least 2"),
        ({"callbacks.early_stopping.patience": "abc"}, "callbacks.early_stopping (trainkit.callbacks.EarlyStopping)"),
        ({"callbacks.early_stopping.mode": "up"}, "callbacks.early_stopping.mode=up: must be min or max"),
        (
            {"averaging": {"_target_": "trainkit.optim.WeightAverage", "decay": 2}},
            "averaging.decay=2: must be at least 0 and less than 1",
        ),
        ({"monitor.mode": "maximum"}, "monitor.mode=maximum: must be min or max"),
        ({"penalty.l1": -1}, "penalties must not be negative: l1=-1"),
        (
            {"freeze.rules": [{"match": "heat*", "lr": 1}]},
            "freeze.rules[0].match=heat*: no parameter is left for it to match.",
        ),
        ({"freeze.rules": [{"lr": 1}]}, "freeze.rules[0].match: must be a glob over names"),
        ({"freeze.rules": [{"match": "*", "trainable": False}]}, "freeze: nothing is left to train"),
        ({"head": {"name": "head.liner", "outputs": 5}}, "head.name=head.liner: the model has no such layer."),
        ({"head": {"outputs": 0}}, "head.outputs=0: must be a whole number, at least 1"),
        ({"weights": {"source": "nowhere.pt"}}, "weights.source=nowhere.pt: no such file or folder"),
        ({"data.preprocessing": "auto"}, "data.preprocessing=auto: the function at data.datasets takes none"),
        ({"seed": ...}, "seed: must be given; trainkit.compose(RECIPE)"),
        *[({path: ...}, f"{path}: must be given") for path in ("data.batch_size", "data.shuffle", "data.drop_last")],
        *[({path: ...}, f"{path}: must be given") for path in ("data.val_batch_size", "data.datasets", "penalty.l1")],
        *[({path: ...}, f"{path}: must be given") for path in ("monitor.metric", "monitor.mode", "penalty.l2")],
        *[({path: ...}, f"{path}: must be given") for path in ("monitor", "penalty", "parameter_groups", "trainer")],
        ({"data": ...}, "data: nothing chosen"),
        ({"monitor": None}, "monitor: must be a mapping, not None"),
        ({"data": "mnist"}, "data: must be a mapping, not 'mnist'"),
        *[({path: ...}, "") for path in ("run_dir", "resume", "name", "data.num_workers", "data.pin_memory")],
        ({"trainer.precision": "fp8"}, "trainer.precision=fp8: must be "),
        ({"trainer.max_epochs": "ten"}, "trainer.max_epochs=ten: must be "),
        ({"trainer.device": "cuda:99"}, "trainer.device=cuda:99: not on this machine, which has cpu"),
        ({"trainer.gpus": 1}, "trainer.gpus: no such setting of the Trainer."),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_told_by_its_key(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """Here nothing was checked before, as when Python code builds a config of its own."""
    if not told:
        parts = build_parts(unchecked(changes))
        assert next(parts.model.parameters(), None) is None or build_trainer(parts)
        return
    with pytest.raises(ConfigError) as error:
        build_trainer(build_parts(unchecked(changes), tmp_path))
    first, *rest = str(error.value).splitlines()
    assert first.startswith(told)
    assert len(rest) <= 4
    assert rest == [] or rest[0].startswith('  File "')


def test_what_a_constructor_was_given_is_told_with_what_it_said() -> None:
    with pytest.raises(ConfigError, match=r"unexpected keyword argument 'foo'; given .*weight_decay=0\.1, foo=1"):
        build_trainer(build_parts(unchecked({"optimizer.foo": 1})))


def test_schedulers_within_a_scheduler_get_the_optimizer() -> None:
    base = "torch.optim.lr_scheduler"
    inner = [
        {"_target_": f"{base}.LinearLR", "start_factor": 0.5, "total_iters": 10},
        {"_target_": f"{base}.ExponentialLR", "gamma": 0.5},
    ]
    node = {"_target_": f"{base}.SequentialLR", "schedulers": inner, "milestones": [10]}
    trainer = build_trainer(build_parts(unchecked({"schedule": {"scheduler": node}})))
    found = rates(trainer, 13)
    assert found[:1] + found[10:13] == pytest.approx([0.005, 0.01, 0.005, 0.0025])


class Slate:
    """A logger that takes no folder."""

    def log(self, *arguments: Any) -> None: ...

    image = hyperparameters = rewind = close = log


def test_a_logger_gets_the_folder_only_if_it_takes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "somebody", sys.modules[__name__])
    config = unchecked({"loggers.slate": {"_target_": "somebody.Slate"}, "loggers.tensorboard.folder": "elsewhere"})
    loggers = build_trainer(build_parts(config, tmp_path)).loggers
    assert [type(logger).__name__ for logger in loggers] == ["JSONLines", "TensorBoard", "Slate"]
    assert loggers[1]._folder == Path("elsewhere")
