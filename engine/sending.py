"""Sends a request at the pace of its account, again only where that cannot be paid twice."""

from __future__ import annotations

import random
import threading
import time
from functools import partial

from ..siliconflow.client import Client
from ..siliconflow.errors import (
    TOKEN_LIMITS,
    Failure,
    NotConnected,
    RateLimited,
    RequestError,
    WaitTooLong,
)
from ..storage.ledger import Entry
from ..strings.text import Text
from . import retry as retries
from .endpoint import PICTURES, ApiRequest, ApiResult, Endpoint
from .job import Job, RunEnded
from .rate_limit import SURE, SURE_OF_TEXTS, RateLimiter, RateSchedule, Sent, TooHeavy
from .recording import FallibleLedger

_DICE = random.SystemRandom()
_GATES: dict[tuple[str, str], RateLimiter] = {}
_GATES_LOCK = threading.Lock()
_LIMIT = Text("rate limit", "速率限制")
_TURN = Text("waiting for its turn", "排队中")
SOON = 1.0
"""Seconds: less is how requests are spaced until an account's limit is known, and no limit met."""
_AGAIN = Text("trying again", "正在重试")


def gate_of(account: str, model: str, endpoint: Endpoint = PICTURES) -> RateLimiter:
    """Give the gate that all requests of an account for a model pass, of whatever node."""
    sure = SURE if endpoint.makes_pictures else SURE_OF_TEXTS
    with _GATES_LOCK:
        return _GATES.setdefault((account, model), RateLimiter(RateSchedule(sure=sure)))


class Sender:
    """Sends the requests of one run."""

    def __init__(
        self,
        client: Client,
        records: FallibleLedger,
        gate: RateLimiter,
        longest_wait: float,
        endpoint: Endpoint = PICTURES,
    ) -> None:
        """Send nothing yet. `longest_wait` in seconds bounds all waits of one request together."""
        self._client = client
        self._endpoint = endpoint
        self._records = records
        self._gate = gate
        self._longest_wait = longest_wait

    def is_too_heavy(self, count: int) -> bool:
        """Tell whether the limit is known never to let a request for `count` pictures pass."""
        return self._gate.is_too_heavy(count)

    def send(self, job: Job, entry: Entry | None, count: int, order: ApiRequest) -> ApiResult:
        """Send a request for `count` pictures and give its answer.

        Raises a `RequestError` of the cause, `WaitTooLong`, `TooHeavy`, or `RunEnded` if the run
        ended while the request waited.
        """
        ends = time.monotonic() + self._longest_wait
        last, tries = Failure(model=order.model), 0
        job.line_up()
        while True:
            note = self._gate.enter(count, partial(_wait_for_turn, job, ends, last))
            job.go_on()
            self._stop_if_ended(job, note)
            self._records.sent(job, entry)
            try:
                return self._once(job, order, note)
            except RequestError as error:
                tries += 1
                last = error.failure
                wait = wait_before_the_next(error, tries, ends)
            self._records.waiting(job, entry)
            job.sleep(_AGAIN, wait)

    def _stop_if_ended(self, job: Job, note: Sent) -> None:
        """Send nothing for a node that was cancelled while its pictures were encoded."""
        if job.ends.is_set():
            self._gate.undone(note)
            raise RunEnded

    def _once(self, job: Job, order: ApiRequest, note: Sent) -> ApiResult:
        job.is_sent = True
        try:
            generation = self._endpoint.call(self._client, order, job.hear)
        except RateLimited as error:
            counted = error.limit not in TOKEN_LIMITS
            heavy = self._gate.refused(note, error.failure.retry_after, counted=counted)
            if heavy and error.retryable:
                raise TooHeavy from None
            raise
        except NotConnected:
            self._gate.undone(note)
            raise
        finally:
            job.is_sent = False
        self._gate.passed(note)
        return generation


def _wait_for_turn(job: Job, ends: float, last: Failure, seconds: float) -> None:
    if time.monotonic() + seconds > ends:
        raise WaitTooLong(last)
    job.wait(_LIMIT if seconds > SOON else _TURN, seconds)


def wait_before_the_next(error: RequestError, tries: int, ends: float) -> float:
    """Give the seconds that this error asks to wait; raises it if it must not be sent again."""
    wait = retries.delay(error, tries, _DICE)
    if wait is None:
        raise error
    if time.monotonic() + wait > ends:
        raise WaitTooLong(error.failure) if isinstance(error, RateLimited) else error
    return wait
