"""Rules across fields, on plain dicts: what each finds, and that it stays silent where nothing is wrong."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from trainkit.config.checking.crosschecks import cross_findings
from trainkit.config.checking.fields import Fields, Unclear
from trainkit.config.composing.origins import Origin, Origins
from trainkit.config.paths import at, related
from trainkit.findings import Finding
from trainkit.settings import Settings

CONFIG: dict[str, Any] = {
    "name": "mlp",
    "run_dir": None,
    "resume": None,
    "monitor": {"metric": "val/loss", "mode": "min"},
    "trainer": {"max_epochs": 40, "device": "cpu"},
    "model": {"_target_": "trainkit.recipes.models.MLP", "in_features": 64, "hidden": [8], "out_features": 10},
    "data": {
        "datasets": {"_target_": "trainkit.recipes.data.digits"},
        "features": 64,
        "channels": 1,
        "classes": 10,
        "outputs": 10,
        "batch_size": 64,
        "drop_last": False,
        "num_workers": 0,
        "val_batch_size": 512,
        "shuffle": True,
        "prefetch_factor": None,
        "persistent_workers": False,
        "on_error": "stop",
    },
    "objective": {"_target_": "trainkit.objectives.supervised", "loss": {"_target_": "torch.nn.CrossEntropyLoss"}},
    "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.01},
    "schedule": {
        "interval": "step",
        "warmup": None,
        "scheduler": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": None},
    },
    "callbacks": {
        "progress": {"_target_": "trainkit.callbacks.Progress"},
        "early_stopping": {
            "_target_": "trainkit.callbacks.EarlyStopping",
            "monitor": None,
            "mode": None,
            "patience": None,
            "patience_steps": None,
            "min_delta": 0.0,
            "stopping_threshold": None,
            "divergence_threshold": None,
        },
    },
    "checkpoint": {"_target_": "trainkit.checkpoint.Store", "every": "1ep"},
}
STOP = "callbacks.early_stopping"
SCHEDULER = "schedule.scheduler"
TORCH = "torch.optim.lr_scheduler"


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the config with values by path; a dict of a whole node takes the node's place."""
    config = deepcopy(CONFIG)
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return config


def fields(changes: dict[str, Any], **more: Any) -> Fields:
    """Return the fields of the config with values by path, as if an override had set each of them."""
    origins = Origins({path: Origin(override=f"{path}={value}") for path, value in changes.items()})
    return Fields(changed(changes), origins, **more)


def found(changes: dict[str, Any], **more: Any) -> list[Finding]:
    return cross_findings(fields(changes, **more))


def rules(changes: dict[str, Any], **more: Any) -> list[tuple[str, str, str]]:
    return [(finding.rule, finding.severity, finding.place) for finding in found(changes, **more)]


def only(changes: dict[str, Any], **more: Any) -> Finding:
    (finding,) = found(changes, **more)
    return finding


def test_a_sound_config_gives_no_finding() -> None:
    assert found({}) == []
    assert found({}, samples=1078, batches=17) == []


def test_a_finding_says_the_value_who_set_it_and_the_cure() -> None:
    finding = only({"monitor.metric": "val/acuracy"})
    assert (finding.rule, finding.severity, finding.place) == ("unknown-metric", "error", "monitor.metric")
    assert (finding.value, finding.evidence) == ("val/acuracy", "override monitor.metric=val/acuracy")
    assert str(finding) == (
        "monitor.metric=val/acuracy: the run logs val/accuracy, val/loss (override monitor.metric=val/acuracy). "
        "Did you mean 'val/accuracy'?"
    )


def test_a_value_of_a_file_names_the_file_and_the_line(tmp_path: Path) -> None:
    config = changed({"monitor.metric": "val/acuracy"})
    origins = Origins({"monitor.metric": Origin(file=tmp_path / "my.yaml", line=4)})
    (finding,) = cross_findings(Fields(config, origins))
    assert (finding.file, finding.line, finding.evidence) == (str(tmp_path / "my.yaml"), 4, "")
    assert "my.yaml:4" in str(finding)


# ---------------------------------------------------------------------- what is monitored

