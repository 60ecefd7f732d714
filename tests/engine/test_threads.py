"""Blocking work off the event loop."""

import asyncio
import threading

import pytest
from comfyui_siliconflow.engine.threads import in_thread
from comfyui_siliconflow.tests.waiting import LONGEST


def test_the_result_comes_from_another_thread() -> None:
    assert asyncio.run(in_thread(threading.get_ident)) != threading.get_ident()


def test_an_exception_is_raised_where_the_result_was_waited_for() -> None:
    def fail() -> None:
        raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        asyncio.run(in_thread(fail))


def cancel_a_caller_whose_work_goes_on() -> threading.Thread:
    """Return the thread of the work, which goes on when the caller and its loop are gone."""
    threads: list[threading.Thread] = []
    begun, go_on, finished = (threading.Event() for _ in range(3))

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        go_on.wait(LONGEST)
        finished.set()

    async def caller() -> None:
        task = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, LONGEST)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(caller())
    assert not finished.is_set()
    go_on.set()
    threads[0].join(LONGEST)
    assert finished.is_set()
    return threads[0]


def test_a_cancelled_caller_stops_waiting_and_the_work_goes_on() -> None:
    assert not cancel_a_caller_whose_work_goes_on().is_alive()


def test_a_loop_that_has_closed_meanwhile_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt's loop may be gone when a paid request comes back."""
    unhandled: list[object] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    cancel_a_caller_whose_work_goes_on()
    assert unhandled == []


def test_no_thread_of_ours_keeps_the_process_alive() -> None:
    async def look() -> bool:
        return await in_thread(lambda: threading.current_thread().daemon)

    assert asyncio.run(look())
