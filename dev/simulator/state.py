"""What one simulator knows: its account and rate limits, its settings, and the requests so far.

A simulator is such a state that is served over HTTP; `change` and `describe` are what
`/_simulator/state` does with it, by the rules of `data/state.json`.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

from jsonschema import Draft202012Validator
from PIL import Image

from . import responses
from .audio import Spoken
from .models import IMAGE_TASKS, Day, Model, Models, Usage, read_table
from .responses import AFTER, Broken, Fault, Kind, Place, Refused, Response, named_response
from .schemas import Upload, check_schema

if TYPE_CHECKING:
    from .video import Clip

Value = TypeVar("Value")
Money = Decimal | str | float
PerModel = float | Mapping[str, float]
Form = Literal["url", "b64_json", "data_url"]
Removed = Literal["refuse", "ignore"]

MINUTE, HOUR = 60.0, 3600.0
REMEMBERED = 200
SETTINGS: dict[str, Any] = read_table("state")["settings"]
CHANGES: dict[str, Any] = {
    "type": "object",
    "properties": {**SETTINGS, **read_table("state")["actions"]},
    "additionalProperties": False,
}


class Setting(Generic[Value]):
    """An attribute that must keep its rule of `data/state.json` whenever it is set."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Note the attribute's name."""
        self.name = name

    def __get__(self, owner: object, kind: type) -> Value:
        """Return the value."""
        value: Value = vars(owner)[self.name]
        return value

    def __set__(self, owner: object, value: Any) -> None:
        """Set the value; ValueError says what is wrong with it. Money becomes a Decimal."""
        value = f"{value:f}" if isinstance(value, Decimal) else value
        value = list(value) if isinstance(value, tuple) else value
        rule = SETTINGS[self.name]
        for error in Draft202012Validator(rule).iter_errors(value):
            raise ValueError(f"{self.name}: {error.message}")
        if value is not None and "pattern" in str(rule):
            value = Decimal(str(value))
        vars(owner)[self.name] = tuple(value) if isinstance(value, list) else value


@dataclass
class Record:
    """One request. It is listed when it arrives; `status` is None until it is answered.

    Status 0 stands for a connection that was closed without a response. A request is not
    `delivered` when the client hung up before that: it is charged all the same. `with_key` tells
    whether an Authorization header came along, `watermark_off` whether `X-Enable-Watermark: 0`
    did. `refusal` is the start of the body of an error.
    """

    time: float
    method: str
    path: str
    trace_id: str
    model: str | None = None
    status: int | None = None
    body: Any = None
    pictures: int = 0
    tokens: int = 0
    charged: Decimal = Decimal(0)
    delivered: bool = True
    with_key: bool = False
    watermark_off: bool = False
    refusal: str = ""


class Charge(NamedTuple):
    """Money taken for what was made."""

    trace_id: str
    model: str
    pictures: int
    amount: Decimal


def for_model(setting: PerModel | None, model: str, kind: str = "") -> float | None:
    """Return a setting that is one number, or a number per model or kind; `*` is for the rest.

    A kind is what the API calls a sub type: `chat`, `embedding`, `text-to-image`, ...
    """
    if isinstance(setting, Mapping):
        return setting.get(model, setting.get(kind, setting.get("*")))
    return setting


