"""Widget definitions made from the catalogue, and their texts in both languages.

A range stands in the catalogue alone: a widget spans what the models of its task take together,
and its tooltip says which model takes what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from ..siliconflow import catalogue
from ..siliconflow.catalogue import AUTO, CUSTOM, Model
from ..siliconflow.fields import Field, Value, range_text
from ..strings.text import LANGUAGES, Language, Text, has_text, text

WORKFLOW = "extra_pnginfo"
"""The hidden input in which ComfyUI hands over the page's workflow. It is in no cache key."""
PICTURES = ("image", "image2", "image3", "image4")
CONVERSATION = "SILICONFLOW_CONVERSATION"
SOCKETS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ("IMAGE", {}) for name in PICTURES},
    "audio": ("AUDIO", {}),
    "conversation": (CONVERSATION, {}),
    "texts": ("STRING", {"forceInput": True}),
}
"""Inputs that nothing but another node can fill."""
MULTILINE = frozenset(
    {"prompt", "negative_prompt", "system_prompt", "input", "documents", "text", "stop"}
)
FIXED_SEED = frozenset({"chat"})
"""Tasks whose seed stays as it is unless the user wants another: each other text is paid."""
ADVANCED = frozenset(
    {
        "aspect_ratio",
        "output_format",
        "prompt_enhancement",
        "prompt_upsampling",
        "safety_tolerance",
        "raw",
        "image_prompt_strength",
        "top_p",
        "top_k",
        "frequency_penalty",
        "stop",
        "max_chunks_per_doc",
        "overlap_tokens",
        "custom_model",
        "extra_body",
    }
)
_PAINTERS = frozenset({"text-to-image", "image-to-image", "image-edit"})
_STEPS = {
    "image_prompt_strength": 0.05,
    "temperature": 0.05,
    "top_p": 0.05,
    "speed": 0.05,
    "gain": 0.5,
}


@lru_cache(maxsize=64)
def input_types(
    task: str, required: tuple[str, ...], optional: tuple[str, ...], models: tuple[str, ...]
) -> dict[str, Any]:
    """Give what `INPUT_TYPES` returns for a node of `task` with these inputs, in this order."""
    found: dict[str, dict[str, Any]] = {
        "required": {name: _input(task, name) for name in required},
        "optional": {name: _input(task, name) for name in optional},
        "hidden": {WORKFLOW: "EXTRA_PNGINFO"},
    }
    if models:
        _, options = found["required"]["model"]
        found["required"]["model"] = (list(models), {"default": models[0], **options})
    return found


def description(task: str) -> Text:
    """Give the one sentence that says what a node does."""
    return text(f"node.{task}.description")


def label(name: str) -> Text:
    """Give the name of an input as the node shows it."""
    return text(f"input.{name}.name")


def tooltip(task: str, name: str) -> Text:
    """Give an input's explanation, with the range and default of each model that takes it."""
    said = explanation("input", task, name)
    return Text(
        *("\n".join((said.in_language(lang), *_facts(task, name, lang))) for lang in LANGUAGES)
    )


def explanation(kind: str, task: str, name: str) -> Text:
    """Return what an `input` or `output` is for: in this task, or in all that have it."""
    own = f"{kind}.{name}.tooltip.{task}"
    return text(own if has_text(own) else f"{kind}.{name}.tooltip")


