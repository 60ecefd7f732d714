"""When a request that failed is sent again by itself, and how long that waits.

Only what cannot have been paid is sent again: see `RequestError.retryable`.
"""

from __future__ import annotations

import random

from ..siliconflow.errors import RateLimited, RequestError

TRIES = 5
FIRST = 1.0
LONGEST = 30.0


def delay(error: RequestError, tries: int, dice: random.Random) -> float | None:
    """Give the seconds to wait after `tries` failures before the next; `None`: give up.

    Exponential with full jitter; a rate limit is waited out by its pace, not by this.
    """
    if not error.retryable:
        return None
    if isinstance(error, RateLimited):
        return 0.0
    return _backoff(error, tries, dice)


def delay_of_free_call(error: RequestError, tries: int, dice: random.Random) -> float | None:
    """Give the seconds to wait before a call that costs nothing is made again; `None`: give up.

    It has no pace of its own, so that a rate limit is waited out as an overload is, but not for
    longer than somebody would look on.
    """
    wait = _backoff(error, tries, dice) if error.retryable else None
    return wait if wait is not None and wait <= LONGEST else None


def _backoff(error: RequestError, tries: int, dice: random.Random) -> float | None:
    if tries >= TRIES:
        return None
    told = error.failure.retry_after
    return told if told is not None else dice.uniform(0, min(LONGEST, FIRST * 2**tries))
