"""What a help page states as fact: tables of a node's inputs and outputs, and its models.

All of it comes from the nodes, the catalogue and `nodes/texts.json`. ComfyUI shows help in a column
of some 280 pixels: tables have two columns in which long names may be broken, models are a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...nodes.widgets import PICTURES, explanation, label
from ...siliconflow import catalogue
from ...siliconflow.catalogue import AUTO, CUSTOM, Model
from ...siliconflow.fields import Field
from ...strings.text import Language, Text, text

MOST_CHOICES = 6
"""A longer list of choices stands with the models, not in the table of inputs."""
MOST_TOGETHER = 6
"""More models that take the same are counted, and named behind what they take."""
_SIZE = "image_size"
_BREAKABLE = re.compile(r"(?<=[/_-])(?=.)")
_KINDS = {
    "INT": Text("whole number", "整数"),
    "FLOAT": Text("number", "数字"),
    "STRING": Text("text", "文本"),
    "BOOLEAN": Text("switch", "开关"),
}
_SWITCH = {False: Text("off", "关"), True: Text("on", "开")}
_CHOICE = Text("choice", "选项")
_LINKED = Text("{kind}, from another node", "{kind}，来自其他节点")
_REQUIRED = Text("{kind}, required", "{kind}，必填")
_LIST = Text("a list of {kind}", "{kind} 列表")
_RANGE = Text("{low} to {high}", "{low} 到 {high}")
_DEFAULT = Text("default: {value}", "默认：{value}")
_TELLS_DEFAULT = re.compile(r"Default: |默认(：|关闭|留空)")
_LEFT_ALONE = Text(" ({value})", "（{value}）")
_STEP = Text(", multiples of {step}", "，{step} 的倍数")
_INSTEAD = Text(" instead of {name}", "（代替 {name}）")
_SIZES = Text("Sizes: {sizes}", "尺寸：{sizes}")
_ANY_SIZE = Text("any with {custom}", "{custom}（任意尺寸）")
_ANY_UP_TO = Text(
    "any of at most {pixels} pixels with {custom}", "{custom}（不超过 {pixels} 像素）"
)
_SHOWN = Text("Pictures: {names}", "图片：{names}")
_A_REQUEST = Text("up to {most} pictures a request", "每个请求最多 {most} 张")
_BETWEEN = Text("; ", "；")
_MANY = Text("{count} models", "{count} 个模型")
_LEGEND = Text(
    "In brackets: what the model takes when you leave the input as it is.",
    "括号中是不设置时模型采用的值。",
)
_INPUT_HEADS = (Text("Input", "输入"), Text("What it does", "作用"))
_OUTPUT_HEADS = (Text("Output", "输出"), Text("What it is", "内容"))


@dataclass(frozen=True)
class Page:
    """The node that a page is about, and the language that it is in."""

    node: Any
    language: Language

    @property
    def task(self) -> str:
        """What the node does, as the texts and the catalogue call it."""
        return str(self.node.task)

    @property
    def inputs(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """What goes in, by name and in order, as ComfyUI is told of it."""
        types = self.node.INPUT_TYPES()
        return {**types["required"], **types.get("optional", {})}

    def say(self, said: Text, **values: object) -> str:
        """Give a text in the page's language."""
        return said.format(**values).in_language(self.language)

    def explanation(self, kind: str, name: str) -> str:
        """Give what the texts say of an input or an output of this task."""
        return _cell(explanation(kind, self.task, name).in_language(self.language))

    def listed(self, items: Iterable[str]) -> str:
        """Give items with commas between them."""
        return ("、" if self.language == "zh" else ", ").join(items)


def inputs_table(page: Page) -> str:
    """Give each input with its type, range and default, and what it does."""
    rows = [
        (
            "<br>".join((_named(page.say(label(name)), name), *_taken(page, name))),
            page.explanation("input", name),
        )
        for name in page.inputs
    ]
    return _table(page, _INPUT_HEADS, rows)


def outputs_table(page: Page) -> str:
    """Give each output with its type, and what it is."""
    node = page.node
    names, types = node.RETURN_NAMES, node.RETURN_TYPES
    lists = getattr(node, "OUTPUT_IS_LIST", [False] * len(names))
    rows = [
        (
            f"{_named(page.say(text(f'output.{name}.name')), name)}<br>"
            + (page.say(_LIST, kind=kind) if is_list else _breakable(kind)),
            page.explanation("output", name),
        )
        for name, kind, is_list in zip(names, types, lists, strict=True)
    ]
    return _table(page, _OUTPUT_HEADS, rows)


def models_list(page: Page) -> str:
    """Give the models of the node's task, those that take the same together."""
    models = catalogue.load().of_task(page.task)
    groups: dict[tuple[str, str], list[str]] = {}
    for model in models:
        alike = (_site(page, model), "<br>".join(_settings(page, model)))
        groups.setdefault(alike, []).append(model.id)
    items = [_item(page, ids, *alike) for alike, ids in groups.items()]
    defaults = [field.default for model in models for field in _others(page, model)]
    return "\n".join([*items, *([f"\n{page.say(_LEGEND)}"] if any(defaults) else [])])


