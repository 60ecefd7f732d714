"""Faults on each of the three steps of a video: its submission, its polls, its download.

Whatever a submission meets, it is not sent again by itself unless it was surely not charged.
Whatever polls and downloads meet, there is one charge, and the video comes: at once, or free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from comfyui_siliconflow.dev.simulator import video
from comfyui_siliconflow.dev.simulator.responses import BODIES
from comfyui_siliconflow.engine import retry
from comfyui_siliconflow.siliconflow.errors import DownloadFailed, MaybeCharged
from comfyui_siliconflow.tests.reliability.trial import (
    WARNING,
    Bench,
    Run,
    environment,
    write_settings,
)

Json = dict[str, Any]
NODE = "SiliconFlowTextToVideo"
INPUTS = {"model": "Wan-AI/Wan2.2-T2V-A14B", "prompt": "waves", "image_size": "960x960", "seed": 1}
STATUSES = (0, 400, 401, 402, 403, 404, 408, 410, 413, 418, 429, 499, 500, 502, 503, 504, 520)
BROKEN = ("cut", "short", "malformed", "error")
ODD: dict[str, Any] = {
    "no fields": {},
    "a list": [],
    "a number": 7,
    "an error in a 200": {"code": 50505, "message": "overloaded", "data": None},
}
REPLIES: dict[str, Json] = {
    **{f"HTTP {status}": {"status": status} for status in STATUSES if status},
    "no answer": {"status": 0},
    **{name: {"body": name} for name in BODIES},
    **{f"200, {name}": {"status": 200, "body": body} for name, body in ODD.items()},
    "200, no JSON": {"status": 200, "body": "soon", "kind": "text"},
    "200, empty": {"status": 200, "kind": "empty"},
    "503 of a gateway, empty": {"status": 503, "kind": "empty"},
    "503 of a gateway, HTML": {"status": 503, "body": "<h1>Unavailable</h1>", "kind": "html"},
}
FAULTS: dict[str, Json] = {
    **REPLIES,
    **{f"done, then {name}": {**fault, "made": True} for name, fault in REPLIES.items()},
    **{f"200, {broken}": {"broken": broken} for broken in BROKEN},
}


@dataclass(frozen=True)
class Step:
    """A step of a video, and for how many requests in a row a fault strikes it."""

    name: str
    on: Literal["video_submit", "video_status", "pictures"]
    times: int


STEPS = (
    Step("the submission", "video_submit", 1),
    Step("six polls", "video_status", retry.SAME_ANSWERS + 2),
    Step("the first download", "pictures", 1),
    Step("all downloads", "pictures", 100),
)


@dataclass(frozen=True)
class Trial:
    """What a fault on a step came to, and what was wrong with that."""

    step: Step
    fault: str
    seen: str
    charged: int
    again: str
    problems: Sequence[str]


def try_step(bench: Bench, data: Path, step: Step, fault: str) -> Trial:
    """Run a node into a fault at a step, and queue the same again when all is mended."""
    simulator = bench.simulator
    write_settings(data)
    values = {**bench.server.environment(), "SILICONFLOW_DATA_DIR": str(data)}
    with environment(values), pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "POLL_SECONDS", 0.0)
        patch.setattr(video, "SECONDS", 1 / video.RATE)
        simulator.fail(on=step.on, times=step.times, **FAULTS[fault])
        submitted = _submitted(bench)
        first = bench.run(NODE, **INPUTS)
        submitted = _submitted(bench) - submitted
        simulator.clear_failures()
        second = bench.run(NODE, **INPUTS)
        bench.settled()
    [origin] = second.origins or {""}
    again = f"{origin}, with a note" if WARNING in second.notes else origin
    wrong = _problems(step, fault, first, second, submitted)
    seen = type(first.error).__name__ if first.error else "the video"
    return Trial(step, fault, seen, first.charged, again, wrong)


def _submitted(bench: Bench) -> int:
    return sum(record.path.endswith("/video/submit") for record in bench.simulator.requests)


def _problems(step: Step, fault: str, first: Run, second: Run, submitted: int) -> list[str]:
    """Return what must not be."""
    error, origins = first.error, second.origins
    charged = getattr(error, "charged", None)
    checks: dict[str, bool] = {
        "the video never comes": bool(second.error),
        "unforeseen": bool(error) and type(error).__name__ == "Unforeseen",
    }
    if step.on == "video_submit":
        may_be = isinstance(error, MaybeCharged)
        is_false = "made" in FAULTS[fault] and _is_the_service_s_word(FAULTS[fault])
        is_warned = WARNING in second.notes or not first.charged or not second.charged
        checks |= {
            "sent again by itself": bool(error) and submitted != 1,
            "an error that misleads": bool(error) and charged is not (None if may_be else False),
            "paid twice": not is_false and (first.charged > 1 or not is_warned),
            "paid unlike its error says": not is_false and bool(first.charged and error) > may_be,
        }
        return [name for name, is_so in checks.items() if is_so]
    wanted = {"downloaded"} if error else {"reused"}
    checks |= {
        "not submitted once": submitted != 1,
        "not charged once": (first.charged, second.charged) != (1, 0),
        "not found again": origins != wanted,
        "ended early": step.on == "video_status" and bool(error),
        "an odd error of a download": step.on == "pictures"
        and bool(error)
        and not (isinstance(error, DownloadFailed) and charged is True),
    }
    return [name for name, is_so in checks.items() if is_so]


def _is_the_service_s_word(fault: Json) -> bool:
    """Return whether a reply says that nothing was charged; a gateway's 503 does not."""
    is_of_gateway = "kind" in fault
    return 400 <= _status(fault) < 500 or (_status(fault) == 503 and not is_of_gateway)


def _status(fault: Json) -> int:
    body = fault.get("body")
    if body == "balance-200":
        return 402  # that is what it says
    named = BODIES[body]["status"] if isinstance(body, str) and body in BODIES else 503
    return int(fault.get("status", 200 if "broken" in fault else named))
