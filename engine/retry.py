"""When a request that failed is sent again by itself, and how long that waits.

Only what cannot have been paid is sent again: see `RequestError.retryable`.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import TypeVar

from ..siliconflow.errors import (
    BadRequest,
    BadResult,
    DownloadFailed,
    Forbidden,
    InvalidKey,
    NoResult,
    RateLimited,
    RequestError,
    ResultRefused,
    RetiredCall,
    WrongAddress,
)

T = TypeVar("T")
TRIES = 5
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
