"""One request, all the way: encode, look in the ledger, pace, send, record, download, decode.

All of it runs in a thread. The ledger is told before each step that cannot be taken back; if it
fails, the pictures still reach the graph, with a note.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..media.images import MediaError, decode, tensor_to_data_url
from ..siliconflow import images as api
from ..siliconflow import retries
from ..siliconflow.client import Client
from ..siliconflow.errors import (
    BadAnswer,
    BadPicture,
    Failure,
    NotConnected,
    RateLimited,
    RequestError,
    SiliconFlowError,
    WaitTooLong,
)
from ..siliconflow.ledger import (
    Earlier,
    Entry,
    Facts,
    Kept,
    Ledger,
    LedgerError,
    State,
    account_of,
    fingerprint,
)
from ..siliconflow.pacing import Gate, Sent
from ..siliconflow.settings import Settings
from ..siliconflow.texts import Text
from .flight import Flights
from .job import STAGES, GaveUp, Job, Origin, Result
from .plan import Ask, Plan
from .threads import settle

Kind = TypeVar("Kind")

_GATES: dict[tuple[str, str], Gate] = {}
_GATES_LOCK = threading.Lock()
_FLIGHTS: Flights[Result] = Flights()
_DICE = random.SystemRandom()
_ORIGINS: dict[State, Origin] = {"stored": "reused", "answered": "downloaded"}
_BUSY_SECONDS = 0.3
_LIMIT = Text("rate limit", "速率限制")
_AGAIN = Text("trying again", "正在重试")
_ELSEWHERE = Text("another ComfyUI is at it", "另一个 ComfyUI 正在生成")
_UNKNOWN = Text(
    "An identical request of {time} was sent and its pictures never came: it may have been charged"
    " as well (trace id {trace}).",
    "{time} 曾发送过相同的请求，但没有收到图片：那一次可能也已扣费（trace id {trace}）。",
)
_NO_LEDGER = Text(
    "The ledger cannot be used ({reason}): these pictures are not kept, and the same request would"
    " be paid again.",
    "账本无法使用（{reason}）：这些图片没有留存，再次运行相同内容会重新扣费。",
)
_FEWER = Text("{came} of {asked} pictures came.", "要了 {asked} 张，只收到 {came} 张。")


class TooHeavy(Exception):
    """The rate limit never lets a request for so many pictures pass."""


class DamagedFile(Exception):
    """A stored picture cannot be read any more."""


class DataUrls:
    """The input pictures as data URLs, each frame encoded once however many requests send it."""

    def __init__(self, plan: Plan) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], Future[str]] = {}

    def of_frame(self, frame: int) -> dict[str, str]:
        """Give the pictures that go with input frame `frame`, by wire name."""
        return {
            wire: self._once(wire, min(frame, images.shape[0] - 1))
            for wire, images in self._plan.pictures.items()
        }

    def _once(self, wire: str, frame: int) -> str:
        with self._lock:
            known = self._made.get((wire, frame))
            future = self._made.setdefault((wire, frame), Future())
        if known is None:
            settle(future, partial(self._encoded, wire, frame))
        return future.result()

    def _encoded(self, wire: str, frame: int) -> str:
        return tensor_to_data_url(self._plan.pictures[wire][frame], self._plan.model.upload)


def gate_of(account: str, model: str) -> Gate:
    """Give the gate that all requests of an account for a model pass, of whatever node."""
    with _GATES_LOCK:
        return _GATES.setdefault((account, model), Gate())


class Road:
    """What all requests of one run have in common."""

    def __init__(self, settings: Settings, client: Client, ledger: Ledger, plan: Plan) -> None:
        """Send nothing yet."""
        self.client = client
        self._settings = settings
        self._ledger = ledger
        self._plan = plan
        self._urls = DataUrls(plan)
        self._account = account_of(settings.require_key(), settings.base_url)
        self._most_pixels = int(settings.most_megapixels * 1_000_000)
        self._gate = gate_of(self._account, plan.model.id)

    def take(self, job: Job) -> None:
        """Take a job to its end; what went wrong on purpose is left in `job.error`."""
        try:
            self._obtain(job, job.ask)
            job.stage = STAGES
        except SiliconFlowError as error:
            job.error = error
        except GaveUp:
            pass
        finally:
            job.sent_at = None

    def unpaid(self, jobs: Sequence[Job]) -> int:
        """Count the pictures that would be paid, were the jobs run now."""
        return sum(job.ask.count for job in jobs if not self._is_paid(job))

    def _is_paid(self, job: Job) -> bool:
        if not self._settings.reuse:
            return False
        name = self._name(self._body(job.ask))
        return self._safely(job, partial(self._ledger.look, name), default=False)

    def _obtain(self, job: Job, ask: Ask) -> None:
        """Get the pictures of a request, in two parts where the rate limit asks for it."""
        try:
            job.results.append(self._shared(job, ask))
        except TooHeavy:
            for half in ask.halves():
                self._obtain(job, half)

    def _shared(self, job: Job, ask: Ask) -> Result:
        body = self._body(ask)
        job.stage = max(job.stage, 1)
        name = self._name(body)
        if not self._settings.reuse:
            return self._found_or_sent(job, ask, name, body)
        while True:
            work = partial(self._found_or_sent, job, ask, name, body)
            try:
                result, joined = _FLIGHTS.share(name, work)
            except GaveUp:
                if job.ends.is_set():
                    raise
                continue  # the run that this one joined was cancelled before it sent anything
            return Result(result.pictures, result.facts, "joined") if joined else result

    def _body(self, ask: Ask) -> dict[str, Any]:
        return {**ask.body, **self._urls.of_frame(ask.frame)}

    def _name(self, body: Mapping[str, Any]) -> str:
        return fingerprint(self._account, api.PATH, body)

    def _found_or_sent(self, job: Job, ask: Ask, name: str, body: Mapping[str, Any]) -> Result:
        """Take what the ledger has, else send."""
        entry = self._claim(job, name)
        if entry is None or entry.state == "new":
            return self._paid(job, ask, body, entry)
        try:
            pictures = self._collected(job, entry, entry.facts, entry.pictures)
        except DamagedFile:
            self._safely(job, partial(self._ledger.damaged, entry), default=None)
            return self._found_or_sent(job, ask, name, body)
        return Result(pictures, entry.facts, _ORIGINS[entry.state])

    def _claim(self, job: Job, name: str) -> Entry | None:
        """Ask the ledger; `None` if it cannot be used. Waits while another process is at it."""
        claim = partial(
            self._ledger.claim,
            name,
            self._account,
            self._plan.model.id,
            reuse=self._settings.reuse,
        )
        while True:
            entry = self._safely(job, claim, default=None)
            if entry is None or entry.state != "busy":
                return entry
            job.sleep(_ELSEWHERE, _BUSY_SECONDS)

    def _paid(self, job: Job, ask: Ask, body: Mapping[str, Any], entry: Entry | None) -> Result:
        """Send the request, and tell the ledger what came of it."""
        if entry and entry.earlier:
            job.note(_told_of(entry.earlier))
        try:
            generation = self._sent(job, ask, body)
        except BaseException as error:
            self._record(job, entry, partial(self._failed, paid=_may_be_paid(error)))
            raise
        job.stage = max(job.stage, 2)
        facts = Facts(
            generation.trace_id, generation.seed, generation.inference, generation.seconds
        )
        kept = self._answered(job, entry, facts, generation.sources)
        pictures = self._collected(job, entry, facts, kept)
        if len(pictures) != ask.count:
            job.note(_FEWER.format(came=len(pictures), asked=ask.count))
        return Result(pictures, facts, "paid")

    def _sent(self, job: Job, ask: Ask, body: Mapping[str, Any]) -> api.Generation:
        """Send at the pace of the account, again where that cannot be paid twice."""
        ends = time.monotonic() + self._settings.longest_wait
        last, tries = Failure(model=self._plan.model.id), 0
        while True:
            note = self._gate.enter(ask.count, partial(_wait_for_turn, job, ends, last))
            job.go_on()
            try:
                return self._send_once(job, body, note)
            except RequestError as error:
                tries += 1
                self._before_the_next(job, error, tries, ends)
                last = error.failure

    def _send_once(self, job: Job, body: Mapping[str, Any], note: Sent) -> api.Generation:
        job.sent_at = time.monotonic()
        try:
            generation = api.generate(self.client, body)
        except RateLimited as error:
            if self._gate.refused(note, error.failure.retry_after) and error.sent_again:
                raise TooHeavy from None
            raise
        except NotConnected:
            self._gate.undone(note)
            raise
        finally:
            job.sent_at = None
        self._gate.passed(note)
        return generation

    def _before_the_next(self, job: Job, error: RequestError, tries: int, ends: float) -> None:
        """Wait as long as this error asks for; raises it if it must not be sent again."""
        wait = retries.delay(error, tries, _DICE)
        if wait is None or time.monotonic() + wait > ends:
            raise error
        job.sleep(_AGAIN, wait)

    def _answered(
        self, job: Job, entry: Entry | None, facts: Facts, sources: Sequence[str | bytes]
    ) -> tuple[Kept | bytes, ...]:
        """Record the answer; what came inside it is stored first, for it has no URL."""
        for place, source in enumerate(sources):
            if isinstance(source, bytes):
                self._record(job, entry, partial(self._store, place=place, content=source))
        urls = [source if isinstance(source, str) else None for source in sources]
        self._record(job, entry, lambda known: self._ledger.answered(known, facts, urls))
        return tuple(
            source if isinstance(source, bytes) else Kept(source, None) for source in sources
        )

    def _collected(
        self,
        job: Job,
        entry: Entry | None,
        facts: Facts,
        kept: Sequence[Kept | bytes],
    ) -> list[torch.Tensor]:
        """Decode every picture, after fetching and storing those that are not here yet."""
        pictures = [self._picture(job, entry, facts, *item) for item in enumerate(kept)]
        if entry is None or entry.state != "stored":
            self._record(job, entry, self._ledger.finish)
        return pictures

    def _picture(
        self, job: Job, entry: Entry | None, facts: Facts, place: int, kept: Kept | bytes
    ) -> torch.Tensor:
        if isinstance(kept, bytes):
            return self._decoded(kept, facts, BadAnswer)
        if kept.file:
            return self._stored(kept.file)
        content, picture = self._downloaded(str(kept.url), facts)
        self._record(job, entry, partial(self._store, place=place, content=content))
        return picture

    def _downloaded(self, url: str, facts: Facts) -> tuple[bytes, torch.Tensor]:
        """Fetch a picture and decode it whole; once more from the start if it is damaged."""
        content = self.client.download(url, self._plan.model.id, facts.trace_id)
        try:
            return content, self._decoded(content, facts)
        except BadPicture:
            content = self.client.download(url, self._plan.model.id, facts.trace_id)
            return content, self._decoded(content, facts)

    def _decoded(
        self, content: bytes, facts: Facts, kind: type[RequestError] = BadPicture
    ) -> torch.Tensor:
        try:
            return decode(content, self._most_pixels)
        except MediaError as error:
            said = f"a picture {error.en}"
            failure = Failure(said, model=self._plan.model.id, trace_id=facts.trace_id)
            raise kind(failure) from None

    def _stored(self, file: Path) -> torch.Tensor:
        try:
            return decode(file.read_bytes(), self._most_pixels)
        except (MediaError, OSError):
            raise DamagedFile from None

    def _store(self, entry: Entry, *, place: int, content: bytes) -> None:
        self._ledger.store(entry, place, content)

    def _failed(self, entry: Entry, *, paid: bool) -> None:
        self._ledger.failed(entry, paid=paid)

    def _record(self, job: Job, entry: Entry | None, change: Callable[[Entry], None]) -> None:
        """Tell the ledger, if it knows the request at all."""
        if entry is not None:
            self._safely(job, partial(change, entry), default=None)

    def _safely(self, job: Job, work: Callable[[], Kind], *, default: Kind) -> Kind:
        """Ask the ledger; if it fails, go on without it, and let the user know."""
        try:
            return work()
        except LedgerError as error:
            job.note(_NO_LEDGER.format(reason=error))
            return default


def _wait_for_turn(job: Job, ends: float, last: Failure, seconds: float) -> None:
    if time.monotonic() + seconds > ends:
        raise WaitTooLong(last)
    job.wait(_LIMIT, seconds)


def _may_be_paid(error: BaseException) -> bool:
    """Tell whether a request that ended so may have been charged; what is unforeseen may have."""
    if isinstance(error, GaveUp | TooHeavy):
        return False
    return not isinstance(error, RequestError) or error.charged is not False


def _told_of(earlier: Earlier) -> Text:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(earlier.sent_at))
    return _UNKNOWN.format(time=at, trace=earlier.trace_id or "-")
