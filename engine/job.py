"""The requests of a run: planned, under way as jobs, and over, with their results."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..comfyui import host
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model
from ..siliconflow.errors import BadRequest, Failure, GuardStopped, Unusable
from ..storage.database import LedgerError
from ..storage.ledger import LedgerEntry, ResponseMetadata
from ..storage.spend_book import Spend
from ..strings.text import SiliconFlowError, Text, text
from .endpoint import Endpoint

if TYPE_CHECKING:
    import torch

ANY_SEED = -1
"""The seed of an input that asks for another one in each run."""
STAGES = 3
"""Encoded, answered, decoded: how far one request can come."""
LINE_SECONDS = 0.5
Origin = Literal["paid", "downloaded", "reused", "joined"]


logger = logging.getLogger("siliconflow")


class RunEnded(Exception):
    """The run ended while a request waited to be sent: nothing was sent."""


@dataclass(frozen=True)
class PlannedRequest:
    """One request: `count` items from input frame `frame`, and its body without images.

    `label` says what is asked for where the body has no words for it. Earlier versions of the pack
    sent `former_frame` for the same: a result that is saved for that is used, and it is never sent.
    Nor is one with `first_names`, under which it and its parts were sent when the prompt ran first.
    """

    frame: int
    count: int
    seed: int
    body: Mapping[str, Any]
    label: Text | None = None
    former_frame: int | None = None
    first_names: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[int, int]:
        """The frame, and how many items are asked for: what must be alike in two runs."""
        return self.frame, self.count

    @property
    def former(self) -> PlannedRequest | None:
        """The request as earlier versions sent it, if that was another one."""
        return None if self.former_frame is None else replace(self, frame=self.former_frame)

    @property
    def is_former(self) -> bool:
        """Whether this is a request as earlier versions sent it."""
        return self.frame == self.former_frame

    @property
    def summary(self) -> str:
        """The first words of the body, for the job list: never an image."""
        words = (self.body.get(name) for name in ("prompt", "input", "query", "text"))
        first = next(filter(None, words), None) or self.label or _last_message(self.body)
        first = first[0] if isinstance(first, list) else first
        return str(first.get("text", "[image]") if isinstance(first, Mapping) else first)

    def split(self) -> tuple[PlannedRequest, PlannedRequest]:
        """Return two requests that together ask for the same images."""
        half = self.count // 2
        names = self.first_names  # of n images and their parts there are 2n - 1
        first = self._part(0, half, names[1 : 2 * half])
        return first, self._part(half, self.count - half, names[2 * half :])

    def _part(self, start: int, count: int, names: tuple[str, ...]) -> PlannedRequest:
        seed = next_seed(self.seed, start)
        body = {**self.body, "batch_size": count, "seed": seed}
        return replace(self, count=count, seed=seed, body=body, first_names=names)


@dataclass(frozen=True)
class ImageLimits:
    """What bounds the images of a request for a model that only looks at them; 0: nothing does.

    An image has from `least_pixels` to `pixels`, and sides that are multiples of `step` if it is
    scaled. All images of a request have `request_bytes` as data URLs.
    """

    pixels: int = 0
    least_pixels: int = 0
    step: int = 1
    request_bytes: int = 0


Mend = Callable[[BadRequest, Mapping[str, Any]], tuple[Mapping[str, Any], Text] | None]


class Frames(Protocol):
    """The frames `[H,W,C]` of an input: an IMAGE, a list, or what makes each when it is needed."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, number: int, /) -> torch.Tensor:
        """Return a frame."""


@dataclass(frozen=True)
class Plan:
    """One run of a node: its requests, and what goes with them.

    `images` holds, by wire name, the frames that are sent there, `input_names` the input of theirs,
    and `first_frames` the number of its first frame in that input, where that is not 0. With
    `image_limits` images are sent lossy. `headers` go with each request, and are part of what makes
    it the same as another. `once` holds, by a name that is stored, what an account is told with its
    first new result, and never again. `mend` makes of the body of a refused request, which is not
    charged, one to send once in its place, with a note; `None` if it knows none.
    """

    model: Model
    requests: tuple[PlannedRequest, ...]
    endpoint: Endpoint
    images: Mapping[str, Frames] = field(default_factory=dict)
    input_names: Mapping[str, str] = field(default_factory=dict)
    first_frames: Mapping[str, int] = field(default_factory=dict)
    image_limits: ImageLimits | None = None
    not_sent: Sequence[str] = ()
    notes: Sequence[Text] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    once: Mapping[str, Text] = field(default_factory=dict)
    mend: Mend | None = None


