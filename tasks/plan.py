"""Checks that several tasks share: the model, the fields that the user set, `extra_body`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import torch

from ..media.image_files import check_image as check_image_tensor
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Site, Value
from ..siliconflow.errors import InvalidInput
from ..strings.text import text

Inputs = Mapping[str, Any]


def chosen_model(task: str, inputs: Inputs, site: Site) -> Model:
    """Return the model of a node. Raises `InvalidInput` for one that is for another task."""
    custom = str(inputs.get("custom_model", "")).strip()
    model = catalogue.load().find(custom or str(inputs.get("model", "")), site)
    if model.listed and task not in model.tasks:
        raise InvalidInput(
            "custom_model" if custom else "model",
            text("task.other_task", model=model.id, tasks=", ".join(model.tasks), task=task),
        )
    return model


def set_values(inputs: Inputs, names: Sequence[str]) -> dict[str, Value]:
    """Return the fields of these names that the user set."""
    return catalogue.load().only_set({name: inputs[name] for name in names if name in inputs})


def extra_body(inputs: Inputs, reserved: AbstractSet[str]) -> dict[str, Any]:
    """Return the JSON object of `extra_body`, which is merged into a request.

    Raises `InvalidInput` for what is no JSON object, or sets a field that the node sets itself.
    """
    written = str(inputs.get("extra_body", ""))
    if not written.strip():
        return {}
    try:
        extra = json.loads(written, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(":", maxsplit=1)[0]
        raise InvalidInput("extra_body", text("task.not_json", reason=reason)) from None
    if not isinstance(extra, dict):
        raise InvalidInput("extra_body", text("task.not_an_object"))
    taken = ", ".join(sorted(reserved & set(extra)))
    if taken:
        raise InvalidInput("extra_body", text("task.reserved_fields", names=taken))
    return extra


def check_image(name: str, image: torch.Tensor) -> None:
    """Raise `InvalidInput` for an input that is no IMAGE `[B,H,W,C]` with something in it."""
    try:
        check_image_tensor(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
