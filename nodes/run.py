"""The one road of a paid call: validate, look in the ledger, send, record, download, decode.

Everything that can be known to be wrong is known before the first request leaves. Requests run in
threads of the pack's own; the event loop only waits, shows progress and looks for a cancel. A
request that has left goes on when its node is cancelled: its pictures go into the ledger, where
the same request finds them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from ..media.images import Resized, to_batch
from ..siliconflow import settings as settings_file
from ..siliconflow import texts
from ..siliconflow.client import Client
from ..siliconflow.errors import Failure, PartialFailure, ReadTimeout, SiliconFlowError
from ..siliconflow.ledger import Ledger
from ..siliconflow.settings import Settings
from ..siliconflow.texts import Text
from . import host
from .guard import Guard
from .job import Job
from .plan import Plan, make
from .report import Report
from .road import Road
from .threads import in_thread

POLL_SECONDS = 0.2
GRACE_SECONDS = 30.0
"""How long after the read timeout a node still waits for a request that never ends."""
_GUARD = Guard()


def current_settings() -> Settings:
    """Read the settings as they are now, and show messages in the language they name."""
    texts.use(host.language(""))
    settings = settings_file.load(host.data_directory(), os.environ)
    texts.use(host.language(settings.language))
    return settings


def client_for(settings: Settings) -> Client:
    """Give the pooled client of this account; raises `MissingKey` if there is no key."""
    return _client(
        settings.require_key(),
        settings.base_url,
        settings.connect_timeout,
        settings.read_timeout,
        int(settings.most_picture_mib * (1 << 20)),
    )


def ledger_for(settings: Settings) -> Ledger:
    """Give the ledger of the data folder, with the bounds of the settings."""
    ledger = _ledger(host.data_directory())
    ledger.most_bytes = int(settings.ledger_gib * (1 << 30))
    ledger.most_seconds = settings.ledger_days * 86400
    return ledger


async def generate(
    task: str, inputs: Mapping[str, Any], images: Mapping[str, torch.Tensor | None]
) -> tuple[torch.Tensor, int, str]:
    """Run one image node and give its outputs: images `[B,H,W,C]`, seed, info (JSON).

    Raises `InvalidInput`, `InvalidSettings`, `MissingKey` or `GuardStopped` before anything is
    sent, a `RequestError` of the cause if a single request failed, `PartialFailure` if several
    were made.
    """
    settings = current_settings()
    plan = await in_thread(partial(make, task, inputs, images, settings.site))
    client = client_for(settings)
    road = Road(settings, client, ledger_for(settings), plan)
    ends = threading.Event()
    jobs = [Job(ask, ends) for ask in plan.asks]
    report = Report(host.progress(), plan.model.name, jobs)
    reserved = await in_thread(
        partial(_GUARD.reserve, settings, client, partial(road.unpaid, jobs))
    )
    try:
        await _run_all(jobs, road.take, settings, report)
    finally:
        ends.set()
        _GUARD.release(reserved)
    return await _outputs(plan, jobs, report)


async def _outputs(
    plan: Plan, jobs: Sequence[Job], report: Report
) -> tuple[torch.Tensor, int, str]:
    _raise_failures(jobs)
    batch, resized = await in_thread(
        partial(to_batch, [picture for job in jobs for picture in job.pictures])
    )
    seeds = [seed for job in jobs for seed in job.seeds]
    report.done(len(batch), batch.shape[2], batch.shape[1], seeds[0])
    return batch, seeds[0], _info(plan, jobs, resized, report.seconds)


@lru_cache(maxsize=4)
def _client(
    key: str, base_url: str, connect_timeout: float, read_timeout: float, most_bytes: int
) -> Client:
    return Client(
        key,
        base_url,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        most_bytes=most_bytes,
    )


@lru_cache(maxsize=4)
def _ledger(directory: Path) -> Ledger:
    return Ledger(directory)


async def _run_all(
    jobs: Sequence[Job], work: Callable[[Job], None], settings: Settings, report: Report
) -> None:
    """Run the jobs, some at a time; after an error that would repeat itself, none is begun."""
    slots = asyncio.Semaphore(settings.max_parallel)

    async def run(job: Job) -> None:
        async with slots:
            if not any(other.error and getattr(other.error, "repeats", True) for other in jobs):
                await in_thread(partial(work, job))

    tasks = {asyncio.create_task(run(job)): job for job in jobs}
    try:
        await _watch(tasks, report, settings.read_timeout + GRACE_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task, job in tasks.items():
        if not task.cancelled() or job.error is None:
            task.result()


async def _watch(tasks: Mapping[asyncio.Task[None], Job], report: Report, longest: float) -> None:
    pending = set(tasks)
    while pending:
        host.stop_if_cancelled()
        report.show()
        for task in pending:
            _give_up_if_overdue(task, tasks[task], longest)
        _, pending = await asyncio.wait(pending, timeout=POLL_SECONDS)


def _give_up_if_overdue(task: asyncio.Task[None], job: Job, longest: float) -> None:
    """End the wait for an answer that drips: each byte comes in time, and the whole never does."""
    if job.sent_at is not None and time.monotonic() - job.sent_at > longest and not job.error:
        job.error = ReadTimeout(Failure(model=str(job.ask.body["model"])))
        task.cancel()


def _raise_failures(jobs: Sequence[Job]) -> None:
    errors = [job.error for job in jobs if job.error]
    if not errors:
        return
    if len(jobs) == 1:
        raise errors[0]
    raise PartialFailure(_failure_story(jobs, errors), [*errors])


def _failure_story(jobs: Sequence[Job], errors: Sequence[SiliconFlowError]) -> Text:
    made = sum(len(job.pictures) for job in jobs)
    failed = [str(at) for at, job in enumerate(jobs, 1) if job.error]
    unsent = sum(not job.results and job.error is None for job in jobs)
    first = errors[0].text
    return Text(
        f"{len(errors)} of {len(jobs)} requests failed (number {', '.join(failed)}), {unsent} were"
        f" not sent. {made} pictures came and are kept: queue the same again to get them free and"
        f" ask for the missing ones alone. The first failure:\n{first.en}",
        f"{len(jobs)} 个请求中有 {len(errors)} 个失败（第 {', '.join(failed)} 个），"
        f"{unsent} 个没有发送。"
        f"已收到的 {made} 张图片会保留：重新运行相同内容即可免费取回，只请求缺少的部分。"
        f"第一个错误：\n{first.zh}",
    )


def _info(plan: Plan, jobs: Sequence[Job], resized: Sequence[Resized], seconds: float) -> str:
    """Give what came as JSON, for people and for nodes that read text."""
    notes = dict.fromkeys(str(note) for job in jobs for note in job.notes)
    return json.dumps(
        {
            "model": plan.model.id,
            "seconds": round(seconds, 2),
            "pictures": [entry for job in jobs for entry in _entries(job)],
            "requests": [entry for job in jobs for entry in _requests(job)],
            "not_sent": list(plan.not_sent),
            "resized": [vars(item) for item in resized],
            "notes": list(notes),
        },
        ensure_ascii=False,
        indent=2,
    )


def _entries(job: Job) -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "width": picture.shape[2],
            "height": picture.shape[1],
            "frame": job.ask.frame,
        }
        for seed, picture in zip(job.seeds, job.pictures, strict=True)
    ]


def _requests(job: Job) -> list[dict[str, Any]]:
    return [
        {
            "trace_id": result.facts.trace_id,
            "came": len(result.pictures),
            "seconds": round(result.facts.seconds, 2),
            "inference": result.facts.inference,
            "origin": result.origin,
        }
        for result in job.results
    ]