class State:
    """Everything that one simulator knows.

    `answer` is how an image is given: `url`, `b64_json`, or `data_url` (a data URL as its url).
    `answer_lists` and `voice_lists` are the names under which images and voices are listed, none
    of them, or several. Without a `price` or `call_price` each model has its own. `echoes`: a
    result is the first image that was sent, at the size that the model works at. `clips_at_once`
    are made at a time; with a `clip_failure` one that is submitted fails so, and costs nothing.
    """

    balance = Setting[Decimal]()
    price = Setting["Decimal | None"]()
    call_price = Setting["Decimal | None"]()
    ipm = Setting["PerModel | None"]()
    rpm = Setting["PerModel | None"]()
    tpm = Setting["PerModel | None"]()
    latency = Setting["PerModel"]()
    answer = Setting["Form"]()
    answer_lists = Setting["tuple[str, ...]"]()
    voice_lists = Setting["tuple[str, ...]"]()
    removed_fields = Setting["Removed"]()
    clip_seconds = Setting["PerModel"]()
    clips_at_once = Setting["int"]()
    clip_failure = Setting["str | None"]()

    def __init__(self, key: str, day: Day, clock: Callable[[], float]) -> None:
        """Begin with the defaults of a day."""
        self.key, self.day, self.clock, self.origin = key, day, clock, ""
        self.reported = day.has("bodies-as-reported")
        self.answer, self.echoes = "url", False
        self.answer_lists = ("images", "data") if self.reported else ("images",)
        # The owner's documentation says `results`; every client that was seen to work, `result`.
        self.voice_lists = ("result",)
        self.clip_seconds, self.clips_at_once, self.clip_failure = 0.0, 2, None
        self.clips: dict[str, Clip] = {}
        """The clips by their requestId, also those that failed, or are gone by now."""
        self.models = Models(day)
        self.requests: list[Record] = []
        self.charges: list[Charge] = []
        self.faults: list[Fault] = []
        self.uploaded: dict[str, dict[str, str]] = {}
        """The uploaded voices by their uri: model, customName, text and uri of each."""
        self.spoken: deque[Spoken] = deque(maxlen=REMEMBERED)
        self._images: dict[str, tuple[float, Response]] = {}
        self._held = Decimal(0)
        self._windows: defaultdict[tuple[str, str], deque[tuple[float, int]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def admit(self, trace_id: str, model: Model, kind: str, usage: Usage) -> Charge:
        """Let a request in and set its money aside until it is done, or fails.

        Raise Refused without enough money, or above a rate limit.
        """
        flat = self.price if usage.images else self.call_price
        amount = model.cost(usage, self.clock())
        if flat is not None:
            amount = flat * max(1, usage.images)
        with self._lock:
            left = self.balance - self._held
            # With a balance of 0 or less, free models are refused too.
            if left < amount or (self.reported and left <= 0):
                name = "balance-402" if self.day.site == "com" else "balance-403"
                raise Refused(named_response(name if self.reported else "forbidden-403"))
            self._count(model.name, kind, usage)
            self._held += amount
        return Charge(trace_id, model.name, usage.images, amount)

    def _count(self, model: str, kind: str, usage: Usage) -> None:
        """Count a request against its limits: images have one of their own."""
        counts = {"ipm": usage.images} if usage.images else {"rpm": 1, "tpm": usage.tokens}
        now = self.clock()
        for name, count in counts.items():
            window = self._windows[name, model]
            while window and window[0][0] <= now - MINUTE:
                window.popleft()
            limit = for_model(getattr(self, name), model, kind)
            if limit is not None and sum(each for _, each in window) + count > limit:
                raise Refused(responses.rate_limited(name.upper(), coded=self.reported))
        for name, count in counts.items():
            self._windows[name, model].append((now, count))

    def settle(self, charge: Charge, *, made: bool) -> None:
        """Take the money for what was made; give back that for what was never made."""
        with self._lock:
            self._held -= charge.amount
            if made:
                self.balance -= charge.amount
                self.charges.append(charge)

    @property
    def generations(self) -> list[Record]:
        """Return the requests for images so far."""
        return [record for record in self.requests if record.path.endswith("/generations")]

    @property
    def voices(self) -> list[dict[str, str]]:
        """Return the voices that were uploaded, in the order they came."""
        return list(self.uploaded.values())

    def publish(self, name: str, content: bytes, media_type: str) -> str:
        """Return the URL of an image, good for an hour; forget images whose hour is long over."""
        now = self.clock()
        with self._lock:
            recent = {each: entry for each, entry in self._images.items() if now <= entry[0] + HOUR}
            self._images = {**recent, name: (now + HOUR, Response(200, content, media_type))}
        return f"{self.origin}/pictures/{name}"

    def published(self, name: str) -> Response:
        """Return an image; raise Refused: 403 once its hour is over, 404 for an unknown name."""
        end, response = self._images.get(name, (0.0, Response(404, b"No such image", "text/plain")))
        if response.status == 200 and self.clock() >= end:
            response = Response(403, b"This URL has expired", "text/plain")
        if response.status != 200:
            raise Refused(response)
        return response

    def fail(  # noqa: PLR0913 - each has a default, and most are given by name
        self,
        status: int | None = None,
        times: int = 1,
        model: str | None = None,
        *,
        body: Any = None,
        kind: Kind | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        made: bool = False,
        on: Place = "generations",
        broken: Broken | None = None,
        after: int = AFTER,
    ) -> None:
        """Let the next `times` valid requests (of one model, if given) end in this error.

        Without `body` and `kind` the response is the one documented for the status, 503 if none is
        given. `body` may be a name of `data/bodies.json`, such as `balance-402`, which brings its
        own status. `kind` says how any other body is sent: `json` (an object, or a text as a bare
        JSON string), `text`, `html`, or `empty`; bytes are sent as they are. `limit` names the
        limit of a 429: RPM, IPD, ... Status 0 closes the connection without a response. With `made`
        the request is done and charged before the error, as may happen with a 504. `on` is the
        endpoint that fails: `generations`, `chat`, ... (`responses.Place` lists them).

        With `broken` the request succeeds, is charged, and its response with status 200 comes out
        wrong on the way; a stream of events does `after` that many events:

        - `cut`: the connection closes in the middle (of an event)
        - `short`: the response ends in the middle as if it were whole
        - `stall`: nothing more comes, and the connection stays open
        - `malformed`: an event is not JSON, and the rest follows; a body is `short`
        - `error`: an event is an error object, and the stream ends; a body is that object alone
        - `undone`: only `[DONE]` is missing
        - `noise`: odd, yet right: comments, other line ends, characters in two pieces; a WAV
          without its length, as one that is made while it is sent
        """
        response = responses.fault_response(status, body, kind, limit, coded=self.reported)
        response.headers.update(headers or {})
        fault = Fault(response, times, model, made or broken is not None, on, broken, after)
        with self._lock:
            self.faults.append(fault)

    def clear_failures(self) -> None:
        """Forget the failures that still wait."""
        with self._lock:
            self.faults.clear()

    def take_fault(self, on: Place, model: str | None = None) -> Fault | None:
        """Return the fault that waits for a request and count it, or None."""
        with self._lock:
            meant = (each for each in self.faults if each.on == on)
            fault = next((each for each in meant if each.model in {None, model}), None)
            if fault:
                fault.times -= 1
                self.faults = [each for each in self.faults if each.times]
        return fault

    def add_model(
        self,
        model: str,
        schema: Mapping[str, Any],
        tasks: tuple[str, ...] = IMAGE_TASKS,
        traits: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve a model newer than the tables; `{"type": "object"}` takes every field.

        `traits` are what the rows of `data/` say of a model: `{"vision": True}`, `{"size": 1024}`.
        """
        self.models.add(model, schema, tasks, traits)

    def describe(self) -> dict[str, Any]:
        """Return the state as JSON."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        charges = [{**each._asdict(), "amount": f"{each.amount:f}"} for each in list(self.charges)]
        requests = [{**vars(each), "charged": f"{each.charged:f}"} for each in list(self.requests)]
        return {
            **{n: str(v) if isinstance(v, Decimal) else v for n, v in settings.items()},
            "as_of": self.day.name,
            "site": self.day.site,
            "voices": self.voices,
            "faults_waiting": sum(fault.times for fault in list(self.faults)),
            "requests": [{**each, "body": describe_value(each["body"])} for each in requests],
            "charges": charges,
        }

    def change(self, changes: Mapping[str, Any]) -> None:
        """Apply changes of `CHANGES`; ValueError names what is wrong, and then nothing changes."""
        for error in Draft202012Validator(CHANGES).iter_errors(changes):
            raise ValueError(f"{error.json_path}: {error.message}")
        added = changes.get("add_model", {})
        added = {
            name: each if "schema" in each else {"schema": each} for name, each in added.items()
        }
        for name, entry in added.items():
            check_schema(name, entry["schema"])
        for name in SETTINGS:
            if name in changes:
                setattr(self, name, changes[name])
        if "clear_failures" in changes:
            self.clear_failures()
        faults = changes.get("fail", [])
        for fault in [faults] if isinstance(faults, Mapping) else faults:
            self.fail(**fault)
        for name, entry in added.items():
            tasks = tuple(entry.get("tasks", IMAGE_TASKS))
            self.add_model(name, entry["schema"], tasks, entry.get("traits"))


def describe_value(value: Any) -> Any:
    """Replace each image's data URL by what it is: `<PNG 640x480, 12345 bytes>`; files too."""
    if isinstance(value, dict):
        return {name: describe_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [describe_value(each) for each in value]
    if isinstance(value, Upload):
        return f"<{value.name}, {value.media_type}, {len(value.content)} bytes>"
    if not (isinstance(value, str) and value.startswith("data:")):
        return value
    head, _, data = value.partition(",")
    try:
        content = base64.b64decode(data, validate=False)
        image = Image.open(io.BytesIO(content))
    except (binascii.Error, OSError, SyntaxError, ValueError):
        return f"<{head[:60]}, {len(data)} characters>"
    return f"<{image.format} {image.width}x{image.height}, {len(content)} bytes>"
