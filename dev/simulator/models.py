"""What the service offers on a day: its models, what each takes and costs, what has changed.

The tables are in `data/`: `images.json`, `video.json`, `chat.json`, `audio.json`, `retrieval.json`
hold the models, `requests.json`, `fields.json` the schemas, `calendar.json` other dated changes.
Under a date a model is there from `published` until `retired`, and its `changes` apply from their
day on. Under `ever` nothing was retired, and every model takes what the older documents say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .responses import Refused, bad_parameter, named_response
from .schemas import IMAGE, Schema, check_body, check_schema

if TYPE_CHECKING:
    from .responses import Reply
    from .state import State

DEFAULT_AS_OF = "ever"
TODAY = date(2026, 11, 1)
DATA = Path(__file__).parent / "data"
IMAGE_TASKS = ("text-to-image", "image-to-image")
IMAGE_FIELD = {"$ref": "#/$defs/picture"}
# What stands in for a price that no document lists.
UNLISTED = {"image": "0.05", "input": "1", "output": "1", "bytes": "0.05", "clip": "2"}
MILLION, THOUSAND = Decimal(1_000_000), Decimal(1000)
BEIJING, NIGHT = 8 * 3600, range(2, 8)
# A Chinese, Japanese or Korean character is one token; other words are cut into pieces of six.
TOKEN = re.compile(
    r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]| ?\w{1,6}|\s+|.", re.DOTALL
)
PATCH, LOW_DETAIL, MOST_PIXELS = 28, (448, 448), 12_845_056


@lru_cache
def read_table(name: str) -> Any:
    """Return the content of a file of `data/`."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


class Day:
    """The day on which the service is simulated."""

    def __init__(self, as_of: str | date, site: str) -> None:
        """Read `today`, `ever`, or a date; ValueError for anything else."""
        self.name, self.site = str(as_of), site
        self.date: date | None = None
        if as_of != "ever":
            self.date = TODAY if as_of == "today" else date.fromisoformat(self.name)

    def has(self, change: str) -> bool:
        """Return whether a change of `calendar.json` is in force at this site."""
        since = read_table("calendar")[change].get(self.site)
        return since is not None and self.reaches(since)

    def reaches(self, since: str) -> bool:
        """Return whether a day has come; under `ever` none has."""
        return self.date is not None and date.fromisoformat(since) <= self.date

    def serves(self, row: Mapping[str, Any]) -> bool:
        """Return whether a model of the tables is there."""
        gone = self.reaches(row.get("retired", "9999-12-31"))
        there = self.date is None or (self.reaches(row["published"]) and not gone)
        return there and self.site in row["sites"]


@dataclass(frozen=True)
class Usage:
    """What a request used: images, tokens, bytes of text, clips."""

    images: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    image_tokens: int = 0
    bytes: int = 0
    clips: int = 0

    @property
    def tokens(self) -> int:
        """Return all tokens together."""
        return self.input_tokens + self.output_tokens + self.image_tokens


