"""Widgets built from the catalogue and the strings.

Ranges and choices are in the catalogue only: a widget accepts what any model of its task accepts,
and its tooltip lists what each model accepts.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from ..siliconflow import catalogue
from ..siliconflow.catalogue import (
    AUTO,
    CUSTOM,
    NO_VOICE,
    Field,
    Model,
    Value,
    range_text,
    shape_of,
)
from ..strings.text import DEFAULT, Text, has_text, join, text

WORKFLOW = "extra_pnginfo"
"""The hidden input with the page's workflow. ComfyUI leaves it out of its cache key."""
BACKGROUND = "background"
"""The input of nodes whose results may be made in the background; no task gets it."""
IMAGE_INPUTS = ("image", "image2", "image3", "image4")
CONVERSATION = "SILICONFLOW_CONVERSATION"
SOCKETS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("IMAGE", {}) for name in (*IMAGE_INPUTS, "references")},
    **{name: ("AUDIO", {}) for name in ("audio", "reference_audio", "reference_audio2")},
    "mask": ("MASK", {}),
    "conversation": (CONVERSATION, {}),
    "texts": ("STRING", {"forceInput": True}),
}
"""Inputs without a widget: only another node provides them."""
MULTILINE = frozenset(
    {
        "prompt",
        "negative_prompt",
        "system_prompt",
        "input",
        "documents",
        "text",
        "stop",
        "json_schema",
        "image_urls",
    }
)
FIXED_SEED = frozenset({"chat"})
"""Tasks whose seed does not change after a run: every new answer is charged."""
ADVANCED = frozenset(
    {
        "num_inference_steps",
        "guidance_scale",
        "cfg",
        "response_format",
        "detail",
        "sample_rate",
        "gain",
        "aspect_ratio",
        "output_format",
        "prompt_enhancement",
        "prompt_upsampling",
        "safety_tolerance",
        "raw",
        "image_prompt_strength",
        "mask_margin",
        "mask_feather",
        "mask_each",
        "result_size",
        "fit",
        "top_p",
        "top_k",
        "frequency_penalty",
        "stop",
        "enable_thinking",
        "thinking_budget",
        "reasoning_effort",
        "min_p",
        "json_schema",
        "max_images",
        "max_chunks_per_doc",
        "overlap_tokens",
        "dimensions",
        "instruction",
        "custom_model",
        "extra_body",
        "batch_means",
        "image_urls",
        BACKGROUND,
    }
)
_IMAGE_TASKS = frozenset({"text-to-image", "image-to-image", "image-edit"})
_VIDEO_TASKS = frozenset({"text-to-video", "image-to-video"})
MAX_NAMES = 8
"""How many models a tooltip names that accept the same values."""
_SAME_FOR_ALL = frozenset(
    {
        "seed",
        "batch_size",
        "width",
        "height",
        "max_tokens",
        "max_images",
        "mask_margin",
        "mask_feather",
    }
)
"""Inputs whose range is the widget's own, whatever the model."""
_STEPS = {
    "image_prompt_strength": 0.05,
    "temperature": 0.05,
    "top_p": 0.05,
    "min_p": 0.05,
    "speed": 0.05,
    "gain": 0.5,
}


def input_types(
    task: str, required: tuple[str, ...], optional: tuple[str, ...], models: Sequence[Model]
) -> dict[str, Any]:
    """Return the `INPUT_TYPES` of a node of `task` with these inputs, in this order.

    Each caller gets its own: other packs change what they are given.
    """
    ids = tuple(model.id for model in models)
    types = copy.deepcopy(_input_types(task, required, optional, ids))
    for name, value in (shown_defaults(task, models[0]) if models else {}).items():
        if name in types["optional"]:
            types["optional"][name][1]["default"] = value
    return types


