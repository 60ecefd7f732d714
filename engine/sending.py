"""Sends a request at the pace of its account, again only where that cannot be paid twice."""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import partial

from ..siliconflow.client import Client
from ..siliconflow.errors import (
    MINUTE_LIMITS,
    DailyLimit,
    Failure,
    NotConnected,
    RateLimited,
    RequestError,
    WaitTooLong,
)
from ..storage.database import LedgerError
from ..storage.ledger import Ledger, LedgerEntry
from ..storage.spend_book import Spend
from ..strings.text import text
from . import retry
from .endpoint import ApiRequest, ApiResult, Ticket
from .job import Job, Plan, RunEnded
from .rate_limit import RateLimiter, RateSchedule, Sent, TooHeavy

SOON = 1.0
"""Seconds: less is how requests are spaced until an account's limit is known, and no limit met."""
_LIMITERS: dict[tuple[str, str], RateLimiter] = {}
_LOCK = threading.Lock()
logger = logging.getLogger("siliconflow")


class Sender:
    """Sends the requests of one run.

    All requests of an account for a model, of whatever node, pass the same rate limiter.
    """

    def __init__(
        self, client: Client, ledger: Ledger, plan: Plan, account: str, longest_wait: float
    ) -> None:
        """Store what the requests share.

        `longest_wait` in seconds bounds all waits of one request together, but not of one that is
        in the background.
        """
        self._client, self._ledger, self._endpoint = client, ledger, plan.endpoint
        self._model = plan.model.id
        self._longest_wait = longest_wait
        with _LOCK:
            self._limiter = _LIMITERS.setdefault(
                (account, self._model),
                RateLimiter(RateSchedule(sure=plan.endpoint.kind.allowed_a_minute)),
            )

    def is_too_heavy(self, count: int) -> bool:
        """Return whether the limit is known never to let a request for `count` images pass."""
        return self._limiter.is_too_heavy(count)

    def send(
        self, job: Job, entry: LedgerEntry | None, spend: Spend, request: ApiRequest
    ) -> ApiResult | Ticket:
        """Send a request and return its result; `spend` is recorded before it leaves.

        Raises a `RequestError` of the cause, `WaitTooLong`, `TooHeavy`, `RunEnded` if the run
        ended while the request waited, or `GuardStopped` where a budget would not know of it.
        """
        deadline = math.inf if job.in_background else time.monotonic() + self._longest_wait
        last: RequestError | None = None
        tries = 0
        job.line_up()
        while True:
            sent = self._limiter.enter(
                spend.items,
                partial(self._wait_for_turn, job, deadline, last),
                is_last=lambda: job.in_background and not job.is_looked_at,
            )
            job.waits_for = None
            if job.ends.is_set():  # cancelled while its images were encoded
                self._limiter.undone(sent)
                raise RunEnded
            try:
                if entry:
                    self._ledger.mark_sent(entry, spend, job.id)
            except LedgerError as error:
                if job.holds_cost:
                    self._limiter.undone(sent)
                job.ledger_failed_before_sending(error)
                job.unrecorded = spend
            job.is_sent, job.was_sent, job.sent_at = True, True, time.time()
            try:
                result = self._endpoint.call(self._client, request, job.hear)
            except RequestError as error:
                last, failures = error, self._learn_from(error, sent)
                tries += failures > 0  # a rate limit uses up none
                wait = wait_before_retry(error, max(tries, failures), deadline)
                self._limiter.pause(wait)
            else:
                self._limiter.passed(sent)
                return result
            finally:
                job.is_sent = False
            logger.debug("%s: try %d failed, next in %.1f s", self._model, tries, wait)
            job.record(self._ledger.mark_waiting, entry)

    def _learn_from(self, error: RequestError, sent: Sent) -> int:
        """Teach the rate limiter from a failed request.

        Returns how often in a row the service was out of order. Raises `TooHeavy` for a request
        that never passes.
        """
        if isinstance(error, NotConnected | DailyLimit):  # neither says anything of the minute
            self._limiter.undone(sent)
        elif isinstance(error, RateLimited):
            counted = error.limit in MINUTE_LIMITS
            if self._limiter.refused(sent, error.failure.retry_after, counted=counted):
                raise TooHeavy from None
        is_limit = isinstance(error, RateLimited)
        return self._limiter.failed(sent) if error.retryable and not is_limit else 0

    def _wait_for_turn(
        self, job: Job, deadline: float, last: RequestError | None, seconds: float
    ) -> None:
        """Show why a request waits; raise why it was not sent if it would wait in vain."""
        is_failure = last is not None and not isinstance(last, RateLimited)
        is_late = time.monotonic() + seconds > deadline
        if last and is_failure and (is_late or self._limiter.is_out_of_order(retry.TRIES)):
            raise last
        if is_late:
            raise WaitTooLong(last.failure if last else Failure(model=self._model))
        limited = "run.rate_limit" if seconds > SOON else "run.turn"
        job.wait(text("run.retrying" if is_failure else limited), seconds)


def wait_before_retry(error: RequestError, tries: int, deadline: float) -> float:
    """Return the seconds to wait before the next try; raise the error if there must be none."""
    wait = retry.delay(error, tries)
    if wait is None:
        raise error
    if time.monotonic() + wait > deadline:
        raise WaitTooLong(error.failure) if isinstance(error, RateLimited) else error
    return wait