@dataclass(frozen=True)
class Model:
    """One model: its tasks, the schema of its requests, its price, and its other traits."""

    name: str
    tasks: tuple[str, ...]
    schema: Schema
    traits: Mapping[str, Any] = field(default_factory=dict)
    price: Mapping[str, Any] = field(default_factory=lambda: dict(UNLISTED))

    def cost(self, usage: Usage, now: float) -> Decimal:
        """Return what a request costs, to the last digit."""
        price = self.price
        above = price.get("above")
        if above and usage.input_tokens >= above["tokens"]:
            price = above
        if "night" in price and int((now + BEIJING) % 86400 // 3600) in NIGHT:
            price = price["night"]
        rates = {name: Decimal(str(price.get(name, 0))) for name in (*UNLISTED, "image_tokens")}
        tokens = usage.input_tokens * rates["input"] + usage.output_tokens * rates["output"]
        tokens += usage.image_tokens * (rates["image_tokens"] or rates["input"])
        spoken = usage.bytes * rates["bytes"] / THOUSAND
        drawn = usage.images * rates["image"] + usage.clips * rates["clip"]
        return drawn + tokens / MILLION + spoken


class Models:
    """The models that one site serves on a day, and those that were added since."""

    def __init__(self, day: Day) -> None:
        """Read the tables."""
        self.day = day
        requests = read_table("requests")
        self.fields: Schema = {**read_table("fields"), **requests["$defs"]}
        self.all = {model.name: model for model in self._served(requests)}
        fields = (field for row in read_table("images") for field in row["fields"].items())
        self.image_fields = frozenset(name for name, rule in fields if rule == "picture")

    def _served(self, requests: Schema) -> Iterator[Model]:
        for row in (*read_table("images"), *read_table("video")):
            if self.day.serves(row):
                yield self._model(row, tuple(row["tasks"]), self._image_schema(row))
        groups = {"chat": read_table("chat"), **read_table("audio"), **read_table("retrieval")}
        for task, rows in groups.items():
            for row in filter(self.day.serves, rows):
                schema = requests[row.get("request", task)]
                schema = self._chat_schema(schema, row) if task == "chat" else schema
                yield self._model(row, (task,), schema)

    def _model(self, row: Mapping[str, Any], tasks: tuple[str, ...], schema: Schema) -> Model:
        prices = row.get("price", UNLISTED)
        listed = prices if isinstance(prices, list) else [{"since": row["published"], **prices}]
        past = [each for each in listed if self.day.date is None or self.day.reaches(each["since"])]
        return Model(row["id"], tasks, {"$defs": self.fields, **schema}, row, past[-1])

    def _image_schema(self, row: Mapping[str, Any]) -> Schema:
        required, fields = row["required"], {"prompt": "prompt", "seed": "seed", **row["fields"]}
        for change in row.get("changes", []):
            if self.day.reaches(change["since"]):
                required = change.get("required", required)
                fields |= change.get("fields", {})
        rules = {
            name: {"$ref": f"#/$defs/{rule}"} if isinstance(rule, str) else rule
            for name, rule in fields.items()
        }
        return {
            "type": "object",
            "required": ["model", "prompt", *required],
            "properties": {"model": {"type": "string"}, **rules},
            "additionalProperties": False,
            **row.get("rules", {}),
        }

    def _chat_schema(self, schema: Schema, row: Mapping[str, Any]) -> Schema:
        properties = dict(schema["properties"])
        old = not self.day.has("thinking-parameters")
        longest = row.get("max_tokens", row["context"]) if old else row["context"]
        properties["max_tokens"] = {**properties["max_tokens"], "maximum": longest}
        if self.day.has("long-conversations"):
            messages = properties["messages"].items()
            properties["messages"] = {k: v for k, v in messages if k != "maxItems"}
        return {**schema, "properties": properties}

    def add(
        self,
        name: str,
        schema: Schema,
        tasks: tuple[str, ...] = IMAGE_TASKS,
        traits: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve one more model. Its schema may use the shared fields: `#/$defs/seed`."""
        check_schema(name, schema)
        self.all[name] = Model(name, tasks, {"$defs": self.fields, **schema}, traits or {})

    def find(self, body: Mapping[str, Any], tasks: tuple[str, ...]) -> Model:
        """Return the model that a request names; raise Refused when it is not for these tasks.

        Where there are no tasks it is one that stands for no model.
        """
        name = body.get("model")
        if not tasks:
            return Model("", (), {})
        if not isinstance(name, str):
            raise Refused(bad_parameter("model: a text is required"))
        model = self.all.get(name)
        if model is None or not set(tasks) & set(model.tasks):
            raise Refused(named_response("model-400"))
        return model

    def check(self, model: Model, request: str, body: Mapping[str, Any]) -> None:
        """Raise Refused when a request breaks a rule of `requests.json`, or else of its model."""
        rules = read_table("requests")[request] if request else model.schema
        check_body({"$defs": self.fields, **rules}, body)

    def images_in(self, model: Model, body: Mapping[str, Any]) -> list[str]:
        """Return the fields of a request that carry images, in the order they were sent.

        A model that was added says nothing of its fields: there, a field counts when another model
        takes an image under that name, or when it holds a data URL.
        """
        declared, found = model.schema.get("properties", {}), []
        for name, value in body.items():
            known = name in self.image_fields and IMAGE.fullmatch(str(value))
            if name in declared:
                known = declared[name] == IMAGE_FIELD
            if known or (name not in declared and str(value).startswith("data:image/")):
                found.append(name)
        return found


@dataclass(frozen=True)
class Call:
    """A request that keeps the rules: what an endpoint is handed."""

    state: State
    trace_id: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    model: Model


@dataclass(frozen=True)
class Result:
    """What an endpoint made of a request."""

    reply: Callable[[float], Reply]
    """Writes the reply, given the seconds that the request took."""
    usage: Usage = Usage()
    work: Callable[[], object] | None = None
    """Done once the request was let in: before, it may still be refused."""
    stream: bool = False


def count_tokens(text: str) -> int:
    """Return how many tokens a text has."""
    return len(TOKEN.findall(text))


def count_image_tokens(size: tuple[int, int], detail: str = "auto") -> int:
    """Return the tokens of an image: one for each square of 28 pixels."""
    width, height = LOW_DETAIL if detail == "low" else size
    return min(-(-width // PATCH) * -(-height // PATCH), MOST_PIXELS // PATCH**2)