def shown_defaults(task: str, model: Model) -> dict[str, Value]:
    """Return what the widgets of an image node show for a model where the user set nothing.

    That is what the model does then, where it is known. `auto` stays where it is more than a fixed
    size: with an image, whose shape decides, and where another field stands in for the size.
    """
    replaced = {field.excludes for field in model.fields.values()}
    if task == "image-to-image":
        replaced.add("image_size")
    return {
        name: field.default
        for name, field in model.fields.items()
        if task in _IMAGE_TASKS
        and name in catalogue.load().unset.keys() - replaced
        and field.default is not None
    }


@lru_cache(maxsize=64)
def _input_types(
    task: str, required: tuple[str, ...], optional: tuple[str, ...], models: tuple[str, ...]
) -> dict[str, Any]:
    inputs: dict[str, dict[str, Any]] = {
        "required": {name: _input(task, name) for name in required},
        "optional": {name: _input(task, name) for name in optional},
        "hidden": {WORKFLOW: "EXTRA_PNGINFO"},
    }
    if models:
        _, options = inputs["required"]["model"]
        inputs["required"]["model"] = (list(models), {"default": models[0], **options})
    return inputs


def description(task: str) -> Text:
    """Return the sentence that says what a node does."""
    return text(f"node.{task}.description")


def label(name: str) -> Text:
    """Return the name of an input as the node shows it."""
    return text(f"input.{name}.name")


def tooltip(kind: str, task: str, name: str) -> Text:
    """Return what an `input` or `output` is for: its wording for this task, else for all tasks."""
    key = f"{kind}.{name}.tooltip.{task}"
    return text(key if has_text(key) else f"{kind}.{name}.tooltip")


def input_tooltip(task: str, name: str) -> Text:
    """Return the tooltip of an input, with the range and default of each model that accepts it."""
    lines = _prices(task) if name == "model" else _ranges(task, name)
    return join("\n", [tooltip("input", task, name), *lines])


