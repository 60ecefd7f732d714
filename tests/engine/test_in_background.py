"""Requests in the background, and those of a prompt that goes on: what is sent, and what is not."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from comfyui_siliconflow.comfyui import background, host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import retry, run
from comfyui_siliconflow.engine.job import Job, PlannedRequest, Result, RunEnded
from comfyui_siliconflow.engine.lifecycle import RequestLifecycle, SingleFlight
from comfyui_siliconflow.engine.rate_limit import RateLimiter
from comfyui_siliconflow.engine.services import (
    client_for,
    current_settings,
    job_history_for,
    ledger_for,
)
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.http import downloads
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.storage.waiting_runs import WaitingRuns
from comfyui_siliconflow.strings.text import Text, text
from comfyui_siliconflow.tasks.image_tasks import plan_images
from comfyui_siliconflow.tests.conftest import Held, LimitClock
from comfyui_siliconflow.tests.waiting import pack_threads, until

KOLORS = "Kwai-Kolors/Kolors"
LOST: dict[str, Any] = {"may_send": False, "sends_unpaid": True}
INPUTS = {"model": "Qwen/Qwen-Image", "prompt": "a cat", "seed": 1}


def run_jobs(settings: Settings | None = None, images: int = 1, **how: Any) -> list[Job]:
    """Run the jobs of a text-to-image node, one after the other."""
    settings = settings or current_settings()
    plan = plan_images("text-to-image", (), {**INPUTS, "batch_size": images}, settings)
    client, ledger = client_for(settings), ledger_for(settings)
    lifecycle = RequestLifecycle("text-to-image", settings, client, ledger, plan)
    jobs = [Job(request, threading.Event(), **how) for request in plan.requests]
    for job in jobs:
        assert lifecycle.unpaid(job) == [] or job.may_send or job.sends_unpaid
        job.start()
        lifecycle.run(job)
        assert lifecycle.is_stored(job) == (job.error is None)
    return jobs


def test_a_job_that_may_not_send_gets_what_is_saved_and_fails_without_it(
    simulator: Simulator,
) -> None:
    (missing,) = run_jobs(may_send=False)
    assert isinstance(missing.error, errors.ResultMissing)
    assert missing.error.charged is False
    assert simulator.generations == []
    run_jobs()
    (found,) = run_jobs(may_send=False)
    assert [result.origin for result in found.results] == ["reused"]
    assert len(simulator.generations) == 1


@pytest.mark.parametrize("step", ["claim", "mark_sent"])
@pytest.mark.parametrize("in_background", [True, False])
def test_in_the_background_nothing_is_sent_that_is_not_recorded(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, in_background: bool, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LedgerError(text("ledger.locked"))

    monkeypatch.setattr(Ledger, step, fail)
    lifecycle, job = one_job(in_background=in_background)
    lifecycle.run(job)
    assert isinstance(job.error, errors.GuardStopped) is in_background
    assert len(simulator.generations) == (0 if in_background else 1)


def test_a_saved_result_that_the_ledger_cannot_find_now_is_not_called_free_of_charge(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle, paid = one_job()
    lifecycle.run(paid)

    def fail(*_: Any, **__: Any) -> None:
        raise LedgerError(text("ledger.locked"))

    monkeypatch.setattr(Ledger, "claim", fail)
    lifecycle, missing = one_job(may_send=False)
    lifecycle.run(missing)
    assert isinstance(missing.error, errors.ResultMissing)
    assert missing.error.charged is None
    assert len(simulator.generations) == 1


def test_what_an_ended_process_may_have_paid_is_named_and_not_sent_again(
    simulator: Simulator,
) -> None:
    simulator.fail(504)
    (lost,) = run_jobs()
    assert isinstance(lost.error, errors.GatewayTimeout)
    (missing,) = run_jobs(may_send=False)
    assert isinstance(missing.error, errors.ResultMissing)
    assert any("may have been charged" in str(note) for note in missing.notes)
    assert len(simulator.generations) == 1


def test_what_was_planned_and_never_charged_is_sent_by_a_prompt_that_was_lost(
    simulator: Simulator,
) -> None:
    lost: dict[str, Any] = {"may_send": False, "sends_unpaid": True}
    (other,) = run_jobs(**lost)
    assert isinstance(other.error, errors.ResultMissing)  # another node gave it other inputs
    (again,) = run_jobs(**lost)
    assert isinstance(again.error, errors.ResultMissing)
    settings = current_settings()
    plan = plan_images("text-to-image", (), {**INPUTS, "batch_size": 1}, settings)
    ledger = ledger_for(settings)
    lifecycle = RequestLifecycle("text-to-image", settings, client_for(settings), ledger, plan)
    lifecycle.plan([Job(request, threading.Event()) for request in plan.requests])
    simulator.fail(504)
    (sent,) = run_jobs(**lost)
    assert isinstance(sent.error, errors.GatewayTimeout)
    (charged,) = run_jobs(**lost)
    assert isinstance(charged.error, errors.ResultMissing)
    assert len(simulator.generations) == 1


@pytest.mark.parametrize(("begins_in", "sent"), [(0.0, 1), (60.0, 2)])
def test_what_may_have_been_paid_since_a_prompt_began_is_not_sent_again_by_it(
    simulator: Simulator, begins_in: float, sent: int
) -> None:
    began = time.time() + begins_in
    simulator.fail(504)
    run_jobs()
    (job,) = run_jobs(not_again_since=began)
    assert isinstance(job.error, errors.ResultMissing) is (sent == 1)
    assert any("may have been charged" in str(note) for note in job.notes)
    assert len(simulator.generations) == sent


def test_what_a_prompt_goes_on_with_was_paid_and_counts_as_saved_nowhere(
    simulator: Simulator,
) -> None:
    run_jobs()
    run_jobs(may_send=False)
    with ledger_for(current_settings()).spending() as book:
        assert [each.is_free for each in book.since(time.time())] == [False]
    run_jobs()
    with ledger_for(current_settings()).spending() as book:
        assert [each.is_free for each in book.since(time.time())] == [False, True]
    assert len(simulator.generations) == 1


def test_who_joins_what_is_in_the_background_does_not_wait_for_it_in_vain(
    simulator: Simulator,
) -> None:
    settings = current_settings()
    plan = plan_images("text-to-image", (), {**INPUTS, "batch_size": 1}, settings)
    behind = Job(plan.requests[0], threading.Event(), in_background=True)
    flight, begun, ends = SingleFlight(), threading.Event(), threading.Event()

    def stand_in_line() -> Result:
        begun.set()
        ends.wait()
        raise RunEnded

    def share() -> None:
        with pytest.raises(RunEnded):
            flight.share("name", behind, stand_in_line)

    line = threading.Thread(target=share)
    line.start()
    begun.wait()
    with pytest.raises(errors.WaitTooLong):
        flight.share("name", Job(plan.requests[0], threading.Event()), stand_in_line, 0.1)
    assert behind.is_looked_at
    ends.set()
    line.join()
    assert simulator.generations == []


@pytest.mark.parametrize("in_background", [False, True])
def test_in_the_background_a_rate_limit_is_waited_for_as_long_as_it_takes(
    use: Any, limit_clock: LimitClock, write_settings: Any, in_background: bool
) -> None:
    write_settings(longest_wait=30)
    key = f"sk-in-background-{in_background}"
    with Simulator(ipm=2, clock=limit_clock, key=key, as_of="today") as simulator:
        use(simulator)
        jobs = run_jobs(images=5, in_background=in_background)
        failed = [job.error for job in jobs if job.error]
        assert all(isinstance(error, errors.WaitTooLong) for error in failed)
        assert bool(failed) is not in_background


def quick_downloads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(downloads, "WAITS", ())
    patch.setattr(retry, "FIRST", 0.0)


@pytest.mark.parametrize("status", [503, 404, 0])
def test_in_the_background_a_download_outlasts_an_outage_and_nothing_is_sent_for_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    quick_downloads(monkeypatch)
    simulator.fail(status, times=12, on="pictures")
    (job,) = run_jobs(in_background=True)
    assert job.error is None
    [result] = job.results
    assert (len(result.items), result.origin, str(result.cost)) == (1, "paid", "0.3")
    assert len(simulator.generations) == 1


@pytest.mark.parametrize("is_mended", [True, False])
def test_in_the_background_a_damaged_file_is_downloaded_again_a_few_times(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, is_mended: bool
) -> None:
    quick_downloads(monkeypatch)
    monkeypatch.setattr(retry, "DAMAGED_PAUSES", (0.0,) * 3)
    simulator.fail(200, times=7 if is_mended else 100, body="<p>Log in</p>", on="pictures")
    (job,) = run_jobs(in_background=True)
    assert isinstance(job.error, errors.BadResult) is not is_mended
    assert len(job.items) == (1 if is_mended else 0)
    # Each try downloads at most twice.
    assert len([each for each in simulator.requests if "/pictures/" in each.path]) == 8
    assert len(simulator.generations) == 1


def test_in_the_foreground_a_download_that_fails_is_told_at_once(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    simulator.fail(503, times=12, on="pictures")
    (job,) = run_jobs()
    assert isinstance(job.error, errors.DownloadFailed)


def test_what_could_not_be_downloaded_is_downloaded_later_and_nothing_is_sent_for_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    simulator.fail(503, times=12, on="pictures")
    lifecycle, job = one_job()
    lifecycle.run(job)
    assert isinstance(job.error, errors.DownloadFailed)
    assert not lifecycle.is_stored(job)
    lifecycle.download_later(job)()
    assert lifecycle.is_stored(job)
    assert len(simulator.generations) == 1


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_result_that_is_refused_for_good_is_not_downloaded_later(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    run_node: Any,
    write_settings: Any,
    is_refused: bool,
) -> None:
    quick_downloads(monkeypatch)
    if is_refused:
        write_settings(most_megapixels=0.1)
    else:
        simulator.fail(503, times=12, on="pictures")
    later: list[Job] = []
    monkeypatch.setattr(run._Run, "_download_later", lambda _run, job: later.append(job))  # noqa: SLF001 - only with a server
    with pytest.raises(errors.DownloadFailed) as caught:
        run_node("SiliconFlowTextToImage", **INPUTS)
    assert isinstance(caught.value, errors.ResultRefused) is is_refused
    assert len(later) == (0 if is_refused else 1)


def test_the_list_shows_what_was_downloaded_later(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, run_node: Any, write_settings: Any
) -> None:
    quick_downloads(monkeypatch)
    write_settings(show_balance=False)
    sent: list[dict[str, Any]] = []
    queue = mock.Mock(currently_running={})
    server = mock.Mock(prompt_queue=queue, send_sync=lambda _event, data, _page: sent.append(data))
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    monkeypatch.setattr(run, "refresh_if_due", lambda *_given: None)
    simulator.fail(503, times=12, on="pictures")
    with pytest.raises(errors.DownloadFailed):
        run_node("SiliconFlowTextToImage", **INPUTS)
    until(lambda: not pack_threads())
    states = [data["job"]["state"] for data in sent if "job" in data]
    assert states[-3:] == ["failed", "running", "done"]
    [record] = job_history_for(current_settings()).since(0)
    assert (record.state, record.reason, record.files_here) == ("done", None, (True,))
    assert len(simulator.generations) == 1


def test_what_is_run_again_while_its_download_goes_on_is_downloaded_later_once_for_all(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, run_node: Any, write_settings: Any
) -> None:
    quick_downloads(monkeypatch)
    write_settings(show_balance=False)
    monkeypatch.setattr(host, "prompt_server", lambda: mock.Mock(prompt_queue=None))
    monkeypatch.setattr(run, "refresh_if_due", lambda *_given: None)
    may_begin, download_later = threading.Event(), RequestLifecycle.download_later
    under_way: list[int] = []

    def held(lifecycle: RequestLifecycle, job: Job) -> Any:
        download = download_later(lifecycle, job)

        def begin() -> Job:
            under_way.append(job.request.seed)
            may_begin.wait()
            return download()

        return begin

    monkeypatch.setattr(RequestLifecycle, "download_later", held)
    for seed in (1, 1, 2):
        simulator.fail(503, times=12, on="pictures")
        with pytest.raises(errors.DownloadFailed):
            run_node("SiliconFlowTextToImage", **{**INPUTS, "seed": seed})
    until(lambda: len(under_way) == 2)
    assert sorted(under_way) == [1, 2]
    may_begin.set()
    until(lambda: not pack_threads())
    records = job_history_for(current_settings()).since(0)
    assert sorted(record.state for record in records) == ["done", "done", "reused"]
    assert [record.files_here for record in records] == [(True,)] * 3
    assert len(simulator.generations) == 2


def test_a_download_ends_with_its_url_and_the_request_is_not_sent_again(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    simulator.fail(503, times=1000, on="pictures")
    began, ticks = time.time(), itertools.count()
    ledger = ledger_for(current_settings())
    monkeypatch.setattr(ledger, "_clock", lambda: began + 100 * next(ticks))
    (job,) = run_jobs(in_background=True)
    assert isinstance(job.error, errors.DownloadFailed)
    assert job.may_send
    assert len(simulator.generations) == 1
    downloaded = [each for each in simulator.requests if "/pictures/" in each.path]
    assert len(downloaded) > 2


def test_a_download_that_is_refused_for_good_is_not_repeated(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, write_settings: Any
) -> None:
    quick_downloads(monkeypatch)
    write_settings(most_megapixels=0.1)
    (job,) = run_jobs(in_background=True)
    assert isinstance(job.error, errors.ResultRefused)
    assert len(simulator.generations) == 1


def one_job(images: int = 1, seed: int = 1, **how: Any) -> tuple[RequestLifecycle, Job]:
    """Return the job of one request, as the older service takes it, and what runs it."""
    settings = current_settings()
    inputs = {"model": KOLORS, "prompt": "a cat", "seed": seed, "batch_size": images}
    plan = plan_images("text-to-image", (), inputs, settings)
    client, ledger = client_for(settings), ledger_for(settings)
    lifecycle = RequestLifecycle("text-to-image", settings, client, ledger, plan)
    (request,) = plan.requests
    return lifecycle, Job(request, threading.Event(), **how)


def second(first: tuple[RequestLifecycle, Job], **how: Any) -> Job:
    """Run the job of the same prompt, for which a node before it gives another seed now."""
    _, images, seed, names = json.loads(json.dumps(first[0].first_of(first[1])))
    lifecycle, job = one_job(images, seed=7, **how)
    lifecycle.find_first(job, seed, names)
    lifecycle.run(job)
    return job


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_second_run_with_other_inputs_brings_what_the_first_paid(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    first, job = one_job(3)
    if in_parts:
        monkeypatch.setattr(RateLimiter, "is_too_heavy", lambda _self, count: count > 1)
    first.run(job)
    sent = len(simulator.generations)
    assert sent == (3 if in_parts else 1)
    again = second((first, job), may_send=False)
    assert again.error is None
    assert (len(again.items), again.seeds[0]) == (3, 1)
    assert any("when the workflow first ran" in str(note) for note in again.notes)
    assert len(simulator.generations) == sent


def test_a_second_run_with_other_inputs_of_what_failed_sends_nothing(simulator: Simulator) -> None:
    simulator.fail(504)
    first, job = one_job()
    first.run(job)
    missing = second((first, job), may_send=False)
    assert isinstance(missing.error, errors.ResultMissing)
    assert isinstance(second((first, job), **LOST).error, errors.ResultMissing)
    assert len(simulator.generations) == 1


def test_a_second_run_with_the_same_inputs_is_the_same_request(simulator: Simulator) -> None:
    first, job = one_job()
    frame, images, seed, names = first.first_of(job)
    assert (frame, images, seed, len(names)) == (0, 1, 1, 1)
    request = job.request
    first.find_first(job, seed, names)
    assert (job.request, job.notes) == (request, [])
    assert simulator.generations == []


@pytest.mark.parametrize("is_paid", [True, False])
def test_what_is_to_be_sent_again_is_found_or_sent_as_it_is_now(
    simulator: Simulator, is_paid: bool
) -> None:
    first, job = one_job()
    if is_paid:
        first.run(job)
    again = second((first, job))
    assert again.error is None
    assert simulator.generations[-1].body["seed"] == (1 if is_paid else 7)
    assert again.seeds == [1 if is_paid else 7]
    assert len(simulator.generations) == 1


def test_what_was_planned_and_never_charged_is_sent_after_a_restart_as_it_is_now(
    simulator: Simulator,
) -> None:
    first, job = one_job()
    first.plan([job])
    assert second((first, job), **LOST).error is None
    assert [record.body["seed"] for record in simulator.generations] == [7]


def test_of_a_request_in_parts_what_was_never_charged_is_sent_after_a_restart(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, job = one_job(2, in_background=True)
    first.plan([job])
    simulator.fail(504)
    with monkeypatch.context() as patch:
        patch.setattr(RateLimiter, "is_too_heavy", lambda _self, count: count > 1)
        first.run(job)
    assert isinstance(job.error, errors.GatewayTimeout)
    for _ in range(2):
        lifecycle, again = one_job(2, **LOST)
        lifecycle.run(again)
        assert isinstance(again.error, errors.ResultMissing)
        assert len(again.items) == 1
        assert [record.body["batch_size"] for record in simulator.generations] == [1, 1]


def test_parts_of_a_request_that_may_have_been_charged_as_a_whole_are_not_sent(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, job = one_job(2, in_background=True)
    first.plan([job])
    first._parts(job, job.request)  # noqa: SLF001 - as when it was refused for its size
    simulator.fail(504)
    first.run(job)
    assert len(simulator.generations) == 1
    monkeypatch.setattr(RateLimiter, "is_too_heavy", lambda _self, count: count > 1)
    lifecycle, again = one_job(2, **LOST)
    lifecycle.run(again)
    assert isinstance(again.error, errors.ResultMissing)
    assert len(simulator.generations) == 1


def test_in_the_foreground_who_joins_what_is_in_the_background_waits_as_long_as_is_set(
    simulator: Simulator, write_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(longest_wait=0.1)
    begun, ends = threading.Event(), threading.Event()
    behind, job = one_job(in_background=True)

    def stand_in_line(*_given: Any) -> Result:
        begun.set()
        ends.wait()
        raise RunEnded

    monkeypatch.setattr(behind, "_find_or_send", stand_in_line)
    line = threading.Thread(target=behind.run, args=(job,))
    line.start()
    begun.wait()
    lifecycle, joins = one_job()
    too_long = threading.Timer(10.0, ends.set)
    too_long.start()
    lifecycle.run(joins)
    too_long.cancel()
    ends.set()
    line.join()
    assert isinstance(joins.error, errors.WaitTooLong)
    assert simulator.generations == []


def test_who_joins_a_request_that_goes_on_after_a_restart_waits_for_it_to_its_end() -> None:
    request = PlannedRequest(0, 1, 1, {"model": KOLORS})
    # Its ticket is of an earlier process: this one never sent it.
    sender = Job(request, threading.Event(), in_background=True, is_sent=True)
    flight, begun, ends = SingleFlight(), threading.Event(), threading.Event()

    def poll() -> Result:
        begun.set()
        ends.wait(10)
        return Result(["a clip"], 1, ResponseMetadata(), "downloaded")

    line = threading.Thread(target=flight.share, args=("name", sender, poll))
    line.start()
    begun.wait()
    joins = Job(request, threading.Event())
    threading.Timer(1.0, ends.set).start()
    assert flight.share("name", joins, poll, longest_wait=0.0).items == ["a clip"]
    line.join()


@pytest.fixture
def queue_prompt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a node in the background of a prompt of ComfyUI's queue, which ends with it."""

    def queue(prompt_id: str, going_on: dict[str, Any] | None = None, **inputs: Any) -> None:
        values = {**INPUTS, **inputs}
        node = {"class_type": "SiliconFlowTextToImage", "inputs": values}
        extra_data = {"create_time": 5000, host.GOING_ON: going_on or {}}
        running: list[Any] = [(0, prompt_id, {"1": node}, extra_data, ["1"])]
        context = SimpleNamespace(node_id="1", prompt_id=prompt_id, list_index=None)
        monkeypatch.setattr(host, "running_item", lambda _id: running[0] if running else ())
        monkeypatch.setattr(host, "_executing", lambda: context)
        monkeypatch.setattr(host, "blocked", lambda: "nothing yet")
        execute = NODE_CLASS_MAPPINGS["SiliconFlowTextToImage"]().execute
        assert asyncio.run(execute(**values, background=True)) == "nothing yet"
        running.clear()

    return queue


