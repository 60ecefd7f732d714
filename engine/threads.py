"""Blocking work off the event loop, in threads that the pack owns.

ComfyUI's loop lives as long as one prompt, and `asyncio.to_thread` would hold up its end until
the thread returns. These threads do neither: a paid request goes on when its node is cancelled,
and, being daemons, none of them keeps ComfyUI from exiting.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")

CPU = threading.BoundedSemaphore((os.cpu_count() or 1) + 1)
"""Held while a picture is encoded or decoded: more at once would need memory, and gain nothing.
One more than there are cores, for three pictures share two cores better than two and then one.
"""


async def in_thread(function: Callable[[], Result]) -> Result:
    """Run `function` in a thread of its own and give its result, or raise its exception.

    When the caller is cancelled it stops waiting at once; the function runs to its end.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()
    threading.Thread(
        target=settle, args=(future, function), name="siliconflow", daemon=True
    ).start()
    return await asyncio.wrap_future(future)


def settle(future: Future[Result], function: Callable[[], Result]) -> None:
    """Run `function` here and keep what it gave, or raised, in `future`."""
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the result
        future.set_exception(error)
