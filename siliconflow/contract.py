"""What the pack expects of the service: the rows of `contract.json`, each with what differs.

A row says what is requested and what should come, since when that is believed, where it was read,
and which files of the pack depend on it. Its `cost` says why it is sure to cost nothing, or that
it is paid; the file explains each kind.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..strings.text import Text, text
from . import catalogue
from .catalogue import Model, Site
from .client import Client, JsonResponse, StreamResponse
from .errors import (
    ConnectionLost,
    Forbidden,
    InvalidKey,
    Overloaded,
    RateLimited,
    RequestError,
    ServerError,
)
from .http.bodies import TRACE_HEADER, File
from .http.server_sent_events import iter_events
from .resources.chat import DONE

PAID, FREE_MODEL, WRONG_KEY = "paid", "free_model", "wrong_key"
_FILE = Path(__file__).with_name("contract.json")
_NOBODY_S_KEY = "sk-not-a-key"
_RATE = 16000
_TYPES: dict[str, type | tuple[type, ...]] = {"text": str, "number": (int, float)}
_SAYS_NOTHING = (
    ConnectionLost,
    Forbidden,
    InvalidKey,
    Overloaded,
    RateLimited,
    ServerError,
)
"""Errors that tell of the moment, the network or the account, not of what the service expects."""


@dataclass(frozen=True)
class Row:
    """One expectation.

    `expect` holds the `status` and, where they matter, `code`, `words` of which the message has
    one, `trace_id` (the answer has one), the `shape` of the JSON (see `_lack`), `all_living` (every
    living model of the site is in the list) and `tasks` (whatever is in the list is a living model
    of one of them). With `silence`, so many seconds of it go along as a file.
    """

    method: Literal["GET", "POST"]
    path: str
    expect: Mapping[str, Any]
    since: str
    source: str
    used_by: tuple[str, ...]
    cost: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    silence: int = 0
    sites: tuple[Site, ...] = ("cn", "com")

    @property
    def request(self) -> str:
        """The request on one line: its values, and how many items each of its lists has."""
        values = {**self.query, **self.body}
        shown = (
            f"{name}[{len(value)}]" if isinstance(value, list) else f"{name}={value}"
            for name, value in values.items()
        )
        return " ".join((self.method, f"/{self.path}", *shown))

    @property
    def model(self) -> str:
        """The model that the request names."""
        return str(self.body.get("model", ""))


@dataclass(frozen=True)
class Answer:
    """What came: the JSON of a success, or the code and the message of an error."""

    status: int
    code: int | None = None
    message: str = ""
    data: Any = None
    trace_id: str = ""


def rows(site: Site, *, paid: bool = False) -> Iterator[Row]:
    """Yield what is expected of a site; what costs money only if `paid`, and then last."""
    entries = json.loads(_FILE.read_text(encoding="utf-8"))["rows"]
    listed = [Row(**{**entry, "used_by": tuple(entry["used_by"])}) for entry in entries]
    for row in sorted(listed, key=lambda row: row.cost == PAID):
        is_sent = paid or row.cost != PAID
        if row.cost == FREE_MODEL:
            is_sent = catalogue.load().find(row.model, site).is_free(site)
        if site in row.sites and is_sent:
            yield row


def ask(client: Client, row: Row) -> Answer:
    """Send the request of a row, once.

    Raises a `RequestError` where no answer came, or one that tells nothing of the contract: a
    network that failed, a rate limit, an overloaded service, an account that may not ask.
    """
    try:
        response = _send(client, row)
        return Answer(200, data=response.data, trace_id=response.trace_id)
    except RequestError as error:
        failure = error.failure
        is_expected = failure.status == row.expect["status"]
        if failure.status is None or (isinstance(error, _SAYS_NOTHING) and not is_expected):
            raise
        message = str(failure.message)
        return Answer(failure.status, failure.code, message, trace_id=failure.trace_id)


def differences(row: Row, answer: Answer, site: Site) -> list[Text]:
    """Return what of an answer is not as expected, a sentence each; none if all is."""
    expect = row.expect
    words = expect.get("words", [])
    is_as_expected = (
        answer.status == expect["status"]
        and answer.code == expect.get("code", answer.code)
        and (not words or any(word in answer.message.lower() for word in words))
    )
    if not is_as_expected:
        expected = _line(expect["status"], expect.get("code"), " / ".join(words))
        came = _line(answer.status, answer.code, answer.message)
        return [text("contract.answer", expected=expected, came=came)]
    if lack := _lack(answer.data, expect["shape"]) if "shape" in expect else "":
        shape = json.dumps(expect["shape"])
        return [text("contract.shape", place=lack, shape=shape)]
    if expect.get("trace_id") and not answer.trace_id:
        return [text("contract.trace_id", header=TRACE_HEADER)]
    return [*_missing_models(row, answer, site), *_other_models(row, answer, site)]


def _send(client: Client, row: Row) -> JsonResponse:
    if row.cost == WRONG_KEY:
        client = Client(_NOBODY_S_KEY, client.base_url)
    if row.method == "GET":
        return client.get(row.path, row.query)
    if row.silence:
        return client.post_form(row.path, {**row.body, "file": _silence(row.silence)})
    if row.body.get("stream"):
        return _first_and_last(client, row)
    return client.post(row.path, row.body)


def _first_and_last(client: Client, row: Row) -> JsonResponse:
    """Return the first and the last event of a stream; no JSON if the answer is no stream."""
    events: list[str] = []
    trace_ids: list[str] = []

    def take(stream: StreamResponse) -> None:
        trace_ids.append(stream.trace_id)
        events.extend(iter_events(stream.chunks, DONE))

    seconds = client.post_for_stream(row.path, row.body, take)
    try:
        chunks = [json.loads(event) for event in events if event.strip() != DONE]
        ends = {"first": chunks[0], "last": chunks[-1]}
    except (ValueError, IndexError):
        ends = None
    return JsonResponse(ends, trace_ids[0], seconds)


def _silence(seconds: int) -> File:
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setparams((1, 2, _RATE, 0, "NONE", ""))
        sound.writeframes(bytes(2 * _RATE * seconds))
    return File("silence.wav", "audio/wav", content.getvalue())


def _line(status: int, code: int | None, words: str) -> str:
    return " · ".join(filter(None, (f"HTTP {status}", str(code or ""), words)))


def _lack(data: Any, shape: Any, place: str = "$") -> str:
    """Return the first place in which JSON is not of a shape; empty if it is.

    An object has at least the names of its shape, a list at least one item, each of the shape
    (`[]` is any list); `text` and `number` stand for themselves.
    """
    if isinstance(shape, str):
        return "" if isinstance(data, _TYPES[shape]) else place
    if not isinstance(data, type(shape)) or (isinstance(shape, list) and shape and not data):
        return place
    parts = (
        [(data.get(name), part, f"{place}.{name}") for name, part in shape.items()]
        if isinstance(shape, dict)
        else [(item, shape[0], f"{place}[{at}]") for at, item in enumerate(data) if shape]
    )
    return next(filter(None, (_lack(*part) for part in parts)), "")


def _living(site: Site) -> list[Model]:
    models = catalogue.load().models
    return [model for model in models if model.site == site and not model.is_retired]


def _ids(answer: Answer) -> list[str]:
    """Return the ids of a list of models, without what a terminal would obey."""
    ids = (entry["id"] for entry in answer.data["data"])
    return [model_id for model_id in ids if model_id.isprintable()]


def _missing_models(row: Row, answer: Answer, site: Site) -> Iterator[Text]:
    """Yield the living models of the catalogue that the list lacks."""
    if row.expect.get("all_living"):
        listed = _ids(answer)
        for model in _living(site):
            if model.id not in listed:
                yield text("contract.missing", model=model.id)


def _other_models(row: Row, answer: Answer, site: Site) -> Iterator[Text]:
    """Yield the models of the list that the catalogue has not as living ones of these tasks.

    Of a site of which it has none of a task, the catalogue says nothing.
    """
    tasks = set(row.expect.get("tasks", ()))
    of_tasks = {model.id for model in _living(site) if tasks & set(model.tasks)}
    for model_id in _ids(answer) if of_tasks else ():
        if model_id not in of_tasks:
            yield _other_model(catalogue.load().find(model_id, site), site)


def _other_model(model: Model, site: Site) -> Text:
    if model.site != site:
        return text("contract.unlisted", model=model.id)
    if model.is_retired:
        return text("contract.retired", model=model.id, day=model.retired or model.retired_by)
    return text("contract.other_task", model=model.id, tasks=", ".join(model.tasks))
