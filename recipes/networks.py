"""Networks of torchvision and timm by name, untrained: what a config's ``weights`` is loaded into, or trained anew."""

from __future__ import annotations

from typing import Any

from torch import nn

from trainkit.errors import ConfigError, closest

AUXILIARY = ("googlenet", "inception_v3")
"""They have further classifiers half-way, whose scores an objective of one loss has no use for."""


def torchvision_model(name: str, outputs: int, **options: Any) -> nn.Module:
    """Build a classification network of torchvision, such as ``resnet18`` or ``vit_b_16``, with random weights.

    Args:
        name: As ``torchvision.models.list_models(torchvision.models)`` has it.
        outputs: Number of classes.
        options: What else its function takes.

    Raises:
        ConfigError: If there is no such network, or it refuses an option.
    """
    from torchvision import models

    known = models.list_models(models)
    if name not in known:
        near = closest(str(name), known) or f" There are {len(known)}, such as {', '.join(known[:5])}"
        raise ConfigError(f"model.name={name}: torchvision has no such classification network.{near}")
    if name in AUXILIARY:
        options = {"aux_logits": False, "init_weights": True, **options}
    model: nn.Module = _built(models.get_model, "torchvision", name, weights=None, num_classes=outputs, **options)
    return model


def timm_model(name: str, outputs: int, channels: int = 3, **options: Any) -> nn.Module:
    """Build a classification network of timm, such as ``efficientnet_lite0``, with random weights.

    Args:
        name: As ``timm.list_models()`` has it.
        outputs: Number of classes.
        channels: Channels of the images.
        options: What else ``timm.create_model`` takes, such as ``drop_rate``.

    Raises:
        ConfigError: If timm is not installed, there is no such network, or it refuses an option.
    """
    try:
        import timm
    except ImportError:
        raise ConfigError("model=timm needs the package timm: pip install 'trainkit[timm]'") from None
    for option in ("pretrained", "checkpoint_path"):  # timm would read the latter as a pickle, whose code runs
        if options.get(option):
            raise ConfigError(f"model.{option}: weights come by weights.source=..., which is reported and checked")
    if not timm.is_model(name.split(".")[0]):
        known = timm.list_models()
        near = closest(name, known) or f" There are {len(known)}; timm.list_models('*{name[:6]}*') searches them"
        raise ConfigError(f"model.name={name}: timm has no such network.{near}")
    return _built(timm.create_model, "timm", name, num_classes=outputs, in_chans=channels, **options)


def _built(function: Any, source: str, name: str, **options: Any) -> nn.Module:
    try:
        model: nn.Module = function(name, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"model.name={name}: {source} says {type(error).__name__}: {error}") from None
    return model
