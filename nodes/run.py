"""The one road of a paid call: validate, encode, call, download, decode.

Everything that can be known to be wrong is known before the first request leaves. Requests run in
threads of the pack's own; the event loop only waits, shows progress and looks for a cancel.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from ..media.images import MediaError, Resized, decode, tensor_to_data_url, to_batch
from ..siliconflow import images as api
from ..siliconflow import settings as settings_file
from ..siliconflow import texts
from ..siliconflow.client import Client
from ..siliconflow.errors import BadPicture, PartialFailure, SiliconFlowError
from ..siliconflow.settings import Settings
from ..siliconflow.texts import Text
from . import host
from .plan import Ask, Plan, make
from .report import STAGES, Report
from .threads import in_thread, settle

POLL_SECONDS = 0.2


@dataclass
class Job:
    """One request on its way. Only the thread that runs it changes it."""

    ask: Ask
    stage: int = 0
    generation: api.Generation | None = None
    pictures: Sequence[torch.Tensor] = ()
    error: SiliconFlowError | None = None

    @property
    def seeds(self) -> list[int]:
        """Give the seed of each picture: the service's own, else the one that was asked for."""
        told = self.generation.seed if self.generation else None
        return [self.ask.seed if told is None else told] * len(self.pictures)


class DataUrls:
    """The input pictures as data URLs, each frame encoded once however many requests send it."""

    def __init__(self, plan: Plan) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._lock = threading.Lock()
        self._made: dict[tuple[str, int], Future[str]] = {}

    def of_frame(self, frame: int) -> dict[str, str]:
        """Give the pictures that go with input frame `frame`, by wire name."""
        return {
            wire: self._once(wire, min(frame, images.shape[0] - 1))
            for wire, images in self._plan.pictures.items()
        }

    def _once(self, wire: str, frame: int) -> str:
        with self._lock:
            known = self._made.get((wire, frame))
            future = self._made.setdefault((wire, frame), Future())
        if known is None:
            settle(future, partial(self._encoded, wire, frame))
        return future.result()

    def _encoded(self, wire: str, frame: int) -> str:
        return tensor_to_data_url(self._plan.pictures[wire][frame], self._plan.model.upload)


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
    )


async def generate(
    task: str, inputs: Mapping[str, Any], images: Mapping[str, torch.Tensor | None]
) -> tuple[torch.Tensor, int, str]:
    """Run one image node and give its outputs: images `[B,H,W,C]`, seed, info (JSON).

    Raises `InvalidInput`, `InvalidSettings` or `MissingKey` before anything is sent, a
    `RequestError` of the cause if a single request failed, `PartialFailure` if several were made.
    """
    settings = current_settings()
    plan = await in_thread(partial(make, task, inputs, images, settings.site))
    client = client_for(settings)
    jobs = [Job(ask) for ask in plan.asks]
    report = Report(host.progress(), plan.model.name, jobs)
    await _run_all(jobs, partial(_make, client, DataUrls(plan)), settings, report)
    _raise_failures(jobs)
    pictures = [picture for job in jobs for picture in job.pictures]
    batch, resized = await in_thread(partial(to_batch, pictures))
    seeds = [seed for job in jobs for seed in job.seeds]
    report.done(len(pictures), batch.shape[2], batch.shape[1], seeds[0])
    return batch, seeds[0], _info(plan, jobs, resized, report.seconds)


@lru_cache(maxsize=4)
def _client(key: str, base_url: str, connect_timeout: float, read_timeout: float) -> Client:
    return Client(key, base_url, connect_timeout=connect_timeout, read_timeout=read_timeout)


async def _run_all(jobs: Sequence[Job], work: Any, settings: Settings, report: Report) -> None:
    """Run the jobs, some at a time; after one failed for good, none is begun any more."""
    slots = asyncio.Semaphore(settings.max_parallel)

    async def run(job: Job) -> None:
        async with slots:
            if not any(other.error for other in jobs):
                await in_thread(partial(work, job))

    tasks = [asyncio.create_task(run(job)) for job in jobs]
    try:
        await _watch(tasks, report)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        task.result()


async def _watch(tasks: Sequence[asyncio.Task[None]], report: Report) -> None:
    pending = set(tasks)
    while pending:
        host.stop_if_cancelled()
        report.show()
        _, pending = await asyncio.wait(pending, timeout=POLL_SECONDS)


def _make(client: Client, urls: DataUrls, job: Job) -> None:
    """Take one request all the way, in a thread: encode, send, download, decode."""
    try:
        body = {**job.ask.body, **urls.of_frame(job.ask.frame)}
        job.stage = 1
        job.generation = api.generate(client, body)
        job.stage = 2
        files = api.fetch(client, job.generation)
        job.pictures = [_decoded(file, job.generation) for file in files]
        job.stage = STAGES
    except SiliconFlowError as error:
        job.error = error


def _decoded(file: bytes, generation: api.Generation) -> torch.Tensor:
    try:
        return decode(file)
    except MediaError as error:
        en = f"The picture that {generation.model} made {error.en}. Trace id: {generation.trace_id}"
        zh = f"{generation.model} 返回的图片{error.zh}。Trace id：{generation.trace_id}"
        raise BadPicture(Text(en, zh)) from None


def _raise_failures(jobs: Sequence[Job]) -> None:
    errors = [job.error for job in jobs if job.error]
    if not errors:
        return
    if len(jobs) == 1:
        raise errors[0]
    made = sum(len(job.pictures) for job in jobs)
    raise PartialFailure(_failure_story(jobs, errors, made), [*errors])


def _failure_story(jobs: Sequence[Job], errors: Sequence[SiliconFlowError], made: int) -> Text:
    unasked = sum(job.generation is None and job.error is None for job in jobs)
    first = errors[0].text
    return Text(
        f"{len(errors)} of {len(jobs)} requests failed, {unasked} were not sent any more,"
        f" {made} pictures had come. The first failure:\n{first.en}",
        f"{len(jobs)} 个请求中有 {len(errors)} 个失败，{unasked} 个没有再发送，"
        f"已收到 {made} 张图片。第一个错误：\n{first.zh}",
    )


def _info(plan: Plan, jobs: Sequence[Job], resized: Sequence[Resized], seconds: float) -> str:
    """Give what came as JSON, for people and for nodes that read text."""
    return json.dumps(
        {
            "model": plan.model.id,
            "seconds": round(seconds, 2),
            "pictures": [entry for job in jobs for entry in _entries(job)],
            "requests": [_request(job) for job in jobs],
            "not_sent": list(plan.not_sent),
            "resized": [vars(item) for item in resized],
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


def _request(job: Job) -> dict[str, Any]:
    found = job.generation
    if found is None:
        return {}
    return {
        "trace_id": found.trace_id,
        "asked": job.ask.count,
        "came": len(job.pictures),
        "seconds": round(found.seconds, 2),
        "inference": found.inference,
    }
