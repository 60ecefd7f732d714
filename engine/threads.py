"""Blocking work off the event loop, in daemon threads that the pack owns.

ComfyUI's loop lives as long as one prompt, and `asyncio.to_thread` would hold up its end until the
thread returns; the workers of a `ThreadPoolExecutor` are joined when the interpreter exits. These
threads do neither: a paid request goes on when its node is cancelled, and none of them keeps
ComfyUI from exiting.
"""

from __future__ import annotations

import asyncio
import os
import threading
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
    futures: list[Future[T]] = [Future() for _ in work]
    left = iter(list(zip(futures, work, strict=True)))
    lock = threading.Lock()

    def work_through() -> None:
        while True:
            with lock:
                future, function = next(left, (None, None))
            if future is None or function is None:
                return
            settle(future, function)

    for _ in range(min(threads, len(work)) - 1):
        start_thread(work_through)
    work_through()
    results: list[T | Exception] = []
    for future in futures:
        try:
            results.append(future.result())
        except caught as error:
            results.append(error)
    return results


def start_thread(function: Callable[..., None], *args: object) -> None:
    """Start a daemon thread of the pack."""
    threading.Thread(target=function, args=args, name="siliconflow", daemon=True).start()


def settle(future: Future[T], work: Callable[[], T]) -> None:
    """Do `work` here, and keep its result or its exception in `future`."""
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
        future.set_exception(error)
