"""What each model accepts, read from `catalogue.json`.

A model is an entry there: nodes, validation, widgets and help follow from it, so that a new model
needs no new code. Each entry names the documents that it was read from. Models live: they are
published and retired, and a retired one stays, behind the others, for the workflows that name it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypedDict

from ..strings.text import text
from .errors import InvalidInput

Value = str | int | float | bool
Site = Literal["cn", "com"]
Thinking = Literal["off", "on", "always"]
AUTO = "auto"
CUSTOM = "custom"
NO_VOICE = "none"
OWN_VOICE = "speech:"
"""How the ID of a voice begins that an account uploaded."""
MEGAPIXEL = 1024 * 1024
MAX_MODEL_ID = 200
"""Characters: four times the longest id. What is longer is no id, and would fill every message."""
_FILE = Path(__file__).with_name("catalogue.json")
_FAMILIES = Path(__file__).with_name("model_families.json")
_FITTING_GRID = 8
"""The sides of a size that is suggested in place of a larger one are multiples of this."""
_CREDENTIAL_NAME = re.compile(
    r"(x[-_])?(api|access|secret)[-_ ]?key|(\w+-)?authorization|(\w+[-_]?)?token|password|secret",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(r"\s*(bearer\s+\S{8}|sk-[A-Za-z0-9_-]{16})", re.IGNORECASE)
_COUNTED = frozenset({"seed", "top_n"})
"""What the nodes read of `extra_body` themselves, besides passing it on."""
_BEIJING = timezone(timedelta(hours=8))
"""The time of the hours in the price list: `02:00-08:00 Asia/Shanghai`."""
_UNITS = {
    "image": 1,
    "video": 1,
    "kilobyte": 1000,
    "input": 10**6,
    "output": 10**6,
    "input_images": 10**6,
}
"""For how much of what was used each rate of a price is."""
Usage = Mapping[str, int]
"""What a request used, by the name of the rate: items as `image`, bytes of text, tokens."""
_SHAPE_FIELDS = ("image_size", "width", "height", "aspect_ratio")
_RATIO = re.compile(r"([1-9]\d?):([1-9]\d?)")
_SIZE = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})", re.IGNORECASE)


@dataclass(frozen=True)
class Field:
    """What one model accepts in one field.

    `type` is one of the keys of `_CHECKS`, `wire` the field's name in the request. `minimum` and
    `maximum` are inclusive; `step` is the grid a whole number must lie on, counted from zero.
    `default` is what is sent for a `required` field that the user left alone. `custom` means that
    a size outside `choices` is accepted, of at most `max_pixels` and with each side from `minimum`
    to `maximum`; then each size of the documents is listed turned, too. Sizes are sorted by shape.
    `excludes` names a field that cannot be set together with this one.
    """

    name: str
    type: str
    wire: str
    default: Value | None = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: int | None = None
    choices: tuple[str, ...] = ()
    custom: bool = False
    max_pixels: int | None = None
    excludes: str = ""

    def check(self, value: Value) -> Value:
        """Return `value` as it is sent. Raises `InvalidInput` with the name of this input."""
        return _CHECKS[self.type](self, value)

    def invalid(self, reason: str, **values: object) -> InvalidInput:
        """Return the error of a value that is not accepted, for this reason of `invalid.*`."""
        return InvalidInput(self.name, text(f"invalid.{reason}", **values))


def require_text(value: str, name: str) -> None:
    """Raise `InvalidInput` if the text of an input is empty or blank."""
    if not value.strip():
        raise InvalidInput(name, text("invalid.empty"))


def parse_size(size: str) -> tuple[int, int] | None:
    """Return (width, height) of a text such as `1024x768`; `None` if it is no size."""
    match = _SIZE.fullmatch(size.strip())
    return (int(match.group(1)), int(match.group(2))) if match else None


def parse_field(name: str, entry: Mapping[str, Any]) -> Field:
    """Return the field of a catalogue entry; its wire name is its own name unless given."""
    values = {"wire": name, **entry}
    values["choices"] = tuple(values.get("choices", ()))
    if values["type"] == "size":
        turned = ["x".join(reversed(size.split("x"))) for size in values["choices"]]
        sizes = {*values["choices"], *(turned if values.get("custom") else ())}
        values["choices"] = tuple(sorted(sizes, key=shape_of))
    return Field(name=name, **values)


def shape_of(size: str) -> tuple[int, float, int]:
    """Return by what sizes are sorted: square, landscape, portrait; longest last, largest first."""
    width, height = map(int, size.split("x"))
    orientation = 0 if width == height else 1 if width > height else 2
    return orientation, abs(math.log(width / height)), -width * height


def range_text(field: Field) -> str:
    """Return the range of a number as `1-100`, or `-2..2` where it begins below zero."""
    dash = ".." if (field.minimum or 0) < 0 else "-"
    ends = ("" if end is None else f"{end:.10g}" for end in (field.minimum, field.maximum))
    return dash.join(ends)


def _number(field: Field, value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise field.invalid("not_a_number", value=repr(value))
    low, high = field.minimum, field.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise field.invalid("out_of_range", value=f"{value:g}", range=range_text(field))
    return value


def _integer(field: Field, value: Value) -> Value:
    number = _number(field, value)
    if int(number) != number:
        raise field.invalid("not_whole", value=value)
    if field.step and int(number) % field.step:
        raise field.invalid("not_a_multiple", value=value, step=field.step)
    if field.choices:
        _choice(field, str(int(number)))
    return int(number)


def _string(field: Field, value: Value) -> Value:
    if not isinstance(value, str):
        raise field.invalid("not_text", value=repr(value))
    return value


def _boolean(field: Field, value: Value) -> Value:
    if not isinstance(value, bool):
        raise field.invalid("not_a_boolean", value=repr(value))
    return value


def _choice(field: Field, value: Value) -> Value:
    if value not in field.choices:
        raise field.invalid("not_a_choice", value=value, choices=", ".join(field.choices))
    return value


def _integer_choice(field: Field, value: Value) -> Value:
    """Check a number that is chosen from a list; it is sent as a number."""
    return int(str(_choice(field, str(value))))


def _on_off(field: Field, value: Value) -> Value:
    return _choice(field, value) == "on"


def _size(field: Field, value: Value) -> Value:
    size = parse_size(str(value))
    if size is None:
        raise field.invalid("not_a_size", value=repr(value))
    width, height = size
    sent = f"{width}x{height}"
    if sent in field.choices or not field.custom:
        return _choice(field, sent)
    if not width * height:
        raise field.invalid("no_pixels", value=sent)
    for side in size:
        _number(field, side)
    if field.max_pixels and width * height > field.max_pixels:
        raise field.invalid(
            "too_many_pixels",
            value=sent,
            pixels=width * height,
            max_pixels=field.max_pixels,
            fits=_fitting(width, height, field.max_pixels),
        )
    return sent


def _fitting(width: int, height: int, max_pixels: int) -> str:
    """Return the largest size of about the same shape that has at most `max_pixels`."""
    scale = math.sqrt(max_pixels / (width * height))
    sides = (max(int(side * scale / _FITTING_GRID), 1) * _FITTING_GRID for side in (width, height))
    return "x".join(map(str, sides))


_CHECKS: dict[str, Callable[[Field, Value], Value]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "boolean": _boolean,
    "choice": _choice,
    "whole_choice": _integer_choice,
    "on_off": _on_off,
    "size": _size,
}


class Price(TypedDict, total=False):
    """What a model costs, as the service's price list said on `as_of`.

    `image` and `video` are for one, `kilobyte` for a thousand UTF-8 bytes, `input`, `output` and
    `input_images` for a million tokens. A tier has other prices of `input` and `output`: for a
    request of `above` so many input tokens, or between `hours` of the day.
    """

    currency: str
    as_of: str
    image: float
    video: float
    kilobyte: float
    input: float
    output: float
    input_images: float
    tiers: Sequence[Mapping[str, Any]]


def cost(price: Mapping[str, Any], usage: Usage, at: float | None = None) -> Decimal | None:
    """Return what this usage costs, in the price's currency; `None` if the price does not say.

    `at` is in seconds since 1970; without it, the dearest hour counts. Tokens of images have the
    rate of the others unless they have their own.
    """
    tiers = [tier for tier in price.get("tiers", ()) if _applies(tier, usage, at)]
    costs = []
    for tier in [{}, *tiers] if at is None else tiers[-1:] or [{}]:
        rates = {**price, **tier}
        rates = {name: rates[name] for name in _UNITS if name in rates}
        if "input" in rates:
            rates.setdefault("input_images", rates["input"])
        if any(rates.values()) and not rates.keys() & usage.keys():
            return None
        used = ((Decimal(str(rate)) * usage.get(name, 0), name) for name, rate in rates.items())
        costs.append(sum((amount / _UNITS[name] for amount, name in used), Decimal(0)))
    return max(costs) if price.keys() & _UNITS.keys() else None


def _applies(tier: Mapping[str, Any], usage: Usage, at: float | None) -> bool:
    """Return whether a tier holds for a request of this usage, at any time if there is none."""
    if "above" in tier:
        return usage.get("input", 0) > int(tier["above"])
    first, last = tier["hours"].partition(" ")[0].split("-")
    return at is None or first <= f"{datetime.fromtimestamp(at, _BEIJING):%H:%M}" < last


@dataclass(frozen=True)
class Model:
    """One model on one site.

    `images` are the wire names of its image inputs, in the order of the node's inputs; of a
    language model they are empty if it accepts no images. `upload` is the lossless format in which
    images are sent, `reference` how a prompt refers to one of them, with its number. `limits`
    holds the bounds of one request by name, `rates` the sample rates in Hz by audio format.
    `context` is in tokens. `thinking` says what a chat model does unless told otherwise, `always`
    that it cannot be told; `None` that it is not known to think. `keeps` says to which size it
    scales an image, which is that of the result: one of `choices`, else one of about `max_pixels`.

    `published` and `retired` are ISO dates, where known. Of a model that is gone, nobody knows
    since when, `retired_by` is the day on which it was found gone. A model that is not `listed` is
    not in the catalogue: what the user set is sent unchecked. `guessed_from` is the id of the model
    whose fields one has that is not in the catalogue either, but resembles it.
    """

    id: str
    name: str
    fields: Mapping[str, Field]
    images: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    site: Site | None = None
    upload: Literal["webp", "png"] = "png"
    reference: str = "image {}"
    listed: bool = True
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rates: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    published: str | None = None
    retired: str | None = None
    retired_by: str | None = None
    price: Price | None = None
    context: int | None = None
    thinking: Thinking | None = None
    keeps: Field = Field("keeps", "size", "")
    source: str = ""
    guessed_from: str = ""

    @property
    def is_retired(self) -> bool:
        """Whether the service no longer has this model."""
        return bool(self.retired or self.retired_by)

    def is_free(self, site: Site) -> bool:
        """Return whether the price list of this site says that the model costs nothing there."""
        if self.site != site:
            return False
        amounts = [amount for amount in (self.price or {}).values() if not isinstance(amount, str)]
        return bool(amounts) and not any(amounts)

    @property
    def sees(self) -> bool:
        """Whether the model accepts images."""
        return bool(self.images)

    @property
    def max_images_per_request(self) -> int | None:
        """How many images one request can ask for; `None` if the model is not listed."""
        if not self.listed:
            return None
        field = self.fields.get("batch_size")
        return int(field.maximum or 1) if field else 1

    def arguments(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the request's fields for what the user set, checked, with required defaults.

        Raises `InvalidInput`, which names the input, for a value that the model does not accept.
        A value of a field that the model does not have is left out: see `not_sent`.
        """
        if not self.listed:
            return dict(values)
        self._check_exclusions(values)
        sent = {field.wire: self._value(field, values) for field in self.fields.values()}
        return {wire: value for wire, value in sent.items() if value is not None}

    def not_sent(self, values: Mapping[str, Value]) -> list[str]:
        """Return the names of the inputs that the user set and this model does not have."""
        return sorted(set(values) - set(self.fields)) if self.listed else []

    def size_arguments(self, image_size: str, width: int, height: int) -> dict[str, Value]:
        """Return the size as this model accepts it: `image_size`, or `width` and `height`."""
        if image_size == AUTO:
            return {}
        text_size = f"{width}x{height}" if image_size == CUSTOM else image_size
        size = parse_size(text_size)
        if size and self._has_sides:
            return {"width": size[0], "height": size[1]}
        return {"image_size": text_size}

    def closest_size(self, width: int, height: int) -> str:
        """Return the size closest in aspect ratio to an image, or `auto` where none is chosen.

        A model of widths and heights gets about a megapixel on its grid.
        """
        if self._has_sides:
            scale = math.sqrt(MEGAPIXEL / (width * height))
            sides = {"width": width * scale, "height": height * scale}
            return "x".join(str(_on_grid(side, self.fields[name])) for name, side in sides.items())
        field = self.fields.get("image_size")
        if field is None or not field.choices:
            return AUTO
        return _closest(field.choices, width, height)

    def kept_size(self, width: int, height: int, sent: Mapping[str, Value]) -> tuple[int, int]:
        """Return the size of the result for an image of this shape: the one that is not scaled.

        It is as the request says in the fields that are `sent`, else as the model `keeps` it.
        """
        if "width" in sent and "height" in sent:
            return int(sent["width"]), int(sent["height"])
        if size := parse_size(str(sent.get("image_size", ""))):
            return size
        pixels = self.keeps.max_pixels or width * height
        if ratio := _RATIO.fullmatch(str(sent.get("aspect_ratio", ""))):
            width, height = int(ratio.group(1)), int(ratio.group(2))
        if self.keeps.choices:
            size = parse_size(_closest(self.keeps.choices, width, height))
        scale = math.sqrt(pixels / (width * height))
        return size or (_on_grid(width * scale, self.keeps), _on_grid(height * scale, self.keeps))

    def changes_shape(self, width: int, height: int, sent: Mapping[str, Value]) -> bool:
        """Return whether an edit comes back in another shape than its image, unasked.

        That zooms or shifts it. What is `sent` asks for another one if it says a size or a shape.
        """
        if "image-edit" not in self.tasks or not sent.keys().isdisjoint(_SHAPE_FIELDS):
            return False
        kept_width, kept_height = self.kept_size(width, height, sent)
        return kept_width * height != kept_height * width

    @property
    def _has_sides(self) -> bool:
        return "width" in self.fields and "image_size" not in self.fields

    def _value(self, field: Field, values: Mapping[str, Value]) -> Value | None:
        if field.name in values:
            return field.check(values[field.name])
        is_replaced = any(
            other.excludes == field.name and other.name in values for other in self.fields.values()
        )
        if not field.required or is_replaced or field.default is None:
            return None
        return field.check(field.default)

    def _check_exclusions(self, values: Mapping[str, Value]) -> None:
        for field in self.fields.values():
            if field.excludes in values and field.name in values:
                reason = text("invalid.exclusive", other=field.excludes)
                raise InvalidInput(field.name, reason)


