"""`POST /chat/completions`: ask a language model, and read its response while it is written.

Source: the `2024` API document, whose stream ends with `data: [DONE]`. It puts the text in
`choices[].delta.content`; clients of today also report the reasoning of thinking models in
`reasoning_content`, the finish reason within the choice, and errors as an event. All of these are
read, and a whole JSON response where no stream came.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from ...strings.text import Text, text
from ..client import Client, StreamResponse
from ..error_parsing import class_in_success, clean, parse_error_body, without_images
from ..errors import BadAnswer, BrokenStream, ConnectionLost, Failure, RequestError
from ..http.bodies import read_integer, read_list, read_object, read_text
from ..http.server_sent_events import BadEvents, iter_events

PATH = "chat/completions"
DONE = "[DONE]"
ON_TEXT_SECONDS = 0.1
"""How often at most the text is reported while it grows."""
_MAX_SHOWN = 20_000
"""Characters of an incomplete text that its error holds, the last ones: they were charged."""
_THINK, _END_THINK = "<think>", "</think>"
_END_THINK_LINE = re.compile(r"\n\s*</think>\s*\n")
_ABORTED = frozenset({"error", "abort", "aborted", "cancelled", "insufficient_system_resource"})
"""Finish reasons that no model chose: the service broke off, and the text is incomplete."""
OnText = Callable[[str], None]


@dataclass(frozen=True)
class Completion:
    """The response of a model. `reasoning` is what it thought first, where it says so."""

    text: str
    reasoning: str
    finish_reason: str
    """Why it ended: `stop`, `eos`, `length` (max_tokens was reached), or empty."""
    usage: Mapping[str, int]
    trace_id: str
    seconds: float


def complete(client: Client, body: Mapping[str, Any], on_text: OnText) -> Completion:
    """Ask a model, once; this is charged. `on_text` is called with the text while it grows.

    Raises a `RequestError` of the cause; `BrokenStream`, which holds the text so far, for a
    response that ended too early or could not be read to its end. One that gave its finish reason
    is complete: what breaks after that costs nothing but the count of tokens.
    """
    reader = _Reader(str(body.get("model", "")), client.conceal, on_text)
    started = time.monotonic()
    try:
        client.post_for_stream(PATH, {**body, "stream": True}, reader.read)
    except (ConnectionLost, BadAnswer) as error:
        if not reader.finish_reason:
            raise reader.incomplete(error) from None
    return reader.completion(time.monotonic() - started)


@dataclass
class _Reader:
    """A response while it arrives."""

    model: str
    conceal: Callable[[str], str]
    on_text: OnText
    reported_at: float = -math.inf
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    trace_id: str = ""
    is_done: bool = False

    def read(self, stream: StreamResponse) -> None:
        """Read a stream to its end. Raises `BadAnswer` if it is not one."""
        self.trace_id = stream.trace_id
        first = next(stream.chunks, b"")
        chunks = chain([first], stream.chunks)
        if stream.media_type == "application/json" or first.lstrip().startswith(b"{"):
            self._read_event(b"".join(chunks).decode("utf-8", "replace"))
            self.is_done = True
            return
        try:
            for event in iter_events(chunks, DONE):
                if event.strip() == DONE:
                    self.is_done = True
                    return
                self._read_event(event)
        except BadEvents:
            raise self._bad(text("response.not_events")) from None
        if not self.finish_reason:
            raise self._bad(text("response.no_end"))

    def completion(self, seconds: float) -> Completion:
        """Return the whole response. Raises a `RequestError` if it is incomplete or empty."""
        answer, reasoning = split_reasoning("".join(self.text), "".join(self.reasoning))
        if self.conceal(answer + reasoning) != answer + reasoning:
            raise self._bad(text("response.contains_key"), None)
        if self.finish_reason in _ABORTED:
            reason = text("response.aborted", reason=self.finish_reason)
            raise self.incomplete(self._bad(reason, None))
        if not answer.strip() and not reasoning:
            is_cut = self.finish_reason == "length"
            key = "response.no_text_cut_off" if is_cut else "response.no_text"
            raise self._bad(text(key), None)
        usage, trace_id = self.usage, self.trace_id
        return Completion(answer, reasoning, self.finish_reason, usage, trace_id, seconds)

    def incomplete(self, error: RequestError) -> RequestError:
        """Return the error of a response that broke off, with the text that arrived before."""
        arrived = self.conceal("".join(self.text) or "".join(self.reasoning))
        if not arrived:
            return error
        message = text(
            "response.text_so_far",
            reason=error.failure.message,
            count=len(arrived),
            text=without_images(arrived[-_MAX_SHOWN:]),
        )
        trace_id = error.failure.trace_id or self.trace_id
        return BrokenStream(replace(error.failure, message=message, trace_id=trace_id))

    def _read_event(self, event: str) -> None:
        try:
            data = json.loads(event)
        except (ValueError, RecursionError):
            raise self._bad(text("response.not_json", start=clean(event[:200]))) from None
        if not isinstance(data, dict):
            raise self._bad(text("response.not_an_object"))
        is_error = not data.get("choices") and (data.get("code") or data.get("message"))
        if data.get("error") or is_error:
            code, message = parse_error_body(event)
            error = self._bad(text("response.says", message=message), code=code)
            has_begun = self.text or self.reasoning  # which is charged, whatever ended it
            raise error if has_begun else class_in_success(code)(error.failure)
        self._read_choice(data)

    def _read_choice(self, data: Mapping[str, Any]) -> None:
        choice = read_object(next(iter(read_list(data.get("choices"))), None))
        delta = read_object(choice.get("delta") or choice.get("message"))
        reasons = (read_text(source.get("finish_reason")) for source in (data, choice))
        self.finish_reason = next(filter(None, reasons), self.finish_reason)
        self.usage = _usage(data.get("usage")) or self.usage
        content = read_text(delta.get("content")) or read_text(choice.get("text"))
        reasoning = read_text(delta.get("reasoning_content")) or read_text(delta.get("reasoning"))
        self.text += [content] if content else []
        self.reasoning += [reasoning] if reasoning else []
        self._report()

    def _report(self) -> None:
        """Pass on the text so far, but not for every token."""
        now, parts = time.monotonic(), self.text or self.reasoning
        if parts and now - self.reported_at >= ON_TEXT_SECONDS:
            self.reported_at = now
            self.on_text(self.conceal("".join(parts)))

    def _bad(self, message: Text, status: int | None = 200, code: int | None = None) -> BadAnswer:
        return BadAnswer(Failure(message, status, code, self.model, self.trace_id))


def split_reasoning(text: str, reasoning: str) -> tuple[str, str]:
    """Return the answer and the reasoning, also of a model that writes both into its text.

    Some begin their reasoning before they write: then its end mark stands alone on a line.
    """
    head, begin, rest = text.partition(_THINK)
    if not begin and len(_END_THINK_LINE.findall(text)) == 1:
        head, rest = "", text
    elif head.strip() or not begin:
        return text, reasoning
    thoughts, _, answer = rest.partition(_END_THINK)
    return answer.strip(), "\n\n".join(part for part in (reasoning, thoughts.strip()) if part)


def _usage(data: object) -> dict[str, int]:
    counts = {str(name): read_integer(value) for name, value in read_object(data).items()}
    return {name: count for name, count in counts.items() if count is not None}
