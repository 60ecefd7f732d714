"""The faults of the other endpoints: those of the images that have no download, and their own.

What a fault of the connection, a refusal or a broken exchange means is the same for all; what
makes an answer unreadable differs, and a stream that breaks has said something already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.reliability import breakers as b
from comfyui_siliconflow.tests.reliability.faults import (
    FREE,
    KEY,
    UNSURE,
    Fault,
    common,
    exchanges,
    ok,
    unsure,
)
from comfyui_siliconflow.tests.reliability.server import Breaker, Reply

CHAT = "SiliconFlowChat"
SPEECH = "SiliconFlowTextToSpeech"
Events = list[str]
Kind = type[errors.RequestError] | None

FORMS: dict[str, str] = {
    "empty": "",
    "text": "It is on its way.",
    "JSON cut": '{"text": "a ca',
    "null": "null",
    "a list": "[]",
    "an error object": '{"code": 50505, "message": "Model service overloaded.", "data": null}',
    "no fields": "{}",
    "a million keys": json.dumps({f"k{number}": 0 for number in range(1_000_000)}),
}
UNREADABLE: dict[str, dict[str, str]] = {
    SPEECH: {
        "empty": "",
        "a page": "<html>Please log in</html>",
        "random bytes": "\x00\x01\x02" * 99,
        "a WAV of no length": "RIFF\x00\x00\x00\x00WAVE",
    },
    "SiliconFlowSpeechToText": {**FORMS, "text a number": '{"text": 42}'},
    "SiliconFlowUploadVoice": {**FORMS, "uri empty": '{"uri": ""}', "uri null": '{"uri": null}'},
    "SiliconFlowEmbeddings": {
        **FORMS,
        "one vector for two texts": '{"data": [{"index": 0, "embedding": [1.0]}]}',
        "vectors of words": '{"data": [{"embedding": "x"}, {"embedding": "y"}]}',
        "vectors of two lengths": '{"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}',
        "a number of 400 digits": '{"data": [{"embedding": [1' + "0" * 400 + "]}]}",
    },
    "SiliconFlowRerank": {
        **FORMS,
        "no results": '{"results": []}',
        "a place beyond the texts": '{"results": [{"index": 9, "relevance_score": 1}]}',
        "a place twice": '{"results": [' + '{"index": 0, "relevance_score": 1},' * 2 + "null]}",
        "no score": '{"results": [{"index": 0}]}',
        "a score of 400 digits": '{"results": [{"index": 0, "relevance_score": 1'
        + "0" * 400
        + "}]}",
    },
}
RAW = {
    "empty": "",
    "text": "Model service overloaded. Please try again later.",
    "a page": "<html>\n<h1>502 Bad Gateway</h1>\n</html>",
    "an error object behind a line break": f"\r\n{FORMS['an error object']}",
}
"""What might be taken for PCM, which has no mark of its own."""


def _shared() -> list[Fault]:
    return [*common(), *exchanges()]


def _of_speech() -> list[Fault]:
    return [
        unsure(
            f"200 in place of PCM, {name}",
            b.changed(b.with_body(body)),
            errors.BadAnswer,
            inputs={"response_format": "pcm"},
        )
        for name, body in RAW.items()
    ]


def _of_files(node: str) -> list[Fault]:
    bad = errors.BadAnswer
    said = f"RIFF {KEY}" if node == SPEECH else f'{{"text": "{KEY}"}}'
    return [
        *_shared(),
        *[
            unsure(f"200, {name}", b.changed(b.with_body(body)), bad)
            for name, body in UNREADABLE[node].items()
        ],
        unsure("echo: within the answer", b.changed(b.with_body(said)), bad),
        *(_of_speech() if node == SPEECH else []),
    ]


# Streams


def _events(change: Callable[[Events], Events]) -> b.Change:
    """Change the events of a stream."""

    def changed(reply: Reply) -> Reply:
        events = reply.body.decode().split("\n\n")
        return b.with_body("\n\n".join(change(events)))(reply)

    return changed


def _say(event: str, at: int = 4) -> Breaker:
    """Put an event among the others."""
    return b.changed(_events(lambda events: [*events[:at], event, *events[at:]]))


def _first(number: int) -> Breaker:
    """End after so many events, as if it were all."""
    return b.changed(_events(lambda events: [*events[:number], ""]))


def _of_streams() -> list[Fault]:
    broken, bad = errors.BrokenStream, errors.BadAnswer
    soon: dict[str, Any] = {"settings": {"read_timeout": 0.5}}
    error = {"error": {"message": "overloaded", "type": "server_error"}}
    coded = '{"code": 50505, "message": "Model service overloaded.", "data": null}'
    odd: Mapping[str, str] = {
        "no JSON": "data: {oops",
        "a number": "data: 42",
        "an error object": f"data: {coded}",
        "an error of the other kind": f"data: {json.dumps(error)}",
        "100,000 lists in each other": "data: " + "[" * 100_000,
        "a message alone": 'data: {"message": "overloaded"}',
        "an error beside a choice": 'data: {"choices": [{"delta": {}}], "error": {"message": "x"}}',
    }
    harmless: Mapping[str, str] = {
        "a comment": ": still there",
        "an unknown field": "retry: 5",
        "choices null": 'data: {"choices": null}',
        "a delta of a number": 'data: {"choices": [{"delta": 7}]}',
        "half a character": 'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}',
    }
    return [
        *[_as_stream(fault) for fault in _shared()],
        *[unsure(f"stream: {name} within", _say(event), broken) for name, event in odd.items()],
        *[ok(f"stream: {name} within", _say(event)) for name, event in harmless.items()],
        unsure("stream: no event at all", _first(0), bad),
        unsure("stream: ends after four events", _first(4), broken),
        unsure("stream: given up by the service", _ending("error"), broken),
        unsure("stream: broken off by the service", _ending("abort"), broken),
        unsure("stream: an event of 2 MB", _say("data: " + "x" * 2_000_000), broken),
        unsure("stream: the key in two pieces", _key_in_pieces(), bad),
        unsure("stream: silent after some events", b.stop(0.5), broken, **soon),
        ok("stream: without its last line", b.changed(_events(lambda events: [*events[:-2], ""]))),
        ok("stream: chunks without an end", b.raw(lambda r: b.chunked(r, end=b""))),
        ok("stream: closed behind its last line", b.changed(b.with_length(20))),
        ok("stream: CRLF", b.changed(b.with_text("\n", "\r\n"))),
    ]


def _ending(reason: str) -> Breaker:
    """End after four events, for a reason that no model has."""
    last = json.dumps({"choices": [{"delta": {}, "finish_reason": reason}]})
    ended = [f"data: {last}", "data: [DONE]", ""]
    return b.changed(_events(lambda events: [*events[:4], *ended]))


def _key_in_pieces() -> Breaker:
    parts = (KEY[:9], KEY[9:])
    said = [json.dumps({"choices": [{"delta": {"content": part}}]}) for part in parts]
    return _say("\n\n".join(f"data: {part}" for part in said))


STREAMED: dict[str, Kind] = {
    "paid, closed within the body": errors.BrokenStream,
    "paid, closed before the last byte": None,
    "paid, silent within the body": errors.BrokenStream,
    "paid, the body drips": errors.ReadTimeout,
    "chunks without an end": None,
    "chunks of no size": None,
    "a length too long": None,
    "a length too long, kept open": None,
}
"""Faults that a stream meets in another way: what it said is known, and its last line is enough."""
SKIPPED = {"paid, reset within the body", "a length too short"}
"""What comes of these depends on the network, or on where the stream is cut."""


def _as_stream(fault: Fault) -> Fault:
    if fault.name not in STREAMED:
        return fault
    kind = STREAMED[fault.name]
    return replace(fault, kind=kind, again=FREE if kind is None else UNSURE)


UNDECIDED = "reset when accepted"
"""Whether a byte of these small bodies had left by then, nobody decides: either error is right."""


def of_node(node: str) -> list[Fault]:
    """Return the faults that strike a node of another endpoint."""
    found = _of_streams() if node == CHAT else _of_files(node)
    known = [fault for fault in found if fault.name != UNDECIDED]
    return [fault for fault in known if node != CHAT or fault.name not in SKIPPED]
