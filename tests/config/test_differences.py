"""What becomes of a config that is another one than the checkpoint's."""

import copy
import json
from typing import Any

import pytest

from trainkit.config.composing.compose import compose, plain
from trainkit.config.differences import Difference, differences, require_no_refusal, table
from trainkit.errors import ConfigError


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """The config of a recipe, as a checkpoint keeps it."""
    return json.loads(json.dumps(plain(compose("mlp"))))


def changed(saved: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return a copy with other values, by key with ``__`` for the dots."""
    config = copy.deepcopy(saved)
    for key, value in values.items():
        *groups, name = key.replace("__", ".").split(".")
        node = config
        for group in groups:
            node = node[group]
        node[name] = value
    return config


def test_the_same_config_differs_in_nothing(saved: dict[str, Any]) -> None:
    assert differences(saved, plain(compose("mlp"))) == []


@pytest.mark.parametrize(
    ("key", "value", "verdict", "reason"),
    [
        ("seed", 1, "refused", "all randomness is keyed by it"),
        ("optimizer.lr", 0.1, "applied", "along the schedule's curve; moments stay"),
        ("optimizer.betas", [0.8, 0.9], "applied", "moments stay"),
        ("optimizer.weight_decay", 0, "applied", "moments stay"),
        ("optimizer.fused", False, "applied", "the last bits may differ"),
        ("parameter_groups.decay_norm_and_bias", False, "applied", "as long as each group holds the same parameters"),
        ("freeze.rules", [{"match": "*", "lr": 1}], "applied", "as long as each group holds the same parameters"),
        ("freeze.patience", 7, "applied", "what is frozen may thaw at another time"),
        ("weights.source", "ResNet18_Weights.DEFAULT", "ignored", "the checkpoint has the weights"),
        ("weights.rename", {"a": "b"}, "ignored", "the checkpoint has the weights"),
        ("weights.allow", ["fc.*"], "ignored", "the checkpoint has the weights"),
        ("head.name", "layers.7", "applied", "if the weights fit: names and shapes decide"),
        ("head.outputs", 3, "applied", "if the weights fit: names and shapes decide"),
        ("head.init", "zero", "applied", "if the weights fit: names and shapes decide"),
        ("model.hidden", [16], "applied", "if the weights fit: names and shapes decide"),
        ("model.dropout", 0.5, "applied", "if the weights fit"),
        ("schedule.interval", "epoch", "applied", "along the new curve"),
        ("schedule.warmup", "5st", "applied", "along the new curve"),
        ("schedule.scheduler.eta_min", 0.1, "applied", "along the new curve"),
        ("data.batch_size", 32, "refused", "what a batch holds"),
        ("data.shuffle", False, "refused", "what a batch holds"),
        ("data.drop_last", True, "refused", "how many batches an epoch has"),
        ("data.split_seed", 1, "refused", "validation samples would become training samples"),
        ("data.datasets.fractions", [0.5, 0.3, 0.2], "refused", "other samples, or in another order"),
        ("data.datasets.split_seed", 1, "refused", "validation samples would become training samples"),
        ("data.datasets.augment", {"_target_": "x.Flip"}, "applied", "from the next sample on"),
        ("data.augment", {"_target_": "x.Flip"}, "applied", "from the next sample on"),
        ("data.num_workers", 2, "applied", "changes no bit"),
        ("data.prefetch_factor", 4, "applied", "changes no bit"),
        ("data.persistent_workers", True, "applied", "changes no bit"),
        ("data.pin_memory", True, "applied", "changes no bit"),
        ("data.val_batch_size", 8, "applied", "from the next validation on; the last bits may differ"),
        ("data.folder", "elsewhere", "applied", "if the data there are the same"),
        ("trainer.max_epochs", 50, "applied", "to the new end, along the schedule's new curve"),
        ("trainer.max_steps", 50, "applied", "to the new end, along the schedule's new curve"),
        ("trainer.max_time", "1h", "applied", "from the first start of the run"),
        ("trainer.precision", "bf16", "applied", "not bit for bit the unbroken run"),
        ("trainer.device", "cuda", "applied", "not bit for bit the unbroken run"),
        ("trainer.compile", True, "applied", "the last bits may differ"),
        ("trainer.threads", 4, "applied", "the last bits may differ"),
        ("trainer.accumulate_grad_batches", 2, "applied", "from the next window"),
        ("trainer.gradient_clip_val", 1.0, "applied", "from the next step on"),
        ("trainer.limit_train_batches", 3, "applied", "ends at its new length"),
        ("trainer.val_check_interval", 0.5, "applied", "from the next validation on"),
        ("trainer.limit_val_batches", 1, "applied", "from the next validation on"),
        ("trainer.log_every_n_steps", 1, "applied", "changes no weight"),
        ("trainer.detect_anomaly", True, "applied", "from the next step on"),
        ("monitor.metric", "val/accuracy", "applied", "the best so far starts anew"),
        ("monitor.mode", "max", "applied", "the best so far starts anew"),
        ("objective.loss.label_smoothing", 0.3, "applied", "the best so far is that of the former loss"),
        ("penalty.l2", 0.1, "applied", "from the next step on"),
        ("averaging", {"_target_": "trainkit.optim.WeightAverage"}, "applied", "begins with the next step"),
        ("callbacks.new", {"_target_": "x.New"}, "applied", "begins anew"),
        ("callbacks.early_stopping", None, "ignored", "its state stays in the checkpoint"),
        ("callbacks.early_stopping.patience", 9, "applied", "its state goes on"),
        ("loggers.tensorboard", None, "applied", "changes no weight"),
        ("checkpoint.every", "1st", "applied", "changes no weight"),
        ("metrics", {"own": {"_target_": "x.Own"}}, "applied", "changes no weight"),
        ("test", False, "applied", "changes no weight"),
        ("mine", 3, "applied", "taken from the config"),
    ],
)
def test_each_key_has_its_verdict_and_the_reason(
    saved: dict[str, Any], key: str, value: Any, verdict: str, reason: str
) -> None:
    (found,) = differences(saved, changed(saved, **{key: value}))
    assert (found.key, found.after, found.verdict) == (key, value, verdict)
    assert reason in found.reason


@pytest.mark.parametrize("key", ["name", "tags", "run_dir", "resume"])
def test_what_names_or_starts_a_run_is_no_difference_of_it(saved: dict[str, Any], key: str) -> None:
    assert differences(saved, changed(saved, **{key: "another"})) == []


def test_each_key_of_a_config_has_a_verdict(saved: dict[str, Any]) -> None:
    """Also those that no rule was written for."""
    found = differences({}, saved)
    assert {difference.verdict for difference in found} <= {"applied", "ignored", "refused"}
    assert all(difference.reason for difference in found)


@pytest.mark.parametrize("key", ["batch_size", "shuffle", "drop_last", "split_seed"])
def test_changed_data_may_be_allowed(saved: dict[str, Any], key: str) -> None:
    (found,) = differences(saved, changed(saved, **{f"data__{key}": 5, "data__changed": "allow"}))
    assert found.verdict == "applied"
    assert "data.changed=allow: in the present epoch samples may come twice or never" in found.reason
    (seed,) = differences(saved, changed(saved, seed=1, data__changed="allow"))
    assert seed.verdict == "refused"


def test_a_key_that_an_older_release_did_not_have_is_not_refused(saved: dict[str, Any]) -> None:
    older = copy.deepcopy(saved)
    del older["data"]["drop_last"], older["trainer"]["threads"]
    assert [(d.key, d.before, d.verdict) for d in differences(older, saved)] == [
        ("data.drop_last", None, "applied"),
        ("trainer.threads", None, "applied"),
    ]


def test_a_null_is_as_good_as_no_value(saved: dict[str, Any]) -> None:
    assert differences(changed(saved, mine=None), saved) == []
    assert differences(changed(saved, averaging=None), changed(saved, averaging={})) == []


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1, True), (0, False), ("1", 1), ([1], [1.0]), ([1], [1, 2])])
def test_a_number_of_batches_is_no_share_of_them(saved: dict[str, Any], before: Any, after: Any) -> None:
    (found,) = differences(
        changed(saved, trainer__limit_val_batches=before), changed(saved, trainer__limit_val_batches=after)
    )
    assert found.key == "trainer.limit_val_batches"


def test_of_another_class_only_the_arguments_that_both_take_are_told(saved: dict[str, Any]) -> None:
    sgd = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
    found = differences(saved, changed(saved, optimizer=sgd))
    assert [(d.key, d.verdict) for d in found] == [
        ("optimizer._target_", "refused"),
        ("optimizer.lr", "applied"),
    ]
    assert "AdamW   SGD" in table(found)


def test_left_out_averaging_says_so(saved: dict[str, Any]) -> None:
    ema = changed(saved, averaging={"_target_": "trainkit.optim.WeightAverage", "kind": "ema"})
    (gone,) = differences(ema, saved)
    assert gone.reason == "the average so far is left out"
    (other,) = differences(ema, changed(ema, averaging__kind="swa"))
    assert (other.key, other.reason) == ("averaging.kind", "the average so far goes on by the new rule")


def test_the_config_that_is_compared_may_hold_what_json_turns_into_something_else() -> None:
    before = json.loads(json.dumps({"model": {"sizes": (1, 2), "names": {0: "a"}}}))
    assert differences(before, {"model": {"sizes": (1, 2), "names": {0: "a"}}}) == []


def test_the_table_is_aligned() -> None:
    found = [
        Difference("optimizer.lr", 0.01, 0.005, "applied", "moments stay"),
        Difference("seed", 0, 1, "refused", "all randomness is keyed by it"),
    ]
    assert table(found).splitlines() == [
        "key           before  now    verdict",
        "optimizer.lr  0.01    0.005  applied  moments stay",
        "seed          0       1      refused  all randomness is keyed by it",
    ]


def test_long_keys_and_values_lose_their_middle() -> None:
    long = Difference("model." + "inner." * 20 + "width", "a" * 40 + "z" * 40, list(range(60)), "applied", "so")
    text = table([long])
    assert "aaa...zzz" in text
    assert "model.inner" in text
    assert ".width" in text
    assert len(text.splitlines()[1]) < 140


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ({"_target_": "a.b.Stop", "patience": 3, "mode": None}, "Stop(patience=3)"),
        ({"_target_": "a.Two", "one": {"_target_": "b.One"}}, "Two(one=One())"),
        ({"_target_": "a.b.Stop", "patience": 3, "and": "more than fits"}, "Stop(...)"),
        ({"a": [1, None, True]}, "{a: [1, null, true]}"),
        ("1\n2", "1 2"),
        ("", "''"),
        (None, "null"),
        (1e-8, "1e-08"),
    ],
)
def test_values_are_shown_as_on_the_command_line_and_objects_as_calls(value: Any, cell: str) -> None:
    assert table([Difference("x", value, 0, "applied", "so")]).splitlines()[1].startswith(f"x    {cell} ")


def test_secrets_are_masked_wherever_they_stand() -> None:
    before = {"loggers": {"w": {"_target_": "a.W", "api_key": "hush1"}}, "data": {"token": "hush2"}}
    after = {"loggers": {"v": {"_target_": "a.V", "api_key": "hush3"}}, "data": {"token": "hush4"}}
    text = table(differences(before, after))
    assert "hush" not in text
    assert text.count("***") == 4


def test_nothing_refused_raises_nothing(saved: dict[str, Any]) -> None:
    require_no_refusal(differences(saved, changed(saved, optimizer__lr=1.0)))


def test_a_refusal_names_the_keys_the_ways_out_and_all_differences(saved: dict[str, Any]) -> None:
    found = differences(saved, changed(saved, test=False, data__shuffle=False, seed=5))
    with pytest.raises(ConfigError) as caught:
        require_no_refusal(found)
    first, _, *rows = str(caught.value).splitlines()
    assert first == (
        "seed, data.shuffle: the run cannot go on with another one; "
        "take back what is refused (seed=0 data.shuffle=true), "
        "or begin anew with these weights (resume=weights:CHECKPOINT run_dir=NEW)"
    )
    assert [row.split()[0] for row in rows] == ["seed", "data.shuffle", "test"]


def test_changed_data_alone_may_be_allowed_so_the_refusal_says(saved: dict[str, Any]) -> None:
    for values, told in (({"data__batch_size": 3}, True), ({"data__batch_size": 3, "seed": 1}, False)):
        with pytest.raises(ConfigError) as caught:
            require_no_refusal(differences(saved, changed(saved, **values)))
        assert ("data.changed=allow" in str(caught.value)) is told


def test_another_preset_of_the_freeze_plan_is_told_key_by_key(saved: dict[str, Any]) -> None:
    found = differences(saved, plain(compose("mlp", "freeze=gradual")))
    assert {difference.key for difference in found} == {
        f"freeze.{key}" for key in ("rules", "thaw_every", "lr_scale")
    }  # its warmup is null, which is as none
    assert {difference.verdict for difference in found} == {"applied"}
    assert "match: @head" in table(found).replace("'", "") or "..." in table(found)


def test_other_preprocessing_is_refused_unless_it_is_new(saved: dict[str, Any]) -> None:
    def prepared(mean: float) -> dict[str, Any]:
        values = {"mean": [mean], "std": [1.0]}
        datasets = saved["data"]["datasets"] | {"preprocessing": values}
        return {**saved, "data": saved["data"] | {"preprocessing": values, "datasets": datasets}}

    assert {d.verdict for d in differences(prepared(0.5), prepared(0.5))} == set()
    found = differences(prepared(0.5), prepared(0.25))
    assert {d.key for d in found} == {"data.preprocessing.mean", "data.datasets.preprocessing.mean"}
    assert {(d.verdict, d.reason) for d in found} == {
        ("refused", "the model knows pictures as they were prepared before")
    }
    with pytest.raises(ConfigError, match=r"data\.preprocessing\.mean=\[0\.5\]"):
        require_no_refusal(found)