REGRESSION = {"objective.loss": {"_target_": "torch.nn.MSELoss"}, "data.classes": None, "data.outputs": 1}
REGRESSION |= {"model.out_features": 1}
OWN_OBJECTIVE = {"objective": {"_target_": "mine.objective", "_partial_": True}}
OWN_CALLBACK = {"callbacks.mine": {"_target_": "mine.Watcher"}}
F1 = {"metrics": {"classification": {"_target_": "trainkit.metrics.Classification", "names": ["accuracy", "f1"]}}}
OWN_METRIC = {"metrics": {"mine": {"_target_": "mine.Metric"}}}
TORCHMETRIC = {"metrics": {"auroc": {"_target_": "torchmetrics.AUROC", "task": "multiclass"}}}
BINARY = {"objective.loss": {"_target_": "torch.nn.BCEWithLogitsLoss"}}
OTHER_LOSS = {"objective.loss": {"_target_": "torch.nn.PoissonNLLLoss"}}
OWN_LOSS = {"objective.loss": {"_target_": "mine.Loss"}}
MAX = {"monitor.mode": "max"}


@pytest.mark.parametrize(
    ("changes", "metric", "meant"),
    [
        ({}, "val/acuracy", "val/accuracy"),
        ({}, "accuracy", "val/accuracy"),
        ({}, "acc", "val/accuracy"),
        ({}, "val_loss", "val/loss"),
        ({}, "val_accuracy", "val/accuracy"),
        ({}, "valid/loss", "val/loss"),
        ({}, "validation/accuracy", "val/accuracy"),
        ({}, "test/accuracy", "val/accuracy"),
        ({}, "train/los", "train/loss"),
        ({}, "val/f1", "metrics=classification"),
        ({}, "val/qwxyz", None),
        (REGRESSION, "rmse", "val/rmse"),
        (REGRESSION, "val/accuracy", None),
        (F1, "val/F1", "val/f1"),
        (F1, "val/recall", "metrics.classification.names=[accuracy,f1,recall]"),
        (OWN_METRIC, "mine", "val/mine"),
        (OWN_OBJECTIVE, "val-loss", "val/loss"),
        (OTHER_LOSS, "val/accuracy", None),
    ],
)
def test_a_metric_that_the_run_will_not_log(changes: dict[str, Any], metric: str, meant: str | None) -> None:
    told = [f for f in found(changes | {"monitor.metric": metric}) if f.rule == "unknown-metric"]
    assert [(f.place, f.severity) for f in told] == [("monitor.metric", "error")]
    assert "val/loss" in told[0].message
    assert meant in told[0].fix if meant else told[0].fix == ""


@pytest.mark.parametrize(
    ("changes", "metric"),
    [
        ({}, "val/loss"),
        (MAX, "val/accuracy"),
        ({}, "train/loss"),
        ({}, "train/gradient_norm"),
        (REGRESSION, "val/mae"),
        (REGRESSION | MAX, "val/r2"),
        (BINARY | MAX | {"data.classes": None, "data.outputs": 1, "model.out_features": 1}, "val/accuracy"),
        (F1 | MAX, "val/f1"),
        (OWN_METRIC, "val/mine"),
        (OWN_METRIC, "val/whatever_it_returns"),
        (TORCHMETRIC, "val/auroc"),
        (OWN_OBJECTIVE, "val/whatever"),
        (OWN_LOSS, "val/loss"),
        (OWN_CALLBACK, "train/of_the_callback"),
    ],
)
def test_a_metric_that_there_is_or_may_be(changes: dict[str, Any], metric: str) -> None:
    assert found(changes | {"monitor.metric": metric}) == []


def test_a_metric_of_the_training_that_no_callback_could_log() -> None:
    assert "train/loss" in only({"monitor.metric": "train/whatever"}).message
    assert rules({"monitor.metric": "train/loss_epoch"}) == [("unknown-metric", "error", "monitor.metric")]


