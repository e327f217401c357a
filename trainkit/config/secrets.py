"""Which values of a config are secrets: known by the key that they stand under. Imports nothing of trainkit."""

from __future__ import annotations

import re

MASKED = "***"
"""What stands in the place of a secret."""
SECRETS = ("token", "password", "passwd", "passphrase", "secret", "key", "credential", "credentials")
HARMLESS = ("pad", "bos", "eos", "sos", "unk", "cls", "sep", "mask")
"""Before ``token`` these name a word of a vocabulary."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def is_secret(key: str) -> bool:
    """Say whether a key such as ``loggers.wandb.api_key`` names a secret, by its last part."""
    words = [word.lower() for word in _WORD.findall(key.rsplit(".", 1)[-1])]
    if not words or (len(words) > 1 and words[-1] == "token" and words[-2] in HARMLESS):
        return False
    return any(word in SECRETS for word in words) or words[-1].endswith(SECRETS)
