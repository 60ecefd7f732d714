"""The facts on a help page: tables of a node's inputs and outputs, and its models.

ComfyUI shows help in a column of some 280 pixels: tables have two columns in which long names may
be broken, models are a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ...engine.spending import amount_text
from ...nodes.widgets import IMAGE_INPUTS, label, tooltip
from ...siliconflow import catalogue
from ...siliconflow.catalogue import AUTO, CUSTOM, Field, Model, Price
from ...strings.text import Language, Text, text

MOST_CHOICES = 6
"""A longer list of choices is shown with the models, not in the table of inputs."""
MOST_MODELS = 6
"""More models that accept the same are counted, and listed after what they accept."""
_SIZE = "image_size"
_BREAKABLE = re.compile(r"(?<=[/_-])(?=.)")
_WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN"})


@dataclass(frozen=True)
class Page:
    """The help page of one node in one language."""

    node: Any
    language: Language

    @property
    def task(self) -> str:
        """The task of the node."""
        return str(self.node.task)

    @property
    def inputs(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        """The inputs by name, in the order of the node."""
        types = self.node.INPUT_TYPES()
        return {**types["required"], **types.get("optional", {})}

    def render(self, message: Text) -> str:
        """Return a message in the page's language."""
        return message.in_language(self.language)

    def text(self, key: str, **values: object) -> str:
        """Return the message of a key in the page's language."""
        return self.render(text(key, **values))

    def tooltip(self, kind: str, name: str) -> str:
        """Return the tooltip of an `input` or `output`, escaped for a table."""
        content = self.render(tooltip(kind, self.task, name))
        return content.replace("|", "\\|").replace("\n", "<br>")

    def join(self, items: Iterable[str]) -> str:
        """Return the items separated by commas."""
        return self.text("help.comma").join(items)


def inputs_table(page: Page) -> str:
    """Return a table of the inputs: type, range and default on the left, the tooltip right."""
    rows = [
        (
            "<br>".join((_title(page.render(label(name)), name), *_values(page, name))),
            page.tooltip("input", name),
        )
        for name in page.inputs
    ]
    return _table((page.text("help.input"), page.text("help.input_purpose")), rows)


def outputs_table(page: Page) -> str:
    """Return a table of the outputs: type on the left, the tooltip right."""
    node = page.node
    names, types = node.RETURN_NAMES, node.RETURN_TYPES
    lists = getattr(node, "OUTPUT_IS_LIST", [False] * len(names))
    rows = [
        (
            f"{_title(page.text(f'output.{name}.name'), name)}<br>"
            + (page.text("help.list", kind=kind) if is_list else _breakable(kind)),
            page.tooltip("output", name),
        )
        for name, kind, is_list in zip(names, types, lists, strict=True)
    ]
    return _table((page.text("help.output"), page.text("help.output_content")), rows)


def models_list(page: Page) -> str:
    """Return a list of the task's models, grouped by what they accept."""
    models = catalogue.load().of_task(page.task)
    groups: dict[tuple[str, str], list[str]] = {}
    for model in models:
        key = (_place(page, model), "<br>".join(_accepted(page, model)))
        groups.setdefault(key, []).append(model.id)
    lines = [_models_item(page, ids, site, accepted) for (site, accepted), ids in groups.items()]
    if any(field.default for model in models for field in _differing(page, model)):
        lines.append(f"\n{page.text('help.defaults_in_brackets')}")
    return "\n".join(lines)


def prices_list(page: Page) -> str:
    """Return a list of the prices of the task's models, with the day of the price list."""
    groups: dict[tuple[str, str], list[str]] = {}
    for model in catalogue.load().of_task(page.task):
        if model.price and not model.is_retired:
            key = (_price(page, model.price), model.price["as_of"])
            groups.setdefault(key, []).append(model.id)
    return "\n".join(
        f"- **{price}** ({page.text('help.as_of', date=as_of)}): {page.join(ids)}"
        for (price, as_of), ids in sorted(groups.items(), key=lambda group: -len(group[1]))
    )


def _price(page: Page, price: Price) -> str:
    """Return what a model costs, as the badge on its node says it."""
    amounts = {
        name: amount_text(Decimal(str(price[name])), price["currency"])
        for name in ("image", "video", "kilobyte", "input", "output")
        if name in price
    }
    if not any(price[name] for name in amounts):
        return page.text("page.price.free")
    for name, key in (("image", "each"), ("video", "each"), ("kilobyte", "bytes")):
        if name in amounts:
            return page.text(f"page.price.{key}", price=amounts[name])
    if not price.get("output"):
        return page.text("page.price.input", price=amounts["input"])
    said = page.text("page.price.tokens", input=amounts["input"], output=amounts["output"])
    return page.text("help.price_tiers", price=said) if "tiers" in price else said


