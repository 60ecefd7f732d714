"""Errors made to order: the next requests get the answer that a test or a user asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from .answers import Answer, Kind, answer_json, answer_text, documented, rate_limited
from .sending import Broken

Place = Literal[
    "generations",
    "pictures",
    "models",
    "info",
    "chat",
    "speech",
    "transcriptions",
    "voice_upload",
    "voice_list",
    "voice_deletion",
    "embeddings",
    "rerank",
]
PLACES: tuple[str, ...] = get_args(Place)
HANG_UP = 0
AFTER = 2


@dataclass
class Fault:
    """An answer that the next `times` requests at one place get instead of their own.

    With `broken` they get their own, broken on the way.
    """

    status: int
    answer: Answer
    times: int = 1
    model: str | None = None
    made: bool = False
    on: Place = "generations"
    broken: Broken | None = None
    after: int = AFTER

    @property
    def hangs_up(self) -> bool:
        """Whether the connection is closed without an answer."""
        return self.status == HANG_UP

    def strikes(self, on: Place, model: str | None) -> bool:
        """Tell whether a request at this place for this model is one of those meant."""
        return self.times > 0 and self.on == on and self.model in {None, model}


@dataclass
class Faults:
    """The faults that wait, oldest first."""

    waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Let a fault wait for its requests."""
        if fault.times < 1:
            text = f"times must be 1 or more, not {fault.times}"
            raise ValueError(text)
        with self._lock:
            self.waiting.append(fault)

    def clear(self) -> None:
        """Forget every fault that still waits."""
        with self._lock:
            self.waiting.clear()

    def take(self, on: Place, model: str | None = None) -> Fault | None:
        """Return the fault that strikes this request and count it, or None."""
        with self._lock:
            for fault in self.waiting:
                if fault.strikes(on, model):
                    fault.times -= 1
                    self.waiting = [each for each in self.waiting if each.times]
                    return fault
        return None


def fault_answer(
    status: int,
    body: Any = None,
    kind: Kind | None = None,
    headers: dict[str, str] | None = None,
    limit: str | None = None,
) -> Answer:
    """Build the answer of a fault: the documented one, a named rate limit, or the given body."""
    if limit is not None:
        answer = replace(rate_limited(limit), status=status)
    elif body is None and kind is None:
        answer = documented(status)
    else:
        answer = _given(status, body, kind or "json")
    return replace(answer, headers=dict(headers or {}))


def _given(status: int, body: Any, kind: Kind) -> Answer:
    if isinstance(body, bytes):
        return Answer(status, body, "application/octet-stream")
    if kind == "json":
        return answer_json(status, body)
    return answer_text(status, "" if kind == "empty" or body is None else str(body), kind)
