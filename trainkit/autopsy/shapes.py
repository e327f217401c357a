"""The shapes that flow through a model up to where it fails."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.autopsy.step import kept_buffers
from trainkit.device import map_tensors
from trainkit.keys import Streams

LAST = 6
"""Modules that a table shows before the failure."""
CAUGHT = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What torch raises for shapes and number formats."""


@dataclass(slots=True)
class Flow:
    """A call of a module: what went in, and what came out."""

    path: str
    kind: str
    inputs: str
    outputs: str = ""
    """Empty as long as it has not returned."""
    failed: bool = False
    """Whether it is where the error was raised: it did not return, and none of its own modules failed."""
    depth: int = 0


@dataclass(slots=True)
class Failure:
    """An error of a model's forward pass, and the calls up to it in order."""

    error: Exception
    flows: list[Flow]

    @property
    def module(self) -> str:
        """Path of the module that raised it; empty for the model itself."""
        return next((flow.path for flow in self.flows if flow.failed), "")

    def table(self) -> str:
        """Return where it failed, and the last modules with their shapes, in columns."""
        failed = next((flow for flow in self.flows if flow.failed), None)
        if failed is None:
            return ""
        done = [flow for flow in self.flows if flow.outputs and not self._holds_another(flow)]
        rows = [(name_of(flow), flow.inputs, flow.outputs) for flow in done[-LAST:]]
        rows.append((name_of(failed), failed.inputs, "fails"))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"  {name:<{widths[0]}}  {given:<{widths[1]}}  -> {result}" for name, given, result in rows]
        return "\n".join([f"shapes up to {name_of(failed)}:", *lines])

    def _holds_another(self, flow: Flow) -> bool:
        return any(other.path.startswith(f"{flow.path}.") for other in self.flows) if flow.path else True


def name_of(flow: Flow) -> str:
    """Return a module's path and class."""
    return f"{flow.path or 'the model'} ({flow.kind})"


def shapes_until_failure(model: nn.Module, inputs: Any, *, name: str = "") -> Failure | None:
    """Call a model and return how far it gets, None if it does not fail; nothing of it stays.

    Args:
        model: Called as :func:`trainkit.supervised` does: a tuple or list of inputs as ``model(*inputs)``, a dict as
            ``model(**inputs)``.
        inputs: On the model's device.
        name: What its own path begins with.
    """

    def call() -> Any:
        if type(inputs) in (tuple, list):
            return model(*inputs)
        return model(**inputs) if type(inputs) is dict else model(inputs)

    return flow_until_failure(model, call, name)


def flow_until_failure(model: nn.Module, call: Any, name: str = "") -> Failure | None:
    """Return how far ``call``, which calls ``model``, gets; None if it does not fail, or outside of the model."""
    flows: list[Flow] = []
    open_calls: list[Flow] = []
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with ExitStack() as stack:
        for context in (kept_buffers(model), Streams(device).kept(), torch.no_grad()):
            stack.enter_context(context)
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for path, module in model.named_modules():
            _watch(module, ".".join(part for part in (name, path) if part), flows, open_calls, stack)
        try:
            call()
        except CAUGHT as error:
            if not open_calls:
                return None
            open_calls[-1].failed = True
            return Failure(error, flows)
    return None


def _watch(module: nn.Module, path: str, flows: list[Flow], open_calls: list[Flow], stack: ExitStack) -> None:
    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        given = args[0] if len(args) == 1 and not kwargs else (*args, *kwargs.values())
        flow = Flow(path, type(module).__name__, shapes_of(given), depth=len(open_calls))
        flows.append(flow)
        open_calls.append(flow)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        open_calls.pop().outputs = shapes_of(output)

    stack.callback(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True).remove)
    stack.callback(module.register_forward_hook(leave).remove)


def shapes_of(nested: Any) -> str:
    """Return the shapes of the tensors in a value, with their types where these are not float32."""
    if isinstance(nested, Tensor):
        kind = str(nested.dtype).removeprefix("torch.")
        return f"{list(nested.shape)}" + ("" if kind == "float32" else f" {kind}")
    if isinstance(nested, Mapping):
        return "{" + ", ".join(f"{key}: {shapes_of(item)}" for key, item in list(nested.items())[:4]) + "}"
    if isinstance(nested, tuple | list):
        more = ", ..." if len(nested) > 4 else ""
        return "(" + ", ".join(map(shapes_of, nested[:4])) + f"{more})"
    found: list[str] = []
    map_tensors(nested, lambda tensor: found.append(shapes_of(tensor)) or tensor)  # type: ignore[func-returns-value]
    return ", ".join(found) or type(nested).__name__
