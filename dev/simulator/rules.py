"""What each model takes: the documents' tables, and the check of a request against them.

The tables are JSON Schema in `schemas/`. `fields.json` holds what image models share, `cn.json` and
`com.json` the image models of each site. Of every other kind all models take the same: their
requests are in `requests.json`, their names and what sets them apart in `models.json`.

Six keywords go beyond the standard: `picture`, `upload`, `maxSide`, `maxPixels`, `ratioBetween`
and `notTogether`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, TypeChecker, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from .answers import Refused, bad_parameter, unknown_model
from .inputs import Upload

SCHEMAS = Path(__file__).parent / "schemas"
TASKS = ("text-to-image", "image-to-image")
PICTURE = re.compile(r"https?://[^\s/]+\S*|data:\s*image/[\w.+-]+\s*;\s*base64\s*,.*", re.DOTALL)
PICTURE_REF = "#/$defs/picture"
SHOWN = 80

Schema = Mapping[str, Any]


def _picture(_: object, __: bool, value: object, ___: Schema) -> Iterator[ValidationError]:
    if isinstance(value, str) and not PICTURE.fullmatch(value):
        yield ValidationError(f"{value!r} is neither an http(s) URL nor a base64 data URL")


def _upload(_: object, __: bool, value: object, ___: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, Upload):
        yield ValidationError("a file is required, sent as a part of a multipart form")


def _max_side(_: object, limit: int, value: object, __: Schema) -> Iterator[ValidationError]:
    size = read_size(value)
    if size is None:
        yield ValidationError(f"{value!r} is not a size in the form WIDTHxHEIGHT")
    elif max(size) > limit:
        yield ValidationError(f"{value!r} has a side longer than {limit}")


def _max_pixels(_: object, limit: int, value: object, __: Schema) -> Iterator[ValidationError]:
    size = read_size(value)
    if size and size[0] * size[1] > limit:
        yield ValidationError(f"width * height should not exceed {limit}")


def _ratio_between(
    _: object, limits: list[str], value: object, __: Schema
) -> Iterator[ValidationError]:
    low, ratio, high = read_ratio(limits[0]), read_ratio(value), read_ratio(limits[1])
    if not (low and ratio and high and low <= ratio <= high):
        yield ValidationError(f"{value!r} is not an aspect ratio from {limits[1]} to {limits[0]}")


def _not_together(
    _: object, names: list[str], body: object, __: Schema
) -> Iterator[ValidationError]:
    if isinstance(body, dict) and all(name in body for name in names):
        yield ValidationError(f"{' and '.join(names)} exclude each other")


def _is_whole_number(_: TypeChecker, value: object) -> bool:
    # Plain JSON Schema takes 20.0 for an integer; a service that reads into typed fields does not.
    return isinstance(value, int) and not isinstance(value, bool)


# The stubs of jsonschema leave `extend` without types.
Rulebook: type[Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "picture": _picture,
        "upload": _upload,
        "maxSide": _max_side,
        "maxPixels": _max_pixels,
        "ratioBetween": _ratio_between,
        "notTogether": _not_together,
    },
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole_number),
)


def read_size(value: object) -> tuple[int, int] | None:
    """Read `1024x768`; None when it is anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", _text(value))
    return (int(match[1]), int(match[2])) if match else None


def read_ratio(value: object) -> Fraction | None:
    """Read `16:9`; None when it is anything else."""
    match = re.fullmatch(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})", _text(value))
    return Fraction(int(match[1]), int(match[2])) if match else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Model:
    """One model: what it is for, the schema of its requests, and what sets it apart."""

    name: str
    tasks: tuple[str, ...]
    schema: Schema
    default_size: tuple[int, int] | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)

    def check(self, body: Mapping[str, Any]) -> None:
        """Refuse a request that breaks a rule of this model; the message names the field."""
        check_body(self.schema, body)

    @property
    def picture_fields(self) -> frozenset[str]:
        """The fields that the schema says carry a picture."""
        fields = self.schema.get("properties", {}).items()
        return frozenset(name for name, rule in fields if rule == {"$ref": PICTURE_REF})


