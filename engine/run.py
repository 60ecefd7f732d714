"""A run of a node: check, plan, send its requests in threads, show progress, return the results.

Everything that can be known to be wrong is known before the first request leaves. The event loop
only waits, shows progress and looks for a cancel. A request that has left goes on when its node is
cancelled: its items go into the ledger, where the same request finds them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from ..comfyui import background, events, host
from ..comfyui.host import Caller
from ..siliconflow.client import Client
from ..siliconflow.errors import (
    DownloadFailed,
    PartialFailure,
    RequestError,
    ResultMissing,
    ResultRefused,
    Unusable,
)
from ..siliconflow.model_advice import add_advice
from ..storage import notices
from ..storage.atomic_files import create
from ..storage.database import LedgerError
from ..storage.settings import Settings
from ..storage.waiting_runs import WaitingRuns
from ..strings.text import SiliconFlowError, Text, join, text
from . import prompt_costs
from .balance import BALANCES
from .endpoint import Endpoint
from .job import ANY_SEED, Job, Plan, PlannedRequest, Results
from .lifecycle import RequestLifecycle
from .model_refresh import A_DAY, refresh_if_due
from .progress import JobRecorder, RunProgress
from .retry import retry_free_call
from .services import client_for, current_settings, job_history_for, ledger_for
from .spending import RunToJudge, SpendingGuard
from .threads import in_thread, start_thread

T = TypeVar("T")
TICK_SECONDS = 0.2
"""Between two looks at the progress, and for a cancel."""
Inputs = Mapping[str, Any]
"""What a node was given, by name of the input."""
_GUARD = SpendingGuard()
_DOWNLOADING: dict[str, list[tuple[Callable[[], Job], JobRecorder]]] = {}
"""The downloads that go on after their runs, by the names of their requests: one goes first."""
_LOCK = threading.Lock()
logger = logging.getLogger("siliconflow")


async def run(
    task: str,
    inputs: Inputs,
    caller: Caller,
    prepare: Callable[[Settings], Plan],
    finish: Callable[[Results], tuple[Text, T]],
) -> T:
    """Run a node and return its outputs.

    `prepare` checks the inputs, which may be slow; `finish` turns the results into the line that
    the node shows and its outputs. Both run in a thread. Raises `InvalidInput`,
    `InvalidSettings`, `MissingKey` or `GuardStopped` before anything is sent, the `RequestError`
    of the cause if a single request failed, `PartialFailure` if there were several. Where requests
    go on in the background, the outputs are ComfyUI's for a node that gives nothing.
    """
    progress = RunProgress(host.current_progress())
    try:
        settings = current_settings()
        plan = await _cancellable(partial(prepare, settings))
        current = _Run(task, settings, caller, plan, progress)
        if await current.run_all(is_alike=inputs.get("seed") != ANY_SEED):
            progress.end(text("run.in_background"))
            outputs: T = host.blocked()
            return outputs
        line, outputs = await _cancellable(partial(current.finish, finish))
        progress.finish(line)
        if caller.graph:
            prompt_costs.mark_done(caller)
    except SiliconFlowError as error:
        background.note_found(caller, is_there=True)  # as in `_leave`: the prompt fails
        progress.end(events.title_of(error))
        events.send_failure(
            caller, error, str(inputs.get("custom_model") or inputs.get("model", ""))
        )
        causes = error.causes if isinstance(error, PartialFailure) else [error]
        is_missing = any(isinstance(cause, ResultMissing) for cause in causes)
        if is_missing and background.note_missing(caller, error.text):
            blocked: T = host.blocked()
            return blocked
        raise
    except BaseException as error:
        background.note_found(caller, is_there=True)
        if isinstance(error, Exception) and not host.is_cancel(error):
            logger.exception("%s: internal error", task)
            progress.end(text("run.internal_error", reason=type(error).__name__))
        else:
            progress.cancel()
        raise
    return outputs


async def look_up(caller: Caller, call: Callable[[Client], T], describe: Callable[[T], Text]) -> T:
    """Ask the service something that costs nothing, and show the answer on the node."""
    progress, ends = RunProgress(host.current_progress()), threading.Event()
    try:
        client = client_for(current_settings())
        answer = await _cancellable(partial(retry_free_call, partial(call, client), ends))
    except SiliconFlowError as error:
        progress.end(events.title_of(error))
        events.send_failure(caller, error, "")
        raise
    except Exception as error:
        if not host.is_cancel(error):
            logger.exception("a free call: internal error")
            progress.end(text("run.internal_error", reason=type(error).__name__))
        raise
    finally:
        ends.set()
    logger.info("%s, %.1f s", describe(answer)[0], progress.seconds)
    progress.finish(join("\n", (describe(answer), *caller.notes)))
    return answer


class _Run:
    """The requests of one run, and what they have in common."""

    def __init__(
        self, task: str, settings: Settings, caller: Caller, plan: Plan, progress: RunProgress
    ) -> None:
        """Create the jobs; `run_all` sends their requests."""
        self._task, self._settings, self._caller, self._plan = task, settings, caller, plan
        self._progress = progress
        self._client = client_for(settings)
        self._ledger = ledger_for(settings)
        self._lifecycle = RequestLifecycle(task, settings, self._client, self._ledger, plan)
        self._recorder = JobRecorder(job_history_for(settings), caller, task, plan)
        self._ends = threading.Event()
        shows = plan.endpoint.kind.has_previews and host.shows_images()
        # It would be paid once more where another node gives it other inputs each time.
        since = caller.going_on.get("since")
        is_sent_by_other = bool(caller.going_on) and background.is_under_way_before(caller)
        is_left_out = caller.node_id in caller.going_on.get("left_out", ())
        may_send = not is_left_out and not is_sent_by_other
        sends_unpaid = caller.node_id in caller.going_on.get("unpaid", ())
        *firsts, _ = accumulate((request.count for request in plan.requests), initial=0)
        made_since = caller.going_on.get("made_since", {}).get(caller.node_id, math.inf)
        self._jobs = [
            Job(
                request,
                self._ends,
                is_saved=settings.reuse,
                may_send=may_send,
                sends_unpaid=sends_unpaid,
                not_again_since=math.inf if since is None else since,
                made_since=made_since,
                owns=partial(background.is_made_for, caller=caller),
                judge=self._judge_again,
                show=partial(self._preview, first) if shows else None,
            )
            for request, first in zip(plan.requests, firsts, strict=True)
        ]
        # The requests for one frame are sent in their order: the last may ask for fewer images,
        # and what a rate limit lets pass is learned best from a full one.
        for earlier, job in pairwise(self._jobs):
            if earlier.request.frame == job.request.frame:
                job.before = earlier.in_line
        for note in (*caller.notes, *plan.notes):
            self._jobs[0].note(note)
        progress.begin(self._jobs, settings.currency)

    async def run_all(self, *, is_alike: bool) -> bool:
        """Run every job, unless a limit of the settings stops them all.

        Returns whether they go on in the background: then none need have ended. `is_alike`: the
        same node makes the same when it is queued again.
        """
        try:
            calls = await host.calls_of(self._caller)
            await _cancellable(partial(self._reserve, calls))
            if await _cancellable(partial(self._leave, calls, is_alike=is_alike)):
                return True
            await self._run_jobs(self._show)
        except BaseException:
            self._close()
            raise
        self._close()
        return False

    def _show(self) -> None:
        """Show how far the jobs are; raise if the user has cancelled."""
        host.raise_if_cancelled()
        self._progress.show()

    def _preview(self, first: int, place: int, item: Any) -> None:
        """Show an item; `first` is the place that the first one of its job has in the run."""
        self._progress.add_preview(first + place, self._plan.endpoint.kind.preview(item))

    def _close(self) -> None:
        """Let go of what was not started, and see to what follows a run."""
        self._ends.set()
        _GUARD.release(
            self._settings, self._ledger, [job for job in self._jobs if not job.is_started]
        )
        self._recorder.close(self._jobs)
        if host.prompt_server():
            if self._settings.show_balance:
                BALANCES.after_run(self._client, self._settings, self._caller)
            if any(_was_answered(job) for job in self._jobs):
                refresh_if_due(self._client, self._settings, A_DAY)

    def _leave(self, calls: int, *, is_alike: bool) -> bool:
        """Go on in the background if the node is set to, and something is not there yet.

        Returns whether it does; a note says why it cannot.
        """
        settings, caller, jobs = self._settings, self._caller, self._jobs
        is_wanted = caller.background is not None and (caller.background or settings.background)
        if not caller.graph or self._ends.is_set():
            return False
        if is_wanted and not settings.reuse:
            jobs[0].note(text("run.background_needs_reuse"))
        if not settings.reuse:
            return False
        runs = WaitingRuns(self._ledger.database)
        try:
            requests = [self._lifecycle.first_of(job) for job in jobs]
            if all(job.may_send for job in jobs):  # else it is known from the first run
                background.note_requests(caller, runs, requests)
            if not is_wanted or self._is_there(calls) or self._ends.is_set():
                return False
            most = settings.background_runs
            waiting = background.join(caller, runs, most, requests, self._ends, is_alike=is_alike)
        except LedgerError as error:
            background.note_found(caller, is_there=True)  # no other call is to wait for this one
            jobs[0].ledger_failed(error)
            return False
        if waiting is None:
            jobs[0].note(text("run.background_full", n=most))
            return False
        for job in jobs:
            job.in_background, job.show = True, None
        start_thread(self._run_in_background, waiting, runs)
        return True

    def _is_there(self, calls: int) -> bool:
        if background.is_under_way_before(self._caller):
            is_there = all(map(self._lifecycle.is_stored, self._jobs))
        else:
            is_there = not any(map(self._lifecycle.is_awaited, self._jobs))
        return background.is_list_there(self._caller, calls, self._ends, is_there=is_there)

    def _run_in_background(self, waiting: background.Waiting, runs: WaitingRuns) -> None:
        """Run every job while its prompt waits, which then goes on if nothing failed."""
        failure: Text | None = text("run.background_unsaved")
        try:
            while background.is_under_way_before(self._caller) and not self._ends.is_set():
                self._ends.wait(TICK_SECONDS)
            with suppress(LedgerError):  # after a restart it counts as charged
                self._lifecycle.plan([job for job in self._jobs if job.may_send])
            asyncio.run(self._run_jobs(lambda: None))
            _raise_failures(self._jobs, self._plan.endpoint)
            if all(map(self._lifecycle.is_stored, self._jobs)):
                prompt_costs.mark_done(self._caller)
                failure = None
            elif self._ends.is_set():
                failure = text("background.prompt_failed")
        except SiliconFlowError as error:
            events.send_failure(self._caller, error, self._plan.model.id)
            failure = error.text
        except Exception as error:
            logger.exception("%s in the background: internal error", self._task)
            failure = text("run.internal_error", reason=type(error).__name__)
        finally:
            self._close()
            for job in self._jobs:
                job.drop_items()
            background.leave(waiting, runs, failure)

    def finish(self, finish: Callable[[Results], tuple[Text, T]]) -> tuple[Text, T]:
        """Return the line to show and the outputs; raise why jobs failed, if any did."""
        with suppress(IndexError):  # also where other runs take them at the same time
            while True:
                self._jobs[0].note(notices.PENDING.popleft())
        _raise_failures(self._jobs, self._plan.endpoint)
        uploads = self._lifecycle.uploads
        described = uploads.describe() if uploads else ()
        self._tell_once()
        try:
            prices = self._lifecycle.pricing.describe()
            seconds = self._progress.seconds
            prompts = self._caller.prompts
            return finish(Results(self._plan, self._jobs, seconds, described, prices, prompts))
        except Unusable as error:
            self._lifecycle.discard(self._jobs)
            raise self._lifecycle.worded(error, self._jobs[0]) from None

    def _tell_once(self) -> None:
        """Note what this account was never told; what cannot be stored is told rather than not."""
        results = [(job, result) for job in self._jobs for result in job.results]
        if all(each.origin == "reused" and not job.was_made_before(each) for job, each in results):
            return
        for name, note in self._plan.once.items():
            marker = host.data_directory() / "notices_shown" / f"{name}.{self._settings.account}"
            with suppress(OSError):
                if not create(marker):
                    continue
            self._jobs[0].note(note)

    def _find_first(self) -> None:
        """Let the jobs find what was asked for when the prompt ran first, if they are others now.

        Without as many images of the same frames it is not known which is for which.
        """
        first = background.first_requests(self._caller) if self._caller.going_on else ()
        if [each[:2] for each in first] == [[*job.request.place] for job in self._jobs]:
            for job, (_, _, seed, names) in zip(self._jobs, first, strict=True):
                self._lifecycle.find_first(job, seed, names)
        elif first:
            self._jobs[0].note(text("run.first_shape"))

    def _reserve(self, calls: int) -> None:
        """Record the jobs, and stop them all if they would break a limit of the settings."""
        self._find_first()
        listed = [job for job in self._jobs if not self._is_listed(job)]
        self._recorder.begin(listed)
        try:
            _GUARD.reserve(replace(self._to_judge(), calls=calls))
        except SiliconFlowError as error:
            self._recorder.stopped(listed or self._jobs, error)
            raise
        if self._ends.is_set():
            _GUARD.release(self._settings, self._ledger, self._jobs)
            self._recorder.end_all(self._jobs)

    def _is_listed(self, job: Job) -> bool:
        """Return whether the list has a job of the run before, in the background, for the same."""
        if job.made_since == math.inf:
            return False
        with suppress(LedgerError):
            is_stored, is_under_way = self._lifecycle.is_stored, self._lifecycle.is_under_way
            is_known = is_stored(job) or is_under_way(job)
            return is_known or background.is_under_way_before(self._caller)
        return False

    def _judge_again(self, job: Job, request: PlannedRequest) -> None:
        """Judge a request that was paid, or under way, when its run began, and is no more."""
        run = replace(self._to_judge(), jobs=[job], unpaid=lambda _: [request], is_late=True)
        _GUARD.reserve(run)

    def _to_judge(self) -> RunToJudge:
        caller, lifecycle = self._caller, self._lifecycle
        others = partial(prompt_costs.expected, caller, self._settings, self._client, self._ledger)
        return RunToJudge(
            self._settings,
            self._ledger,
            caller,
            self._plan,
            lifecycle.pricing,
            self._jobs,
            lifecycle.distinct,
            lifecycle.unpaid,
            partial(lifecycle.paid_lately, self._jobs),
            lifecycle.content,
            others,
        )

    async def _run_jobs(self, show: Callable[[], None]) -> None:
        """Run the jobs, some at a time; after an error that repeats itself, none is started.

        `show` is called again and again, and ends the run if it raises.
        """
        slots = asyncio.Semaphore(self._settings.max_parallel)

        async def run_in_turn(job: Job) -> None:
            async with slots:
                errors = [other.error for other in self._jobs if other.error]
                if not any(getattr(error, "stops_run", True) for error in errors):
                    job.start()
                    await in_thread(partial(self._run_job, job))

        tasks = [asyncio.create_task(run_in_turn(job)) for job in self._jobs]
        pending = set(tasks)
        try:
            while pending:
                show()
                self._recorder.publish(self._jobs)
                _, pending = await asyncio.wait(pending, timeout=TICK_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            task.result()

    def _download_later(self, job: Job) -> None:
        """Go on downloading what was paid, while ComfyUI runs: nobody has to ask for it again."""
        is_wanted = self._settings.reuse and job.is_saved and host.prompt_server()
        if not is_wanted:
            return
        history, plan = job_history_for(self._settings), self._plan
        recorder = JobRecorder(history, self._caller, self._task, plan)  # it is news once more
        later = self._lifecycle.download_later(job), recorder
        with _LOCK:
            is_first = job.name not in _DOWNLOADING
            _DOWNLOADING.setdefault(job.name, []).append(later)
        if is_first:
            start_thread(_download, job.name)

    def _run_job(self, job: Job) -> None:
        """Run a job to its end; what it reserved is let go then, not when its node ends."""
        try:
            self._lifecycle.run(job)
            if job.error:
                add_advice(job.error, self._plan.model, self._task, self._settings.site)
        finally:
            _GUARD.release(self._settings, self._ledger, [job])
            self._recorder.end(job)
        is_refused = isinstance(job.error, ResultRefused)
        is_over = not job.in_background or self._ends.is_set()
        if isinstance(job.error, DownloadFailed) and is_over and not is_refused:
            self._download_later(job)


def _download(name: str) -> None:
    """Download what jobs could not; the list shows each once all of it is there.

    After the first of a request, the others find it on disk.
    """
    while True:
        with _LOCK:
            if not _DOWNLOADING[name]:
                del _DOWNLOADING[name]
                return
            download, recorder = _DOWNLOADING[name].pop(0)
        try:
            job = download()
            job.drop_items()
            if sum(result.count for result in job.results) >= job.request.count:
                recorder.go_on(job)
                recorder.end(job)
        except Exception:
            logger.exception("a download that goes on: internal error")


def _was_answered(job: Job) -> bool:
    """Return whether the service answered a request of this job, if only with an error."""
    refused = isinstance(job.error, RequestError) and job.error.failure.status is not None
    return refused or any(result.origin == "paid" for result in job.results)


async def _cancellable(work: Callable[[], T]) -> T:
    """Do `work` in a thread, and look for a cancel meanwhile."""
    task = asyncio.create_task(in_thread(work))
    try:
        while not task.done():
            host.raise_if_cancelled()
            await asyncio.wait({task}, timeout=TICK_SECONDS)
    finally:
        task.cancel()
    return task.result()


def _raise_failures(jobs: Sequence[Job], endpoint: Endpoint) -> None:
    """Raise why jobs failed, if any did: with what is saved, and how to repeat the run."""
    errors = [job.error for job in jobs if job.error]
    if not errors:
        return
    items = sum(len(job.items) for job in jobs)
    error = errors[0]
    if len(jobs) > 1:
        rest = "run.rest_saved" if all(job.is_saved for job in jobs) else "run.rest_not_saved"
        message = text(
            "run.failed_in_part" if items else "run.failed_all",
            failed=len(errors),
            requests=len(jobs),
            saved=text(rest, n=items) if items else "",
            unsent=_unsent(jobs),
            first=errors[0].text,
        )
        requested = sum(job.request.count for job in jobs)
        names = endpoint.item_names
        what = text("run.failed_what", failed=requested - items, requested=requested, items=names)
        if not items:
            what = events.title_of(errors[0])
        error = PartialFailure(message, [*errors], what)
    for note in dict.fromkeys(note for job in jobs for note in job.notes):
        error.add(note)
    may_be_paid = any(getattr(item, "charged", True) is not False for item in errors)
    if "seed" in jobs[0].request.body and (may_be_paid or items):
        error.add(text("run.repeat", seed=jobs[0].request.seed))
        error.offer(seed=jobs[0].request.seed)
    raise error


def _unsent(jobs: Sequence[Job]) -> Text:
    count = sum(not job.results and job.error is None for job in jobs)
    return text("run.unsent", n=count) if count else Text("")
