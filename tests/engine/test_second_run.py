"""A prompt with nodes in the background that is queued again: what its second run pays for."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from comfyui_siliconflow.comfyui import background, host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine.job import Job
from comfyui_siliconflow.engine.lifecycle import RequestLifecycle
from comfyui_siliconflow.engine.services import current_settings, job_history_for, ledger_for
from comfyui_siliconflow.engine.threads import start_thread
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.storage.waiting_runs import WaitingRun, WaitingRuns
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.waiting import pack_threads, until

DRAW = "SiliconFlowTextToImage"
BLOCKED = object()


class Queue:
    """ComfyUI's queue, of which the test runs the prompts."""

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.queue: list[tuple[Any, ...]] = []
        self.currently_running: dict[int, tuple[Any, ...]] = {}
        self.history: dict[str, Any] = {}

    def put(self, item: tuple[Any, ...]) -> None:
        with self.mutex:
            self.queue.append(item)

    def take(self) -> Any:
        with self.mutex:
            return self.queue.pop() if self.queue else None

    def delete_queue_item(self, is_meant: Callable[[Any], bool]) -> None:
        with self.mutex:
            self.queue[:] = [item for item in self.queue if not is_meant(item)]


class Comfy:
    """Runs nodes of a prompt, one after the other, as ComfyUI does."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.context: Any = None
        self.shown = ""

    def begin(self, *nodes: str) -> None:
        """Run a prompt of such nodes, none of which depends on another."""
        graph = {id_: {"class_type": DRAW, "inputs": {}} for id_ in nodes}
        item = (0, str(uuid4()), graph, {"create_time": time.time() * 1000}, [*nodes])
        self.queue.currently_running[0] = item

    def go_on(self) -> None:
        """End the running prompt, and run the one that is queued again for it."""
        self.end()
        self.queue.currently_running[0] = until(self.queue.take)

    def user_goes_on(self, run: WaitingRun, *, may_pay: bool = False) -> None:
        """Go on with a run as its button does, and run the prompt that is queued for it."""
        runs = WaitingRuns(ledger_for(current_settings()).database)
        new_id = background.go_on(run.id, runs, may_pay=may_pay)
        assert new_id
        start_thread(background.finish, run.id, runs, new_id)
        with self.queue.mutex:
            self.queue.currently_running[0] = self.queue.queue.pop()

    def continue_now(self) -> None:
        """Go on with the running prompt as the button does that says so; it runs on."""
        (run,) = waiting()
        runs = WaitingRuns(ledger_for(current_settings()).database)
        new_id = background.go_on(run.id, runs)
        assert new_id
        start_thread(background.finish, run.id, runs, new_id)

    def end(self, status: str = "success") -> None:
        """End the running prompt."""
        with self.queue.mutex:
            _, id_, *_ = self.queue.currently_running.pop(0)
            self.queue.history[id_] = {"status": {"status_str": status, "messages": []}}

    def run(self, node_id: str, **inputs: Any) -> Any:
        """Run a node of the running prompt; return its outputs, or `BLOCKED`."""
        _, prompt_id, *_ = self.queue.currently_running[0]
        self.context = SimpleNamespace(node_id=node_id, prompt_id=prompt_id, list_index=0)
        values = {"model": "Qwen/Qwen-Image", "prompt": "a cat", **inputs}

        async def run() -> Any:
            host.report_to(self)
            return await NODE_CLASS_MAPPINGS[DRAW]().execute(**values)

        return asyncio.run(run())

    def text(self, text: Text) -> None:
        """Keep what the node shows."""
        self.shown = str(text)

    def value(self, done: int, total: int) -> None:
        """Show no bar."""

    def image(self, image: Any, place: int) -> None:
        """Show no image."""


@pytest.fixture
def comfy(
    today: Simulator, monkeypatch: pytest.MonkeyPatch, write_settings: Any
) -> Iterator[Comfy]:
    """Run as inside ComfyUI, as far as the background looks at it."""
    del today  # is there first
    write_settings(show_balance=False)  # it is looked up seconds after a run
    queue, loop = Queue(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = mock.Mock(prompt_queue=queue, loop=loop, number=1, sockets={})
    comfy = Comfy(queue)
    valid = mock.AsyncMock(return_value=(True, None, ["1"], {}))
    modules = {"execution": mock.Mock(validate_prompt=valid)}
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    monkeypatch.setattr(host, "module", modules.get)
    monkeypatch.setattr(host, "blocked", lambda: BLOCKED)
    monkeypatch.setattr(host, "_executing", lambda: comfy.context)
    yield comfy
    queue.currently_running.clear()

    def is_over() -> bool:
        queue.queue.clear()  # some may be queued yet
        return not pack_threads()

    until(is_over)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def waiting() -> list[WaitingRun]:
    """Return the runs in the background."""
    return WaitingRuns(ledger_for(current_settings()).database).all()


@pytest.mark.parametrize("order", ["12", "21"])
def test_what_a_node_in_the_foreground_paid_is_not_paid_again_for_other_inputs(
    comfy: Comfy, today: Simulator, order: str
) -> None:
    comfy.begin("1", "2")
    seeds = {"1": 1, "2": 5}
    first = {id_: comfy.run(id_, seed=seeds[id_], background=id_ == "1") for id_ in order}
    assert first["1"] is BLOCKED
    comfy.go_on()
    again, seed, *_ = comfy.run("2", seed=6, background=False)
    assert (again.equal(first["2"][0]), seed) == (True, 5)
    assert comfy.run("1", seed=1, background=True) is not BLOCKED
    assert len(today.charges) == 2


def jobs_listed() -> list[tuple[str, bool]]:
    """Return the state of each job of the list, and whether it has its file."""
    return [
        (job.state, all(job.files_here)) for job in job_history_for(current_settings()).since(0)
    ]


def test_what_was_made_in_the_background_is_one_job_and_its_node_says_what_it_cost(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    comfy.go_on()
    info = json.loads(comfy.run("1", seed=1, background=True)[2])
    assert comfy.shown.splitlines()[0].endswith(" · made in the background for ¥0.30")
    [request] = info["requests"]
    assert (request["origin"], request["cost"]) == ("reused", "0")
    assert (request["paid_in_background"], info["cost"]["amount"]) == ("0.3", "0")
    assert jobs_listed() == [("done", True)]
    with ledger_for(current_settings()).spending() as book:
        assert [each.is_free for each in book.since(time.time() - 60)] == [False]
    assert len(today.charges) == 1


def test_the_page_hears_when_a_job_under_way_counts_as_spent(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    held.begin(monkeypatch)
    comfy.begin("1")
    comfy.run("1", seed=1, background=True)

    def sent() -> list[tuple[str, bool]]:
        calls = [call.args for call in host.prompt_server().send_sync.call_args_list]
        jobs = [data["job"] for event, data, _ in calls if event == "siliconflow.jobs"]
        return [(job["state"], job["was_sent"]) for job in jobs]

    until(lambda: ("running", True) in sent())
    assert not today.charges
    held.release()
    comfy.go_on()
    assert sent()[-1] == ("done", False)


@pytest.mark.parametrize("order", ["12", "21"])
def test_a_prompt_that_waits_is_joined_whichever_of_its_nodes_was_first(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    held = Held()
    held.begin(monkeypatch)
    seeds = {"1": 1, "2": -1}
    comfy.begin("1", "2")
    for id_ in order:
        assert comfy.run(id_, seed=seeds[id_], background=True) is BLOCKED
    comfy.queue.currently_running.clear()
    comfy.begin("1", "2")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    assert len(waiting()) == 1
    assert comfy.run("2", seed=-1, background=True) is BLOCKED
    assert len(waiting()) == 2
    held.release()
    until(lambda: len(today.charges) == 3)


def test_what_two_nodes_have_of_one_request_in_the_background_was_paid_for_once(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1", "2")
    for id_ in "12":
        assert comfy.run(id_, seed=1, background=True) is BLOCKED
    comfy.go_on()
    paid = []
    for id_ in "12":
        (request,) = json.loads(comfy.run(id_, seed=1, background=True)[2])["requests"]
        paid.append(request.get("paid_in_background"))
    assert (paid, len(today.charges)) == (["0.3", None], 1)
    assert comfy.shown.endswith(" · reused, free")


def test_what_waits_for_its_turn_is_not_missing_and_not_sent_twice_when_the_user_pays_for_the_rest(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch, write_settings: Any
) -> None:
    held = Held()
    held.begin(monkeypatch)
    write_settings(max_parallel=1)
    inputs: dict[str, Any] = {"background": True, "batch_size": 2}
    comfy.begin("1")
    assert comfy.run("1", seed=1, **inputs) is BLOCKED
    held.wait_for(1)
    comfy.continue_now()
    comfy.go_on()
    comfy.end("error")
    (run,) = until(lambda: [each for each in waiting() if each.state == "stopped"])
    assert background.has_under_way(run.id)
    comfy.user_goes_on(run, may_pay=True)
    assert comfy.run("1", seed=5, **inputs) is BLOCKED
    held.release()
    comfy.go_on()
    images, seed, *_ = comfy.run("1", seed=7, **inputs)
    assert (len(images), seed, len(today.charges)) == (2, 1, 2)
    assert not background.has_under_way(run.id)


def test_the_page_hears_of_a_stopped_prompt_again_when_it_is_known_what_is_missing(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    held.begin(monkeypatch)
    comfy.begin("1")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    held.wait_for(1)
    comfy.continue_now()
    comfy.go_on()
    comfy.end("error")

    def told() -> list[str]:
        calls = [call.args for call in host.prompt_server().send_sync.call_args_list]
        return [data["state"] for event, data, _ in calls if event == "siliconflow.background"]

    until(lambda: told() == ["waiting", "queued", "stopped"])
    held.release()
    until(lambda: told() == ["waiting", "queued", "stopped", "stopped"])
    assert len(today.charges) == 1


def test_what_was_saved_before_a_prompt_was_queued_is_reused_in_its_second_run(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1")
    comfy.run("1", seed=1, background=False)
    comfy.end()
    comfy.begin("1")
    assert comfy.run("1", seed=1, batch_size=2, background=True) is BLOCKED
    comfy.go_on()
    info = json.loads(comfy.run("1", seed=1, batch_size=2, background=True)[2])
    assert "1 reused for free, 1 paid · made in the background for ¥0.30" in comfy.shown
    paid = [request.get("paid_in_background") for request in info["requests"]]
    assert (paid, len(today.charges)) == ([None, "0.3"], 2)


def test_what_was_never_charged_before_a_restart_is_sent_when_the_user_goes_on_after_a_question(
    comfy: Comfy, today: Simulator, write_settings: Any
) -> None:
    comfy.begin("1")
    today.fail(400, times=2)
    inputs: dict[str, Any] = {"seed": 1, "background": True, "batch_size": 2}
    assert comfy.run("1", **inputs) is BLOCKED
    comfy.end()
    until(lambda: [run for run in waiting() if run.state == "stopped"])
    sent, database = len(today.generations), ledger_for(current_settings()).database
    with database.change() as db:  # as a process leaves it that ends
        db.execute("UPDATE waiting_runs SET state = 'waiting', owner = 'gone'")
    write_settings(confirm_images=1)
    for is_cancelled in (False, True):  # before it comes to the node
        comfy.user_goes_on(*waiting())
        if not is_cancelled:
            with pytest.raises(errors.ConfirmationNeeded):
                comfy.run("1", **inputs)
        comfy.end("error")
        until(lambda: [run for run in waiting() if run.state == "stopped"])
    comfy.user_goes_on(*waiting())
    assert comfy.run("1", **inputs) is BLOCKED
    comfy.go_on()
    images, *_ = comfy.run("1", **inputs)
    assert (len(images), len(today.charges), len(today.generations) - sent) == (2, 2, 2)


def test_what_a_node_in_the_foreground_paid_in_the_second_run_is_found_by_the_third(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1", "2")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    comfy.go_on()
    comfy.run("2", seed=5, background=False)
    comfy.end("error")
    (run,) = until(lambda: [each for each in waiting() if each.state == "stopped"])
    comfy.user_goes_on(run)
    _, seed, *_ = comfy.run("2", seed=6, background=False)
    assert (seed, len(today.charges)) == (5, 2)


def test_what_may_have_been_charged_in_the_foreground_is_not_sent_again_with_other_inputs(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1", "2")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    until(lambda: today.charges)
    today.fail(504)
    with pytest.raises(errors.GatewayTimeout):
        comfy.run("2", seed=5, background=False)
    comfy.end("error")
    (run,) = until(lambda: [each for each in waiting() if each.state == "stopped"])
    comfy.user_goes_on(run)
    with pytest.raises(errors.ResultMissing, match="may have been charged"):
        comfy.run("2", seed=6, background=False)
    assert len(today.generations) == 2


def test_what_may_have_been_charged_before_a_node_went_to_the_background_is_not_sent_again(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1", "2")
    today.fail(504)
    with pytest.raises(errors.GatewayTimeout):
        comfy.run("2", seed=5, background=False)
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    comfy.end("error")
    (run,) = until(lambda: [each for each in waiting() if each.state == "stopped"])
    comfy.user_goes_on(run)
    with pytest.raises(errors.ResultMissing, match="may have been charged") as missing:
        comfy.run("2", seed=5, background=False)
    assert missing.value.charged is None
    assert len(today.generations) == 2
    comfy.end("error")
    (run,) = until(lambda: [each for each in waiting() if each.state == "stopped"])
    comfy.user_goes_on(run, may_pay=True)
    comfy.run("2", seed=5, background=False)
    assert len(today.generations) == 3


def test_what_the_first_run_pays_in_the_foreground_after_continue_now_is_not_paid_again(
    comfy: Comfy, today: Simulator
) -> None:
    comfy.begin("1", "2")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    until(lambda: today.charges)
    comfy.continue_now()
    comfy.run("2", seed=5, background=False)
    comfy.go_on()
    _, seed, *_ = comfy.run("2", seed=6, background=False)
    assert (seed, len(today.charges)) == (5, 2)


def test_what_goes_to_the_background_after_continue_now_is_not_paid_again_for_other_inputs(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch, write_settings: Any
) -> None:
    comfy.begin("1", "2")
    assert comfy.run("1", seed=1, background=True) is BLOCKED
    until(lambda: today.charges)
    comfy.continue_now()
    held = Held()
    held.begin(monkeypatch)
    write_settings(max_parallel=1)
    assert comfy.run("2", seed=5, batch_size=2, background=True) is BLOCKED
    held.wait_for(1)
    comfy.go_on()
    assert comfy.run("2", seed=7, batch_size=2, background=True) is BLOCKED
    held.release()
    comfy.go_on()
    until(lambda: all(run.state != "waiting" for run in waiting()))
    assert len(today.charges) == 3


def test_what_waits_for_its_turn_when_the_user_continues_now_is_awaited_and_is_one_job_each(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch, write_settings: Any
) -> None:
    held = Held()
    held.begin(monkeypatch)
    write_settings(max_parallel=1)
    inputs: dict[str, Any] = {"seed": 1, "background": True, "batch_size": 3}
    comfy.begin("1")
    assert comfy.run("1", **inputs) is BLOCKED
    held.wait_for(1)
    write_settings(max_parallel=3)
    comfy.continue_now()
    comfy.go_on()
    assert comfy.run("1", **inputs) is BLOCKED
    assert len(jobs_listed()) == 3
    held.release()
    comfy.go_on()
    images, *_ = comfy.run("1", **inputs)
    assert (len(images), len(today.charges), waiting()[0].state) == (3, 3, "queued")
    assert jobs_listed() == [("done", True)] * 3


@pytest.mark.parametrize("is_joined", [False, True])
def test_a_cancel_while_a_node_goes_to_the_background_sends_nothing_and_is_called_one(
    comfy: Comfy, today: Simulator, monkeypatch: pytest.MonkeyPatch, is_joined: bool
) -> None:
    class Cancelled(BaseException):
        """Stands for ComfyUI's own."""

    cancelled, join = threading.Event(), background.join
    is_awaited = RequestLifecycle.is_awaited

    def cancel(ends: threading.Event) -> None:
        cancelled.set()
        until(ends.is_set)

    def looked_at(lifecycle: RequestLifecycle, job: Job) -> bool:
        awaited = is_awaited(lifecycle, job)
        if not is_joined:
            cancel(job.ends)
        return awaited

    def joined(*given: Any, **named: Any) -> background.Waiting | None:
        waiting = join(*given, **named)
        cancel(given[4])
        return waiting

    def look() -> None:
        if cancelled.is_set():
            raise Cancelled

    monkeypatch.setattr(RequestLifecycle, "is_awaited", looked_at)
    monkeypatch.setattr(background, "join", joined)
    monkeypatch.setattr(host, "raise_if_cancelled", look)
    monkeypatch.setattr(host, "is_cancel", lambda error: isinstance(error, Cancelled))
    comfy.begin("1")
    with pytest.raises(Cancelled):
        comfy.run("1", seed=1, background=True)
    comfy.end("error")
    until(lambda: not pack_threads())
    cancel_text = "The workflow was cancelled, or another node of it failed."
    reasons = [str(run.reason) for run in waiting()]
    assert reasons == ([cancel_text] if is_joined else [])
    assert today.generations == []
