"""Blocking work off the event loop, in daemon threads that the pack owns.

ComfyUI's loop lives as long as one prompt, and `asyncio.to_thread` would hold up its end until the
thread returns; the workers of a `ThreadPoolExecutor` are joined when the interpreter exits. These
threads do neither: a paid request goes on when its node is cancelled, and none of them keeps
ComfyUI from exiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

CPU = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)
"""Held while an image is encoded or decoded: more at once would need memory, and gain nothing.
One more than there are cores, for three images share two cores better than two and then one.
"""


def in_background(work: Callable[[], T]) -> Future[T]:
    """Run `work` in a thread of its own; the future has its result, or its exception."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    start_thread(settle, future, work)
    return future


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread and return its result, or raise its exception.

    A caller that is cancelled stops waiting at once; the work runs to its end.
    """
    return await asyncio.wrap_future(in_background(work))


def run_all(
    work: Sequence[Callable[[], T]], threads: int, caught: tuple[type[Exception], ...] = ()
) -> list[T | Exception]:
    """Do all the work in at most so many threads, and return the results in order.

    An exception of the types `caught` takes the place of its result, and keeps no other work from
    being done; any other is raised at the end. A single piece of work is done right here.
    """
    if len(work) == 1:
        try:
            return [work[0]()]
        except caught as error:
            return [error]
    left = deque(enumerate(work))
    results: dict[int, T | Exception] = {}

    def work_through() -> None:
        while left:
            with contextlib.suppress(IndexError):  # another thread took the last piece
                place, function = left.popleft()
                try:
                    results[place] = function()
                except Exception as error:  # noqa: BLE001 - returned or raised below
                    results[place] = error

    helpers = [start_thread(work_through) for _ in range(min(threads, len(work)) - 1)]
    work_through()
    for helper in helpers:
        helper.join()
    for result in results.values():
        if isinstance(result, Exception) and not isinstance(result, caught):
            raise result
    return [results[place] for place in range(len(work))]


def start_thread(function: Callable[..., None], *args: object) -> threading.Thread:
    """Start a daemon thread of the pack; it speaks the language of whoever starts it."""
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(function, *args), name="siliconflow", daemon=True)
    thread.start()
    return thread


def settle(future: Future[T], work: Callable[[], T]) -> None:
    """Do `work` here, and keep its result or its exception in `future`."""
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
        future.set_exception(error)
