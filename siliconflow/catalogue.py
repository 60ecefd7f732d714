"""What each model accepts, read from `catalogue.json`.

A model is an entry there: nodes, validation, widgets and help read it from here, so that a new
model needs no new code. Each entry names the API document that it was read from.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..strings.text import Text
from .errors import InvalidInput
from .fields import Field, Value, field_from, size_of

Site = Literal["cn", "com"]
AUTO = "auto"
CUSTOM = "custom"
MEGAPIXEL = 1024 * 1024
_FILE = Path(__file__).with_name("catalogue.json")
_LISTLESS_IMAGES = ("image", "image2", "image3", "image4")


@dataclass(frozen=True)
class Model:
    """One model on one site.

    `images` are the wire names of the pictures that go in, in the order of the node's inputs.
    `upload` is the lossless format those are sent in, `reference` how a prompt speaks of one of
    them to this model, with its number. A model that is not `listed` is one that
    the catalogue lacks: whatever the user set is sent to it as it is.

    Of a language model `images` are the inputs of the pictures that it sees: empty if it is blind.
    `limits` holds how much one request may hold, by name, `rates` the sample rates of each format
    of sound.
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

    @property
    def most_per_request(self) -> int | None:
        """The pictures one request can ask for; `None` if the catalogue does not know."""
        if not self.listed:
            return None
        field = self.fields.get("batch_size")
        return int(field.maximum or 1) if field else 1

    def arguments(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Give the fields of a request for what the user set, checked, with required defaults.

        Raises `InvalidInput`, which names the input, for a value that the model does not take.
        A value of a field that the model does not have is left out: see `not_sent`.
        """
        if not self.listed:
            return dict(values)
        self._check_exclusions(values)
        found = {field.wire: self._value(field, values) for field in self.fields.values()}
        return {wire: value for wire, value in found.items() if value is not None}

    def not_sent(self, values: Mapping[str, Value]) -> list[str]:
        """Name the inputs that the user set and this model does not take."""
        return sorted(set(values) - set(self.fields)) if self.listed else []

    def size_arguments(self, image_size: str, width: int, height: int) -> dict[str, Value]:
        """Give the size as this model takes it: as `image_size`, or as `width` and `height`."""
        if image_size == AUTO:
            return {}
        written = f"{width}x{height}" if image_size == CUSTOM else image_size
        size = size_of(written)
        if size and "width" in self.fields and "image_size" not in self.fields:
            return {"width": size[0], "height": size[1]}
        return {"image_size": written}

    def closest_size(self, width: int, height: int) -> str:
        """Give the size that is closest in shape to a picture, or `auto` where none is chosen.

        Of the listed sizes, and where any size is taken, of these turned on their side; for a
        model of widths and heights, about a megapixel on its grid.
        """
        if "width" in self.fields and "image_size" not in self.fields:
            return self._size_on_grid(width, height)
        field = self.fields.get("image_size")
        if field is None or not field.choices:
            return AUTO
        turned = ["x".join(reversed(choice.split("x"))) for choice in field.choices]
        choices = [*field.choices, *(turned if field.custom else ())]
        return str(min(choices, key=lambda choice: _unlikeness(choice, width, height)))

    def _size_on_grid(self, width: int, height: int) -> str:
        scale = math.sqrt(MEGAPIXEL / (width * height))
        return "x".join(
            str(_on_grid(side * scale, self.fields[name]))
            for name, side in (("width", width), ("height", height))
        )

    def _value(self, field: Field, values: Mapping[str, Value]) -> Value | None:
        if field.name in values:
            return field.check(values[field.name])
        replaced = any(
            other.excludes == field.name and other.name in values for other in self.fields.values()
        )
        return field.default if field.required and not replaced else None

    def _check_exclusions(self, values: Mapping[str, Value]) -> None:
        for field in self.fields.values():
            if field.excludes in values and field.name in values:
                raise InvalidInput(
                    field.name,
                    Text(
                        f"set it or {field.excludes}, not both: leave one of them at auto",
                        f"该模型只能设置它与 {field.excludes} 之一，请将其中一个设为 auto",
                    ),
                )


@dataclass(frozen=True)
class Catalogue:
    """All models of both sites.

    `inputs` describes a node's inputs beyond any model: type, widget range and default. `unset`
    holds, by input, the value that means "not set".
    """

    models: tuple[Model, ...]
    inputs: Mapping[str, Field]
    unset: Mapping[str, Value]

    def of_task(self, task: str) -> list[Model]:
        """Give the models of a task, of both sites, in the order in which they are offered."""
        return [model for model in self.models if task in model.tasks]

    def find(self, model_id: str, site: Site) -> Model:
        """Give the model as `site` has it, else as the other site has it, else as unlisted."""
        found = [model for model in self.models if model.id == model_id]
        here = [model for model in found if model.site == site]
        return (here or found or [unlisted(model_id)])[0]

    def only_set(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Leave out the values that mean "not set"."""
        return {name: value for name, value in values.items() if value != self.unset.get(name)}


def unlisted(model_id: str) -> Model:
    """Give a model that the catalogue knows nothing of."""
    return Model(model_id, model_id, {}, images=_LISTLESS_IMAGES, listed=False)


@cache
def load() -> Catalogue:
    """Read the catalogue that comes with the pack; once a process."""
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    entries = data["inputs"]
    inputs = {name: field_from(name, _widget(entry)) for name, entry in entries.items()}
    unset = {name: entry["unset"] for name, entry in entries.items() if "unset" in entry}
    models = [*data["models"], *_members(data["families"])]
    return Catalogue(tuple(_model(entry, inputs) for entry in models), inputs, unset)


def _members(families: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give an entry for each model of each family: models that take the same."""
    for family in families:
        common = {name: value for name, value in family.items() if name != "models"}
        for model_id in family["models"]:
            yield {**common, "id": model_id, "name": model_id.rpartition("/")[2]}


def _widget(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "unset"}


def _model(entry: Mapping[str, Any], inputs: Mapping[str, Field]) -> Model:
    known = dict(entry)
    fields = (
        field_from(name, {"type": inputs[name].type, **data})
        for name, data in known.pop("fields").items()
    )
    del known["source"]
    known["rates"] = {name: tuple(rates) for name, rates in known.pop("rates", {}).items()}
    return Model(
        fields={field.name: field for field in fields},
        images=tuple(known.pop("images", ())),
        tasks=tuple(known.pop("tasks")),
        **known,
    )


def _on_grid(side: float, field: Field) -> int:
    step = field.step or 1
    low, high = field.minimum or step, field.maximum or side
    return int(min(max(round(side / step) * step, low), high))


def _unlikeness(size: str, width: int, height: int) -> float:
    made = size_of(size) or (1, 1)
    return max(made[0] * height, made[1] * width) / min(made[0] * height, made[1] * width)