def _input(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    kind, options = _definition(task, name)
    if name in ADVANCED:
        options["advanced"] = True
    return kind, {**options, "tooltip": tooltip(task, name).en}


def _definition(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    if name in SOCKETS:
        kind, options = SOCKETS[name]
        return kind, dict(options)
    if name == "refresh":
        return "INT", {"default": 0, "min": 0, "max": 2**31, "control_after_generate": True}
    if name == "model":
        return [], {}
    field = catalogue.load().inputs.get(name)
    return _WIDGETS[field.type if field else "text"](task, name)


def _text(_task: str, name: str) -> tuple[Any, dict[str, Any]]:
    return "STRING", {"default": "", "multiline": name in MULTILINE}


def _boolean(_task: str, name: str) -> tuple[Any, dict[str, Any]]:
    return "BOOLEAN", {"default": _default(name)}


def _choice(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    """Give the choices of all models; where one of them is always sent, the first is chosen."""
    known = catalogue.load()
    fields = _fields(task, name) or [known.inputs[name]]
    found = [choice for field in fields for choice in field.choices]
    head = [AUTO] if name in known.unset else []
    choices = list(dict.fromkeys([*head, *found]))
    return choices, {"default": choices[0]}


def _size(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    choices, options = _choice(task, name)
    return [*choices, CUSTOM], options


def _integer(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    low, high = _span(task, name)
    options = {"default": _default(name), "min": int(low), "max": int(high), "step": 1}
    if name == "seed":
        options["control_after_generate"] = "fixed" if task in FIXED_SEED else True
    return "INT", options


def _number(task: str, name: str) -> tuple[Any, dict[str, Any]]:
    low, high = _span(task, name)
    step = _STEPS.get(name, 0.1)
    return "FLOAT", {"default": float(_default(name)), "min": low, "max": high, "step": step}


_WIDGETS: dict[str, Callable[[str, str], tuple[Any, dict[str, Any]]]] = {
    "text": _text,
    "string": _text,
    "boolean": _boolean,
    "choice": _choice,
    "whole_choice": _choice,
    "size": _size,
    "integer": _integer,
    "number": _number,
}


def _default(name: str) -> Any:
    known = catalogue.load()
    return known.unset.get(name, known.inputs[name].default)


def _span(task: str, name: str) -> tuple[float, float]:
    """Give the widget's range: its own, else what any model takes and the value for "not set"."""
    known = catalogue.load()
    own = known.inputs[name]
    if own.minimum is not None and own.maximum is not None:
        return own.minimum, own.maximum
    fields = _fields(task, name)
    lows = [field.minimum for field in fields if field.minimum is not None]
    highs = [field.maximum for field in fields if field.maximum is not None]
    return float(min(*lows, _default(name))), float(max(highs))


def _fields(task: str, name: str) -> list[Field]:
    models = catalogue.load().of_task(task)
    return [model.fields[name] for model in models if name in model.fields]


def _facts(task: str, name: str, language: Language) -> list[str]:
    """Say, a line for each rule, which models take the input and how."""
    models = catalogue.load().of_task(task)
    own = {"seed", "batch_size", "width", "height"}
    if name not in catalogue.load().inputs or name in own or not models:
        return _own_facts(name, language)
    common = _common(task, name, models)
    if common:
        return [] if common.choices else _range_facts(common, _default(name), language)
    groups: dict[str, list[str]] = {}
    for model in models:
        if name in model.fields:
            rule = _rule(model.fields[name], language)
            groups.setdefault(rule, []).append(_called(model, models))
    colon = ": " if language == "en" else "："
    return [f"{rule}{colon}{', '.join(names)}" for rule, names in groups.items()]


def _common(task: str, name: str, models: Sequence[Model]) -> Field | None:
    """Give the field that all models of a task take alike, unless they make pictures.

    The widget shows its choices; there is no need to name dozens of models.
    """
    if task in _PAINTERS or not models:
        return None
    fields = {model.fields.get(name) for model in models}
    return next(iter(fields)) if len(fields) == 1 else None


def _own_facts(name: str, language: Language) -> list[str]:
    field = catalogue.load().inputs.get(name)
    return (
        []
        if field is None or field.minimum is None
        else _range_facts(field, field.default, language)
    )


def _range_facts(field: Field, default: Any, language: Language) -> list[str]:
    range_of = Text("Range {}, default {}.", "范围 {}，默认 {}。")
    said = range_of.zh if language == "zh" else range_of.en
    return [said.format(range_text(field), default)]


def _rule(field: Field, language: Language) -> str:
    if field.choices:
        return ", ".join((*field.choices, CUSTOM) if field.custom else field.choices)
    if field.minimum is None:
        return "支持的模型" if language == "zh" else "Taken by"
    default = "" if field.default is None else f" ({_plain(field.default)})"
    return f"{range_text(field)}{default}"


def _plain(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _called(model: Model, among: Iterable[Model]) -> str:
    twice = sum(other.id == model.id for other in among) > 1
    return f"{model.name} (.{model.site})" if twice else model.name
