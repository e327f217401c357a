"""Why an operation gives a number that is not finite, in words, and what helps."""

from __future__ import annotations

from trainkit.autopsy.numbers import Numbers
from trainkit.autopsy.tracing import Origin

LARGEST = {"float16": 65504.0, "bfloat16": 3.39e38, "float32": 3.4e38, "float64": 1.8e308}
ROOTS = ("sqrt", "rsqrt", "pow")


def reason(origin: Origin) -> tuple[str, str]:
    """Return why, and what helps; empty where the numbers do not tell."""
    if origin.half:
        return _of_half(origin)
    return _of_backward(origin) if origin.phase == "backward" else _of_forward(origin)


def _of_half(origin: Origin) -> tuple[str, str]:
    largest = LARGEST[origin.half]
    if origin.name == "to_copy":
        most = max((max(abs(n.least or 0), abs(n.most or 0)) for n in origin.inputs), default=0.0)
        why = f"{most:.4g} is beyond the range of {origin.half}, which ends at {largest:g}"
    else:
        why = f"the result is beyond the range of {origin.half}, which ends at {largest:g}; in float32 it is finite"
    why = f"half-precision overflow: {why}"
    return why, "trainer.precision=bf16 or fp32, or keep this part out of autocast (torch.autocast(..., enabled=False))"


def _of_forward(origin: Origin) -> tuple[str, str]:
    name, inputs, output = origin.name.rstrip("_"), origin.inputs, origin.output
    first = inputs[0] if inputs else None
    last = inputs[-1] if inputs else None
    if "memory that nobody set" in name:
        return "torch.empty gives whatever is in the memory", "use torch.zeros, or fill it"
    if origin.masks is not None and "softmax" in name:
        return "a row of its input is masked out as a whole, so it has nothing to share out", "leave such rows out"
    if first is None or last is None:
        return "", ""
    if name in ("log", "log2", "log10", "xlogy"):
        return _counted("the logarithm of 0 or less", last), "log_softmax or clamp(min=...) before the log"
    if name == "log1p":
        return "the logarithm of 1 + x where x is -1 or less", "clamp(min=...) before the log"
    if name in ROOTS and (first.negative or first.zeros):
        return _counted(f"{name} of 0 or less", first), "clamp(min=...) before it"
    if name in ("div", "reciprocal", "true_divide"):
        divisor = last if len(inputs) > 1 or name == "reciprocal" else None
        if divisor is None or divisor.zeros:
            of = f": {divisor.zeros:,} of {divisor.count:,} divisors" if divisor else ""
            above = " (0/0)" if divisor and first is not divisor and first.zeros else ""
            return f"division by 0{above}{of}", "add a small number to the divisor, or leave such samples out"
        return "the quotient is too large for its number format", "a larger divisor"
    if name in ("exp", "expm1", "sinh", "cosh", "exp2") and first.most is not None:
        why = f"the exponential of {first.most:.4g} is too large for {first.dtype}"
        return why, "clamp(max=...) before it, or work with logarithms (logsumexp, softplus)"
    if name in ("acos", "asin", "atanh", "acosh", "lgamma"):
        return f"{name} outside of its domain", "clamp its input"
    if name in ("std", "var", "std_mean", "var_mean"):
        return "the deviation of a single number", "unbiased=False, or more than one number"
    empty = any(numbers.count == 0 for numbers in inputs)
    if name == "mean" and empty:
        return "the mean of nothing", "leave out what is empty"
    if "nll_loss" in name:
        return "no target counts: all of them are ignore_index", "leave such batches out"
    if output is not None and (origin.too_large or (output.infinite and not output.nan)):
        return f"the result is too large for {output.dtype}", "smaller weights, a smaller optimizer.lr, normalisation"
    if "norm" in name and output is not None and output.nan:
        return "it divides by a deviation of 0, which nothing is added to", "an eps above 0"
    return "", ""


def _of_backward(origin: Origin) -> tuple[str, str]:
    kept = [numbers for numbers in origin.inputs if numbers.name.startswith("kept")]
    zeros = next((numbers for numbers in kept if numbers.zeros), None)
    of = origin.of.rstrip("_")
    if zeros is not None and (of in ROOTS or "norm" in of or of in ("div", "log", "log2", "log10", "cdist", "atan2")):
        what = f"its result has {zeros.zeros:,} zeros" if "result" in zeros.name else f"{zeros.zeros:,} zeros"
        why = f"the slope of {of} at 0 is infinite ({what}), and 0 times infinity is nan"
        return why, f"add a small number inside the {of}, or use torch.where on its input too, not on its result alone"
    if origin.output is not None and origin.output.infinite and not origin.output.nan:
        return "the gradient is too large for its number format", "a smaller loss, or normalisation"
    return "", ""


def _counted(what: str, numbers: Numbers) -> str:
    parts = [f"{numbers.zeros:,} are 0"] * bool(numbers.zeros) + [f"{numbers.negative:,} negative"] * bool(
        numbers.negative
    )
    return f"{what}: of {numbers.count:,} numbers {' and '.join(parts)}" if parts else what