@pytest.mark.parametrize("goes_on", [False, True])
def test_of_a_prompt_that_is_given_up_what_is_not_sent_never_is_and_the_rest_is_saved(
    simulator: Simulator, held: Held, queue_prompt: Any, write_settings: Any, goes_on: bool
) -> None:
    write_settings(max_parallel=1)
    queue_prompt("first", batch_size=3)
    held.wait_for(1)
    runs, id_ = WaitingRuns(ledger_for(current_settings()).database), "first"
    if goes_on:  # now, while its requests are under way
        assert runs.take("first")
        del background._WAITING["first"]  # noqa: SLF001 - as `go_on` does
        going_on = {"parent": "first", "left_out": ["1"], "first_prompt_id": "first"}
        queue_prompt("second", going_on, batch_size=3)
        id_ = "second"
    assert background.forget(id_, runs)
    held.release()
    until(lambda: not pack_threads())
    assert len(simulator.generations) == 1
    assert len(run_jobs(may_send=False)[0].items) == 1
    assert runs.all() == []


@pytest.mark.parametrize("change", ["stop", "leave_out", "take", "delete"])
def test_a_prompt_goes_on_although_the_ledger_fails_for_a_while_at_its_end(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, queue_prompt: Any, change: str
) -> None:
    monkeypatch.setattr(background, "TICK_SECONDS", 0.0)
    write, fails = getattr(WaitingRuns, change), iter(range(3))

    def fail_thrice(*given: Any) -> Any:
        if next(fails, None) is not None:
            raise LedgerError(Text("the disk is full"))
        return write(*given)

    monkeypatch.setattr(WaitingRuns, change, fail_thrice)
    monkeypatch.setattr(background, "_queue", lambda *_given, **_how: None)
    if change == "stop":
        simulator.fail(400, times=9)
    queue_prompt("p")
    until(lambda: not pack_threads())
    assert next(fails, None) is None
    left = WaitingRuns(ledger_for(current_settings()).database).all()
    assert [run.state for run in left] == (["stopped"] if change == "stop" else [])


def test_what_is_given_up_while_its_download_waits_is_downloaded_later(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, queue_prompt: Any
) -> None:
    quick_downloads(monkeypatch)
    monkeypatch.setattr(retry, "FIRST", 30.0)
    simulator.fail(503, times=99, on="pictures")
    later: list[Job] = []
    monkeypatch.setattr(run._Run, "_download_later", lambda _run, job: later.append(job))  # noqa: SLF001 - only with a server
    queue_prompt("p")
    until(lambda: any("/pictures/" in each.path for each in simulator.requests))
    assert background.forget("p", WaitingRuns(ledger_for(current_settings()).database))
    until(lambda: not pack_threads())
    assert [type(job.error) for job in later] == [errors.DownloadFailed]