def _place(page: Page, model: Model) -> str:
    """Return the site that has, or had, a model."""
    site = page.text(f"page.site.{model.site}")
    if model.retired:
        return page.text("help.retired", site=site, date=model.retired)
    if model.retired_by:
        return page.text("help.retired_by", site=site, date=model.retired_by)
    return site


def _models_item(page: Page, ids: list[str], site: str, accepted: str) -> str:
    if len(ids) > MOST_MODELS:
        count = page.text("help.models", n=len(ids))
        lines = [f"**{count}** · {site}", accepted, page.join(ids)]
    else:
        names = page.join(f"**{model_id}**" for model_id in ids)
        lines = [f"{names} · {site}", accepted]
    return "- " + "<br>".join(filter(None, lines))


def _values(page: Page, name: str) -> Iterator[str]:
    """Yield the type, range and default of an input."""
    kind, options = page.inputs[name]
    kind_name = _kind(page, name, kind, options)
    is_required = name in page.node.INPUT_TYPES()["required"]
    yield page.text("help.required", kind=kind_name) if is_required else kind_name
    if "min" in options:
        minimum, maximum = _plain(options["min"]), _plain(options["max"])
        yield page.text("help.range", minimum=minimum, maximum=maximum)
    default = options.get("default", "")
    if name != "model" and default != "" and not isinstance(default, bool):
        is_number = isinstance(default, int | float)
        yield page.text("help.default", value=_plain(default) if is_number else default)


def _kind(page: Page, name: str, kind: Any, options: Mapping[str, Any]) -> str:
    if isinstance(kind, list):
        is_long = name == "model" or len(kind) > MOST_CHOICES
        return page.text("help.kind.choice") if is_long else page.join(kind)
    if kind in _WIDGET_TYPES and not options.get("forceInput"):
        return page.text(f"help.kind.{kind}")
    return page.text("help.linked", kind=_breakable(kind))


def _accepted(page: Page, model: Model) -> Iterator[str]:
    """Yield, one line each, the images, sizes and other fields that a model accepts."""
    images = [name for name in IMAGE_INPUTS if name in page.inputs]
    models = catalogue.load().of_task(page.task)
    if model.images and len({len(other.images[: len(images)]) for other in models}) > 1:
        names = images[: len(model.images)]
        yield page.text("help.images", names=page.join(map(_code, names)))
    if _SIZE in model.fields and _SIZE in page.inputs:
        yield page.text("help.sizes", sizes=page.join(_sizes(page, model.fields[_SIZE])))
    rules = [_rule(page, field) for field in _differing(page, model)]
    if rules:
        yield page.text("help.semicolon").join(rules)


def _differing(page: Page, model: Model) -> list[Field]:
    """Return the model's fields whose range is not the widget's, in the order of the inputs."""
    declared = catalogue.load().inputs
    fields = [model.fields[name] for name in page.inputs if name in model.fields and name != _SIZE]
    return [field for field in fields if not _has_range_of(field, declared[field.name])]


def _has_range_of(field: Field, own: Field) -> bool:
    least = {field.minimum, catalogue.load().unset.get(field.name)}
    return own.minimum in least - {None} and own.maximum == field.maximum


def _sizes(page: Page, field: Field) -> Iterator[str]:
    for size in field.choices:
        is_default = size == field.default and not set(IMAGE_INPUTS) & set(page.inputs)
        yield size + (page.text("help.brackets", value=AUTO) if is_default else "")
    if field.max_pixels:
        yield page.text("help.any_size_up_to", pixels=field.max_pixels, custom=_code(CUSTOM))
    elif field.custom:
        yield page.text("help.any_size", custom=_code(CUSTOM))


def _rule(page: Page, field: Field) -> str:
    if field.name == "batch_size":
        most = page.text("help.images_per_request", n=int(field.maximum or 1))
        return f"{_code(field.name)} {most}"
    return _code(field.name) + _field_range(page, field) + _field_notes(page, field)


def _field_range(page: Page, field: Field) -> str:
    if field.choices:
        return f" {page.join(field.choices)}"
    if field.minimum is None or field.maximum is None:
        return ""
    minimum, maximum = _plain(field.minimum), _plain(field.maximum)
    return " " + page.text("help.range", minimum=minimum, maximum=maximum)


def _field_notes(page: Page, field: Field) -> str:
    default = "" if field.default is None else page.text("help.brackets", value=field.default)
    step = page.text("help.multiples", step=field.step) if field.step else ""
    instead = page.text("help.instead_of", name=_code(field.excludes)) if field.excludes else ""
    return default + step + instead


def _title(title: str, name: str) -> str:
    """Return an input's label, and its name below if that differs."""
    code = f"<code>{_breakable(name)}</code>"
    return code if title == name else f"{title}<br>{code}"


def _code(name: str) -> str:
    return f"`{name}`"


def _breakable(name: str) -> str:
    """Return a long name that the browser may break after its punctuation."""
    return _BREAKABLE.sub("<wbr>", name)


def _plain(value: float) -> str:
    return f"{value:.12g}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(heads)
    lines = [titles, [":---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