def _item(page: Page, ids: list[str], site: str, taken: str) -> str:
    names = page.listed(f"**{model_id}**" for model_id in ids)
    if len(ids) > MOST_TOGETHER:
        lines = [f"**{page.say(_MANY, count=len(ids))}** · {site}", taken, page.listed(ids)]
    else:
        lines = [f"{names} · {site}", taken]
    return "- " + "<br>".join(filter(None, lines))


def _taken(page: Page, name: str) -> Iterator[str]:
    kind, options = page.inputs[name]
    told_kind = _kind(page, name, kind, options)
    needed = name in page.node.INPUT_TYPES()["required"]
    yield page.say(_REQUIRED, kind=told_kind) if needed else told_kind
    if "min" in options:
        yield page.say(_RANGE, low=_plain(options["min"]), high=_plain(options["max"]))
    told = name == "model" or _TELLS_DEFAULT.search(page.explanation("input", name))
    if not told and options.get("default") not in {None, ""}:
        yield page.say(_DEFAULT, value=_value(page, options["default"]))


def _kind(page: Page, name: str, kind: Any, options: Mapping[str, Any]) -> str:
    if not isinstance(kind, list):
        is_widget = kind in _KINDS and not options.get("forceInput")
        return page.say(_KINDS[kind]) if is_widget else page.say(_LINKED, kind=_breakable(kind))
    if name == "model" or len(kind) > MOST_CHOICES:
        return page.say(_CHOICE)
    return page.listed(kind)


def _settings(page: Page, model: Model) -> Iterator[str]:
    """Say, on lines of their own, which pictures, sizes and other fields a model takes."""
    pictures = [name for name in PICTURES if name in page.inputs]
    if model.images and len(pictures) > 1:
        names = pictures[: len(model.images)]
        yield page.say(_SHOWN, names=page.listed(map(_name, names)))
    if _SIZE in model.fields and _SIZE in page.inputs:
        yield page.say(_SIZES, sizes=page.listed(_sizes(page, model.fields[_SIZE])))
    rules = [_rule(page, field) for field in _others(page, model)]
    if rules:
        yield page.say(_BETWEEN).join(rules)


def _others(page: Page, model: Model) -> list[Field]:
    """Give the fields that a model takes in a way of its own, in the order of the inputs."""
    known = catalogue.load().inputs
    names = [name for name in page.inputs if name in model.fields and name != _SIZE]
    return [
        model.fields[name]
        for name in names
        if not _is_as_the_widget(model.fields[name], known[name])
    ]


def _is_as_the_widget(field: Field, own: Field) -> bool:
    return own.minimum is not None and (field.minimum, field.maximum) == (own.minimum, own.maximum)


def _sizes(page: Page, field: Field) -> Iterator[str]:
    for size in field.choices:
        is_default = size == field.default and not set(PICTURES) & set(page.inputs)
        yield size + (page.say(_LEFT_ALONE, value=AUTO) if is_default else "")
    if field.max_pixels:
        yield page.say(_ANY_UP_TO, pixels=field.max_pixels, custom=_name(CUSTOM))
    elif field.custom:
        yield page.say(_ANY_SIZE, custom=_name(CUSTOM))


def _rule(page: Page, field: Field) -> str:
    if field.name == "batch_size":
        return f"{_name(field.name)} {page.say(_A_REQUEST, most=_plain(field.maximum or 1))}"
    return _name(field.name) + _span(page, field) + _rest(page, field)


def _span(page: Page, field: Field) -> str:
    if field.choices:
        return f" {page.listed(field.choices)}"
    if field.minimum is None or field.maximum is None:
        return ""
    return " " + page.say(_RANGE, low=_plain(field.minimum), high=_plain(field.maximum))


def _rest(page: Page, field: Field) -> str:
    default = "" if field.default is None else page.say(_LEFT_ALONE, value=field.default)
    step = page.say(_STEP, step=field.step) if field.step else ""
    instead = page.say(_INSTEAD, name=_name(field.excludes)) if field.excludes else ""
    return default + step + instead


def _site(page: Page, model: Model) -> str:
    return page.say(text(f"page.site.{model.site}"))


def _named(shown: str, name: str) -> str:
    """Give an input as the node shows it, and its name where that is another."""
    return _code(name) if shown == name else f"{shown}<br>{_code(name)}"


def _name(text: str) -> str:
    return f"`{text}`"


def _code(text: str) -> str:
    """Give a name for a table, as code that may be broken after its signs."""
    return f"<code>{_breakable(text)}</code>"


def _breakable(text: str) -> str:
    return _BREAKABLE.sub("<wbr>", text)


def _value(page: Page, value: Any) -> str:
    if isinstance(value, bool):
        return page.say(_SWITCH[value])
    return _plain(value) if isinstance(value, int | float) else str(value)


def _plain(value: float) -> str:
    return f"{value:.12g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _table(page: Page, heads: Iterable[Text], rows: Iterable[Iterable[str]]) -> str:
    titles = [page.say(head) for head in heads]
    lines = [titles, [":---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