def test_a_callbacks_monitor_is_held_against_the_validation_alone() -> None:
    waiting = {f"{STOP}.patience": 3}
    finding = only(waiting | {f"{STOP}.monitor": "val/acc"})
    assert (finding.place, finding.fix) == (f"{STOP}.monitor", "Did you mean 'val/accuracy'?")
    assert only(waiting | {f"{STOP}.monitor": "train/loss"}).rule == "unknown-metric"
    assert found(waiting | {f"{STOP}.monitor": "val/accuracy", f"{STOP}.mode": "max"}) == []
    assert found(waiting | OWN_METRIC | {f"{STOP}.monitor": "val/x"}) == []
    second = {"callbacks.second": {"_target_": "trainkit.callbacks.EarlyStopping", "monitor": "val/los"}}
    assert only(second).place == "callbacks.second.monitor"
    assert found({"callbacks.mine": {"_target_": "mine.EarlyStopping", "monitor": "anything"}}) == []


@pytest.mark.parametrize(
    ("metric", "mode", "told"),
    [
        ("val/accuracy", "min", True),
        ("val/accuracy", "max", False),
        ("val/loss", "max", True),
        ("train/loss", "max", True),
        ("val/loss", "min", False),
    ],
)
def test_a_metric_that_is_to_become_worse(metric: str, mode: str, told: bool) -> None:
    expected = [("mode-conflict", "error", "monitor.mode")] if told else []
    assert rules({"monitor.metric": metric, "monitor.mode": mode}) == expected


def test_only_names_whose_good_side_is_known_are_judged() -> None:
    assert found(OWN_METRIC | MAX | {"monitor.metric": "val/mine"}) == []
    assert found(OWN_METRIC | {"monitor.metric": "val/mine", "monitor.mode": "min"}) == []


def test_an_early_stopping_whose_mode_was_forgotten() -> None:
    changes = {f"{STOP}.monitor": "val/accuracy", f"{STOP}.patience": 3}
    finding = only(changes)
    assert (finding.rule, finding.severity, finding.fix) == ("mode-conflict", "warning", f"{STOP}.mode=max")
    assert "would be stopped" in finding.effect
    assert found(changes | {f"{STOP}.mode": "max"}) == []
    assert found(changes | MAX | {"monitor.metric": "val/accuracy"}) == []  # takes the run's mode


def test_a_plateau_that_goes_the_other_way() -> None:
    plateau = {"schedule.scheduler": {"_target_": f"{TORCH}.ReduceLROnPlateau", "mode": "max"}}
    assert rules(plateau) == [("mode-conflict", "warning", f"{SCHEDULER}.mode")]
    plateau["schedule.scheduler"]["mode"] = "min"
    assert found(plateau) == []
    assert rules(plateau | MAX | {"monitor.metric": "val/accuracy"}) == [
        ("mode-conflict", "warning", f"{SCHEDULER}.mode")
    ]


@pytest.mark.parametrize("waiter", ["patience", "patience_steps", "stopping_threshold", "divergence_threshold"])
def test_what_waits_for_validations_that_never_come(waiter: str) -> None:
    stopping = {f"{STOP}.{waiter}": 3}
    assert rules(stopping | {"trainer.limit_val_batches": 0}) == [
        ("no-validation", "error", "trainer.limit_val_batches")
    ]
    assert rules(stopping | {"trainer.limit_val_batches": 0.0}) != []
    finding = only(stopping | {"trainer.check_val_every_n_epoch": 41})
    assert (finding.place, finding.severity) == ("trainer.check_val_every_n_epoch", "error")
    assert "max_epochs=40" in finding.effect
    assert only(stopping | {"trainer.val_check_interval": "50ep"}).place == "trainer.val_check_interval"
    for sound in (
        {"trainer.limit_val_batches": 1},
        {"trainer.check_val_every_n_epoch": 40},
        {"trainer.val_check_interval": "5000st"},
        {"trainer.limit_val_batches": 0, "trainer.overfit_batches": 3},
        {"trainer.limit_val_batches": 0, "trainer.fast_dev_run": True},
        {"trainer.check_val_every_n_epoch": 41, "trainer.max_epochs": None, "trainer.max_steps": 10},
    ):
        assert [rule for rule, _, _ in rules(stopping | sound) if rule == "no-validation"] == []


