"""The share of clipped steps, and the note where the clipping sets the rate."""

import pytest
from fits import Kept, examined, mlp, trainer

from trainkit.diagnostics import Clipping


def test_the_share_is_that_of_the_runs_own_log() -> None:
    kept = Kept()
    fitted = trainer(mlp(8, 4), [Clipping(4)], loggers=[kept], gradient_clip_val=0.5, lr=0.3, max_epochs=2)
    fitted.fit()
    shares = kept.curve("clipping/share")
    assert shares
    clipped = kept.curve("train/clipped")
    assert 0 < sum(clipped.values()) / len(clipped) < 1
    assert shares[32] == pytest.approx(sum(clipped.values()) / len(clipped), abs=0.1)


def test_a_limit_far_below_every_norm_is_named() -> None:
    options = {"gradient_clip_val": 1e-3, "max_epochs": 8}
    rules, note, _ = examined(mlp(8, 16, 4), Clipping(4), **options)
    assert rules == ["clipping"]
    assert "100% of 128 steps were clipped" in note[0] or "of 1" in note[0]
    assert "try trainer.gradient_clip_val=0." in note[0]
    assert examined(mlp(8, 16, 4), Clipping(4), **options, gradient_clip_algorithm="value")[0] == []


@pytest.mark.parametrize("limit", [None, 0.3, 10.0])
def test_usual_limits_are_no_symptom(limit: float | None) -> None:
    assert examined(mlp(8, 16, 4), Clipping(4), gradient_clip_val=limit, max_epochs=8)[0] == []
