"""The errors that a user is meant to read, each with its exit code, and the search for the word that was meant."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache


class ConfigError(Exception):
    """The command line, the config or an argument is wrong: exit code 2, one message, nothing was started."""

    exit_code = 2


class TrainingError(Exception):
    """The training itself failed, such as on a non-finite loss: exit code 1, what was saved stays."""

    exit_code = 1


OTHER_NAMES = {
    "lr": "learning_rate base_lr rate eta",
    "max_epochs": "epochs epoch n_epochs num_epochs num_train_epochs nb_epochs",
    "max_steps": "steps iterations iters max_iters num_steps total_steps",
    "max_time": "max_duration time_limit timeout_minutes",
    "batch_size": "bs batch train_batch_size per_device_train_batch_size micro_batch_size",
    "val_batch_size": "eval_batch_size per_device_eval_batch_size test_batch_size",
    "num_workers": "workers n_workers dataloader_num_workers",
    "folder": "data_dir datadir root dataset_dir data_path data_root download_dir dirpath",
    "weight_decay": "wd l2_regularization decay",
    "accumulate_grad_batches": "gradient_accumulation_steps grad_accum accumulation_steps accumulate",
    "keep_last": "save_total_limit max_to_keep",
    "keep_best": "save_top_k",
    "every": "save_steps save_interval every_n_train_steps every_n_epochs",
    "augment": "augmentation augmentations transforms transform",
    "activation": "act act_layer nonlinearity",
    "label_smoothing": "smoothing",
    "worst": "num_samples",
    "gradient_clip_val": "grad_clip clip clip_grad_norm max_grad_norm clip_grad gradient_clipping",
    "precision": "amp mixed_precision dtype use_amp autocast",
    "device": "gpus gpu accelerator devices cuda use_gpu",
    "fast_dev_run": "dry_run smoke_test",
    "log_every_n_steps": "log_interval logging_steps log_every print_freq log_freq",
    "val_check_interval": "eval_steps eval_interval val_interval evaluation_strategy",
    "check_val_every_n_epoch": "eval_every val_every",
    "seed": "random_seed manual_seed random_state",
    "run_dir": "output_dir out_dir log_dir logdir save_dir default_root_dir work_dir output",
    "resume": "ckpt_path checkpoint resume_from_checkpoint resume_from load from_checkpoint ckpt pretrained weights",
    "monitor.metric": "metric_for_best_model monitor_metric",
    "hidden": "hidden_size hidden_sizes hidden_dim hidden_dims layers hidden_layers",
    "dropout": "p drop drop_rate dropout_rate p_drop",
    "model": "net network arch architecture",
    "data": "dataset datamodule data_set datasets",
    "optimizer": "optim opt optimiser",
    "schedule": "scheduler lr_scheduler lr_schedule sched",
    "objective": "loss criterion loss_fn",
    "averaging": "ema swa average",
    "loggers": "logger logging",
    "callbacks": "callback hooks",
    "checkpoint": "checkpoints checkpointing saver",
    "recipe": "experiment config exp",
    "early_stopping": "early_stop earlystop",
    "warmup": "warmup_steps warmup_epochs warmup_ratio num_warmup_steps",
    "fp16": "16 16-mixed float16 half 16-true amp",
    "bf16": "bf16-mixed bfloat16 bf16-true",
    "fp32": "32 float32 float 32-true full single",
    "cuda": "gpu cuda:all nvidia",
    "cosine": "cosine_annealing cosineannealinglr cos",
    "one_cycle": "onecyclelr 1cycle",
    "plateau": "reduce_on_plateau reducelronplateau reduce_lr_on_plateau",
    "constant": "none fixed",
    "min": "minimum minimize minimise lower lowest",
    "max": "maximum maximize maximise higher highest",
    "train": "fit learn run start",
    "eval": "test evaluate validate valid val predict",
    "check": "validate-config lint verify doctor",
    "help": "explain describe info doc docs man",
    "recipes": "list ls",
    "ckpt": "checkpoint checkpoints",
    "new": "init create startproject scaffold",
    "completion": "complete completions autocomplete",
}
"""What words of trainkit are called elsewhere, so that whoever comes from there finds them."""
_MEANT: dict[str, list[str]] = {}
for _word, _others in OTHER_NAMES.items():
    for _other in _others.split():
        _MEANT.setdefault(_other.replace("-", "_"), []).append(_word)


def closest(word: str, choices: Collection[str], cutoff: float = 0.6) -> str:
    """Return ``" Did you mean 'X'?"`` for the choice that ``word`` most likely stands for, or an empty string."""
    matches = nearest(word, [choice for choice in choices if choice != word], cutoff)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def nearest(word: str, choices: Collection[str], cutoff: float = 0.6, most: int = 1) -> list[str]:
    """Return the choices that ``word`` may stand for, the likeliest first.

    Letters that are wrong, left out, doubled or exchanged count as one slip each. Case and separators hardly count,
    words in another order little. Of dotted paths each part must be alike, and parts may be left out: ``lr`` finds
    ``optimizer.lr``. Names that other frameworks give to the same thing are known.

    Args:
        word: What was written.
        choices: What there is.
        cutoff: The least likeness, between 0 and 1; one wrong letter of four is 0.75.
        most: The largest number of choices to return.
    """
    scores = {choice: likeness(word, choice) for choice in choices}
    found = sorted((choice for choice in scores if scores[choice] >= cutoff), key=lambda c: (-scores[c], len(c), c))
    return found[:most]


def likeness(word: str, choice: str) -> float:
    """Return how likely ``word`` stands for ``choice``, from 0 to 1, where 1 is the same word."""
    if word == choice:
        return 1.0
    if _bare(word) == _bare(choice) != "":
        return 0.97
    parts, wanted = word.lower().split("."), choice.lower().split(".")
    leaf = _of_words(parts[-1], wanted[-1])
    if len(parts) == len(wanted):
        alike = min([leaf, *(_of_words(part, want) for part, want in zip(parts[:-1], wanted[:-1], strict=True))])
        return max(alike, 0.72) if leaf > 0.99 else alike  # the right name in the wrong place
    if leaf < 0.75:  # another name in another place is another thing
        return 0.0
    if len(parts) > len(wanted):
        return 0.85 * leaf if wanted[:-1] == parts[: len(wanted) - 1] else 0.7 * leaf
    left_out = _aligned(parts[:-1], wanted[:-1])
    return 0.7 * leaf if left_out is None else (0.98 - 0.02 * left_out) * leaf


def _aligned(parts: list[str], wanted: list[str]) -> int | None:
    """Return how many of the wanted parts are left out where the others follow in order, None where they do not."""
    rest = iter(wanted)
    if all(any(_of_words(part, want) >= 0.7 for want in rest) for part in parts):
        return len(wanted) - len(parts)
    return None


@lru_cache(4096)
def _of_words(word: str, choice: str) -> float:
    """Return the likeness of two names without dots."""
    if word == choice:
        return 1.0
    if choice in _MEANT.get(word.replace("-", "_"), ()):
        return 0.9
    longer = max(len(word), len(choice))
    slips = _slips(word, choice)
    score = 1 - slips / longer
    if slips == 1 and 2 <= longer <= 3 and min(len(word), len(choice)) > 0:
        score = max(score, 0.62)  # one slip in a name as short as lr
    words, wanted = set(_names(word)), set(_names(choice))
    if words == wanted:
        score = max(score, 0.9)
    elif (words and words < wanted and len(word) > 2) or (len(word) > 2 and choice.startswith(word)):
        score = max(score, 0.7 + 0.03 * len(word) / longer)
    return score


def _slips(one: str, other: str) -> int:
    """Return the slips between two words: letters wrong, missing, too many, or exchanged with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _names(word: str) -> list[str]:
    return [name for name in re.split(r"[\W_]+", word) if name]


def _bare(word: str) -> str:
    return re.sub(r"[\W_]+", "", word).lower()