def test_a_plateau_waits_too_and_what_waits_for_nothing_may_go_without() -> None:
    plateau = {"schedule.scheduler": {"_target_": f"{TORCH}.ReduceLROnPlateau", "mode": "min"}}
    off = {"trainer.limit_val_batches": 0}
    assert "schedule" in only(plateau | off).message
    assert found(off) == []
    default = {STOP: {"_target_": "trainkit.callbacks.EarlyStopping"}}  # its own patience is 3
    assert rules(default | off) == [("no-validation", "error", "trainer.limit_val_batches")]
    both = only(plateau | off | {f"{STOP}.patience": 3}).message
    assert f"{STOP} and schedule" in both


def test_an_early_stopping_that_stops_nothing() -> None:
    assert rules({f"{STOP}.monitor": "val/accuracy"}) == [("no-effect", "warning", f"{STOP}.monitor")]
    assert rules({f"{STOP}.min_delta": 0.1}) == [("no-effect", "warning", f"{STOP}.min_delta")]
    assert found({f"{STOP}.min_delta": 0.1, f"{STOP}.patience_steps": 100}) == []


# ---------------------------------------------------------------------- lengths


def test_something_must_end_the_training() -> None:
    assert rules({"trainer.max_epochs": None}) == [("no-end", "error", "trainer.max_epochs")]
    for end in ({"trainer.max_steps": 3}, {"trainer.max_time": "1h"}, {"trainer.fast_dev_run": True}):
        assert found({"trainer.max_epochs": None, "schedule": None} | end) == []


def test_min_epochs_is_held_against_max_epochs() -> None:
    assert rules({"trainer.min_epochs": 41}) == [("length-conflict", "error", "trainer.min_epochs")]
    assert found({"trainer.min_epochs": 40}) == []
    assert found({"trainer.min_epochs": 41, "trainer.fast_dev_run": 2}) == []
    assert found({"trainer.min_epochs": 41, "trainer.max_epochs": None, "trainer.max_steps": 9}) == []


def schedule(name: str, interval: str = "epoch", warmup: Any = None, **options: Any) -> dict[str, Any]:
    scheduler = {f"schedule.scheduler.{key}": value for key, value in options.items()}
    fresh = {"schedule.scheduler": {"_target_": f"{TORCH}.{name}"}}
    return {"schedule.interval": interval, "schedule.warmup": warmup} | fresh | scheduler


@pytest.mark.parametrize(
    ("changes", "severity", "told"),
    [
        (schedule("CosineAnnealingLR", T_max=10), "warning", "climbs again"),
        (schedule("CosineAnnealingLR", T_max=100), "warning", "does not come down"),
        (schedule("CosineAnnealingLR", T_max=40), None, ""),
        (schedule("OneCycleLR", total_steps=10), "error", "torch raises"),
        (schedule("OneCycleLR", total_steps=100), "warning", "does not come down"),
        (schedule("LinearLR", total_iters=100), "warning", "does not reach"),
        (schedule("LinearLR", total_iters=10), None, ""),
        (schedule("ConstantLR", total_iters=100), None, ""),
        (schedule("StepLR", step_size=40), "warning", "never falls"),
        (schedule("StepLR", step_size=39), None, ""),
        (schedule("MultiStepLR", milestones=[40, 50]), "warning", "never falls"),
        (schedule("MultiStepLR", milestones=[50, 30]), None, ""),
        (schedule("MultiStepLR", milestones=[]), None, ""),
    ],
)
def test_a_schedules_own_length_is_held_against_the_epochs(
    changes: dict[str, Any], severity: str | None, told: str
) -> None:
    findings = found(changes)
    assert [f.severity for f in findings] == ([severity] if severity else [])
    assert all(told in f"{f.message} {f.effect}" and "40 epochs" in f.message for f in findings)
    assert found(changes | {"trainer.fast_dev_run": True}) == []
    assert found(changes | {"trainer.max_time": "1h"}) == []  # which may end it at any epoch


