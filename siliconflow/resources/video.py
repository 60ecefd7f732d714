"""`POST /video/submit` and `/video/status`: videos, which take the service minutes.

Source: service-2026 and its `video` document. A result is kept for ten minutes after it is done,
its URL works for an hour after it was told. There is no cancel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..client import Client, bad_answer
from ..errors import Failure, GenerationFailed, Overloaded, ServerError
from ..http.bodies import read_integer, read_list, read_number, read_object, read_text

SUBMIT_PATH, STATUS_PATH = "video/submit", "video/status"
MAX_URL = 16_384
MAX_VIDEOS = 16
"""No request asks for more than one."""
MAX_ID = 512
_SERVICE = json.loads(Path(__file__).parent.with_name("service.json").read_text(encoding="utf-8"))
MOST_SECONDS: float = _SERVICE["video"]["most_hours"] * 3600
"""After so long, a run asks no more for a video that is neither done nor failed."""


@dataclass(frozen=True)
class SubmittedVideo:
    """What was charged: the id to ask for it with, and the trace ID to complain of it with."""

    id: str
    trace_id: str


@dataclass(frozen=True)
class VideoPending:
    """A video that is not there yet.

    A word that the document does not know counts as running, unless a URL comes with it.
    """

    state: Literal["in_line", "running"]


@dataclass(frozen=True)
class GeneratedVideo:
    """The result of one request, as the last question for it was answered."""

    urls: tuple[str, ...]
    seed: int | None
    inference: float | None
    """Seconds that the model ran, by the service's account."""
    trace_id: str
    seconds: float


def submit(
    client: Client, body: Mapping[str, Any], images: Mapping[str, bytes] | None = None
) -> SubmittedVideo:
    """Submit a video, once; this is charged.

    `images` are data URLs by wire name. Raises a `RequestError` of the cause; `BadAnswer` for a 200
    without an id, `ServerError` for a 503 that may be of a gateway: a video may be made behind it.
    """
    try:
        response = client.post(SUBMIT_PATH, body, images)
    except Overloaded as error:
        if error.failure.code in _SERVICE["busy"]["codes"]:
            raise
        raise ServerError(error.failure) from None
    request_id = read_text(read_object(response.data).get("requestId"))
    if not 0 < len(request_id) <= MAX_ID:
        raise bad_answer(response, "response.no_request_id")
    return SubmittedVideo(request_id, response.trace_id)


def status(client: Client, request_id: str) -> GeneratedVideo | VideoPending:
    """Ask for a video. Free.

    Raises `GenerationFailed` with the service's reason, `BadAnswer` for a video without a URL, or
    another `RequestError` of the cause.
    """
    response = client.post(STATUS_PATH, {"requestId": request_id})
    data = read_object(response.data)
    word = read_text(data.get("status")).lower()
    if word == "failed":
        reason = read_text(data.get("reason"))
        raise GenerationFailed(Failure(reason, 200, trace_id=response.trace_id))
    results = read_object(data.get("results"))
    entries = read_list(results.get("videos"))[:MAX_VIDEOS]
    urls = (read_text(read_object(entry).get("url")) for entry in entries)
    usable = tuple(url for url in urls if 0 < len(url) <= MAX_URL)
    if word in {"inqueue", "inprogress"} or (word != "succeed" and not usable):
        return VideoPending("in_line" if word == "inqueue" else "running")
    if not usable:
        raise bad_answer(response, "response.no_videos")
    return GeneratedVideo(
        urls=usable,
        seed=read_integer(results.get("seed")),
        inference=read_number(read_object(results.get("timings")).get("inference")),
        trace_id=response.trace_id,
        seconds=response.seconds,
    )
