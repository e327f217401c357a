"""What people get wrong, and what they may well do: a table of each.

A wrong line costs exit code 2 and a short message that names the place and the cure; nothing is written. What a cure
must say is told by what a person needs, as a pattern; none of it stands in the line already.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bases import shared
from warm import Warm

from trainkit.__main__ import _run
from trainkit.recipes.models import MLP

LINES = 15
"""Lines of a message at most."""
MODULE = """
from torch import nn
import torch
from trainkit.objectives import Output


class Net(nn.Module):
    def __init__(self, in_features: int, out_features: int, width: int = 8, depth: int = 1, norm=None) -> None:
        super().__init__()
        if depth > 3:
            raise ValueError("such a deep net does not learn")
        layers = [nn.Flatten(), nn.Linear(in_features, width), *([norm(width)] if norm else []), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, out_features))

    def forward(self, x):
        return self.layers(x)


class Top:
    def reset(self): self.right = 0.0
    def update(self, predictions, targets): self.right = (predictions.argmax(1) == targets).float().mean()
    def compute(self): return {"top": self.right, "one": 1.0}


def objective(model, batch):
    inputs, targets = batch
    return Output(nn.functional.cross_entropy(model(inputs), targets), len(targets))


class Plain(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.net = Net(64, 10, **options)

    def forward(self, x):
        return self.net(x)
"""
HEAD = "# @package _global_\n# Mine.\n"
BASE = f"{HEAD}defaults:\n  - /recipe: mlp\n  - _self_\n"
FILES = {
    "mine.py": MODULE,
    "crooked.py": "def build(:\n",
    "a_file.txt": "no folder",
    "configs/recipe/tabbed.yaml": HEAD + "trainer:\n\tmax_epochs: 3\n",
    "configs/recipe/unclosed.yaml": HEAD + "trainer: {max_epochs: 3\nname: x\n",
    "configs/recipe/headless.yaml": "defaults:\n  - /recipe: mlp\n  - _self_\nname: x\n",
    "configs/recipe/slipped.yaml": BASE + "trainer:\n  max_epoch: 3\n",
    "configs/recipe/worded.yaml": BASE + "trainer:\n  min_epochs: 1\n  max_epochs: three\n",
    "configs/recipe/britain.yaml": BASE + "optimiser:\n  lr: 0.1\n",
    "configs/recipe/nooption.yaml": HEAD + "defaults:\n  - /recipe: mlp\n  - override /optimizer: adm\n",
    "configs/recipe/nobase.yaml": HEAD + "defaults:\n  - /recipe: mpl\n",
    "configs/recipe/twofold.yaml": HEAD + "defaults:\n  - /recipe: mlp\n  - /optimizer: sgd\n",
    "configs/recipe/listed.yaml": "- name: x\n",
    "configs/recipe/again.yaml": BASE + "seed: 1\nseed: 2\n",
    "configs/model/targetless.yaml": "in_features: 3\n",
    "configs/model/typo_inside.yaml": "_target_: mine.Net\nin_features: 64\nout_features: 10\nwidht: 9\n",
    "configs/model/mine_partial.yaml": "_target_: mine.Net\nin_features: 64\nout_features: 10\n"
    "norm:\n  _target_: torch.nn.BatchNorm1d\n  _partial_: true\n",
    "configs/recipe/good.yaml": BASE + "name: good\noptimizer: {amsgrad: true}\n",
    "by_path.yaml": BASE + "name: by_path\n",
}

WRONG_KEYS = [
    ("recipe=mlp trainer.max_epoch=3", "trainer.max_epoch", "max_epochs"),
    ("recipe=mlp +trainer.max_epoch=3", "trainer.max_epoch", "max_epochs"),
    ("recipe=mlp ++trainer.max_epoch=3", "trainer.max_epoch", "max_epochs"),
    ("recipe=mlp trainer.percision=bf16", "trainer.percision", "precision"),
    ("recipe=mlp trainer.accumulate_grad_batch=2", "trainer.accumulate_grad_batch", "accumulate_grad_batches"),
    ("recipe=mlp trainer.gradient_clip=1.0", "trainer.gradient_clip", "gradient_clip_val"),
    ("recipe=mlp trainer.log_every_n_step=5", "trainer.log_every_n_step", "log_every_n_steps"),
    ("recipe=mlp trainer.max_epochs.value=3", "trainer.max_epochs.value", "max_epochs=|whole number|no keys"),
    ("recipe=mlp optimizer.weight_decy=.1", "optimizer.weight_decy", "weight_decay"),
    ("recipe=mlp +optimizer.weight_decy=.1", "optimizer.weight_decy", "weight_decay"),
    ("recipe=mlp optimizer.beta=[0.9,0.99]", "optimizer.beta", "betas"),
    ("recipe=mlp optimizer.learning_rate=1e-3", "optimizer.learning_rate", r"\blr\b"),
    ("recipe=mlp optimizer.momentum=0.9", "optimizer.momentum", "betas"),
    ("recipe=mlp optimizer=sgd optimizer.betas=[0.9,0.99]", "optimizer.betas", "momentum"),
    ("recipe=mlp data.batchsize=32", "data.batchsize", "batch_size"),
    ("recipe=mlp data.num_worker=2", "data.num_worker", "num_workers"),
    ("recipe=mlp data.prefetch=2", "data.prefetch", "prefetch_factor"),
    ("recipe=mlp data.datasets.fraction=[.6,.2,.2]", "data.datasets.fraction", "fractions"),
    ("recipe=mlp model.hiden=[32]", "model.hiden", "hidden"),
    ("recipe=mlp model.drop_out=0.1", "model.drop_out", "dropout"),
    ("recipe=mlp model=nested model.head.dropuot=0.1", "model.head.dropuot", "dropout"),
    ("recipe=mlp model=nested model.had.dropout=0.1", "model.had", "model.head"),
    ("recipe=mlp objective.loss.label_smooting=0.1", "objective.loss.label_smooting", "label_smoothing"),
    ("recipe=mlp objective.los.label_smoothing=.1", "objective.los", r"objective\.loss"),
    ("recipe=mlp schedule.scheduler.eta_mn=0.1", "schedule.scheduler.eta_mn", "eta_min"),
    ("recipe=mlp schedule.warm_up=5ep", "schedule.warm_up", "warmup"),
    ("recipe=mlp callbacks.early_stoping.patience=3", "callbacks.early_stoping", "early_stopping"),
    ("recipe=mlp callbacks.early_stopping.patients=3", "callbacks.early_stopping.patients", "patience"),
    ("recipe=mlp ~callbacks.progres", "callbacks.progres", "progress"),
    ("recipe=mlp ~callbaks", "callbaks", "callbacks"),
    ("recipe=mlp ~optimizer.lr=0.5", "optimizer.lr", "0.01"),
    ("recipe=mlp checkpoint.keep_lst=3", "checkpoint.keep_lst", "keep_last"),
    ("recipe=mlp +loggers.tensorboard.foldr=x", "loggers.tensorboard.foldr", "folder"),
    ("recipe=mlp +loggers.wandb.project=x", "loggers.wandb", "_target_"),
    ("recipe=mlp monitor.metrik=val/loss", "monitor.metrik", "metric"),
    ("recipe=mlp +monitor.mod=max", "monitor.mod", "mode"),
    ("recipe=mlp penalty.l3=.1", "penalty.l3", r"\bl2\b"),
    (
        "recipe=mlp 'parameter_groups.rules=[{match: \"layers.*\", lr: 0.1}]'",
        "parameter_groups.rules",
        r"'freeze\.rules'",
    ),
    ("recipe=mlp freeze.rule=[]", "freeze.rule", "'freeze.rules'"),
    ("recipe=mlp 'freeze.rules=[{mach: \"layers.*\", lr: 0.1}]'", "freeze.rules[0]", r"\bmatch\b"),
    ("recipe=mlp 'freeze.rules=[{match: \"*\", lr_scal: 0.1}]'", "freeze.rules[0].lr_scal", "lr_scale'"),
    ("recipe=mlp freeze.match=layers.*", "freeze.match", r"freeze\.rules=\[\{"),
    ("recipe=mlp freeze.rules.0.match=layers.*", "freeze.rules.0.match", r"no items.*freeze\.rules=\[\{"),
    ("recipe=mlp freeze=gradual freeze.rules.7.lr=1", "freeze.rules.7.lr", "2 items"),
    ("recipe=mlp freeze=gradual freeze.rules[1].lr=1", "freeze.rules[1].lr", r"'freeze\.rules\.1\.lr=1'"),
    ("recipe=mlp freeze.thaw=3ep", "freeze.thaw=3ep", "freeze=linear_probe_then_finetune"),
    ("recipe=mlp weight.source=gone.pt", "weight.source", "'weights.source'"),
    ("recipe=mlp head.output=10", "head.output", "'head.outputs'"),
    ("recipe=mlp head.initialisation=zero", "head.initialisation", r"\binit\b"),
    ("recipe=mlp averaging=ema averaging.decy=0.9", "averaging.decy", "decay"),
    ("recipe=mlp metrics=classification metrics.classification.nams=[f1]", "metrics.classification.nams", "names"),
    ("recipe=mlp sed=1", "sed", r"'seed'"),
    ("recipe=mlp +sed=1", "sed", r"'seed'"),
    ("recipe=mlp resum=auto", "resum", "'resume'"),
    ("recipe=mlp rundir=x", "rundir", "'run_dir'"),
    ("recipe=mlp tag=[a]", "tag", "'tags'"),
    ("recipe=mlp +foo=1", "foo", "no such key"),
    ("recipe=mlp trusted_package=[mine]", "trusted_package", "trusted_packages"),
]
WRONG_PLACE = [
    ("recipe=mlp lr=3e-4", "lr", r"optimizer\.lr"),
    ("recipe=mlp batch_size=32", "batch_size", r"data\.batch_size"),
    ("recipe=mlp max_epochs=3", "max_epochs", r"trainer\.max_epochs"),
    ("recipe=mlp precision=bf16", "precision", r"trainer\.precision"),
    ("recipe=mlp device=cpu", "device", r"trainer\.device"),
    ("recipe=mlp label_smoothing=0.1", "label_smoothing", r"objective\.loss\.label_smoothing"),
    ("recipe=mlp patience=3", "patience", r"callbacks\.early_stopping\.patience"),
    ("recipe=mlp trainer.lr=0.1", "trainer.lr", r"optimizer\.lr"),
    ("recipe=mlp trainer.batch_size=8", "trainer.batch_size", r"data\.batch_size"),
    ("recipe=mlp trainer.seed=1", "trainer.seed", r"'seed'"),
    ("recipe=mlp trainer.patience=3", "trainer.patience", r"callbacks\.early_stopping\.patience"),
    ("recipe=mlp optimizer.max_epochs=3", "optimizer.max_epochs", r"trainer\.max_epochs"),
    ("recipe=mlp +model.lr=0.1", "model.lr", r"optimizer\.lr"),
    ("recipe=mlp +data.lr=0.1", "data.lr", r"optimizer\.lr"),
    ("recipe=mlp monitor=val/accuracy", "monitor", r"monitor\.metric"),
    ("recipe=mlp trainer=fast", "trainer=fast", "default"),
    ("recipe=mlp optimizer=0.1", "optimizer=0.1", r"adamw.*rmsprop"),
]
OTHER_FRAMEWORKS = [
    ("recipe=mlp trainer.gpus=1", "trainer.gpus", r"trainer\.device"),
    ("recipe=mlp trainer.accelerator=gpu", "trainer.accelerator", r"trainer\.device"),
    ("recipe=mlp trainer.devices=1", "trainer.devices", r"trainer\.device\b"),
    ("recipe=mlp trainer.max_grad_norm=1", "trainer.max_grad_norm", "gradient_clip_val"),
    ("recipe=mlp trainer.num_train_epochs=3", "trainer.num_train_epochs", "max_epochs"),
    ("recipe=mlp epochs=3", "epochs", r"trainer\.max_epochs"),
    ("recipe=mlp trainer.gradient_accumulation_steps=4", "trainer.gradient_accumulation_steps", "accumulate_grad_b"),
    ("recipe=mlp trainer.precision=16-mixed", "trainer.precision=16-mixed", "fp16"),
    ("recipe=mlp trainer.precision=bf16-mixed", "trainer.precision=bf16-mixed", r"bf16\b(?!-)"),
    ("recipe=mlp trainer.precision=16", "trainer.precision=16", "fp16"),
    ("recipe=mlp trainer.device=gpu", "trainer.device=gpu", "cuda"),
    ("recipe=mlp ckpt_path=x", "ckpt_path", "'resume'"),
    ("recipe=mlp +trainer.default_root_dir=x", "trainer.default_root_dir", "run_dir"),
    ("recipe=mlp optimizer=adam_w", "optimizer=adam_w", r"\badamw\b"),
]
WRONG_VALUES = [
    ("recipe=mlp trainer.max_epochs=ten", "trainer.max_epochs=ten", "whole number"),
    ("recipe=mlp trainer.max_epochs=3.5", "trainer.max_epochs=3.5", "whole number"),
    ("recipe=mlp trainer.max_epochs=-1", "trainer.max_epochs=-1", "at least 0"),
    ("recipe=mlp trainer.max_epochs==3", "trainer.max_epochs==3", "whole number"),
    ("recipe=mlp trainer.max_epochs=", "trainer.max_epochs=", "whole number"),
    ("recipe=mlp trainer.max_epochs=[3]", "trainer.max_epochs", "whole number"),
    ("recipe=mlp optimizer.lr=1e-3x", "optimizer.lr=1e-3x", "number"),
    ("recipe=mlp optimizer.lr=fast", "optimizer.lr=fast", "number"),
    ("recipe=mlp optimizer.lr=true", "optimizer.lr=true", "number"),
    ("recipe=mlp optimizer.lr=null", "optimizer.lr=null", "number"),
    ("recipe=mlp optimizer.lr=-0.1", "optimizer.lr=-0.1", "at least 0"),
    ("recipe=mlp optimizer.lr=0,1", "optimizer.lr=0,1", r"-m\b"),
    ("recipe=mlp optimizer.betas=0.9", "optimizer.betas=0.9", "list"),
    ("recipe=mlp optimizer.betas=[0.9]", "optimizer.betas", r"\b(2|two)\b"),
    ("recipe=mlp optimizer.betas=[0.9,1.5]", "optimizer.betas", "less than 1|below 1"),
    ("recipe=mlp optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true", "optimizer", "(?i)requires a momentum"),
    ("recipe=mlp data.batch_size=0", "data.batch_size=0", "at least 1"),
    ("recipe=mlp data.batch_size=64.0", "data.batch_size=64.0", "whole number"),
    ("recipe=mlp data.batch_size=all", "data.batch_size=all", "whole number"),
    ("recipe=mlp data.num_workers=-1", "data.num_workers=-1", "at least 0"),
    ("recipe=mlp data.shuffle=maybe", "data.shuffle=maybe", "true or false"),
    ("recipe=mlp data.shuffle=1", "data.shuffle=1", "true or false"),
    ("recipe=mlp data.on_error=ignore", "data.on_error=ignore", "skip"),
    ("recipe=mlp data.changed=maybe", "data.changed=maybe", "allow"),
    ("recipe=mlp data.timeout=-5", "data.timeout=-5", "at least 0"),
    ("recipe=mlp data.timeout=5min", "data.timeout=5min", "number"),
    ("recipe=mlp data.datasets.fractions=[0.9,0.9,0.9]", "data.datasets.fractions", "at most 1"),
    ("recipe=mlp data.folder=3 data.datasets.fractions=all", "data.datasets.fractions=all", "list"),
    ("recipe=mlp seed=abc", "seed=abc", "whole number"),
    ("recipe=mlp seed=-1", "seed=-1", "at least 0"),
    ("recipe=mlp test=never", "test=never", "true or false"),
    ("recipe=mlp tags=urgent", "tags=urgent", "list"),
    ("recipe=mlp name=a/b", "name=a/b", "plain file name"),
    ("recipe=mlp name=", "name=", "plain file name|empty"),
    ("recipe=mlp trainer.precision=fp8", "trainer.precision=fp8", "fp32, bf16"),
    ("recipe=mlp trainer.fast_dev_run=yes", "trainer.fast_dev_run=yes", "true"),
    ("recipe=mlp trainer.deterministic=warn", "trainer.deterministic=warn", "true or false"),
    ("recipe=mlp trainer.val_check_interval=0", "trainer.val_check_interval=0", "more than 0"),
    ("recipe=mlp trainer.val_check_interval=1.5", "trainer.val_check_interval=1.5", "share|whole epochs"),
    ("recipe=mlp trainer.limit_train_batches=1.5", "trainer.limit_train_batches=1.5", "share"),
    ("recipe=mlp trainer.max_time=30mins", "trainer.max_time=30mins", r"30min\b"),
    ("recipe=mlp trainer.max_time=30", "trainer.max_time=30", r"30min\b"),
    ("recipe=mlp trainer.gradient_clip_algorithm=max", "trainer.gradient_clip_algorithm=max", "norm"),
    ("recipe=mlp trainer.gradient_clip_val=0", "trainer.gradient_clip_val=0", "more than 0"),
    ("recipe=mlp trainer.on_nonfinite=ignore", "trainer.on_nonfinite=ignore", "skip"),
    ("recipe=mlp trainer.threads=many", "trainer.threads=many", "auto"),
    ("recipe=mlp trainer.strategy=ddp", "trainer.strategy=ddp", "auto"),
    ("recipe=mlp trainer.device=cudo", "trainer.device=cudo", r"\bcuda\b|\bcpu\b"),
    ("recipe=mlp trainer.device=cuda:99", "trainer.device=cuda:99", r"\bcpu\b"),
    ("recipe=mlp monitor.mode=maximum", "monitor.mode=maximum", r"\bmax\b"),
    ("recipe=mlp penalty.l1=-1", "penalty.l1=-1", "at least 0"),
    ("recipe=mlp checkpoint.keep_last=1", "checkpoint.keep_last=1", "at least 2"),
    ("recipe=mlp checkpoint.every=often", "checkpoint.every=often", "1ep|10ep|500st"),
    ("recipe=mlp checkpoint.keep_every=3", "checkpoint.keep_every=3", "1ep"),
    ("recipe=mlp schedule.interval=batch", "schedule.interval=batch", "step"),
    ("recipe=mlp schedule.warmup=2.5", "schedule.warmup=2.5", "share"),
    ("recipe=mlp schedule.warmup=5epochs", "schedule.warmup=5epochs", "500st|1ep"),
    ("recipe=mlp schedule=one_cycle schedule.scheduler.pct_start=3", "schedule.scheduler.pct_start=3", "from 0 to 1"),
    ("recipe=mlp callbacks.early_stopping.mode=lowest", "callbacks.early_stopping.mode=lowest", r"\bmin\b"),
    ("recipe=mlp callbacks.early_stopping.patience=-1", "callbacks.early_stopping.patience=-1", "at least 0"),
    ("recipe=mlp callbacks.early_stopping.patience=three", "callbacks.early_stopping.patience=three", "whole number"),
    ("recipe=mlp objective.loss.label_smoothing=2", "objective.loss.label_smoothing=2", "from 0 to 1"),
    ("recipe=mlp +objective.loss.reduction=average", "objective.loss.reduction=average", "mean"),
    ("recipe=mlp +objective.loss.reduction=sum", "objective.loss.reduction=sum", "mean"),
    ("recipe=mlp '+objective.loss.weight=[1,2]'", "objective.loss.weight", "(?i)tensor|_target_"),
    ("recipe=mlp model.dropout=1.5", "model.dropout=1.5", "from 0 to 1|less than 1"),
    ("recipe=mlp model.hidden=64", "model.hidden=64", "list"),
    ("recipe=mlp model.hidden=[64,wide]", "model.hidden", "whole number"),
    ("recipe=mlp model.activation=Relu", "model.activation=Relu", r"\bReLU\b"),
    ("recipe=mlp averaging=ema averaging.decay=1.5", "averaging.decay=1.5", "less than 1"),
    ("recipe=mlp averaging=ema averaging.kind=mean", "averaging.kind=mean", r"\bswa\b"),
    ("recipe=mlp averaging=ema averaging.start=soon", "averaging.start=soon", "2ep|10ep"),
    ("recipe=mlp parameter_groups.decay_norm_and_bias=no_way", "parameter_groups.decay_norm_and_bias", "true or false"),
    ("recipe=cnn data.augment.interpolation.value=bilinera", "data.augment.interpolation", r"\bbilinear\b"),
]
GROUPS = [
    ("recipe=mpl", "recipe=mpl", "'mlp'"),
    ("recipe=MLP", "recipe=MLP", "mlp"),
    ("recipe=", "recipe=", "mlp"),
    ("trainer.max_epochs=3", "no recipe was given", "recipe=(cnn|mlp)"),
    ("recipe=mlp optimizer=adm", "optimizer=adm", "'adam"),
    ("recipe=mlp model=resnet", "model=resnet", "cnn.*sequential"),
    ("recipe=mlp data=minst", "data=minst", "'mnist'"),
    ("recipe=mlp schedule=cosin", "schedule=cosin", "'cosine'"),
    ("recipe=mlp averaging=emma", "averaging=emma", "'ema'"),
    ("recipe=mlp debug=fst", "debug=fst", "'fast'"),
    ("recipe=mlp objective=clasification", "objective=clasification", "'classification'"),
    ("recipe=mlp optmizer=adam", "optmizer", "'optimizer'"),
    ("recipe=mlp dat=mnist", "dat", "'data'"),
    ("recipe=mlp optimizer=[adam,sgd]", "optimizer", "option is a name|one option|Options|not a list"),
    ("recipe=mlp callbacks=none", "callbacks=none", "default"),
    ("recipe=mlp ~model", "model", "nothing chosen|model=OPTION"),
    ("recipe=mlp ~trainer", "trainer", r"trainer\.\w+|cannot be left out|needed|nothing"),
    ("mlp", "mlp", "recipe=mlp"),
    ("trian recipe=mlp", "trian", "'train'"),
    ("recipe mlp", "recipe", "recipe=mlp"),
    ("verify_resume recipe=mlp", "verify_resume", "verify-resume"),
    ("ckpt inspct x", "inspct", "inspect"),
    ("help trainer.percision", "trainer.percision", "precision"),
]
GRAMMAR = [
    ("recipe=mlp 'optimizer.lr=[1'", "optimizer.lr=[1", "cannot be read"),
    ("recipe=mlp 'model.hidden=[64,]]'", "model.hidden=[64,]]", "cannot be read"),
    ("recipe=mlp 'optimizer.lr=${'", "optimizer.lr=${", "cannot be read"),
    ("recipe=mlp optimizer.lr 0.1", "optimizer.lr", "key=value|optimizer.lr="),
    ("recipe=mlp optimizer.lr = 0.1", "optimizer.lr", "key=value|optimizer.lr=|space"),
    ("recipe=mlp optimizer.lr: 0.1", "optimizer.lr", "key=value|optimizer.lr="),
    ("recipe=mlp =3", "=3", "(?i)key=value|key"),
    ("recipe=mlp --trainer.max_epochs=3", "trainer.max_epochs=3", "without|dash|key=value"),
    ("recipe=mlp --lr 0.1", "--lr", r"optimizer\.lr|key=value"),
    ("recipe=mlp --multirn seed=1,2", "--multirn", "--multirun"),
    ("recipe=mlp --config-dirs configs", "--config-dirs", r"--config-dir\b(?!s)"),
    ("recipe=mlp --config-dir nowhere", "--config-dir nowhere", "no such folder"),
    ("recipe=mlp --config-dir", "--config-dir", "folder|PATH|DIR"),
    ("recipe=mlp --resume auto", "--resume", "resume="),
    ("recipe=mlp --trust mine", "--trust", r"trusted_packages"),
    ("recipe=mlp -z", "-z", "flag|--help"),
    ("recipe=mlp seed=1,2", "seed=1,2", r"-m\b"),
    ("recipe=mlp,cnn", "recipe=mlp,cnn", r"-m\b"),
    ("eval -m recipe=mlp resume=x seed=1,2", "-m", "takes no such flag"),
    ("verify-resume recipe=mlp --step 3", "--step", "--steps"),
    ("verify-resume recipe=mlp --steps=zero", "--steps", "whole number"),
    ("verify-resume recipe=mlp resume=auto", "resume=auto", "leave"),
]
INTERPOLATION = [
    ("recipe=mlp 'name=${optimizer.lrr}'", "optimizer.lrr", r"optimizer\.lr\b(?!r)"),
    ("recipe=mlp 'model.hidden=[${widht}]' +width=3", "widht", "'width'"),
    ("recipe=mlp 'name=${nowhere.to.be.found}'", "nowhere.to.be.found", "no such key"),
    ("recipe=mlp 'name=${oc.env:NOT_SET_ANYWHERE}'", "NOT_SET_ANYWHERE", "environment"),
    ("recipe=mlp 'name=${oc.evn:HOME}'", "oc.evn", r"oc\.env"),
    ("recipe=mlp 'name=${name}'", "name", "itself|circle|cycle|recurs"),
    ("recipe=mlp 'data.classes=${data.outputs}'", "data.classes", "itself|circle|cycle|recurs"),
    ("recipe=mlp 'seed=${name}'", "seed", "whole number"),
    ("recipe=mlp 'data.datasets=???'", "data.datasets", "must be given"),
    ("recipe=mlp 'optimizer.lr=???'", "optimizer.lr", "must be given"),
]
TARGETS = [
    ("recipe=mlp model._target_=torch.nn.Linaer", "model._target_=torch.nn.Linaer", r"torch\.nn\.Linear|'Linear'"),
    ("recipe=mlp model._target_=torch.nm.Linear", "model._target_=torch.nm.Linear", r"torch\.nn|'nn'"),
    ("recipe=mlp model._target_=no_such_pkg.Net", "model._target_=no_such_pkg.Net", "install|import|found|no such"),
    ("recipe=mlp model._target_=mine.Nte", "model._target_=mine.Nte", r"\bNet\b"),
    ("recipe=mlp model._target_=crooked.build", "model._target_=crooked.build", r"line 1|:1"),
    ("recipe=mlp model._target_=json.loads", "model._target_=json.loads", "may not be named.*standard library"),
    ("recipe=mlp model._target_=os.system", "model._target_=os.system", "may not"),
    ("recipe=mlp model._target_=subprocess.run", "model._target_=subprocess.run", "may not"),
    ("recipe=mlp model._target_=torch.load", "model._target_=torch.load", "may not"),
    ("recipe=mlp '+callbacks.mine={_target_:builtins.eval}'", "callbacks.mine", "may not"),
    ("recipe=mlp model._target_=torch.optim.SGD", "model._target_=torch.optim.SGD", r"Module"),
    ("recipe=mlp optimizer._target_=torch.nn.Linear", "optimizer._target_=torch.nn.Linear", "Optimizer"),
    ("recipe=mlp optimizer._target_=torch.optim.Adamw", "optimizer._target_=torch.optim.Adamw", "AdamW"),
    ("recipe=mlp optimizer._target_=3", "optimizer._target_=3", "dotted|name|text|import"),
    ("recipe=mlp schedule.scheduler._target_=torch.optim.SGD", "schedule.scheduler._target_", "LRScheduler"),
    (
        "recipe=mlp schedule.scheduler._target_=torch.optim.lr_scheduler.CosineAnealingLR",
        "schedule.scheduler._target_",
        "CosineAnnealingLR",
    ),
    ("recipe=mlp objective.loss._target_=torch.nn.CrossEntropy", "objective.loss._target_", "CrossEntropyLoss"),
    ("recipe=mlp '+callbacks.mine={_target_:torch.nn.ReLU}'", "callbacks.mine", "Callback"),
    ("recipe=mlp '+callbacks.mine={_target_:trainkit.callbacks.EarlyStoping}'", "callbacks.mine", r"EarlyStopping"),
    ("recipe=mlp '+callbacks.mine={patience:3}'", "callbacks.mine", "_target_"),
    ("recipe=mlp callbacks.early_stopping=true", "callbacks.early_stopping", "_target_|null"),
    ("recipe=mlp '+loggers.mine={_target_:trainkit.callbacks.Progress}'", "loggers.mine", "(?i)logger(?!s)"),
    ("recipe=mlp '+metrics.acc={_target_:torch.nn.ReLU}'", "metrics.acc", "(?i)metric(?!s)"),
    ("recipe=mlp data.datasets._target_=trainkit.recipes.data.digit", "data.datasets._target_", "digits"),
    ("recipe=mlp model=targetless --config-dir configs", "model", "_target_"),
    ("recipe=mlp model=typo_inside --config-dir configs", "model.widht", "width"),
    ("recipe=mlp +model.bias=true", "model.bias", "in_features|hidden"),
    ("recipe=mlp model._target_=mine.Net model.hidden=[3]", "model.hidden", "width"),
    ("recipe=mlp ~model.in_features", "model.in_features", "must be given|missing|required|needs|cannot be left out"),
    ("recipe=mlp '+model._args_=[64]'", "model", "twice|both|two|multiple|already"),
    ("recipe=mlp +optimizer.params=[]", "optimizer.params", "twice|both|trainkit gives|already|given by"),
    ("recipe=mlp model=mine_partial --config-dir configs +model.norm.epss=1", "model.norm.epss", r"\beps\b"),
    ("recipe=mlp model=mine_partial --config-dir configs +model.norm.eps=small", "model.norm.eps=small", "number"),
    ("recipe=mlp model=mine_partial --config-dir configs +model.depth=deep", "model.depth=deep", "whole number"),
    ("recipe=mlp model=mine_partial --config-dir configs +model.depth=9", "model", "such a deep net does not learn"),
    (
        "recipe=mlp model=sequential 'model._args_=[{_target_:torch.nn.ReLU},{_target_:torch.nn.Linear,in_feat:6}]'",
        "model._args_",
        r"in_features",
    ),
    (
        "recipe=cnn 'data.augment={_target_:torchvision.transforms.v2.RandomAffine,degres:8}'",
        "data.augment.degres",
        "degrees",
    ),
    (
        "recipe=mlp 'data.augment={_target_:torchvision.transforms.v2.RandomCroop,size:8}'",
        "data.augment",
        r"RandomCrop\b",
    ),
    (
        "recipe=mlp 'data.augment=[{_target_:torchvision.transforms.v2.RandomCrop,size:8,pading:1}]'",
        "data.augment",
        "padding",
    ),
    ("recipe=mlp trusted_packages=mine", "trusted_packages=mine", "list"),
    ("recipe=mlp trusted_packages=[os]", "trusted_packages", "own|may not be trusted"),
]
ACROSS = [
    ("recipe=mlp monitor.metric=val/acuracy", "monitor.metric=val/acuracy", "val/accuracy"),
    ("recipe=mlp monitor.metric=accuracy", "monitor.metric=accuracy", "val/accuracy"),
    ("recipe=mlp monitor.metric=val_loss", "monitor.metric=val_loss", "val/loss"),
    ("recipe=mlp monitor.metric=val/rmse", "monitor.metric=val/rmse", "val/accuracy"),
    ("recipe=mlp monitor.metric=val/accuracy", "monitor.mode=min", "monitor.mode=max"),
    ("recipe=linear monitor.metric=val/accuracy monitor.mode=max", "monitor.metric=val/accuracy", "val/rmse"),
    ("recipe=mlp monitor.metric=val/f1 monitor.mode=max", "monitor.metric=val/f1", "metrics=classification"),
    ("recipe=mlp callbacks.early_stopping.monitor=val/acc", "callbacks.early_stopping.monitor", "val/accuracy"),
    ("recipe=mlp callbacks.early_stopping.monitor=test/loss", "callbacks.early_stopping.monitor", "val/loss"),
    ("recipe=mlp trainer.min_epochs=50", "trainer.min_epochs=50", "max_epochs"),
    ("recipe=mlp trainer.max_epochs=null", "trainer.max_epochs", "max_steps"),
    ("recipe=mlp trainer.max_epochs=null trainer.max_time=1h", "schedule.scheduler.T_max", "max_steps"),
    ("recipe=mlp optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "optimizer.nesterov", r"momentum=0\.9"),
    ("recipe=mlp schedule=one_cycle schedule.scheduler.total_steps=10", "schedule.scheduler.total_steps=10", "null"),
    (
        "recipe=mlp trainer.limit_val_batches=0 callbacks.early_stopping.patience=3",
        "trainer.limit_val_batches=0",
        "no validation|validates|validation",
    ),
    ("recipe=mlp trainer.limit_val_batches=0 schedule=plateau", "trainer.limit_val_batches=0", "validation"),
    (
        "recipe=mlp trainer.check_val_every_n_epoch=100 callbacks.early_stopping.patience=3",
        "trainer.check_val_every_n_epoch=100",
        "max_epochs",
    ),
    ("recipe=linear objective=classification", "objective", "classes"),
    ("recipe=mlp data=auto_mpg", "objective", "classes"),
    ("recipe=cnn data=auto_mpg", "model.in_channels", r"channels=null|images"),
    ("recipe=mlp objective=regression", "objective", "classes"),
    ("recipe=mlp model.out_features=5", "model.out_features=5", r"\b10\b"),
    ("recipe=mlp data.classes=5", "data.train", "0 to 4"),
    ("recipe=mlp data.batch_size=5000 data.drop_last=true", "data.batch_size=5000", r"1,?07\d"),
    ("recipe=mlp data.prefetch_factor=4", "data.prefetch_factor=4", "num_workers"),
    ("recipe=mlp data.persistent_workers=true", "data.persistent_workers=true", "num_workers"),
    ("recipe=mlp trainer.val_check_interval=1000", "trainer.val_check_interval=1000", r"\b17\b"),
    (
        "recipe=mlp trainer.fast_dev_run=true resume=auto run_dir=new",
        "resume=auto",
        "saves nothing|keeps nothing|leave",
    ),
    ("recipe=mlp data=mnist data.download=false data.folder=nowhere", "data=mnist", "train-images-idx3-ubyte"),
]
RUNS = [
    ("recipe=mlp run_dir=../x", "run_dir=../x", "current folder"),
    ("recipe=mlp run_dir=''", "run_dir=", "folder"),
    ("recipe=mlp run_dir=a_file.txt", "run_dir=a_file.txt", "is a file"),
    ("recipe=mlp resume=gone", "resume=gone", "no checkpoint"),
    ("recipe=mlp resume=aut run_dir=new", "resume=aut", "auto"),
    ("recipe=mlp resume=wieghts:a_file.txt", "resume=wieghts:a_file.txt", "weights"),
    ("recipe=mlp resume=a_file.txt", "a_file.txt", "checkpoint"),
    ("recipe=mlp resume=auto", "resume=auto", "run_dir=PATH"),
    ("eval recipe=mlp", "eval", "resume="),
    ("eval recipe=mlp resume=gone", "resume=gone", "no checkpoint"),
    ("-m recipe=mlp run_dir=x seed=1,2", "run_dir", r"hydra\.sweep\.dir"),
    ("-m recipe=mlp run_dir=x,y", "run_dir", r"hydra\.sweep\.dir"),
    ("-m recipe=mlp trainer.max_epochs=1 optimizer.lr=0.1,fast", "optimizer.lr=fast", "number"),
    ("-m recipe=mlp trainer.max_epochs=1 optimizer=adam,sdg", "optimizer=sdg", "'sgd'"),
    ("-m recipe=mlp trainer.max_epochs=ten optimizer.lr=0.1,0.2", "trainer.max_epochs=ten", "whole number"),
    ("-m recipe=mlp,mpl trainer.max_epochs=1", "recipe=mpl", "'mlp'"),
    ("-m recipe=mlp 'seed=range(3'", "seed=range(3", "cannot be read"),
    ("-m recipe=mlp trainer.max_epochs=1 monitor.metric=val/loss,val/acuracy", "monitor.metric", "val/accuracy"),
]
OWN_FILES = [
    ("recipe=tabbed --config-dir configs", "tabbed.yaml", r":4|line 4"),
    ("recipe=unclosed --config-dir configs", "unclosed.yaml", r":[345]|line [345]"),
    ("recipe=headless --config-dir configs", "headless.yaml", "@package _global_"),
    ("recipe=slipped --config-dir configs", "slipped.yaml:7", "max_epochs"),
    ("recipe=worded --config-dir configs", "worded.yaml:8", "whole number"),
    ("recipe=britain --config-dir configs", "optimiser", "'optimizer'"),
    ("recipe=nooption --config-dir configs", "nooption.yaml", "'adam"),
    ("recipe=nobase --config-dir configs", "mpl", "'mlp'"),
    ("recipe=twofold --config-dir configs", "twofold.yaml", "override /optimizer"),
    ("recipe=listed --config-dir configs", "listed.yaml", "key|mapping"),
    ("recipe=again --config-dir configs", "again.yaml", "seed"),
    ("recipe=good2 --config-dir configs", "recipe=good2", "'good'"),
    ("recipe=./gone.yaml", "gone.yaml", "no such file"),
    ("recipe=./by_pth.yaml by_path=1", "by_pth.yaml", r"by_path\.yaml"),
]
SEVERAL = [
    (
        "recipe=mlp trainer.max_epoch=3 optimizer.lr=fast data.batch_size=0 monitor.metrik=x",
        "4 mistakes",
        "max_epochs",
        "optimizer.lr=fast.*number",
        "data.batch_size=0.*at least 1",
        "metric",
    ),
    (
        "recipe=mlp optmizer=sgd data=minst sed=1",
        "3 mistakes",
        "'optimizer'",
        "'mnist'",
        "'seed'",
    ),
    (
        "recipe=mlp 'name=${nowhere}' 'optimizer.lr=[1' trainer.precision=fp8",
        "3 mistakes",
        "no such key",
        "cannot be read",
        "fp32",
    ),
    (
        "recipe=mlp model._target_=torch.nn.Linaer trainer.max_epochs=ten",
        "2 mistakes",
        "'(torch.nn.)?Linear'",
        "whole number",
    ),
    (
        "recipe=mlp trainer.max_epochs=ten monitor.metric=val/acuracy",
        "trainer.max_epochs=ten",
        "whole number",
    ),
]
WANTED = 'freeze.rules=[{match: "layers.*"'
RESNET = "recipe=mlp model=torchvision model.name=resnet18 model.outputs=10"
PLANS = [
    (f"recipe=mlp '{WANTED}, norm: evl}}]'", "freeze.rules[0].norm=evl", "'eval'"),
    (f"recipe=mlp '{WANTED}, lr: 0.1, lr_scale: 0.1}}]'", "freeze.rules[0]", "both lr and lr_scale"),
    (f"recipe=mlp '{WANTED}, lr: quick}}]'", "freeze.rules[0].lr=quick", "number"),
    (f"recipe=mlp '{WANTED}, from: 3epochs}}]'", "freeze.rules[0].from=3epochs", "'3ep'"),
    (f"recipe=mlp '{WANTED}, until: 10min}}]'", "freeze.rules[0].until=10min", "epochs or steps"),
    (f"recipe=mlp '{WANTED}, from: platau}}]'", "freeze.rules[0].from=platau", "'plateau'"),
    (f"recipe=mlp '{WANTED}, from: 5ep, until: 3ep}}]'", "freeze.rules[0].until=3ep", "not after.*never trains"),
    (f"recipe=mlp '{WANTED}, from: 40ep}}]'", "freeze.rules[0].from=40ep", r"trainer\.max_epochs=41 reaches"),
    (f"recipe=mlp '{WANTED}, from: 1ep, thaw_every: 1ep}}]'", "freeze.rules[0].thaw_every=1ep", "leave out"),
    (
        f"recipe=mlp '{WANTED}, options: {{beta: [0.9, 0.9]}}}}]'",
        "freeze.rules[0].options.beta",
        "no such option.*'betas'",
    ),
    (f"recipe=mlp '{WANTED}, options: {{betas: 0.9}}}}]'", "freeze.rules[0].options.betas=0.9", "list of 2"),
    (f"recipe=mlp '{WANTED}, options: {{lr: 0.9}}}}]'", "freeze.rules[0].options.lr=0.9", "rule itself"),
    ("recipe=mlp 'freeze.rules=[{match: \"lyers.4.*\"}]'", "freeze.rules[0].match=lyers.4.*", r"'layers\.4\.\*'"),
    ("recipe=mlp 'freeze.rules=[{match: [layers, heads]}]'", "freeze.rules[0].match[1]", "matches no parameter"),
    ("recipe=mlp 'freeze.rules=[{match: \"type:Linaer\"}]'", "freeze.rules[0].match=type:Linaer", "'type:Linear'"),
    ("recipe=mlp 'freeze.rules=[{match: \"re:layers.(4\"}]'", "freeze.rules[0].match=re:layers", "regular expression"),
    ("recipe=mlp 'freeze.rules=[{match: \"*\", trainable: false}]'", "freeze.rules", "nothing is left.*@head"),
    ("recipe=mlp 'freeze.rules=[{match: \"*\", from: 2ep}]'", "freeze.rules", "nothing is left.* at the start"),
    ("recipe=mlp 'freeze.rules=[{match: \"*\", until: 2ep}]'", "freeze.rules", "nothing is left.* after 2ep"),
    ("recipe=mlp 'freeze.rules=[{match: \"*\"}, {match: layers}]'", "freeze.rules[1].match", "first that matches wins"),
    ("recipe=mlp freeze.rules=[layers]", "freeze.rules[0]=layers", "mapping"),
    ("recipe=mlp 'freeze=[{match: layers}]'", "freeze=", "'freeze.rules="),
    ("recipe=mlp freeze=gradul", "freeze=gradul", "'gradual'"),
    ("recipe=mlp freeze=frozen", "freeze=frozen", "Options: .*feature_extraction"),
    ("recipe=mlp freeze=gradual freeze.thaw_every=50ep", "freeze.thaw_every=50ep", "nothing below the head"),
    ("recipe=mlp freeze=gradual freeze.thaw_every=3", "freeze.thaw_every=3", "3ep or 3st"),
    ("recipe=mlp freeze=linear_probe_then_finetune freeze.thaw=90ep", "freeze.thaw=90ep", "never trains.*=91 reaches"),
    ("recipe=mlp freeze=discriminative freeze.lr_decay=75", "freeze.lr_decay=75", "from 0 to 1"),
    ("recipe=mlp freeze.patience=0", "freeze.patience=0", "at least 1"),
    ("recipe=mlp weights.source=gone.pt", "weights.source=gone.pt", "no such file"),
    ("recipe=mlp weights.source=tained.pt", "weights.source=tained.pt", "'trained.pt'"),
    ("recipe=mlp weights.source=a_file.txt", "weights.source=a_file.txt", "safetensors"),
    ("recipe=mlp weights.source=package:not_there/x.pt", "weights.source", "pip install not-there"),
    (
        "recipe=mlp weights.source=trained.pt model.hidden=[9]",
        "weights.source=trained.pt",
        "another network|do not fit",
    ),
    ("recipe=mlp weights.source=trained.pt weights.prefix=net.", "weights.prefix=net.", "begins with it"),
    ("recipe=mlp weights.source=trained.pt weights.allow=[lyers.*]", "weights.allow", "'layers"),
    ("recipe=mlp weights=trained.pt", "weights=trained.pt", "'weights.source=trained.pt'"),
    (f"{RESNET} weights.source=ResNet18_Weights.IMAGENT1K_V1", "weights.source", "'ResNet18_Weights.IMAGENET1K_V1'"),
    (f"{RESNET} weights.source=resnet18", "weights.source=resnet18", r"'ResNet18_Weights\.DEFAULT'"),
    (f"{RESNET} weights.source=ResNet18_Weights.DEFAULT", "weights.source", r"head\.outputs=\$\{data\.outputs\}"),
    (f"{RESNET} weights.source=ResNet50_Weights.DEFAULT head.outputs=10", "weights.source", "those of resnet50"),
    (f"{RESNET} weights.source=ResNet50_Weights.DEFAULT weights.by_position=true", "weights.by_position", "267 .*102"),
    ("recipe=mlp model=torchvision model.name=resnet81 model.outputs=10", "model.name=resnet81", "'resnet18'"),
    ("recipe=mlp head=10", "head=10", "'head.outputs=10'"),
    ("recipe=mlp head.outputs=7", "head.outputs=7", r"head\.outputs=10"),
    ("recipe=mlp head.name=lyers.7 head.outputs=10", "head.name=lyers.7", "'layers.7'"),
    ("recipe=mlp head.name=layers head.outputs=10", "head.name=layers", "is a Sequential.*'layers.7'"),
    ("recipe=mlp 'head.name={layers.77: 10}'", "head.name", "layers.77: .*'layers.7'|layers.77: .*It has"),
    ("recipe=mlp head.outputs=10 head.init=kaimin", "head.init=kaimin", "'kaiming'"),
    ("recipe=mlp head.outputs=10 head.dropout=1", "head.dropout=1", "less than 1"),
    ("recipe=mlp ~weights", "~weights", r"weights\.source=VALUE"),
    (f"{RESNET} data=image_folder data.folder=gone", "data.folder=gone", "one folder for each class"),
    (f"{RESNET} data=image_folder data.folder=configs", "data.folder", "no class folders"),
    (
        "recipe=mlp model=torchvision data=image_folder data.folder=gone",
        "data.folder=gone",
        "no such folder.*each class",
    ),
    (
        "recipe=mlp model=torchvision data=image_folder data.folder=configs",
        "data.folder=configs",
        "has no class folders",
    ),
    (f"{RESNET} data=cifar10 data.preprocessing=imagenet", "data.preprocessing=imagenet", "mapping, auto or null"),
    (f"{RESNET} data=cifar10 data.preprocessing.maen=[0.5]", "data.preprocessing.maen", r"whole .*=\{mean: VALUE"),
]
WRONG = [
    *(WRONG_KEYS + WRONG_PLACE + OTHER_FRAMEWORKS + WRONG_VALUES + GROUPS + GRAMMAR + INTERPOLATION),
    *(TARGETS + ACROSS + RUNS + OWN_FILES + SEVERAL + PLANS),
]
STOP, METRICS = "callbacks.early_stopping", "metrics=classification metrics.classification"
CROP = "{_target_:torchvision.transforms.v2.RandomCrop,size:8,padding:1}"
VALID = [
    "recipe=mlp trainer.max_steps=null trainer.gradient_clip_val=null",
    "recipe=mlp optimizer.amsgrad=true",
    "recipe=mlp +optimizer.amsgrad=true",
    "recipe=mlp ++optimizer.lr=0.1",
    "recipe=mlp optimizer.lr=1 optimizer.weight_decay=0 optimizer=sgd",
    "recipe=mlp optimizer.lr=.01 optimizer.betas=[0.9,0.95] optimizer.eps=1e-6",
    "recipe=mlp optimizer=sgd optimizer.dampening=0.1",
    "recipe=mlp optimizer._target_=torch.optim.adamw.AdamW",
    "recipe=mlp optimizer._target_=torch.optim.NAdam ~optimizer.fused optimizer.weight_decay=0",
    "recipe=mlp schedule.warmup=1ep",
    "recipe=mlp schedule.warmup=0.1",
    "recipe=mlp schedule.warmup=5",
    "recipe=mlp schedule=plateau",
    "recipe=mlp schedule=step schedule.scheduler.step_size=5",
    "recipe=mlp ~schedule",
    "recipe=mlp ~schedule ~averaging ~loggers ~checkpoint ~metrics ~callbacks",
    "recipe=mlp ~schedule '+schedule={scheduler:{_target_:torch.optim.lr_scheduler.ExponentialLR,gamma:0.99}}'",
    "recipe=mlp callbacks.predictions=null callbacks.progress=null",
    "recipe=mlp ~callbacks.early_stopping",
    "recipe=mlp '+callbacks.mine={_target_:trainkit.callbacks.Progress}'",
    "recipe=mlp '+callbacks.second={_target_:trainkit.callbacks.EarlyStopping,monitor:val/accuracy,mode:max}'",
    f"recipe=mlp {STOP}.patience=5 {STOP}.monitor=val/accuracy {STOP}.mode=max",
    "recipe=mlp model.hidden=[]",
    "recipe=mlp model.hidden=[32,32,32] model.activation=GELU model.dropout=0",
    "recipe=mlp +width=32 'model.hidden=[${width}]'",
    "recipe=mlp model=nested model.encoder.channels=[8,16]",
    "recipe=mlp model=sequential",
    "recipe=mlp model=mine_partial --config-dir configs",
    "recipe=mlp model=mine_partial --config-dir configs model.width=16 +model.norm.eps=1e-3",
    "recipe=mlp ~model '+model={_target_:mine.Plain,width:4,depth:2}'",
    "recipe=linear model.bias=false",
    "recipe=linear +model.dtype=torch.float32 +model.device=cpu",
    "recipe=mlp objective.loss._target_=torch.nn.MultiMarginLoss ~objective.loss.label_smoothing",
    "recipe=mlp ~objective ~objective.loss '+objective={_target_:mine.objective,_partial_:true}'",
    f"recipe=mlp {METRICS}.names=[accuracy,f1] monitor.metric=val/f1 monitor.mode=max",
    "recipe=mlp '+metrics.mine={_target_:mine.Top}' monitor.metric=val/top monitor.mode=max",
    "recipe=mlp monitor.metric=val/accuracy monitor.mode=max",
    "recipe=mlp trainer.limit_train_batches=0.5 trainer.limit_val_batches=1.0 trainer.limit_test_batches=3",
    "recipe=mlp trainer.val_check_interval=0.5",
    "recipe=mlp trainer.val_check_interval=10st",
    "recipe=mlp trainer.max_time=1h trainer.max_epochs=null schedule=constant",
    "recipe=mlp 'trainer.max_time=00:30:00'",
    "recipe=mlp trainer.device=cpu trainer.precision=bf16 trainer.threads=null",
    "recipe=mlp trainer.overfit_batches=3",
    "recipe=mlp debug=fast",
    "recipe=mlp debug=limit",
    "recipe=mlp averaging=swa averaging.start=1ep",
    "recipe=mlp averaging=ema averaging.decay=0.9",
    "recipe=mlp checkpoint.keep_every=10ep checkpoint.every=5min",
    "recipe=mlp data.num_workers=1 data.prefetch_factor=2 data.persistent_workers=true",
    f"recipe=mlp data.augment={CROP}",
    f"recipe=mlp data.augment=[{CROP}]",
    "recipe=cnn data.augment.interpolation.value=nearest",
    "recipe=cnn data.augment=null",
    "recipe=mlp 'freeze.rules=[{match: \"layers.1.*\", lr: 0, weight_decay: 0}]'",
    "recipe=mlp 'freeze.rules=[{match: [re:layers.1.weight, \"*.bias\"], options: {eps: 1}}, {match: type:Linear}]'",
    "recipe=mlp 'freeze.rules=[{match: layers.1, from: 2ep, until: 30ep, grad_clip: 1}]' weights.source=trained.pt",
    "recipe=mlp 'freeze={rules: [{match: \"@head\", lr_scale: 2}], patience: 1}'",
    "recipe=mlp freeze=gradual freeze.rules.1.thaw_every=20st weights.source=trained.pt",
    "recipe=mlp freeze=linear_probe_then_finetune freeze.thaw=plateau weights.source=trained.pt",
    "recipe=mlp weights.source=trained.pt head.outputs=10 head.init=zero head.dropout=0.1 freeze=feature_extraction",
    "recipe=mlp weights.source=trained.pt 'head.name={layers.7: 10}' freeze=discriminative",
    "recipe=mlp weights.source=trained.pt weights.by_position=true model.hidden=[128,64]",
    "recipe=mlp weights.source=wrapped.pt weights.prefix=net.",
    "recipe=mlp weights.source=wrapped.pt 'weights.rename={net.*: \"*\"}'",
    "recipe=mlp model.hidden=[128,64,9] weights.source=trained.pt weights.allow=[layers.7.*,layers.10.*]",
    "recipe=mlp freeze=null",
    "recipe=mlp ~freeze",
    "recipe=mlp 'name=\"my run\"'",
    "recipe=mlp 'name=${oc.env:RUN_NAME}'",
    "recipe=mlp 'name=${oc.env:NOT_SET_ANYWHERE,fallback}'",
    "recipe=mlp seed=0 test=false tags=[a,b]",
    "recipe=mlp tags=[] run_dir=null resume=null",
    "recipe=mlp 'tags=[\"x y\", 2026]'",
    "recipe=mlp trusted_packages=[mine] model=mine_partial --config-dir configs",
    "recipe=good --config-dir configs",
    "recipe=good --config-dir=configs optimizer.amsgrad=false",
    "recipe=./by_path.yaml",
    "recipe=by_path.yaml trainer.max_epochs=1",
    "--config-dir configs recipe=mlp model=cnn",
    "recipe=mlp penalty.l1=0.001 penalty.l2=1",
]
WARNED = [
    ("recipe=mlp freeze=feature_extraction", "weights.source=null", "16576 of 17226"),
    ("recipe=mlp weights.allow=[layers.*]", "weights.allow", "no effect"),
    ("recipe=mlp head.init=zero", "head.init=zero", "makes a new one"),
    ("recipe=mlp schedule.warmup=500ep", "schedule.warmup=500ep", r"max_epochs=40"),
    ("recipe=mlp trainer.precision=fp16 trainer.device=cpu", "trainer.precision=fp16", "bf16"),
    ("recipe=mlp schedule.scheduler.T_max=5", "schedule.scheduler.T_max=5", "680 steps"),
    ("recipe=mlp averaging=swa averaging.start=90ep", "averaging.start=90ep", "nothing is averaged"),
    ("recipe=mlp trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_algorithm=value", "gradient_clip_val"),
    ("recipe=mlp callbacks.early_stopping.min_delta=0.1", "callbacks.early_stopping.min_delta=0.1", "patience"),
    ("recipe=mlp schedule=step schedule.scheduler.step_size=90", "schedule.scheduler.step_size=90", "never falls"),
]
"""Lines that may be meant: a run says what is odd and goes on."""
SHOWN = [
    "recipe=mlp --cfg job",
    "--cfg job recipe=mlp --resolve",
    "--info searchpath recipe=mlp",
    "recipe=good --cfg job --config-dir configs",
    "-m recipe=mlp trainer.fast_dev_run=true seed=1,2",
    "recipe=mlp seed=1,2 trainer.fast_dev_run=true --multirun",
    "recipe=mlp,linear trainer.fast_dev_run=true -m",
    "-m recipe=mlp 'seed=range(0,2)' trainer.fast_dev_run=true hydra.sweep.dir=sweep",
    "recipes",
    "help trainer.precision",
]
"""Lines that are right but no training that ``check`` could judge."""
PROCESSES = [
    *(WRONG_KEYS[0:2] + WRONG_PLACE[0:3] + WRONG_VALUES[0:2] + WRONG_VALUES[6:7] + GROUPS[0:4] + GROUPS[17:19]),
    *(GRAMMAR[0:2] + GRAMMAR[9:11] + INTERPOLATION[0:1] + INTERPOLATION[3:4] + TARGETS[0:1] + TARGETS[6:7]),
    *(ACROSS[0:1] + RUNS[0:1] + RUNS[12:13] + OWN_FILES[0:1] + OWN_FILES[3:4] + SEVERAL[0:1]),
    *(PLANS[0:1] + PLANS[12:13]),
]


@pytest.fixture(scope="module", autouse=True)
def _files_are_composed_once() -> Iterator[None]:
    with shared():
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the lines run in; modules in it can be imported, and are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("RUN_NAME", "given")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("mine", "crooked"):
            del sys.modules[name]


def written(folder: Path, line: str) -> dict[str, bytes]:
    """Write the files that a line speaks of, and return all that is in the folder by now."""
    for name, text in FILES.items():
        if Path(name).stem in line or name == "mine.py":
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (folder / "configs").mkdir(exist_ok=True)
    if ".pt" in line:
        weights = MLP(64, [128, 64], 10, dropout=0.1).state_dict()
        torch.save(weights, folder / "trained.pt")
        torch.save({f"net.{name}": tensor for name, tensor in weights.items()}, folder / "wrapped.pt")
    return there(folder)


def there(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


def require_refused(row: tuple[str, ...], code: int, err: str) -> None:
    _, place, *cures = row
    assert code == 2, err
    assert place in err, f"{place!r} is not named in:\n{err}"
    for cure in cures:
        assert re.search(cure, err), f"/{cure}/ is not told in:\n{err}"
    assert "Traceback" not in err
    assert len(err.splitlines()) <= LINES, err


@pytest.mark.parametrize("row", WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_line_is_refused(row: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(folder, row[0])
    code = _run(shlex.split(row[0]))
    require_refused(row, code, capsys.readouterr().err)
    assert there(folder) == before


@pytest.mark.parametrize("row", PROCESSES, ids=[row[0] for row in PROCESSES])
def test_a_wrong_line_is_refused_in_a_process_of_its_own(row: tuple[str, ...], folder: Path, warm: Warm) -> None:
    before = written(folder, row[0])
    done = warm.run(*shlex.split(row[0]), cwd=folder)
    require_refused(row, done.returncode, done.stderr)
    assert there(folder) == before


@pytest.mark.parametrize("line", VALID)
def test_what_is_unusual_but_right_gives_no_alarm(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(folder, line)
    code = _run(["check", *shlex.split(line)])
    told = capsys.readouterr()
    assert (code, "error" in told.out.replace("0 errors", "")) == (0, False), told.out + told.err
    code = _run([*shlex.split(line), "trainer.fast_dev_run=true"])
    assert code == 0, capsys.readouterr().err
    assert there(folder) == before


@pytest.mark.parametrize("line", SHOWN)
def test_other_lines_that_are_right(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder, line)
    assert _run(shlex.split(line)) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("row", WARNED, ids=[row[0] for row in WARNED])
def test_what_may_be_meant_is_warned_of(row: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, place, cure = row
    assert _run(["check", *shlex.split(line)]) == 0
    told = [text for text in capsys.readouterr().out.splitlines() if text.startswith("warning")]
    assert len(told) == 1
    assert place in told[0]
    assert re.search(cure, told[0])
    assert _run([*shlex.split(line), "trainer.max_steps=3", "run_dir=run", "trainer.max_epochs=40"]) == 0
    assert place in capsys.readouterr().err
    assert place in json.loads((folder / "run" / "summary.json").read_text())["warnings"][0]


def test_the_tables_are_as_large_as_they_are_meant_to_be() -> None:
    assert len({row[0] for row in WRONG}) == len(WRONG) >= 190
    assert len({*VALID, *SHOWN}) == len(VALID) + len(SHOWN) >= 58
    assert len(PROCESSES) >= 25


@pytest.mark.parametrize("row", WRONG, ids=[row[0] for row in WRONG])
def test_no_cure_stands_in_the_line_already(row: tuple[str, ...]) -> None:
    """Else a message that merely repeats the line would pass."""
    line, _, *cures = row
    assert [cure for cure in cures if re.search(cure, line)] == []