def test_steps_are_judged_once_the_batches_are_known() -> None:
    short = schedule("OneCycleLR", "step", total_steps=100)
    assert found(short) == []
    finding = only(short, batches=17)
    assert (finding.severity, finding.place) == ("error", f"{SCHEDULER}.total_steps")
    assert "680 steps" in finding.message
    assert found(schedule("OneCycleLR", "step", total_steps=680), batches=17) == []
    assert found(schedule("OneCycleLR", "step", 80, total_steps=600), batches=17) == []  # after the warm-up
    assert found(schedule("OneCycleLR", "step", "1ep", total_steps=663), batches=17) == []
    assert found(schedule("OneCycleLR", "step", 0.1, total_steps=612), batches=17) == []
    steps = schedule("OneCycleLR", "step", total_steps=50) | {"trainer.max_steps": 50, "trainer.max_epochs": None}
    assert found(steps) == []
    assert found(steps | {"trainer.max_epochs": 2, f"{SCHEDULER}.total_steps": 49}) == []  # the epochs may end it first
    assert "50 steps" in only(steps | {f"{SCHEDULER}.total_steps": 49}).message
    two = schedule("StepLR", step_size=2) | {"trainer.max_steps": 34}
    assert "2 epochs" in only(two, batches=17).message


def test_a_schedule_whose_length_nobody_knows() -> None:
    timed = {"trainer.max_epochs": None, "trainer.max_time": "1h"}
    assert rules(timed) == [("schedule-length", "error", f"{SCHEDULER}.T_max")]
    assert found(timed | {f"{SCHEDULER}.T_max": 100}) == []
    assert found(timed | {"trainer.max_steps": 100}) == []
    assert found(timed | {"schedule": None}) == []
    assert found(timed | schedule("ExponentialLR", gamma=0.9)) == []


def test_a_share_of_batches_that_are_not_known_is_no_length() -> None:
    share = {"trainer.limit_train_batches": 0.5, "schedule.warmup": "30ep", "checkpoint.every": "500st"}
    assert found(share | {"trainer.val_check_interval": 10}) == []
    assert rules(share, samples=1078, batches=17) == [("beyond-the-end", "warning", "checkpoint.every")]
    steps = schedule("OneCycleLR", "step", total_steps=10) | {"trainer.limit_train_batches": 0.5}
    assert found(steps) == []
    assert "8 steps" in only(steps | {"trainer.max_epochs": 1} | {f"{SCHEDULER}.total_steps": 5}, batches=17).message


def test_a_schedule_of_trainkits_own_files_is_not_judged() -> None:
    config = changed(schedule("CosineAnnealingLR", T_max=10))
    assert cross_findings(Fields(config, Origins({SCHEDULER: Origin(file=Path("x.yaml"), shipped=True)}))) == []


@pytest.mark.parametrize(
    ("warmup", "batches", "told"),
    [
        ("40ep", None, "max_epochs=40"),
        ("39ep", None, ""),
        ("500st", None, ""),
        ("700st", 17, "680 steps"),
        (680, 17, "680 steps"),
        (679, 17, ""),
        (0.5, 17, ""),
        ("5epochs", 17, ""),
    ],
)
def test_a_warm_up_that_takes_the_whole_run(warmup: Any, batches: int | None, told: str) -> None:
    findings = [f for f in found({"schedule.warmup": warmup}, batches=batches) if f.place == "schedule.warmup"]
    assert [f.severity for f in findings] == (["warning"] if told else [])
    assert all(told in f.message for f in findings)
    assert found({"schedule.warmup": warmup, "trainer.fast_dev_run": True}, batches=batches) == []


def test_an_average_and_checkpoints_that_the_run_is_too_short_for() -> None:
    swa = {"averaging": {"_target_": "trainkit.optim.WeightAverage", "kind": "swa"}}
    assert rules(swa | {"averaging.start": "40ep"}) == [("beyond-the-end", "warning", "averaging.start")]
    assert found(swa | {"averaging.start": "39ep"}) == []
    assert rules({"checkpoint.every": "41ep"}) == [("beyond-the-end", "warning", "checkpoint.every")]
    assert found({"checkpoint.every": "40ep"}) == []
    assert found({"checkpoint.every": "10min"}, batches=17) == []
    assert rules({"checkpoint.every": "1000st"}, batches=17) == [("beyond-the-end", "warning", "checkpoint.every")]
    assert found({"checkpoint.every": "1000st"}) == []
    assert found({"checkpoint": None}) == []


