"""`POST /chat/completions`: ask a language model, and read its answer while it is written.

Source: the `2024` API document, whose stream ends with `data: [DONE]`. It puts the text in
`choices[].delta.content`; clients of today also report the thoughts of reasoning models in
`reasoning_content`, the reason of the end within the choice, and errors as an event. All of these
are read, and a whole JSON answer where no stream came.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from ...strings.text import Text
from ..client import KEY_INSIDE, Client, Stream
from ..error_parsing import clean, read_body, without_data
from ..errors import BadAnswer, BrokenStream, ConnectionLost, Failure, RequestError
from ..http.server_sent_events import BadEvents, events

PATH = "chat/completions"
DONE = "[DONE]"
_LONGEST_SHOWN = 20_000
"""Characters of a text that broke off which its error holds, the last ones: it was paid for."""
HEAR_SECONDS = 0.1
_THINK, _THOUGHT = "<think>", "</think>"
_THOUGHT_ALONE = re.compile(r"\n\s*</think>\s*\n")
_ABORTED = frozenset({"error", "abort", "aborted", "cancelled", "insufficient_system_resource"})
"""Reasons for an end that no model chose: the service broke off, and what came is a part."""
OnText = Callable[[str], None]


@dataclass(frozen=True)
class Completion:
    """What a model wrote. `reasoning` is what it thought before, where it tells."""

    text: str
    reasoning: str
    finish_reason: str
    """Why it ended: `stop`, `eos`, `length` (max_tokens was reached), or empty."""
    usage: Mapping[str, int]
    trace_id: str
    seconds: float


def complete(client: Client, body: Mapping[str, Any], hear: OnText) -> Completion:
    """Ask, once; this is the call that costs money. `hear` is told the text while it grows.

    Raises a `RequestError` of the cause; `BrokenStream`, which holds the text so far, for an
    answer that ended too early or could not be read to its end. One that told why it ended is
    whole: what breaks after that takes nothing but the count of tokens.
    """
    answer = _Answer(str(body.get("model", "")), client.conceal, hear)
    started = time.monotonic()
    try:
        client.post_for_stream(PATH, {**body, "stream": True}, answer.take)
    except (ConnectionLost, BadAnswer) as error:
        if not answer.finish_reason:
            raise answer.broken(error) from None
    return answer.whole(time.monotonic() - started)


@dataclass
class _Answer:
    """An answer while it comes."""

    model: str
    conceal: Callable[[str], str]
    hear: OnText
    heard_at: float = -math.inf
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish_reason: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    trace_id: str = ""
    is_whole: bool = False

    def take(self, stream: Stream) -> None:
        """Read a stream to its end; raises `BadAnswer` for what is none."""
        self.trace_id = stream.trace_id
        first, chunks = _peeked(stream.chunks)
        if stream.media_type == "application/json" or first.lstrip().startswith(b"{"):
            self._event(b"".join(chunks).decode("utf-8", "replace"))
            self.is_whole = True
            return
        try:
            self._events(events(chunks, DONE))
        except BadEvents as error:
            raise self._bad(Text(str(error), "不是事件流")) from None
        if not self.is_whole and not self.finish_reason:
            raise self._bad(Text("it ended without its last line", "缺少结束标记"))

    def whole(self, seconds: float) -> Completion:
        """Give what came; raises if it is not all, or is nothing."""
        text, reasoning = parted("".join(self.text), "".join(self.reasoning))
        failure = Failure(model=self.model, trace_id=self.trace_id)
        if self.conceal(text + reasoning) != text + reasoning:
            raise BadAnswer(replace(failure, message=KEY_INSIDE))
        if self.finish_reason in _ABORTED:
            why = Text(f"it ended with: {self.finish_reason}", f"结束原因：{self.finish_reason}")
            raise self.broken(BadAnswer(replace(failure, message=why)))
        if not text.strip() and not reasoning:
            raise BadAnswer(replace(failure, message=Text("it has no text", "其中没有文字")))
        return Completion(text, reasoning, self.finish_reason, self.usage, self.trace_id, seconds)

    def broken(self, error: RequestError) -> RequestError:
        """Give the error of an answer that broke off, with the text that came before."""
        came = self.conceal("".join(self.text) or "".join(self.reasoning))
        if not came:
            return error
        said, end = error.failure.message, without_data(came[-_LONGEST_SHOWN:])
        why = said if isinstance(said, Text) else Text(said, said)
        message = Text(
            f"{why.en}. {len(came)} characters came: {end}",
            f"{why.zh}。已收到 {len(came)} 个字符：{end}",
        )
        trace_id = error.failure.trace_id or self.trace_id
        return BrokenStream(replace(error.failure, message=message, trace_id=trace_id))

    def _events(self, found: Iterable[str]) -> None:
        for event in found:
            if event.strip() == DONE:
                self.is_whole = True
                return
            self._event(event)

    def _event(self, event: str) -> None:
        try:
            data = json.loads(event)
        except (ValueError, RecursionError):
            start = clean(event[:200])
            raise self._bad(Text(f"it cannot be read: {start}", f"无法解析：{start}")) from None
        if not isinstance(data, dict):
            raise self._bad(Text("a part of it is no object", "其中有一段不是对象"))
        self._raise_told(data, event)
        self._keep(data)

    def _raise_told(self, data: Mapping[str, Any], event: str) -> None:
        """Raise what an event says in place of text, or beside the last of it."""
        alone = not data.get("choices") and (data.get("code") or data.get("message"))
        if data.get("error") or alone:
            code, message = read_body(event)
            said = Text(f"SiliconFlow says: {message}", f"SiliconFlow 返回：{message}")
            raise BadAnswer(Failure(said, 200, code, self.model, self.trace_id))

    def _keep(self, data: Mapping[str, Any]) -> None:
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        choice = choice if isinstance(choice, dict) else {}
        part = choice.get("delta") or choice.get("message") or {}
        part = part if isinstance(part, dict) else {}
        self.finish_reason = _text(choice, "finish_reason") or self.finish_reason
        self.finish_reason = _text(data, "finish_reason") or self.finish_reason
        self.reasoning.append(_text(part, "reasoning_content") or _text(part, "reasoning"))
        self.usage = _usage(data.get("usage")) or self.usage
        said = _text(part, "content") or _text(choice, "text")
        if said:
            self.text.append(said)
        self._tell()

    def _tell(self) -> None:
        """Tell the text so far, now and then."""
        now = time.monotonic()
        if any(self.text or self.reasoning) and now - self.heard_at >= HEAR_SECONDS:
            self.heard_at = now
            self.hear(self.conceal("".join(self.text or self.reasoning)))

    def _bad(self, message: Text) -> BadAnswer:
        return BadAnswer(Failure(message, 200, None, self.model, self.trace_id))


def parted(text: str, reasoning: str) -> tuple[str, str]:
    """Give the answer and the thoughts, also of a model that writes them into its answer.

    Some begin them before they write: then the end of them stands alone, on a line of its own.
    """
    head, begin, rest = text.partition(_THINK)
    if not begin and len(_THOUGHT_ALONE.findall(text)) == 1:
        head, rest = "", text
    elif head.strip() or not begin:
        return text, reasoning
    thoughts, _, answer = rest.partition(_THOUGHT)
    return answer.strip(), "\n\n".join(part for part in (reasoning, thoughts.strip()) if part)


def _peeked(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Give the first chunk, and all of them."""
    first = next(chunks, b"")
    return first, chain([first], chunks)


def _text(data: Mapping[str, Any], name: str) -> str:
    """Give a text field; half a character, which JSON may hold, is written as a question mark."""
    value = data.get(name)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _usage(data: object) -> dict[str, int]:
    found = data if isinstance(data, dict) else {}
    return {
        str(name): value
        for name, value in found.items()
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    }
