"""What costs nothing is asked again by itself, for a while, and its errors speak of no charge."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from ..siliconflow.errors import RequestError
from . import retry as retries

Kind = TypeVar("Kind")
_DICE = random.SystemRandom()


def patiently(ask: Callable[[], Kind], ends: threading.Event) -> Kind:
    """Ask until an answer comes, or an error that stays; gives up as soon as `ends` is set.

    Raises a `RequestError` of the cause.
    """
    tries = 0
    while True:
        try:
            return ask()
        except RequestError as error:
            tries += 1
            wait = retries.delay_of_free_call(error, tries, _DICE)
            if wait is None or ends.wait(wait):
                raise error.for_free_call() from None