def test_batches_are_held_against_the_training_set() -> None:
    assert found({"data.batch_size": 100}, samples=50, batches=1) == []
    finding = only({"data.batch_size": 100, "data.drop_last": True}, samples=50, batches=0)
    assert (finding.place, finding.severity) == ("data.batch_size", "error")
    assert "50 samples" in finding.message
    assert found({"data.batch_size": 50, "data.drop_last": True}, samples=50, batches=1) == []
    late = {"trainer.val_check_interval": 18}
    assert found(late) == []
    assert rules(late, samples=1078, batches=17) == [("beyond-the-end", "error", "trainer.val_check_interval")]
    assert found({"trainer.val_check_interval": 17}, samples=1078, batches=17) == []
    assert rules({"trainer.val_check_interval": 4, "trainer.limit_train_batches": 3}, batches=17) != []
    assert rules({"trainer.accumulate_grad_batches": 18}, batches=17) == [
        ("beyond-the-end", "warning", "trainer.accumulate_grad_batches")
    ]
    assert found({"trainer.accumulate_grad_batches": 17}, batches=17) == []


# ---------------------------------------------------------------------- model, data, objective


def test_a_fact_that_the_data_do_not_have() -> None:
    raw = changed({"model.in_channels": "${data.channels}"})
    config = {"data.channels": None, "model.in_channels": None}
    finding = only(config, raw=raw)
    assert (finding.rule, finding.place) == ("unfit-data", "model.in_channels")
    assert "no images" in finding.message
    assert found({"model.in_channels": 1}, raw=raw) == []
    other = changed({"model.out_features": "${data.classes}"})
    assert "do not say their classes" in str(found({"data.classes": None, "model.out_features": None}, raw=other)[0])


