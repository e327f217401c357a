"""Well-known networks with usual settings: all rules together suspect nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import GatedMlp
from timm.models.convmixer import ConvMixer
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock, SpatialGatingBlock
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision import models
from torchvision.models import convnext, efficientnet, segmentation, swin_transformer
from torchvision.models.regnet import BlockParams, RegNet

from trainkit.inspection import inspect

CLASSES = 4
MIXER: dict[str, Any] = {"img_size": 64, "patch_size": 16, "num_blocks": 2, "embed_dim": 64}
Make = Callable[[], nn.Module]
SMALL: dict[str, Make] = {
    "resnet": partial(models.ResNet, models.resnet.BasicBlock, [1, 1, 1, 1]),
    "resnext": partial(models.ResNet, models.resnet.Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=4),
    "wide_resnet": partial(models.ResNet, models.resnet.Bottleneck, [1, 1, 1, 1], width_per_group=128),
    "densenet": partial(models.DenseNet, 8, (2, 2, 2), 16),
    "mobilenet_v2": partial(
        models.MobileNetV2, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2]]
    ),
    "mobilenet_v3": models.mobilenet_v3_small,
    "efficientnet": partial(
        models.EfficientNet,
        [efficientnet.MBConvConfig(1, 3, 1, 16, 16, 1), efficientnet.MBConvConfig(6, 3, 2, 16, 24, 2)],
        0.2,
    ),
    "efficientnet_v2": partial(
        models.EfficientNet,
        [efficientnet.FusedMBConvConfig(1, 3, 1, 16, 16, 1), efficientnet.FusedMBConvConfig(4, 3, 2, 16, 24, 2)],
        0.2,
    ),
    "convnext": partial(
        models.ConvNeXt,
        [convnext.CNBlockConfig(24, 48, 1), convnext.CNBlockConfig(48, 96, 1), convnext.CNBlockConfig(96, None, 1)],
        0.1,
    ),
    "vit": partial(models.VisionTransformer, 64, 16, 2, 4, 64, 128, attention_dropout=0.1),
    "swin": partial(models.SwinTransformer, [4, 4], 24, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.1),
    "swin_v2": partial(
        models.SwinTransformer,
        *([4, 4], 24, [2, 2], [2, 4], [4, 4]),
        block=swin_transformer.SwinTransformerBlockV2,
        downsample_layer=swin_transformer.PatchMergingV2,
    ),
    "maxvit": partial(models.MaxVit, (64, 64), 16, 8, [16, 32], [1, 1], 8, 0.1),
    "regnet": partial(RegNet, BlockParams([1, 1], [16, 32], [8, 8], [1.0, 1.0], [2, 2], se_ratio=0.25)),
    "squeezenet": models.squeezenet1_1,
    "shufflenet": partial(models.ShuffleNetV2, [2, 2, 2], [24, 48, 96, 192, 256]),
    "mnasnet": partial(models.MNASNet, 0.25),
    "googlenet": partial(models.googlenet, init_weights=False, aux_logits=True),
    "lraspp": partial(segmentation.lraspp_mobilenet_v3_large, weights_backbone=None),
    "deit": partial(timm.create_model, "deit_tiny_distilled_patch16_224", img_size=64, depth=2),
    "mixer": partial(MlpMixer, **MIXER),
    "beit": partial(timm.create_model, "beit_base_patch16_224", img_size=64, depth=2, embed_dim=64, num_heads=4),
    "cait": partial(timm.create_model, "cait_xxs24_224", img_size=64, depth=2, embed_dim=64),
    "nfnet": partial(timm.create_model, "nf_regnet_b0"),
    "repvgg": partial(timm.create_model, "repvgg_a0"),
    "ghostnet": partial(timm.create_model, "ghostnet_050"),
    "hrnet": partial(timm.create_model, "hrnet_w18_small"),
    "xcit": partial(timm.create_model, "xcit_nano_12_p16_224", img_size=64, depth=2),
    "poolformer": partial(timm.create_model, "poolformer_s12"),
    "levit": partial(timm.create_model, "levit_128s", img_size=64),
    "edgenext": partial(timm.create_model, "edgenext_xx_small"),
    "convmixer": partial(ConvMixer, 64, 2, kernel_size=5, patch_size=8),
    "coat": partial(timm.create_model, "coat_tiny", img_size=64, serial_depths=(1, 1, 1, 1), parallel_depth=1),
    "mobilevit": partial(timm.create_model, "mobilevit_xxs"),
    "pvt": partial(timm.create_model, "pvt_v2_b0", depths=(1, 1, 1, 1)),
    "resmlp": partial(MlpMixer, **MIXER, mlp_ratio=4, block_layer=ResBlock, norm_layer=Affine),
    "gmlp": partial(MlpMixer, **MIXER, mlp_ratio=6, block_layer=SpatialGatingBlock, mlp_layer=GatedMlp),
    "tinynet": partial(timm.create_model, "tinynet_e"),
}
"""Each family with few layers or channels."""
LARGE = ("resnet50", "densenet121", "convnext_tiny", "efficientnet_v2_s", "fcn_resnet50", "inception_v3")
"""Networks of torchvision as they are published."""


def pictures(count: int, seed: int, size: int = 64) -> tuple[Tensor, Tensor]:
    """Return normalised pictures, (count, 3, size, size), whose class is a coarse pattern under noise."""
    patterns = torch.randn(CLASSES, 3, 8, 8, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, CLASSES, (count,), generator=generator)
    noise = torch.randn(count, 3, size, size, generator=generator)
    return (F.interpolate(patterns[target], size=size) + noise) / 2**0.5, target


def data(count: int, seed: int, size: int, dense: bool) -> TensorDataset:
    """Return pictures with their class, or with that of each pixel."""
    inputs, target = pictures(count, seed, size)
    if dense:
        target = (F.avg_pool2d(inputs, 5, 1, 2).sum(1) > 0).long() + 2 * (target[:, None, None] % 2)
    return TensorDataset(inputs, target)


def loss(output: Any, target: Tensor) -> Tensor:
    """Return the cross entropy, with that of auxiliary heads."""
    if isinstance(output, dict):
        return sum((F.cross_entropy(logits, target) for logits in output.values()), torch.zeros(()))
    if isinstance(output, tuple):
        main, *others = output
        return F.cross_entropy(main, target) + sum(0.3 * F.cross_entropy(logits, target) for logits in others)
    return F.cross_entropy(output, target)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05)


def suspected(model: nn.Module, size: int = 64, dense: bool = False) -> list[str]:
    """Return what is found of warning or above, and rules that fail."""
    normed = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    found = inspect(
        model,
        loss=loss,
        train_set=data(64, 0, size, dense),
        val_set=data(16, 1, size, dense),
        optimizer=momentum if normed else adamw,
        batch_size=8,
    )
    return [str(finding) for finding in found if finding.severity != "info" or finding.rule == "rule-failed"]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_of_each_family_is_not_suspected(name: str) -> None:
    torch.manual_seed(0)
    assert suspected(SMALL[name](num_classes=CLASSES), dense=name == "lraspp") == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LARGE)
def test_a_network_as_published_is_not_suspected(name: str) -> None:
    torch.manual_seed(0)
    of_segments = vars(segmentation).get(name)
    if of_segments is not None:
        assert suspected(of_segments(weights_backbone=None, num_classes=CLASSES), dense=True) == []
        return
    more = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
    size = 128 if name == "inception_v3" else 64
    assert suspected(vars(models)[name](num_classes=CLASSES, **more), size) == []


def test_a_compiled_network_is_looked_at_as_it_is_written() -> None:
    torch.manual_seed(0)
    compiled = torch.compile(SMALL["resnet"](num_classes=CLASSES), backend="eager")
    assert suspected(compiled) == []
