"""Requests in the background, and those of a prompt that goes on: what is sent, and what is not."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import retry
from comfyui_siliconflow.engine.job import Job, Result, RunEnded
from comfyui_siliconflow.engine.lifecycle import RequestLifecycle, SingleFlight
from comfyui_siliconflow.engine.services import client_for, current_settings, ledger_for
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.http import downloads
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_tasks import plan_images
from comfyui_siliconflow.tests.conftest import LimitClock

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


def test_in_the_foreground_a_download_that_fails_is_told_at_once(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_downloads(monkeypatch)
    simulator.fail(503, times=12, on="pictures")
    (job,) = run_jobs()
    assert isinstance(job.error, errors.DownloadFailed)


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