def plan_of_bodies(
    model: Model,
    bodies: Sequence[Mapping[str, Any]],
    endpoint: Endpoint,
    not_sent: Sequence[str] = (),
    notes: Sequence[Text] = (),
) -> Plan:
    """Return the plan of requests for one item each, whose bodies are complete."""
    requests = (
        PlannedRequest(place, 1, int(body.get("seed", 0)), body)
        for place, body in enumerate(bodies)
    )
    return Plan(model, tuple(requests), endpoint, not_sent=not_sent, notes=notes)


def next_seed(seed: int, images: int) -> int:
    """Return the seed of the request that comes after so many images, within the API's range."""
    return (seed + images) % (int(catalogue.load().inputs["seed"].maximum or 0) + 1)


def draw_seed(node_id: str = "") -> int:
    """Return any seed for the running node, or for another one of its prompt.

    It is the same when the prompt is queued again for results that were made in the background.
    """
    seeds, name = next_seed(-1, 0) + 1, host.call_name(node_id)
    if not name:
        return secrets.randbelow(seeds)
    return int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") % seeds


def with_usable_seed(inputs: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Text]]:
    """Return the inputs with a seed that the service takes, and a note if it is another one.

    -1 is another seed each time; any other integer is folded into the range, so that none refuses
    a run. Raises `InvalidInput` for what is no integer.
    """
    if "seed" not in inputs:
        return inputs, []
    seed = inputs["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int):
        seed = int(catalogue.load().inputs["seed"].check(seed))
    used = draw_seed() if seed == ANY_SEED else next_seed(seed, 0)
    key = "run.seed_drawn" if seed == ANY_SEED else "run.seed_folded"
    notes = [] if used == seed else [text(key, seed=seed, used=used)]
    return {**inputs, "seed": used}, notes


def _last_message(body: Mapping[str, Any]) -> str:
    """Return the words of the last message of a conversation."""
    content = (body.get("messages") or [{"content": ""}])[-1]["content"]
    return content if isinstance(content, str) else str(content[-1].get("text", ""))


@dataclass(frozen=True)
class Result:
    """What one request brought. Its items are shared with whoever joined the request.

    `request_id` is the name under which the ledger keeps them; empty if it does not. `cost` is
    what was paid for them now, `None` if the price is not known, and at most if it `is_estimate`;
    `price` is what they cost when the request was sent, at `sent_at` by the wall clock, whoever
    paid. `frame` is that of the request.
    """

    items: Sequence[Any]
    count: int
    metadata: ResponseMetadata
    origin: Origin
    request_id: str = ""
    cost: Decimal | None = Decimal(0)
    frame: int = 0
    is_estimate: bool = False
    price: Decimal | None = None
    sent_at: float = 0.0


@dataclass
class GrowingText:
    """The text of a response while it comes, for every job that waits for it.

    Of a submitted request, `doing` is what the service does about it, as its polls say, and
    `usual_seconds` how long such a one mostly takes here, if that is known.
    """

    text: str = ""
    doing: Text | None = None
    usual_seconds: float | None = None


@dataclass
class Job:
    """One request under way. Only the thread that runs it changes it.

    `ends` is set when nobody waits for the job any more: what is not sent yet is not sent then.
    `is_saved` is false once the ledger failed: what comes is not saved. Unless it `may_send`, it
    finds what is saved or under way, and no more; so it does where the same was sent after
    `not_again_since`, and may have been charged. One that `sends_unpaid` sends what was planned
    before, and surely never charged. What was sent after `made_since` was made in the background
    of its prompt: for it if it `owns` the request of such an id.
    `in_background`: it waits for its turn as long as that takes, behind those that somebody looks
    at, unless it `is_looked_at`, since another job joined it. `may_pay` counts the items that the
    spending guard has let it pay for, and counts as of an auto-run by `counted_as`; `judge` asks it
    about others. `reserved` counts the images that it holds for the job; with `holds_cost` it holds
    money, too. `name` is that of its last request in the ledger. `in_line` is set when the job asks
    the rate limiter for its turn, `before` is that of the job that should ask first. `show` is
    called with the place of each item in the job, and the item. `queued_at` is when its run began,
    by the wall clock; `started_at` when its turn came. `is_sent`: a request is at the service now;
    `was_sent`: one may have been, ever; `sent_at`: when the last one left, by the wall clock;
    `unrecorded`: what it costs, which the ledger could not record.
    """

    request: PlannedRequest
    ends: threading.Event
    stage: int = 0
    results: list[Result] = field(default_factory=list)
    error: SiliconFlowError | None = None
    notes: list[Text] = field(default_factory=list)
    waits_for: Text | None = None
    waits_until: float = 0.0
    is_sent: bool = False
    was_sent: bool = False
    sent_at: float = 0.0
    unrecorded: Spend | None = None
    is_started: bool = False
    is_saved: bool = True
    may_pay: int = 0
    counted_as: str = ""
    judge: Callable[[Job, PlannedRequest], None] | None = None
    may_send: bool = True
    sends_unpaid: bool = False
    not_again_since: float = math.inf
    made_since: float = math.inf
    owns: Callable[[str], bool] = lambda _: True
    in_background: bool = False
    is_looked_at: bool = False
    reserved: int = 0
    holds_cost: bool = False
    name: str = ""
    before: threading.Event | None = None
    in_line: threading.Event = field(default_factory=threading.Event)
    show: Callable[[int, Any], None] | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    queued_at: float = field(default_factory=time.time)
    started_at: float = 0.0
    growing: GrowingText = field(default_factory=GrowingText)
    """How far the response is; a job that joins another has that of the other."""

    def start(self) -> None:
        """Start the clock."""
        self.is_started, self.started_at = True, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it started."""
        return time.monotonic() - self.started_at if self.is_started else 0.0

    def wait(self, reason: Text, seconds: float) -> None:
        """Show that the request waits, and for how long. Raises `RunEnded` when the run ended."""
        if reason != self.waits_for:
            logger.debug("%s, for %.1f s", reason[0], seconds)
        self.waits_for, self.waits_until = reason, time.monotonic() + seconds
        if self.ends.is_set():
            raise RunEnded

    def sleep(self, reason: Text, seconds: float) -> None:
        """Wait before the request is sent. Raises `RunEnded` as soon as the run ended."""
        self.wait(reason, seconds)
        if self.ends.wait(seconds):
            raise RunEnded
        self.waits_for = None

    def line_up(self) -> None:
        """Let the job before this one ask first, unless that takes it long: full requests do."""
        if self.before:
            self.before.wait(LINE_SECONDS)
        self.in_line.set()

    def hear(self, growing: str) -> None:
        """Keep the text of a response while it grows."""
        self.growing.text = growing

    def join(self, growing: GrowingText) -> None:
        """Follow the growing text of another job."""
        self.growing = growing

    def show_item(self, place: int, item: Any) -> None:
        """Show an item of the result that comes next, in whichever order its items come."""
        if self.show:
            self.show(len(self.items) + place, item)

    def note(self, line: Text) -> None:
        """Keep something that the user should know although the run goes on; once."""
        if line not in self.notes:
            self.notes.append(line)

    def record(self, change: Callable[..., object], entry: LedgerEntry | None, *args: Any) -> None:
        """Change the entry of this request in the ledger, if it has one.

        A ledger that fails keeps no result from the user: the job notes that it is not saved.
        """
        if entry is not None:
            try:
                change(entry, *args)
            except LedgerError as error:
                self.ledger_failed(error)

    def ledger_failed_before_sending(self, error: LedgerError) -> None:
        """Note that what comes is not saved.

        Raises `GuardStopped` where a budget would not know of it either, and in the background,
        which takes what is not recorded as sent for unpaid after a restart.
        """
        if self.holds_cost:
            raise GuardStopped(text("run.spending_unreadable", reason=error.text), "daily_budget")
        if self.in_background:
            raise GuardStopped(text("run.background_unrecorded", reason=error.text), "background")
        self.ledger_failed(error)

    def ledger_failed(self, error: LedgerError) -> None:
        """Note that what comes is not saved."""
        self.is_saved = False
        self.note(text("run.not_saved", reason=error.text))

    @property
    def items(self) -> list[Any]:
        """Every item that came, in the order of the requests."""
        return [item for result in self.results for item in result.items]

    def was_made_before(self, result: Result) -> bool:
        """Return whether a result was paid for already, in the background for the same prompt.

        The first job that asks has it: no other one's node says so, too.
        """
        is_before = result.origin != "paid" and result.sent_at >= self.made_since
        return is_before and self.owns(result.request_id)

    @property
    def seeds(self) -> list[int]:
        """The seed of each item: the service's, else the one that was sent."""
        return [
            self.request.seed if result.metadata.seed is None else result.metadata.seed
            for result in self.results
            for _ in range(result.count)
        ]

    def drop_items(self) -> None:
        """Let go of the items, so that each leaves memory once it is copied."""
        self.results[:] = [replace(result, items=()) for result in self.results]


@dataclass(frozen=True)
class Results:
    """What a run brought, none of whose requests failed."""

    plan: Plan
    jobs: Sequence[Job]
    seconds: float
    uploads: Sequence[Mapping[str, Any]] = ()
    prices: Mapping[str, str] = field(default_factory=dict)
    """Currency of the costs, and as of when the prices are."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The ids of the prompt, and of the one that was left for the background before it."""

    @property
    def items(self) -> list[Any]:
        """What each request brought, in the order of the requests."""
        return [item for job in self.jobs for item in job.items]

    def note(self, line: Text) -> None:
        """Add a note for the user, on the node and in `info`."""
        self.jobs[0].note(line)

    def unusable(self, message: Text) -> Unusable:
        """Return the error of results that the node can make nothing of."""
        trace_id = self.jobs[0].results[0].metadata.trace_id
        return Unusable(Failure(message, 200, model=self.plan.model.id, trace_id=trace_id))

    def info(self, **own: Any) -> str:
        """Return the node's `info`: JSON for people and for nodes that read text."""
        notes = dict.fromkeys(str(note) for job in self.jobs for note in job.notes)
        costs = [result.cost for job in self.jobs for result in job.results]
        is_estimate = any(result.is_estimate for job in self.jobs for result in job.results)
        estimate = {"is_estimate": True} if is_estimate else {}
        return as_json(
            {
                "model": self.plan.model.id,
                "seconds": round(self.seconds, 2),
                "cost": {"amount": _cost_text(costs), **self.prices, **estimate},
                **own,
                "requests": [
                    {
                        "trace_id": result.metadata.trace_id,
                        "came": result.count,
                        "seconds": round(result.metadata.seconds, 2),
                        "inference": result.metadata.inference,
                        "origin": result.origin,
                        "cost": _cost_text([result.cost]),
                        **(
                            {"paid_in_background": _cost_text([result.price])}
                            if job.was_made_before(result)
                            else {}
                        ),
                    }
                    for job in self.jobs
                    for result in job.results
                ],
                "not_sent": list(self.plan.not_sent),
                "notes": list(notes),
                **({"background": self.prompts} if self.prompts else {}),
            }
        )


def _cost_text(costs: Sequence[Decimal | None]) -> str | None:
    """Return costs together as text without an exponent; `None` if one of them is not known."""
    known = [cost for cost in costs if cost is not None]
    return f"{sum(known, Decimal(0)):f}" if len(known) == len(costs) else None


def as_json(value: Mapping[str, Any]) -> str:
    """Return JSON that people can read."""
    return json.dumps(value, ensure_ascii=False, indent=2)