class Rules:
    """The models of one site, and those added since."""

    def __init__(self, site: str) -> None:
        """Read the site's tables; `site` is `cn` or `com`."""
        requests = _read("requests")
        self.requests: Schema = requests
        self.fields: Schema = {**_read("fields"), **requests["$defs"]}
        self.models = {name: self._model(name, entry) for name, entry in _read(site).items()}
        everything = self.models.values()
        self.picture_fields = frozenset().union(*(model.picture_fields for model in everything))
        for task, groups in _read("models").items():
            for group in groups:
                if site in group["sites"]:
                    self._add_group(task, group)

    def _add_group(self, task: str, group: Mapping[str, Any]) -> None:
        schema = self.requests[group.get("schema", task)]
        if "max_tokens" in group:
            limit = {**schema["properties"]["max_tokens"], "maximum": group["max_tokens"]}
            schema = {**schema, "properties": {**schema["properties"], "max_tokens": limit}}
        entry = {"tasks": (task,), "schema": schema, "traits": group.get("traits", {})}
        self.models.update({name: self._model(name, entry) for name in group["models"]})

    def add(
        self,
        name: str,
        schema: Schema,
        tasks: tuple[str, ...] = TASKS,
        traits: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve one more model. Its schema may use the shared fields: `#/$defs/seed`."""
        check_schema(name, schema)
        entry = {"tasks": tasks, "schema": schema, "traits": traits or {}}
        self.models[name] = self._model(name, entry)

    def _model(self, name: str, entry: Mapping[str, Any]) -> Model:
        schema = {"$defs": self.fields, **entry["schema"]}
        default_size = read_size(entry.get("default_size"))
        return Model(name, tuple(entry["tasks"]), schema, default_size, entry.get("traits", {}))

    def check(self, body: Mapping[str, Any], tasks: tuple[str, ...] = TASKS) -> Model:
        """Return the model of a request that keeps every rule; refuse any other.

        A model that is not for one of the tasks is as unknown as one that does not exist.
        """
        model = self.find(body, tasks)
        model.check(body)
        return model

    def find(self, body: Mapping[str, Any], tasks: tuple[str, ...]) -> Model:
        """Return the model that a request names; refuse one that this endpoint does not serve."""
        name = body.get("model")
        if not isinstance(name, str):
            raise Refused(bad_parameter("model: a text is required"))
        model = self.models.get(name)
        if model is None or not set(tasks) & set(model.tasks):
            raise Refused(unknown_model())
        return model

    def check_request(self, name: str, body: Mapping[str, Any]) -> None:
        """Refuse a request that breaks a rule of `requests.json`, whatever the model."""
        check_body({"$defs": self.fields, **self.requests[name]}, body)

    def pictures_in(self, model: Model, body: Mapping[str, Any]) -> list[str]:
        """Return the fields of a request that carry pictures, in the order they were sent.

        A model newer than the tables says nothing of its fields: there, a field counts when
        another model takes a picture under that name, or when it holds a data URL.
        """
        declared = model.schema.get("properties", {})
        return [
            name
            for name, value in body.items()
            if name in model.picture_fields
            or (name not in declared and isinstance(value, str) and self._looks_it(name, value))
        ]

    def _looks_it(self, name: str, value: str) -> bool:
        known = name in self.picture_fields and PICTURE.fullmatch(value) is not None
        return known or value.startswith("data:image/")


def check_body(schema: Schema, body: Mapping[str, Any]) -> None:
    """Refuse a body that breaks a rule; the message names the field."""
    errors = sorted(Rulebook(schema).iter_errors(body), key=_order)
    if errors:
        raise Refused(bad_parameter(_explain(errors[0])))


def check_schema(name: str, schema: Schema) -> None:
    """ValueError when a model's schema is no schema."""
    try:
        Rulebook.check_schema(dict(schema))
    except SchemaError as error:
        raise ValueError(f"{name}: {error.message}") from None


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _order(error: ValidationError) -> tuple[str, str]:
    return error.json_path, error.message


def _explain(error: ValidationError) -> str:
    # A picture in a message would be megabytes; the pixel limit is worded by the service itself.
    shown = repr(error.instance)
    if len(shown) > SHOWN:
        error.message = error.message.replace(shown, shown[:SHOWN] + "...")
    if error.validator == "maxPixels" or not error.path:
        return error.message
    return f"{'.'.join(map(str, error.path))}: {error.message}"
