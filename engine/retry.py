"""What is tried again, and when: a request that failed, a poll of a submitted one, a download.

Only what cannot have been paid is sent again: see `RequestError.retryable`. What costs nothing is
tried for longer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ..siliconflow.client import Client
from ..siliconflow.errors import (
    BadRequest,
    BadResult,
    DownloadFailed,
    Failure,
    Forbidden,
    InvalidKey,
    NoResult,
    NotFinished,
    RateLimited,
    RequestError,
    ResultRefused,
    RetiredCall,
    TicketExpired,
    WrongAddress,
)
from ..storage.database import LedgerError
from ..storage.ledger import Ledger, LedgerEntry
from ..strings.text import text
from .endpoint import ApiResult, Ticket
from .job import Job, Plan, PlannedRequest
from .spending import Pricing, amount_text

T = TypeVar("T")
TRIES = 5
POLL_SECONDS = 5.0
"""Seconds between two questions whether a submitted request is done (service-2026: "5 to 10 s")."""
OUTAGE_SECONDS = 1200.0
"""For how long polls may fail in a row: longer than the service keeps a result that is done."""
DAMAGED_PAUSES = (5.0, 15.0, 45.0, 120.0, 300.0, 600.0)
"""Seconds between downloads of a file that is damaged: where a network answered with a page of its
own, or a half copy, another download may bring it. One that was made so stays so."""
KEPT_SECONDS = 900.0
"""A ticket has not expired so soon after its request was under way: a result is kept for ten
minutes after it is done (service-2026)."""
REFUSED_SECONDS = 60.0
"""For how long a key or an account may be refused in polls: a single refusal may be a mistake."""
UNKNOWN = (BadRequest, RetiredCall, WrongAddress)
"""Answers to a poll whose ticket the service does not know: not yet, or not any more."""
SAME_ANSWERS = 4
"""So many refusals in a row, at least, are taken at their word."""
FIRST = 1.0
LONGEST = 30.0
_DICE = random.SystemRandom()
logger = logging.getLogger("siliconflow")


class Poller:
    """Asks for the results of one run's submitted requests."""

    def __init__(self, client: Client, ledger: Ledger, plan: Plan, pricing: Pricing) -> None:
        """Ask nothing yet."""
        self._client, self._ledger, self._endpoint = client, ledger, plan.endpoint
        self._model, self._pricing = plan.model.id, pricing

    def wait_for(
        self,
        job: Job,
        request: PlannedRequest,
        entry: LedgerEntry | None,
        ticket: Ticket,
        record: Callable[[], None] | None = None,
    ) -> ApiResult:
        """Poll until the result of a submitted request is there.

        It is paid for: a cancel ends the node, and this goes on, so that the result is saved. A
        poll that fails is repeated: it is free. The result has the trace ID of the submission, and
        the seconds since it. Whatever ends this early, the request stays submitted and its ticket
        finds the result later, unless the service says that there will be none: then the same
        request is sent anew. `record` writes a new ticket down; where the
        ledger fails, it is called again before each poll.
        """
        alike, last, good_at = 0, None, time.monotonic()
        known_at = sent_at = job.sent_at or (entry.sent_at if entry else 0.0)
        job.started_at = min(job.started_at, time.monotonic() - (time.time() - sent_at))
        job.is_sent = True  # under way at the service
        with suppress(LedgerError):
            job.growing.usual_seconds = self._ledger.usual_seconds(self._model)
        while True:
            seconds = POLL_SECONDS
            if record:
                with suppress(LedgerError):
                    record()
                    record = None
            try:
                result = self._endpoint.poll(self._client, ticket)
            except RequestError as error:
                alike, last = alike + 1 if type(error) is last else 1, type(error)
                age = time.time() - known_at
                wait = poll_delay(error, alike, time.monotonic() - good_at, age)
                if wait is None:
                    raise self._lost(job, request, entry, ticket, error) from None
                job.growing.doing, seconds = text("run.retrying"), max(wait, POLL_SECONDS)
            else:
                alike, good_at, known_at = 0, time.monotonic(), time.time()
                if isinstance(result, ApiResult):
                    job.growing.doing = None
                    trace_id = ticket.trace_id or result.metadata.trace_id
                    seconds = max(0.0, time.time() - sent_at)
                    metadata = replace(result.metadata, trace_id=trace_id, seconds=seconds)
                    return replace(result, metadata=metadata)
                if time.time() > sent_at + self._endpoint.most_seconds:
                    late = NotFinished(Failure(result))
                    raise self._lost(job, request, entry, ticket, late)
                job.growing.doing = result
            time.sleep(seconds)

    def _lost(
        self,
        job: Job,
        request: PlannedRequest,
        entry: LedgerEntry | None,
        ticket: Ticket,
        error: RequestError,
    ) -> RequestError:
        """Return the error of a poll that is the last; record it if there will be no result."""
        trace_id = ticket.trace_id or error.failure.trace_id
        failure = replace(error.failure, model=self._model, trace_id=trace_id)
        cost = self._pricing.cost(request)
        price = text("run.price") if cost is None else amount_text(cost, self._pricing.currency)
        sent_at = time.localtime(job.sent_at or (entry and entry.sent_at) or time.time())
        what = {"time": time.strftime("%Y-%m-%d %H:%M", sent_at), "cost": price}
        # The address was right when the request was sent: a 404 is of its ticket.
        if isinstance(error, UNKNOWN):
            final: RequestError = TicketExpired(failure, text("run.expired", **what))
        elif isinstance(error, NotFinished):
            final = NotFinished(failure, text("run.not_finished", **what))
        elif isinstance(error, NoResult):
            final = type(error)(failure)
        else:
            final = type(error)(failure, text("run.polls_failed"))
        if isinstance(final, NoResult):
            is_over = not isinstance(final, TicketExpired)
            mark_failed = partial(self._ledger.mark_failed, may_be_paid=True, is_over=is_over)
            job.record(mark_failed, entry)
        else:
            job.record(self._ledger.leave, entry)
        final.charged = None
        return final

    def is_known(self, entry: LedgerEntry) -> bool:
        """Ask once with a ticket that was given up; return whether it may bring a result after all.

        It may not have reached each machine of the service when it was asked with before.
        """
        try:
            self._endpoint.poll(self._client, Ticket(entry.ticket or ""))
        except RequestError as error:
            return not isinstance(error, UNKNOWN)
        return True


