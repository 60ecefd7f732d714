"""One request of a run: what it asks for, how far it is, and what came of it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..storage.ledger import ResponseMetadata
from ..strings.text import SiliconFlowError, Text
from ..tasks.plan import PlannedRequest

STAGES = 3
"""Encoded, answered, decoded: how far one request can come."""

LINE_SECONDS = 0.5

Origin = Literal["paid", "downloaded", "reused", "joined"]


class RunEnded(Exception):
    """The run ended while a request waited to be sent: nothing was sent."""


@dataclass(frozen=True)
class Result:
    """What one request brought. Its pictures are shared with whoever joined it.

    Of an endpoint that makes no pictures it is the one thing that it makes.
    """

    pictures: Sequence[Any]
    facts: ResponseMetadata
    origin: Origin
    request: str = ""
    """Under which name the ledger keeps the pictures; empty if it does not."""


@dataclass
class Growing:
    """The text of an answer while it comes, for every job that waits for it."""

    text: str = ""


@dataclass
class Job:
    """One request on its way. Only the thread that runs it changes it.

    `ends` tells that nobody waits for it any more: what is not sent yet is not sent then.
    `kept` tells whether the ledger keeps what comes. `reserved` counts the pictures that the
    spending guard holds for it. `in_line` is set when the job asks the rate limit's gate for its
    turn, `before` is that of the job that should have asked already. `show` is told of each
    picture. `began_at` is when its run began, by the wall's clock; `started` when it was its turn.
    `growing` has the text that came so far of an answer that grows: a job that joins another has
    that of the other.
    """

    ask: PlannedRequest
    ends: threading.Event
    stage: int = 0
    results: list[Result] = field(default_factory=list)
    error: SiliconFlowError | None = None
    notes: list[Text] = field(default_factory=list)
    waits_for: Text | None = None
    waits_until: float = 0.0
    is_sent: bool = False
    begun: bool = False
    kept: bool = True
    reserved: int = 0
    before: threading.Event | None = None
    in_line: threading.Event = field(default_factory=threading.Event)
    show: Callable[[Any], None] | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began_at: float = field(default_factory=time.time)
    started: float = 0.0
    growing: Growing = field(default_factory=Growing)

    def begin(self) -> None:
        """Start the clock."""
        self.begun, self.started = True, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started if self.begun else 0.0

    def arrived(self, picture: Any) -> None:
        """Show a picture, before the rest of the run is there; called in any thread."""
        if self.show:
            self.show(picture)

    def wait(self, why: Text, seconds: float) -> None:
        """Show that the request waits, and for how long; raises `RunEnded` when the run ended."""
        self.waits_for, self.waits_until = why, time.monotonic() + seconds
        if self.ends.is_set():
            raise RunEnded

    def sleep(self, why: Text, seconds: float) -> None:
        """Wait before the request is sent; raises `RunEnded` as soon as the run ended."""
        self.wait(why, seconds)
        if self.ends.wait(seconds):
            raise RunEnded
        self.go_on()

    def line_up(self) -> None:
        """Let the job before this one go first, unless that takes it long: fuller requests do."""
        if self.before:
            self.before.wait(LINE_SECONDS)
        self.in_line.set()

    def go_on(self) -> None:
        """Show that the request waits no more."""
        self.waits_for = None

    def hear(self, text: str) -> None:
        """Keep the text of an answer while it grows."""
        self.growing.text = text

    def join(self, growing: Growing) -> None:
        """Hear from now on what another job hears."""
        self.growing = growing

    @property
    def heard(self) -> str:
        """Give the text that came so far."""
        return self.growing.text

    def note(self, text: Text) -> None:
        """Keep something that the user should know although the run goes on; once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def pictures(self) -> list[Any]:
        """Give all pictures that came."""
        return [picture for result in self.results for picture in result.pictures]

    @property
    def seeds(self) -> list[int]:
        """Give the seed of each picture: the service's own, else the one that was asked for."""
        return [
            self.ask.seed if result.facts.seed is None else result.facts.seed
            for result in self.results
            for _ in result.pictures
        ]