def _input(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    kind, options = _widget(task, name)
    if name in ADVANCED:
        options["advanced"] = True
    return kind, {**options, "tooltip": input_tooltip(task, name).in_language(DEFAULT)}


def _widget(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    if name in SOCKETS:
        kind, options = SOCKETS[name]
        return kind, dict(options)
    if name == "refresh":
        return "INT", {"default": 0, "min": 0, "max": 2**31, "hidden": True}
    if name == BACKGROUND:
        return "BOOLEAN", {"default": False}
    if name == "model":
        return [], {}
    if (task, name) == ("delete-voice", "voice"):  # the page has the account's own
        return [NO_VOICE], {"default": NO_VOICE}
    field = catalogue.load().inputs.get(name)
    return _WIDGETS[field.type if field else "text"](task, name)


def _text(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    """Return a text; the page makes one of `{a|b}` and leaves out comments where it is a prompt."""
    is_drawn = task in _IMAGE_TASKS | _VIDEO_TASKS
    is_dynamic = is_drawn and name in {"prompt", "negative_prompt"}
    more = {"dynamicPrompts": True} if is_dynamic else {}
    return "STRING", {"default": "", "multiline": name in MULTILINE, **more}


def _boolean(_task: str, name: str) -> tuple[Any, dict[str, Any]]:
    return "BOOLEAN", {"default": _default(name)}


def _choice(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    """Return the choices of all models. The first is the default: "not set" where that exists."""
    models = catalogue.load()
    fields = _fields(task, name) or [models.inputs[name]]
    unset = [AUTO] if name in models.unset else []
    choices = list(
        dict.fromkeys([*unset, *(choice for field in fields for choice in field.choices)])
    )
    return choices, {"default": choices[0]}


def _size(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    (unset, *sizes), options = _choice(task, name)
    custom = [CUSTOM] if any(field.custom for field in _fields(task, name)) else []
    return [unset, *sorted(sizes, key=shape_of), *custom], options


def _integer(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    minimum, maximum = _range(task, name)
    options = {"default": _default(name), "min": int(minimum), "max": int(maximum), "step": 1}
    if name == "seed":
        options["control_after_generate"] = "fixed" if task in FIXED_SEED else True
    return "INT", options


def _number(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    minimum, maximum = _range(task, name)
    step = _STEPS.get(name, 0.1)
    return "FLOAT", {"default": float(_default(name)), "min": minimum, "max": maximum, "step": step}


_WIDGETS: dict[str, Callable[[str, str], tuple[Any, dict[str, Any]]]] = {
    "text": _text,
    "string": _text,
    "boolean": _boolean,
    "choice": _choice,
    "whole_choice": _choice,
    "on_off": _choice,
    "size": _size,
    "integer": _integer,
    "number": _number,
}


def _default(name: str) -> Any:
    models = catalogue.load()
    default = models.inputs[name].default
    return models.unset.get(name) if default is None else default


def _range(task: str, name: str) -> tuple[float, float]:
    """Return the widget's own range, else the union of its models' ranges and "not set"."""
    own = catalogue.load().inputs[name]
    if own.minimum is not None and own.maximum is not None:
        return own.minimum, own.maximum
    fields = _fields(task, name)
    minimums = [field.minimum for field in fields if field.minimum is not None]
    maximums = [field.maximum for field in fields if field.maximum is not None]
    return float(min(*minimums, _default(name))), float(max(maximums))


def _fields(task: str, name: str) -> list[Field]:
    models = catalogue.load().of_task(task)
    return [model.fields[name] for model in models if name in model.fields]


def _prices(task: str) -> list[Text]:
    """Return a line that says of which days the prices of the task's models are, if it has any."""
    prices = (model.price for model in catalogue.load().of_task(task) if not model.is_retired)
    dates = sorted({price["as_of"] for price in prices if price})
    return [text("widget.prices", dates=", ".join(dates))] if dates else []


def _ranges(task: str, name: str) -> list[Text]:
    """Return lines with an input's range and default, or with those of each of its models."""
    field = catalogue.load().inputs.get(name)
    if field is None:
        return []
    models = catalogue.load().of_task(task)
    default = _widget(task, name)[1]["default"]
    common = field if name in _SAME_FOR_ALL or not models else _common(task, name, models)
    if common:
        return _range_line(common, default)
    by_rule: dict[Text, list[Model]] = {}
    for model in models:
        if name in model.fields and not model.is_retired:
            by_rule.setdefault(_rule(model.fields[name], default), []).append(model)
    return [
        text("widget.models", rule=rule, models=_listed(_names(alike, models)))
        for rule, alike in by_rule.items()
    ]


def _names(alike: Sequence[Model], models: Iterable[Model]) -> list[str]:
    """Return the names of models that accept the same, each once.

    One of both sites has its site behind its name if it accepts something else on the other.
    """
    sites = Counter(model.id for model in models if not model.is_retired)
    here = Counter(model.id for model in alike)
    return list(
        dict.fromkeys(
            model.name if here[model.id] == sites[model.id] else f"{model.name} (.{model.site})"
            for model in alike
        )
    )


def _listed(names: Sequence[str]) -> Text:
    """Return the first of some names, and how many there are besides."""
    more = len(names) - MAX_NAMES
    first = ", ".join(names[:MAX_NAMES])
    return text("widget.and_more", names=first, n=more) if more > 1 else Text(", ".join(names))


def _common(task: str, name: str, models: Sequence[Model]) -> Field | None:
    """Return the field that all models accept alike, so that they need not be listed.

    Image models are always listed: they differ too much to be guessed.
    """
    fields = {model.fields.get(name) for model in models}
    return next(iter(fields)) if len(fields) == 1 and task not in _IMAGE_TASKS else None


def _range_line(field: Field, default: Any) -> list[Text]:
    if field.choices:
        return [text("widget.default", default=default)]
    if field.minimum is None:
        return []
    return [text("widget.range", range=range_text(field), default=_plain(default))]


def _rule(field: Field, widget_default: Any) -> Text:
    if field.choices:
        return Text(", ".join((*field.choices, CUSTOM) if field.custom else field.choices))
    if field.minimum is None:
        return text("widget.supported_by")
    is_always_sent = field.name not in catalogue.load().unset
    default = widget_default if is_always_sent else field.default
    if default is None:
        return Text(range_text(field))
    return text("widget.rule", range=range_text(field), default=_plain(default))


def _plain(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
