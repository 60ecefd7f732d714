"""The one road of a paid call: validate, look in the ledger, send, record, download, decode.

Everything that can be known to be wrong is known before the first request leaves. Requests run in
threads of the pack's own; the event loop only waits, shows progress and looks for a cancel. A
request that has left goes on when its node is cancelled: its pictures go into the ledger, where
the same request finds them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import torch

from ..comfyui import events, host
from ..comfyui.caller import NO_CALLER, Caller
from ..media.image_files import to_batch
from ..siliconflow.client import Client
from ..siliconflow.errors import PartialFailure, Unusable
from ..storage.settings import Settings
from ..strings.text import SiliconFlowError, Text
from ..tasks.plan import Plan, make
from ..tasks.results import Results, as_json, request_facts
from .balance import BALANCES
from .job import Job
from .job_list import JobRecorder
from .lifecycle import RequestLifecycle
from .model_advice import explain
from .patience import patiently
from .progress import Report
from .services import client_for, current_settings, job_history_for, ledger_for
from .spending import SpendingGuard
from .threads import in_thread

Kind = TypeVar("Kind")
Prepare = Callable[[Settings], Plan]
Explain = Callable[[SiliconFlowError | None], None]

POLL_SECONDS = 0.2
_GUARD = SpendingGuard()
_KEPT = Text(
    "What came ({made}) is kept: queue the same again to get it free and ask for what is missing"
    " alone.",
    "已收到的结果（{made}）会保留：重新运行相同内容即可免费取回，只请求缺少的部分。",
)
_NOT_KEPT = Text(
    "What came ({made}) is not kept: the same again would be paid in full.",
    "已收到的结果（{made}）没有保留：重新运行相同内容会全部重新扣费。",
)
_CANCELLED = Text(
    "Ended early. What was sent goes on, and is kept.",
    "已提前结束。已发出的请求会继续，结果会保留。",
)
_SAME_AGAIN = Text(
    "The same again is: seed {seed}, with control after generate on fixed.",
    "要重新运行相同内容：种子设为 {seed}，“生成后控制”设为固定（fixed）。",
)


@dataclass(frozen=True)
class Run:
    """A node that is run: for which task and whom, and the model that was asked for, in words."""

    task: str
    caller: Caller
    model: str


@dataclass(frozen=True)
class Ran:
    """A run whose requests are all over: what was asked for, and what became of it."""

    plan: Plan
    jobs: Sequence[Job]
    road: RequestLifecycle
    report: Report


async def generate(
    task: str,
    inputs: Mapping[str, Any],
    images: Mapping[str, torch.Tensor | None],
    caller: Caller = NO_CALLER,
) -> tuple[torch.Tensor, int, str]:
    """Run one image node and give its outputs: images `[B,H,W,C]`, seed, info (JSON).

    Raises `InvalidInput`, `InvalidSettings`, `MissingKey` or `GuardStopped` before anything is
    sent, a `RequestError` of the cause if a single request failed, `PartialFailure` if several
    were made.
    """

    def prepare(settings: Settings) -> Plan:
        return make(task, inputs, images, settings.site)

    return await _reported(_run_of(task, caller, inputs), prepare, _outputs)


async def ask(
    task: str,
    inputs: Mapping[str, Any],
    caller: Caller,
    prepare: Prepare,
    shape: Callable[[Results], tuple[Text, Kind]],
) -> Kind:
    """Run a node of any other endpoint, and give its outputs.

    `prepare` checks the inputs, which may be slow; `shape` makes of what came the line that the
    node shows, and its outputs. Raises what `generate` raises.
    """

    async def finish(ran: Ran) -> Kind:
        _raise_failures(ran.jobs, ran.plan.endpoint.nouns)
        came = Results(ran.plan, ran.jobs, ran.report.seconds)
        try:
            line, outputs = await _polled(partial(shape, came))
        except Unusable:
            await _polled(partial(ran.road.discard, ran.jobs))
            raise
        ran.report.said(line)
        return outputs

    return await _reported(_run_of(task, caller, inputs), prepare, finish)


async def look_up(
    caller: Caller, question: Callable[[Client], Kind], tell: Callable[[Kind], Text]
) -> Kind:
    """Ask the service something that costs nothing, and show the answer on the node."""
    report, ends = Report(host.progress()), threading.Event()
    try:
        settings = current_settings()
        found = await _polled(partial(patiently, partial(question, client_for(settings)), ends))
    except SiliconFlowError as error:
        report.ended(error.text)
        events.failed(caller, error, "")
        raise
    finally:
        ends.set()
    report.said(tell(found))
    return found


def _run_of(task: str, caller: Caller, inputs: Mapping[str, Any]) -> Run:
    return Run(task, caller, str(inputs.get("custom_model") or inputs.get("model", "")))


async def _reported(run: Run, prepare: Prepare, finish: Callable[[Ran], Awaitable[Kind]]) -> Kind:
    """Run a node, and show on it what it ended with, whatever that is."""
    report = Report(host.progress())
    try:
        return await _run(run, prepare, finish, report)
    except SiliconFlowError as error:
        report.ended(error.text)
        events.failed(run.caller, error, run.model)
        raise
    except BaseException:
        report.ended(_CANCELLED)
        raise


async def _run(
    run: Run, prepare: Prepare, finish: Callable[[Ran], Awaitable[Kind]], report: Report
) -> Kind:
    settings = current_settings()
    plan = await _polled(partial(prepare, settings))
    client = client_for(settings)
    road = RequestLifecycle(settings, client, ledger_for(settings), plan)
    ends = threading.Event()
    shows = host.shows_pictures() and plan.endpoint.makes_pictures
    show = report.arrived if shows else None
    jobs = [Job(ask, ends, kept=settings.reuse, show=show) for ask in plan.asks]
    _line_up(jobs)
    history = JobRecorder(
        job_history_for(settings), run.caller, run.task, plan.model.id, plan.endpoint
    )
    for note in plan.notes:
        jobs[0].note(note)
    report.begin(plan.model.name, jobs)
    try:
        await _polled(partial(_reserve, settings, client, road, jobs, history))
        explained = partial(explain, model=plan.model, task=run.task, site=settings.site)
        await _run_all(jobs, partial(_take, road, history, explained), settings, report, history)
    finally:
        ends.set()
        _GUARD.release_all([job for job in jobs if not job.begun])
        history.close(jobs)
        BALANCES.after_run(client, settings, run.caller)
    return await finish(Ran(plan, jobs, road, report))


def _line_up(jobs: Sequence[Job]) -> None:
    """Let the requests for one frame be sent in their order: the last may ask for fewer pictures,
    and what a rate limit lets pass is learned best from a full one.
    """
    for earlier, job in pairwise(jobs):
        if earlier.ask.frame == job.ask.frame:
            job.before = earlier.in_line


def _reserve(
    settings: Settings,
    client: Client,
    road: RequestLifecycle,
    jobs: Sequence[Job],
    history: JobRecorder,
) -> None:
    history.begin(jobs)
    try:
        _GUARD.reserve(settings, client, jobs, road.unpaid, pictures=road.makes_pictures)
    except SiliconFlowError as error:
        history.stopped(jobs, error)
        raise
    if jobs[0].ends.is_set():
        _GUARD.release_all(jobs)
        history.end_all(jobs)


def _take(road: RequestLifecycle, history: JobRecorder, explained: Explain, job: Job) -> None:
    """Take a job to its end; what it reserved is let go when it is over, not when its node is."""
    try:
        road.take(job)
        explained(job.error)
    finally:
        _GUARD.release(job)
        history.end(job)


async def _polled(work: Callable[[], Kind]) -> Kind:
    """Do `work` in a thread, and look for a cancel meanwhile."""
    task = asyncio.create_task(in_thread(work))
    try:
        while not task.done():
            host.stop_if_cancelled()
            await asyncio.wait({task}, timeout=POLL_SECONDS)
    finally:
        task.cancel()
    return task.result()


async def _outputs(ran: Ran) -> tuple[torch.Tensor, int, str]:
    """Make the outputs. The jobs let go of their pictures: each leaves memory once it is copied."""
    jobs, report = ran.jobs, ran.report
    _raise_failures(jobs, ran.plan.endpoint.nouns)
    pictures = [picture for job in jobs for picture in job.pictures]
    seeds = [seed for job in jobs for seed in job.seeds]
    told = _told(ran)
    report.done(len(pictures), pictures[0].shape[1], pictures[0].shape[0], seeds[0])
    for job in jobs:
        job.results.clear()
    batch, resized = await _polled(partial(to_batch, pictures))
    return batch, seeds[0], as_json({**told, "resized": [vars(item) for item in resized]})


async def _run_all(
    jobs: Sequence[Job],
    work: Callable[[Job], None],
    settings: Settings,
    report: Report,
    history: JobRecorder,
) -> None:
    """Run the jobs, some at a time; after an error that would repeat itself, none is begun."""
    slots = asyncio.Semaphore(settings.max_parallel)

    async def run(job: Job) -> None:
        async with slots:
            if not any(other.error and getattr(other.error, "stops_run", True) for other in jobs):
                job.begin()
                await in_thread(partial(work, job))

    tasks = [asyncio.create_task(run(job)) for job in jobs]
    try:
        await _watch(tasks, jobs, report, history)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        task.result()


async def _watch(
    tasks: Sequence[asyncio.Task[None]], jobs: Sequence[Job], report: Report, history: JobRecorder
) -> None:
    pending = set(tasks)
    while pending:
        host.stop_if_cancelled()
        report.show()
        history.look(jobs)
        _, pending = await asyncio.wait(pending, timeout=POLL_SECONDS)


def _raise_failures(jobs: Sequence[Job], nouns: Text) -> None:
    errors = [job.error for job in jobs if job.error]
    if not errors:
        return
    what = Text(f"Some {nouns.en} did not come", f"部分{nouns.zh}没有生成")
    several = PartialFailure(_failure_story(jobs, errors), [*errors], what)
    error = several if len(jobs) > 1 else errors[0]
    for note in dict.fromkeys(note for job in jobs for note in job.notes):
        error.add(note)
    seeded = "seed" in jobs[0].ask.body
    unsure = any(getattr(item, "charged", True) is not False for item in errors)
    if seeded and (unsure or _came(jobs)):
        error.add(_SAME_AGAIN.format(seed=jobs[0].ask.seed))
    raise error


def _came(jobs: Sequence[Job]) -> int:
    return sum(len(job.pictures) for job in jobs)


def _failure_story(jobs: Sequence[Job], errors: Sequence[SiliconFlowError]) -> Text:
    failed = ", ".join(str(at) for at, job in enumerate(jobs, 1) if job.error)
    unsent = sum(not job.results and job.error is None for job in jobs)
    made = _came(jobs)
    kept = (_KEPT if all(job.kept for job in jobs) else _NOT_KEPT).format(made=made)
    first = errors[0].text
    return Text(
        f"{len(errors)} of {len(jobs)} requests failed (number {failed}), {unsent} were not sent."
        f" {kept.en} The first failure:\n{first.en}",
        f"{len(jobs)} 个请求中有 {len(errors)} 个失败（第 {failed} 个），{unsent} 个没有发送。"
        f"{kept.zh}第一个错误：\n{first.zh}",
    )


def _told(ran: Ran) -> dict[str, Any]:
    plan, jobs = ran.plan, ran.jobs
    notes = dict.fromkeys(str(note) for job in jobs for note in job.notes)
    return {
        "model": plan.model.id,
        "seconds": round(ran.report.seconds, 2),
        "pictures": [entry for job in jobs for entry in _entries(job)],
        "requests": [entry for job in jobs for entry in request_facts(job)],
        "not_sent": list(plan.not_sent),
        "uploads": ran.road.uploads.described(),
        "notes": list(notes),
    }


def _entries(job: Job) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "width": picture.shape[1],
            "height": picture.shape[0],
            "frame": job.ask.frame,
        }
        for seed, picture in zip(job.seeds, job.pictures, strict=True)
    ]
