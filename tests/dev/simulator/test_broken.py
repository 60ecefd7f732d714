"""Every endpoint fails in every way: refused, cut off, cut short, stalled, garbled."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, sound
from comfyui_siliconflow.dev.simulator.responses import PLACES

Generate = Callable[..., requests.Response]
Call = Callable[..., requests.Response]

CHAT = {"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "Tell me 你好"}]}
COSY = "FunAudioLLM/CosyVoice2-0.5B"
SPEECH = {"model": COSY, "input": "Hello", "voice": f"{COSY}:anna", "response_format": "wav"}
SILENT = sound.wav(bytes(3200), 16000)
FILE = {"file": ("a.wav", SILENT, "audio/wav")}
VOICE = {"model": COSY, "customName": "me", "text": "Hello"}
IMAGE = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
CLIP = {"model": "Wan-AI/Wan2.2-T2V-A14B", "prompt": "x", "image_size": "960x960"}

# Place: method, path, and what is sent.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "generations": ("POST", "/images/generations", {"json": IMAGE}),
    "chat": ("POST", "/chat/completions", {"json": CHAT}),
    "embeddings": ("POST", "/embeddings", {"json": {"model": "BAAI/bge-m3", "input": "x"}}),
    "rerank": (
        "POST",
        "/rerank",
        {"json": {"model": "BAAI/bge-reranker-v2-m3", "query": "x", "documents": ["x"]}},
    ),
    "speech": ("POST", "/audio/speech", {"json": SPEECH}),
    "transcriptions": (
        "POST",
        "/audio/transcriptions",
        {"data": {"model": "FunAudioLLM/SenseVoiceSmall"}, "files": FILE},
    ),
    "voice_upload": ("POST", "/uploads/audio/voice", {"data": VOICE, "files": FILE}),
    "voice_list": ("GET", "/audio/voice/list", {}),
    "video_submit": ("POST", "/video/submit", {"json": CLIP}),
    "models": ("GET", "/models", {}),
    "info": ("GET", "/user/info", {}),
}
PAID = ("generations", "chat", "embeddings", "rerank", "speech", "transcriptions", "video_submit")


def call(simulator: Simulator, place: str, timeout: float = 2, **how: Any) -> requests.Response:
    method, path, sent = CALLS[place]
    headers = {"Authorization": f"Bearer {simulator.key}"}
    url = simulator.base_url + path
    return requests.request(method, url, headers=headers, timeout=timeout, **{**sent, **how})


def stream(simulator: Simulator) -> requests.Response:
    return call(simulator, "chat", json={**CHAT, "stream": True}, stream=True)


def events_of(answer: requests.Response) -> Iterator[str]:
    """Yield the data of each event, as it comes."""
    for line in answer.iter_lines():
        if line.startswith(b"data:"):
            yield line.decode()[5:].strip()


def collect(answer: requests.Response) -> tuple[list[str], Exception | None]:
    """Return the events until the end, and the error that was the end."""
    events: list[str] = []
    try:
        events.extend(events_of(answer))
    except requests.RequestException as error:
        return events, error
    return events, None


def test_every_place_is_tried_here() -> None:
    assert {*CALLS, "pictures", "voice_deletion", "video_status"} == set(PLACES)


@pytest.mark.parametrize("place", CALLS)
def test_every_endpoint_works_without_a_fault(simulator: Simulator, place: str) -> None:
    assert call(simulator, place).status_code == 200


@pytest.mark.parametrize("place", CALLS)
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503, 504])
def test_every_endpoint_can_answer_with_an_error(
    simulator: Simulator, place: Any, status: int
) -> None:
    simulator.fail(status, on=place)
    assert [call(simulator, place).status_code for _ in range(2)] == [status, 200]
    assert len(simulator.charges) == (place in PAID)


@pytest.mark.parametrize("place", CALLS)
@pytest.mark.parametrize(
    ("how", "content_type"),
    [
        ({"body": "<h1>Bad Gateway</h1>", "kind": "html"}, "text/html"),
        ({"kind": "empty"}, "text/plain"),
        ({"body": {"ok": True}}, "application/json"),
    ],
)
def test_every_endpoint_can_answer_with_something_else(
    simulator: Simulator, place: Any, how: Any, content_type: str
) -> None:
    simulator.fail(200, on=place, **how)
    answer = call(simulator, place)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize("place", CALLS)
def test_every_endpoint_can_hang_up(simulator: Simulator, place: Any) -> None:
    simulator.fail(0, on=place)
    with pytest.raises(requests.ConnectionError):
        call(simulator, place)
    assert not simulator.requests[-1].delivered


@pytest.mark.parametrize("place", CALLS)
def test_every_answer_can_be_cut_off(simulator: Simulator, place: Any) -> None:
    simulator.fail(broken="cut", on=place)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        call(simulator, place)
    assert len(simulator.charges) == (place in PAID)


@pytest.mark.parametrize("place", CALLS)
def test_every_answer_can_be_cut_short(simulator: Simulator, place: Any) -> None:
    whole = call(simulator, place)
    simulator.fail(broken="short", on=place)
    short = call(simulator, place)
    assert short.status_code == 200
    assert len(short.content) == pytest.approx(len(whole.content) / 2, abs=20)


@pytest.mark.parametrize("place", CALLS)
def test_every_answer_can_stall(simulator: Simulator, place: Any) -> None:
    simulator.fail(broken="stall", on=place)
    with pytest.raises(requests.ConnectionError, match="timed out"):
        call(simulator, place, timeout=0.4)


@pytest.mark.parametrize("place", CALLS)
def test_every_endpoint_can_give_an_error_with_status_200(simulator: Simulator, place: Any) -> None:
    simulator.fail(broken="error", on=place)
    answer = call(simulator, place)
    assert (answer.status_code, answer.json()["code"]) == (200, 50505)


@pytest.mark.parametrize("place", PAID)
def test_a_gateway_may_time_out_over_work_that_was_done(simulator: Simulator, place: Any) -> None:
    simulator.fail(504, on=place, made=True)
    assert call(simulator, place).status_code == 504
    assert len(simulator.charges) == 1


def test_an_image_can_be_cut_off(simulator: Simulator) -> None:
    simulator.fail(broken="cut", on="pictures")
    url = call(simulator, "generations").json()["images"][0]["url"]
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.get(url, timeout=20)


def test_a_deletion_can_fail(simulator: Simulator, post: Generate) -> None:
    uri = call(simulator, "voice_upload").json()["uri"]
    simulator.fail(503, on="voice_deletion")
    answers = [post(simulator, "/audio/voice/deletions", {"uri": uri}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 200]


# Streams


def test_a_stream_can_be_cut_in_the_middle_of_an_event(simulator: Simulator) -> None:
    simulator.fail(broken="cut", on="chat", after=3)
    events, error = collect(stream(simulator))
    whole = [event for event in events if event.endswith("}")]
    assert (len(whole), error is not None) == (3, True)


def test_a_stream_can_end_early(simulator: Simulator) -> None:
    simulator.fail(broken="short", on="chat", after=4)
    events = list(events_of(stream(simulator)))
    assert len(events) == 4
    assert '"finish_reason": "stop"' not in events[-1]


def test_a_stream_can_end_without_a_single_event(simulator: Simulator) -> None:
    simulator.fail(broken="short", on="chat", after=0)
    answer = stream(simulator)
    assert (answer.headers["Content-Type"], answer.content) == ("text/event-stream", b"")


def test_a_stream_can_lack_its_done(simulator: Simulator) -> None:
    simulator.fail(broken="undone", on="chat")
    events = list(events_of(stream(simulator)))
    assert '"finish_reason": "stop"' in events[-1]


def test_an_event_can_be_no_json(simulator: Simulator) -> None:
    simulator.fail(broken="malformed", on="chat", after=2)
    events = list(events_of(stream(simulator)))
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[2])
    assert json.loads(events[3])
    assert events[-1] == "[DONE]"


def test_an_event_can_be_an_error(simulator: Simulator) -> None:
    simulator.fail(broken="error", on="chat", after=2)
    events = list(events_of(stream(simulator)))
    assert (len(events), json.loads(events[2])["code"]) == (3, 50505)


def test_a_stream_can_stall(simulator: Simulator) -> None:
    simulator.fail(broken="stall", on="chat", after=2)
    events, error = collect(stream(simulator))
    assert (len(events), "timed out" in str(error)) == (2, True)


def test_a_stalled_stream_ends_with_the_simulator(simulator: Simulator) -> None:
    simulator.fail(broken="stall", on="chat", after=2)
    with stream(simulator) as answer:
        events = events_of(answer)
        next(events)
        simulator.stop()
        with pytest.raises(requests.RequestException):
            list(events)


def test_a_noisy_stream_says_the_same(simulator: Simulator) -> None:
    plain = list(events_of(stream(simulator)))
    simulator.fail(broken="noise", on="chat")
    noisy = stream(simulator)
    content = noisy.content
    assert b": keep-alive" in content
    assert b"\r\n\r\n" in content
    found = [line[5:] for line in content.decode().split("\r\n") if line.startswith("data:")]
    texts = [
        [json.loads(event)["choices"][0]["delta"].get("content") for event in events[:-1]]
        for events in (plain, found)
    ]
    assert texts[0] == texts[1]


def test_a_stream_can_be_refused_as_any_answer(simulator: Simulator) -> None:
    simulator.fail(429, limit="RPM", on="chat")
    answer = stream(simulator)
    assert (answer.status_code, "RPM limit" in answer.text) == (429, True)


# Sound


def test_sound_can_be_cut_short(simulator: Simulator) -> None:
    simulator.fail(broken="short", on="speech")
    content = call(simulator, "speech").content
    announced = int.from_bytes(content[4:8], "little")
    assert len(content) - 8 < announced


def test_sound_can_come_without_its_length(simulator: Simulator) -> None:
    plain = call(simulator, "speech").content
    simulator.fail(broken="noise", on="speech")
    content = call(simulator, "speech").content
    assert content.count(b"\xff\xff\xff\xff") >= 2
    assert sound.read_wav(content).samples == pytest.approx(sound.read_wav(plain).samples)


def test_an_unknown_way_to_break_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="broken"):
        simulator.fail(broken="sideways")  # type: ignore[arg-type]