def test_the_models_outputs_are_held_against_the_data() -> None:
    finding = only({"model.out_features": 5})
    assert (finding.severity, finding.fix) == ("error", "model.out_features=10")
    assert rules({"model.out_features": 12}) == [("unfit-head", "warning", "model.out_features")]
    assert rules(REGRESSION | {"model.out_features": 2}) == [("unfit-head", "error", "model.out_features")]
    resnet = {"model": {"_target_": "torchvision.models.resnet18", "num_classes": 1000}, "data.channels": 3}
    assert only(resnet).place == "model.num_classes"
    head = {"model": {"_target_": "mine.Net", "head": {"_target_": "torch.nn.Linear", "out_features": 3}}}
    assert only(head).place == "model.head.out_features"
    linear = {"_target_": "torch.nn.Linear", "in_features": 64, "out_features": 9}
    layers = {"model": {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Flatten"}, linear]}}
    assert only(layers).place == "model._args_[1].out_features"
    assert only(layers).value == "9"
    for silent in (OWN_OBJECTIVE, OWN_LOSS, {"data.classes": None, "data.outputs": None}):
        assert found(silent | {"model.out_features": 5}) == []


def test_what_the_model_takes_is_held_against_the_data() -> None:
    resnet = {"model": {"_target_": "torchvision.models.resnet18", "num_classes": 10}}
    finding = only(resnet)
    assert (finding.rule, finding.place) == ("unfit-input", "model._target_")
    assert "1 (data.channels)" in finding.message
    assert found(resnet | {"data.channels": 3}) == found(resnet | {"data.channels": None}) == []
    finding = only({"model.in_features": 63})
    assert (finding.rule, finding.place, finding.fix) == ("unfit-input", "model.in_features", "model.in_features=64")
    assert found({"model._target_": "mine.Net", "model.in_features": 63}) == []


def test_a_loss_of_yes_or_no_on_class_labels() -> None:
    finding = only(BINARY)
    assert (finding.place, finding.fix) == ("objective", "objective=classification suits them")
    assert "data.classes=10" in finding.message


def test_the_entry_that_is_there_is_told_to_log_more() -> None:
    entry = {"metrics": {"acc": {"_target_": "trainkit.metrics.Classification", "names": ["accuracy"]}}}
    assert "metrics.acc.names=[accuracy,f1] would" in only(entry | MAX | {"monitor.metric": "val/f1"}).fix
    assert "metrics=classification" not in only(entry | MAX | {"monitor.metric": "val/f1"}).fix
    none = {"metrics": {"acc": {"_target_": "trainkit.metrics.Classification", "names": ["f1"]}}}
    assert "metrics.acc.names=[f1,accuracy] would" in only(none | MAX | {"monitor.metric": "val/accuracy"}).fix


def test_an_objective_that_does_not_suit_the_data() -> None:
    finding = only({"data.classes": None, "data.outputs": 1, "model.out_features": 1})
    assert (finding.place, finding.fix) == ("objective", "objective=regression suits them")
    finding = only({"objective.loss": {"_target_": "torch.nn.MSELoss"}})
    assert (finding.place, finding.fix) == ("objective", "objective=classification suits them")
    assert found(REGRESSION) == []
    undeclared = {"data.classes": None, "data.outputs": None}
    assert found(undeclared) == []
    assert (
        found({"objective.loss": {"_target_": "torch.nn.MSELoss"}, "data.outputs": 1, "model.out_features": 10}) == []
    )


def test_a_loss_must_be_a_mean() -> None:
    assert rules({"objective.loss.reduction": "sum"}) == [("unfit-objective", "error", "objective.loss.reduction")]
    assert found({"objective.loss.reduction": "mean"}) == []
    own = {"objective": {"_target_": "mine.objective", "loss": {"_target_": "torch.nn.MSELoss", "reduction": "none"}}}
    assert found(own) == []


def test_nesterov_needs_a_momentum() -> None:
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.1, "nesterov": True}
    for lacking in ({}, {"momentum": 0}, {"momentum": 0.9, "dampening": 0.1}):
        assert rules({"optimizer": sgd | lacking}) == [("unfit-optimizer", "error", "optimizer.nesterov")]
    assert found({"optimizer": sgd | {"momentum": 0.9}}) == []
    assert found({"optimizer": sgd | {"nesterov": False}}) == []


# ---------------------------------------------------------------------- the rest


@pytest.mark.parametrize(("name", "value"), [("prefetch_factor", 4), ("persistent_workers", True)])
def test_options_of_workers_that_there_are_not(name: str, value: Any) -> None:
    assert rules({f"data.{name}": value}) == [("no-workers", "error", f"data.{name}")]
    assert found({f"data.{name}": value, "data.num_workers": 2}) == []
    config = changed({f"data.{name}": value})
    in_a_file = Origins({f"data.{name}": Origin(file=Path("mine.yaml"), line=3)})
    assert [f.place for f in cross_findings(Fields(config, in_a_file))] == [f"data.{name}"]
    in_a_file.entries["data.num_workers"] = Origin(override="data.num_workers=0")
    assert cross_findings(Fields(config, in_a_file)) == []  # to look into something, without the workers


def test_a_device_that_is_not_there_and_formats_that_it_is_slow_in() -> None:
    finding = only({"trainer.device": "cuda:99"})
    assert (finding.rule, finding.severity) == ("no-device", "error")
    assert "cpu" in finding.message
    assert "means a GPU" in only({"trainer.device": "gpu"}).fix
    assert "'cuda'" in only({"trainer.device": "cudo"}).fix
    assert rules({"trainer.precision": "fp16"}) == [("slow-precision", "warning", "trainer.precision")]
    assert found({"trainer.precision": "bf16"}) == []


def test_a_mode_that_torch_does_not_compile_in() -> None:
    import torch._inductor

    for mode in torch._inductor.list_mode_options():
        assert found({"trainer.compile": mode}) == []
    assert found({"trainer.compile": True}) == []
    assert "Did you mean 'max-autotune'?" in only({"trainer.compile": "max_autotune"}).fix


def test_resume_is_held_against_the_rest_and_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    folder, fast = {"run_dir": "run"}, {"trainer.fast_dev_run": True}
    assert rules({"resume": "auto"}) == [("resume-conflict", "error", "resume")]
    assert rules({"resume": "weights"}) == [("resume-conflict", "error", "resume")]
    assert found({"resume": "auto"} | folder) == []
    assert found({"resume": "run"}) == []
    assert found({"resume": "weights:run"}) == []
    assert found({"resume": "weights:run"} | fast) == []
    assert rules({"resume": "run"} | fast) == [("resume-conflict", "error", "resume")]
    assert only({"resume": "aut"}).fix == "Did you mean 'auto'?"
    assert only({"resume": "wieghts:run"}).fix == "Did you mean 'weights:run'?"
    assert only({"resume": "gone"}).message == "no checkpoint there"
    assert only({"resume": "weights:gone"}).rule == "no-checkpoint"
    assert only({"resume": "x" * 9999}).rule == "no-checkpoint"


def test_limits_that_overfitting_takes_the_place_of() -> None:
    both = {"trainer.overfit_batches": 3, "trainer.limit_train_batches": 5}
    assert rules(both) == [("no-effect", "warning", "trainer.limit_train_batches")]
    assert found({"trainer.overfit_batches": 3}) == []


@pytest.mark.parametrize(
    ("place", "value", "other", "makes_sense"),
    [
        ("trainer.gradient_clip_algorithm", "value", "trainer.gradient_clip_val", 1.0),
        ("trainer.nonfinite_limit", 5, "trainer.on_nonfinite", "skip"),
        ("data.max_errors", 5, "data.on_error", "skip"),
        ("averaging.decay", 0.5, "averaging.kind", "ema"),
    ],
)
def test_a_key_that_another_one_leaves_without_a_meaning(place: str, value: Any, other: str, makes_sense: Any) -> None:
    base: dict[str, Any] = {"trainer.on_nonfinite": "stop"}
    if place.startswith("averaging"):
        base["averaging"] = {"_target_": "trainkit.optim.WeightAverage", "kind": "swa"}
    finding = only(base | {place: value})
    assert (finding.rule, finding.severity, finding.place) == ("no-effect", "warning", place)
    assert found(base | {place: value, other: makes_sense}) == []
    config = changed(base | {place: value})
    assert cross_findings(Fields(config)) == []  # of a file: it may be meant for another run


def test_no_rule_speaks_of_a_value_that_is_wrong_already() -> None:
    changes = {"monitor.metric": "val/acuracy", "trainer.min_epochs": 99}
    assert len(found(changes)) == 2
    assert rules(changes, wrong=frozenset({"monitor.metric"})) == [("length-conflict", "error", "trainer.min_epochs")]
    assert rules(changes, wrong=frozenset({"monitor"})) == [("length-conflict", "error", "trainer.min_epochs")]
    assert [place for _, _, place in rules(changes, wrong=frozenset({"trainer.max_epochs"}))] == ["monitor.metric"]
    assert rules({"monitor.metric": "???"}) == []


@pytest.mark.parametrize("path", [p for group in ("trainer", "data", "monitor") for p in (group, *CONFIG[group])])
@pytest.mark.parametrize("value", [None, "text", -3, 1.5, [], {}, [{}], True, "???", "${a.b}"])
def test_no_rule_falls_over_whatever_stands_there(path: str, value: Any) -> None:
    groups = [f"{group}.{path}" for group in ("trainer", "data", "monitor") if path in CONFIG[group]]
    for place in groups or [path]:
        for more in ({}, {f"{STOP}.patience": 3}, {"resume": value}, {"schedule.warmup": value}):
            found({place: value} | more, samples=50, batches=5)


@pytest.mark.parametrize("group", list(CONFIG))
def test_no_rule_needs_a_group(group: str) -> None:
    config = {name: node for name, node in CONFIG.items() if name != group}
    for samples in (None, 50):
        cross_findings(Fields(config, samples=samples, batches=samples))
        cross_findings(Fields(config | {group: None}, samples=samples, batches=samples))
        cross_findings(Fields({}, samples=samples))


def test_the_settings_are_those_of_the_loop() -> None:
    assert fields({}).settings() == Settings(max_epochs=40, device="cpu")
    with pytest.raises(Unclear):
        fields({"trainer.max_epochs": "ten"}).settings()


def test_paths_are_related_by_whole_names() -> None:
    assert related("trainer.max_epochs", "trainer")
    assert related("model", "model._args_[1].bias")
    assert related("a[1].b", "a.1.b")
    assert not related("trainer.max", "trainer.max_epochs")
    assert at({"a": [{"b": 3}]}, "a[0].b") == 3
    assert at({"a": [{"b": 3}]}, "a[1].b") is None
