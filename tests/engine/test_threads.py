"""Blocking work off the event loop."""

import asyncio
import threading
import time

import pytest
from comfyui_siliconflow.engine.threads import in_thread


def test_the_result_comes_from_another_thread() -> None:
    assert asyncio.run(in_thread(threading.get_ident)) != threading.get_ident()


def test_an_exception_is_raised_where_the_result_was_waited_for() -> None:
    def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        asyncio.run(in_thread(fail))


def test_a_cancelled_caller_stops_waiting_and_the_work_goes_on() -> None:
    finished = threading.Event()

    def work() -> None:
        time.sleep(0.3)
        finished.set()

    async def caller() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(caller())
    assert time.monotonic() - started < 0.25
    assert finished.wait(2)


def test_a_loop_that_has_closed_meanwhile_disturbs_nobody() -> None:
    """A prompt's loop may be gone when a paid request comes back."""
    unhandled: list[object] = []
    original, threading.excepthook = threading.excepthook, unhandled.append
    try:
        test_a_cancelled_caller_stops_waiting_and_the_work_goes_on()
        time.sleep(0.05)
    finally:
        threading.excepthook = original
    assert unhandled == []


def test_no_thread_of_ours_keeps_the_process_alive() -> None:
    async def look() -> bool:
        return await in_thread(lambda: threading.current_thread().daemon)

    assert asyncio.run(look())
