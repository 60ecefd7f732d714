"""`POST /video/submit` and `/video/status`: clips, made in their turn while the client asks.

A clip shows a landscape, or the first frame that was sent, gliding by; its request is the caption.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import av
import numpy as np
from numpy.typing import NDArray

from .drawing import Drawing, draw_landscape, paint
from .images import SEEDS, read_image
from .models import Call, Result, Usage
from .responses import Refused, Reply, bad_parameter, json_reply, named_response
from .schemas import read_size
from .state import for_model

SECONDS, RATE, GLIDE, GRID = 5.0, 24, 8, 16
KEPT = 600.0
BAR, LIGHT = 4, (255, 214, 160)


@dataclass
class Clip:
    """A clip: what it shows, when it is made, by the clock, and why it is not, if so."""

    drawing: Drawing
    begins: float
    ends: float
    reason: str | None
    url: str = ""


def submit(call: Call) -> Result:
    """Take a clip in: it is made once there is room among those that are made at once."""
    state, body, kind = call.state, call.body, call.model.tasks[0]
    if "prompt" not in body:
        raise Refused(named_response("prompt-400"))
    size = read_size(body["image_size"]) or (0, 0)
    sent = tuple(read_image(state, name, body[name]) for name in ("image",) if name in body)
    if sent and sent[0].image:
        # As many pixels as asked for, in the shape of the first frame.
        own = sent[0].image.size
        scale = (size[0] * size[1] / (own[0] * own[1])) ** 0.5
        width, height = (max(GRID, round(side * scale / GRID) * GRID) for side in own)
        size = width, height
    seed = body.get("seed", secrets.randbelow(SEEDS))
    drawing = Drawing(call.model.name, body["prompt"], size, seed, sent=sent)

    def take_in() -> None:
        now, takes = state.clock(), for_model(state.clip_seconds, call.model.name, kind) or 0.0
        line = sorted(clip.ends for clip in state.clips.values())[-state.clips_at_once :]
        begins = max(now, line[0]) if len(line) == state.clips_at_once else now
        clip = Clip(drawing, begins, begins + takes, state.clip_failure)
        state.clips[call.trace_id] = clip

    usage = Usage(clips=0 if state.clip_failure else 1)
    return Result(lambda _: json_reply({"requestId": call.trace_id}), usage, take_in)


def status(call: Call) -> Result:
    """Say how far a clip is; where it is depends on the clock alone."""
    state, now, name = call.state, call.state.clock(), call.body["requestId"]
    clip = state.clips.get(name)
    if clip is None or now >= clip.ends + KEPT:
        raise Refused(bad_parameter(f"requestId: {name[:80]!r} is not known"))
    if now < clip.ends:
        word = "InQueue" if now < clip.begins else "InProgress"
        return Result(lambda _: json_reply({"status": word, "reason": ""}))
    if clip.reason is not None:
        failed = {"status": "Failed", "reason": clip.reason}
        return Result(lambda _: json_reply(failed))
    content: list[bytes] = []
    timings, seed = {"inference": round(clip.ends - clip.begins, 3)}, clip.drawing.seed

    def told(_: float) -> Reply:
        url = state.publish(f"{name}.mp4", content[0], "video/mp4")
        results = {"videos": [{"url": url}], "timings": timings, "seed": seed}
        return json_reply({"status": "Succeed", "reason": "", "results": results})

    return Result(told, work=lambda: content.append(film(clip.drawing)))


def film(drawing: Drawing) -> bytes:
    """Return a clip as an MP4 of H.264: its first frame whole, then gliding sideways."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *drawing.size, "yuv420p"
        for frame in _frames(drawing):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def _frames(drawing: Drawing) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames; the caption stands still, and a bar at the foot tells the time."""
    width, height = drawing.size
    first = drawing.sent[0].image if drawing.sent else None
    base = (
        first.resize(drawing.size)
        if first
        else draw_landscape(width, height, f"{drawing.seed}/{drawing.prompt}")
    )
    captioned, top = paint(replace(drawing, sent=()), base.copy())
    foot, count, glide = np.asarray(captioned)[top:], round(SECONDS * RATE), width // GLIDE
    wide = np.pad(np.asarray(base), ((0, 0), (0, glide), (0, 0)), "reflect")
    for number in range(count):
        left = number * glide // count
        frame = wide[:, left : left + width].copy()
        frame[top:] = foot
        frame[-BAR:, : width * (number + 1) // count] = LIGHT
        yield frame