@dataclass(frozen=True)
class Catalogue:
    """All models of both sites, retired ones last.

    `inputs` describes a node's inputs whatever the model: type, widget range and default. `unset`
    holds, by input, the value that means "not set", `unlisted` what is assumed of a model that is
    not in the catalogue. `families` are patterns of ids, each with the model that whoever matches
    it is taken to be like; the first that matches counts.
    """

    models: tuple[Model, ...]
    inputs: Mapping[str, Field]
    unset: Mapping[str, Value]
    unlisted: Model
    families: tuple[tuple[str, str], ...]

    def of_task(self, task: str) -> list[Model]:
        """Return the models of a task, of both sites, in the order in which they are offered."""
        return [model for model in self.models if task in model.tasks]

    def find(self, model_id: str, site: Site) -> Model:
        """Return the model as `site` has it, else as the other site has it, else as unlisted."""
        models = [model for model in self.models if model.id == model_id]
        of_site = [model for model in models if model.site == site]
        return (of_site or models or [unlisted(model_id)])[0]

    def guess(self, model_id: str, site: Site) -> Model | None:
        """Return a model that is not in the catalogue as the one of its family accepts fields.

        `None` for an id of no family. Only fields and images are guessed, never price or context,
        nor whether it can be told not to think: one that cannot refuses to be told.
        """
        like = next((like for name, like in self.families if fnmatchcase(model_id, name)), None)
        if like is None:
            return None
        relative = self.find(like, site)
        own: dict[str, dict[str, Any]] = {
            "enable_thinking": {"required": False},
            "max_tokens": {"maximum": self.inputs["max_tokens"].maximum},
        }
        fields = {
            name: dataclasses.replace(field, **own.get(name, {}))
            for name, field in relative.fields.items()
        }
        return Model(
            id=model_id,
            name=model_id.rpartition("/")[2],
            fields=fields,
            images=relative.images,
            tasks=relative.tasks,
            upload=relative.upload,
            reference=relative.reference,
            limits=relative.limits,
            keeps=relative.keeps,
            rates=relative.rates,
            guessed_from=like,
        )

    def only_set(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values without those that mean "not set"."""
        return {name: value for name, value in values.items() if value != self.unset.get(name)}


def chosen_model(task: str, inputs: Mapping[str, Any], site: Site) -> Model:
    """Return the model of a node. Raises `InvalidInput` for one that is for another task.

    Of a chosen model that the catalogue lacks the fields may be guessed; of `custom_model` never.
    """
    custom = str(inputs.get("custom_model", "")).strip()
    name = "custom_model" if custom else "model"
    model = load().find(custom or str(inputs.get("model", "")), site)
    if len(model.id) > MAX_MODEL_ID:
        raise InvalidInput(name, text("invalid.too_long", n=len(model.id), limit=MAX_MODEL_ID))
    if not model.listed and not custom:
        guess = load().guess(model.id, site)
        model = guess if guess and task in guess.tasks else model
    if model.listed and task not in model.tasks:
        tasks = ", ".join(model.tasks)
        raise InvalidInput(name, text("invalid.other_task", model=model.id, tasks=tasks, task=task))
    return model


def set_values(inputs: Mapping[str, Any], names: Iterable[str]) -> dict[str, Value]:
    """Return the fields of these names that the user set."""
    return load().only_set({name: inputs[name] for name in names if name in inputs})


def extra_body(inputs: Mapping[str, Any], reserved: AbstractSet[str]) -> dict[str, Any]:
    """Return the JSON object of `extra_body`, which is merged into a request.

    Raises `InvalidInput` for what is no JSON object, sets a field that the node sets itself, or
    holds a key: it would be sent as a part of the request, and is saved in every workflow.
    """
    extra = json_object(inputs, "extra_body") or {}
    taken = ", ".join(sorted(reserved & set(extra)))
    if taken:
        raise InvalidInput("extra_body", text("invalid.reserved_fields", names=taken))
    _check_no_credential(extra)
    for name in _COUNTED & set(extra):
        if extra[name] is not None:
            load().inputs[name].check(extra[name])
    return extra


def merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request with `extra_body` in it, of which `null` takes a field out."""
    return {name: value for name, value in {**body, **extra}.items() if value is not None}


def _check_no_credential(extra: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for a text, however deep, that looks like a key, or is named so."""
    left: list[tuple[str, Any]] = [*extra.items()]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += ((name, item) for item in value)
        elif isinstance(value, str) and (
            _CREDENTIAL_NAME.fullmatch(name) or _CREDENTIAL.match(value)
        ):
            raise InvalidInput("extra_body", text("invalid.credential", name=name[:40]))


def json_object(inputs: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return the JSON object of an input, `None` for a blank one.

    Raises `InvalidInput` for what is no JSON object.
    """
    written = str(inputs.get(name, ""))
    if not written.strip():
        return None
    try:
        value = json.loads(written, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(":", maxsplit=1)[0]
        raise InvalidInput(name, text("invalid.not_json", reason=reason)) from None
    if not isinstance(value, dict):
        raise InvalidInput(name, text("invalid.not_an_object"))
    return value


def _finite(written: str) -> float:
    if not math.isfinite(number := float(written)):
        raise ValueError(f"{written} is not JSON")
    return number


def unlisted(model_id: str) -> Model:
    """Return a model that is not in the catalogue."""
    return dataclasses.replace(load().unlisted, id=model_id, name=model_id)


@cache
def load() -> Catalogue:
    """Return the catalogue that comes with the pack; read once a process."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    entries = data["inputs"]
    unset = {name: entry.pop("unset") for name, entry in entries.items() if "unset" in entry}
    inputs = {name: parse_field(name, entry) for name, entry in entries.items()}
    entries = [*data["models"], *_of_families(data["families"])]
    read = (_model(_with_traits(entry, data["traits"]), inputs) for entry in entries)
    models = sorted(read, key=lambda model: model.is_retired)
    nothing = {"id": "", "name": "", "tasks": (), "fields": {}, "listed": False}
    unlisted = _model({**nothing, **data["unlisted"]}, inputs)
    families = json.loads(_FAMILIES.read_text(encoding="utf-8"))
    likeness = tuple((each["pattern"], each["like"]) for each in families)
    return Catalogue(tuple(models), inputs, unset, unlisted, likeness)


def _of_families(families: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield an entry for each model of each family: models that accept the same.

    What is a model's own stands behind its id; its price fills in the family's.
    """
    for family in families:
        common = {name: value for name, value in family.items() if name != "models"}
        for model_id, own in family["models"].items():
            entry = {**common, "id": model_id, "name": model_id.rpartition("/")[2], **own}
            if "price" in own:
                entry["price"] = {**common["price"], **own["price"]}
            yield entry


def _with_traits(
    entry: Mapping[str, Any], traits: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return an entry with the fields, limits and sizes of each trait that it has.

    A trait names the values that an entry must have; `*` in a value stands for any characters.
    """
    for trait in traits:
        if all(_has_one_of(entry.get(name), values) for name, values in trait["where"].items()):
            more = {name: trait[name] for name in ("fields", "limits", "keeps") if name in trait}
            merged = {name: {**entry.get(name, {}), **values} for name, values in more.items()}
            entry = {**entry, **merged}
    return entry


def _has_one_of(own: Any, patterns: Sequence[str]) -> bool:
    values = own if isinstance(own, list) else [own]
    return any(fnmatchcase(str(value), pattern) for value in values for pattern in patterns)


def _model(entry: Mapping[str, Any], inputs: Mapping[str, Field]) -> Model:
    values = dict(entry)
    fields = (
        parse_field(name, {"type": inputs[name].type, **field})
        for name, field in values.pop("fields").items()
    )
    values["keeps"] = parse_field("keeps", {"type": "size", **values.pop("keeps", {})})
    longest = entry.get("context") or inputs["max_tokens"].maximum
    values["rates"] = {name: tuple(rates) for name, rates in values.pop("rates", {}).items()}
    return Model(
        fields={field.name: _bounded(field, longest) for field in fields},
        images=tuple(values.pop("images", ())),
        tasks=tuple(values.pop("tasks")),
        **values,
    )


def _bounded(field: Field, longest: float | None) -> Field:
    """Return a `max_tokens` without a maximum with the length of the model's context as its own."""
    is_open = field.name == "max_tokens" and field.maximum is None
    return dataclasses.replace(field, maximum=longest) if is_open else field


def _on_grid(side: float, field: Field) -> int:
    step = field.step or 1
    low, high = field.minimum or step, field.maximum or side
    return int(min(max(round(side / step) * step, low), high))


def _closest(sizes: Iterable[str], width: int, height: int) -> str:
    """Return the size that is closest in aspect ratio."""
    return str(min(sizes, key=lambda size: _aspect_difference(size, width, height)))


def _aspect_difference(size: str, width: int, height: int) -> float:
    """Return how many times one aspect ratio is the other, at least 1."""
    size_width, size_height = parse_size(size) or (1, 1)
    products = size_width * height, size_height * width
    return max(products) / min(products)
