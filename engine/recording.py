"""The ledger, for a job that must go on when the ledger fails: the user is told, and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ..storage.database import LedgerError
from ..storage.ledger import Ledger, LedgerEntry, LostRequest, ResponseMetadata
from ..strings.text import Text
from .job import Job

Kind = TypeVar("Kind")

BUSY_SECONDS = 0.3
_ELSEWHERE = Text("another ComfyUI is at it", "另一个 ComfyUI 正在生成")
_UNKNOWN = Text(
    "An identical request of {time} was sent and what it made never came: it may have been charged"
    " as well{trace}.",
    "{time} 曾发送过相同的请求，但没有收到结果：那一次可能也已扣费{trace}。",
)
_NO_LEDGER = Text(
    "The ledger cannot be used ({reason}): what comes is not kept, and the same request would be"
    " paid again.",
    "账本无法使用（{reason}）：这次的结果没有留存，再次运行相同内容会重新扣费。",
)


class FallibleLedger:
    """What one run asks and tells the ledger. An entry of `None` is one that it never took."""

    def __init__(self, ledger: Ledger, model: str, *, reuse: bool) -> None:
        """Ask nothing yet. Without `reuse` nothing that was done before is looked at."""
        self._ledger = ledger
        self._model = model
        self._reuse = reuse

    def is_paid(self, job: Job, name: str) -> bool:
        """Tell whether a request would cost nothing: it is stored, answered or under way."""
        return self._reuse and self._safely(job, partial(self._ledger.is_paid, name), default=False)

    def claim(self, job: Job, name: str) -> LedgerEntry | None:
        """Ask what is known of a request; waits while another process is at it."""
        ask = partial(self._ledger.claim, name, self._model, reuse=self._reuse)
        while True:
            entry = self._safely(job, ask, default=None)
            if entry is None or entry.state != "busy":
                break
            job.sleep(_ELSEWHERE, BUSY_SECONDS)
        if entry and entry.lost_request:
            job.note(_told_of(entry.lost_request))
        return entry

    def answered(
        self,
        job: Job,
        entry: LedgerEntry | None,
        facts: ResponseMetadata,
        urls: Sequence[str | None],
    ) -> None:
        """Tell what was answered."""
        self._tell(job, entry, lambda known: self._ledger.mark_answered(known, facts, urls))

    def waiting(self, job: Job, entry: LedgerEntry | None) -> None:
        """Tell that the request waits: whatever left before was surely not paid."""
        self._tell(job, entry, self._ledger.mark_waiting)

    def sent(self, job: Job, entry: LedgerEntry | None) -> None:
        """Tell that the request leaves."""
        self._tell(job, entry, self._ledger.mark_sent)

    def store(
        self, job: Job, entry: LedgerEntry | None, place: int, count: int, content: bytes
    ) -> None:
        """Give the file of picture number `place` of `count`."""
        self._tell(job, entry, lambda known: self._ledger.store_file(known, place, count, content))

    def finish(self, job: Job, entry: LedgerEntry | None) -> None:
        """Tell that every picture was given."""
        self._tell(job, entry, self._ledger.mark_stored)

    def failed(self, job: Job, entry: LedgerEntry | None, *, paid: bool) -> None:
        """Tell that nothing came, and whether it may have been paid."""
        self._tell(job, entry, lambda known: self._ledger.mark_failed(known, may_be_paid=paid))

    def discard(self, job: Job, request: str) -> None:
        """Tell that what a request brought is of no use."""
        self._safely(job, partial(self._ledger.discard, request), default=None)

    def damaged(self, job: Job, entry: LedgerEntry | None, place: int) -> None:
        """Tell that a stored picture cannot be decoded."""
        self._tell(job, entry, lambda known: self._ledger.mark_damaged(known, place))

    def _tell(
        self, job: Job, entry: LedgerEntry | None, change: Callable[[LedgerEntry], None]
    ) -> None:
        if entry is not None:
            self._safely(job, partial(change, entry), default=None)

    def _safely(self, job: Job, work: Callable[[], Kind], *, default: Kind) -> Kind:
        try:
            return work()
        except LedgerError as error:
            job.kept = False
            job.note(_NO_LEDGER.format(reason=error.text))
            return default


def _told_of(earlier: LostRequest) -> Text:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(earlier.sent_at))
    trace = Text(f" (trace id {earlier.trace_id})", f"（trace id {earlier.trace_id}）")
    told = trace if earlier.trace_id else Text("", "")
    return Text(
        _UNKNOWN.en.format(time=at, trace=told.en), _UNKNOWN.zh.format(time=at, trace=told.zh)
    )
