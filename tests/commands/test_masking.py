"""Which values are secrets, and that they are masked wherever they stand."""

import pytest

from trainkit.config.checking.masking import is_secret, masked, masked_override, masked_text

SECRET = ["token", "hf_token", "api_key", "apiKey", "WANDB_API_KEY", "mytoken", "password", "db.passwd", "private_key"]
PLAIN = ["lr", "keys", "max_tokens", "tokenizer", "pad_token", "keyboard", "token.lr", "n_tokens", "", "3", "passes"]


@pytest.mark.parametrize("key", [*SECRET, "AWS_SECRET_ACCESS_KEY", "clientSecret", "credentials", "key"])
def test_keys_of_secrets(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", PLAIN)
def test_keys_of_other_things(key: str) -> None:
    assert not is_secret(key)


def test_texts_under_such_keys_are_masked_and_numbers_stay() -> None:
    config = {
        "logger": {"api_key": "canary", "entity": "me", "key": None, "token": ""},
        "list": [{"password": "canary"}, {"tokens": ["canary"]}],
        "secret": {"inner": "kept by its own key", "token": ["canary", "canary"]},
        "key": 512,
    }
    found = masked(config)
    assert found == {
        "logger": {"api_key": "***", "entity": "me", "key": None, "token": ""},
        "list": [{"password": "***"}, {"tokens": ["canary"]}],
        "secret": {"inner": "kept by its own key", "token": ["***", "***"]},
        "key": 512,
    }
    assert config["logger"]["api_key"] == "canary"


def test_logins_in_addresses_are_masked() -> None:
    assert masked_text("postgres://me:canary@host:5/x?a=b") == "postgres://me:***@host:5/x?a=b"
    assert masked_text("http://host:80/path@3") == "http://host:80/path@3"


def test_secrets_of_the_environment_are_masked_under_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_HUB_TOKEN", "canary-of-env")
    monkeypatch.setenv("MY_OTHER", "no-secret")
    monkeypatch.setenv("SHORT_KEY", "mlp")
    assert masked({"note": "see canary-of-env, no-secret, mlp"}) == {"note": "see ***, no-secret, mlp"}
    assert masked_override("note=canary-of-env") == "note=***"


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("+a.token=canary", "+a.token=***"),
        ("a.api_key=c,d", "a.api_key=***"),
        ("+a={x: 1, token: canary, b: {password: 'c,d'}}", "+a={x: 1, token: ***, b: {password: ***}}"),
        ("a.token=null", "a.token=null"),
        ("optimizer.lr=3", "optimizer.lr=3"),
        ("~a.token", "~a.token"),
        ("+db=postgres://me:canary@host", "+db=postgres://me:***@host"),
    ],
)
def test_overrides_are_masked(override: str, shown: str) -> None:
    assert masked_override(override) == shown