def delay(error: RequestError, tries: int) -> float | None:
    """Return the seconds to wait after `tries` failures before the next try; `None`: give up.

    Exponential with jitter, and never less than the service asks for. A rate limit is waited out
    by the rate limiter, not by this.
    """
    if not error.retryable:
        return None
    return 0.0 if isinstance(error, RateLimited) else _backoff(error, tries)


def poll_delay(error: RequestError, alike: int, seconds: float, age: float) -> float | None:
    """Return the seconds to wait before the next poll; `None`: give up.

    `alike` polls in a row failed in this way, all of them for `seconds`; `age` seconds ago the
    request was surely under way. A poll costs nothing, so that whatever may pass is waited for. An
    unknown ticket may, too: it may not have reached each machine of the service yet.
    """
    is_expired = isinstance(error, UNKNOWN) and age > KEPT_SECONDS
    is_refused = isinstance(error, InvalidKey | Forbidden) and seconds > REFUSED_SECONDS
    is_final = alike >= SAME_ANSWERS and (is_expired or is_refused)
    if is_final or isinstance(error, NoResult) or seconds > OUTAGE_SECONDS:
        return None
    return patient_delay(error, alike)


def download_delay(error: DownloadFailed, tries: int) -> float | None:
    """Return the seconds to wait after `tries` downloads failed in this way; `None`: give up."""
    if isinstance(error, BadResult) and not error.is_too_large:
        return DAMAGED_PAUSES[tries - 1] if tries <= len(DAMAGED_PAUSES) else None
    return None if isinstance(error, ResultRefused) else patient_delay(error, tries)


def patient_delay(error: RequestError, tries: int) -> float:
    """Return the seconds to wait after `tries` failures of what costs nothing, however many."""
    return min(_backoff(error, min(tries, TRIES - 1)) or 0.0, LONGEST)


def retry_free_call(call: Callable[[], T], ends: threading.Event) -> T:
    """Make a call that costs nothing until an answer comes, or an error that stays.

    Without a rate limiter of its own, it waits out a rate limit as it does an overload, but never
    longer than somebody would look on. Stops as soon as `ends` is set. Raises the `RequestError`
    of the cause, which speaks of no charge.
    """
    tries = 0
    while True:
        try:
            return call()
        except RequestError as error:
            tries += 1
            wait = _backoff(error, tries) if error.retryable else None
            if wait is None or wait > LONGEST or ends.wait(wait):
                raise error.for_free_call() from None
            logger.debug("%s, tried again after %.1f s", type(error).__name__, wait)


def _backoff(error: RequestError, tries: int) -> float | None:
    if tries >= TRIES:
        return None
    backoff = _DICE.uniform(FIRST, min(LONGEST, FIRST * 2**tries))
    return max(backoff, error.failure.retry_after or 0.0)
