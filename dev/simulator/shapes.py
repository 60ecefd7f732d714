"""Makes a value that fits a JSON Schema, for answers with `response_format` json_schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

DEEPEST = 12


class Source(Protocol):
    """Where values come from."""

    count: int
    """How many a list has."""

    def find(self, name: str, kind: str, number: int) -> Any:
        """Find a value by the field's name, its type, and its place in a list."""


class Unfit(ValueError):
    """A schema that nothing can be made for."""


def fill(schema: Mapping[str, Any], source: Source) -> Any:
    """Make a value that fits a schema; Unfit when the schema leads nowhere."""
    try:
        return _Filler(schema, source).make(schema, "", 0)
    except (LookupError, TypeError, AttributeError, ZeroDivisionError, RecursionError) as error:
        raise Unfit(f"nothing fits it ({type(error).__name__}: {error})") from None


class _Filler:
    def __init__(self, root: Mapping[str, Any], source: Source) -> None:
        self.root, self.source, self.depth = root, source, 0

    def make(self, schema: Mapping[str, Any], name: str, number: int) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][number % len(schema["enum"])]
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema, number)
        if kind == "array":
            return self._array(schema, name)
        return None if kind == "null" else _fit(schema, self.source.find(name, kind, number), kind)

    def _resolve(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(DEEPEST):
            if "$ref" in schema:
                found: Any = self.root
                for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
                    found = found[step] if step else found
                schema = found
            for way in ("anyOf", "oneOf", "allOf"):
                if way in schema:
                    schema = schema[way][0]
        return schema

    def _object(self, schema: Mapping[str, Any], number: int) -> dict[str, Any]:
        self.depth += 1
        names = schema.get("properties", {}) if self.depth < DEEPEST else {}
        made = {name: self.make(each, name, number) for name, each in names.items()}
        self.depth -= 1
        return made

    def _array(self, schema: Mapping[str, Any], name: str) -> list[Any]:
        count = min(self.source.count, schema.get("maxItems", self.source.count))
        count = max(schema.get("minItems", 0), count)
        items = schema.get("items", {"type": "string"})
        return [self.make(items, name, number) for number in range(count)]


def _fit(schema: Mapping[str, Any], value: Any, kind: str) -> Any:
    if kind == "string":
        return str(value)[: schema.get("maxLength")]
    if kind in {"integer", "number"}:
        return min(max(value, schema.get("minimum", value)), schema.get("maximum", value))
    return value
