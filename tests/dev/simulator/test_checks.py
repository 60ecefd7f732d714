"""What is refused before any model's rules are read, and what every answer carries."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.waiting import until

Generate = Callable[..., requests.Response]
TRACE = "x-siliconcloud-trace-id"


def send(simulator: Simulator, content: bytes, kind: str = "application/json") -> requests.Response:
    headers = {"Authorization": f"Bearer {simulator.key}", "Content-Type": kind}
    url = f"{simulator.base_url}/images/generations"
    return requests.post(url, data=content, headers=headers, timeout=20)


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer ", "sk-simulator", "bearer sk-simulator "]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/images/generations"),
        ("POST", "/chat/completions"),
        ("POST", "/audio/speech"),
        ("POST", "/audio/transcriptions"),
        ("POST", "/uploads/audio/voice"),
        ("GET", "/audio/voice/list"),
        ("POST", "/audio/voice/deletions"),
        ("POST", "/embeddings"),
        ("POST", "/rerank"),
        ("GET", "/user/info"),
        ("GET", "/models"),
    ],
)
def test_a_wrong_key_is_answered_with_a_bare_json_string(
    simulator: Simulator, method: str, path: str, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}
    answer = requests.request(
        method, simulator.base_url + path, headers=headers, json={}, timeout=20
    )
    assert (answer.status_code, answer.text) == (401, '"Invalid token"')


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_that_is_not_declared_as_json_is_refused(
    simulator: Simulator, kolors: Any, kind: str
) -> None:
    content = json.dumps(kolors).encode()
    assert send(simulator, content, kind).status_code == 400


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(
    simulator: Simulator, kolors: Any, number: str
) -> None:
    content = json.dumps({**kolors, "guidance_scale": float(number)}).encode()
    answer = send(simulator, content)
    assert (answer.status_code, number in answer.json()["message"]) == (400, True)


def test_a_charset_beside_the_content_type_is_fine(simulator: Simulator, kolors: Any) -> None:
    content = json.dumps(kolors).encode()
    assert send(simulator, content, "application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"text"', b"null", b'{"seed": NaN}', b"\xff\xfe\x00", b"[" * 100_000],
)
def test_a_body_that_is_not_a_json_object_is_refused(simulator: Simulator, content: bytes) -> None:
    answer = send(simulator, content)
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)


@pytest.mark.parametrize("model", [None, 5, ["Kwai-Kolors/Kolors"]])
def test_a_model_that_is_not_a_text_is_refused(
    simulator: Simulator, generate: Generate, model: Any
) -> None:
    assert generate(simulator, model=model).json()["code"] == 20015


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/images/generations"),
        ("POST", "/images/generations"),
        ("POST", "/v1/images/generations/"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/videos/submit"),
        ("GET", "/"),
    ],
)
def test_any_other_path_is_a_404_in_plain_text(
    simulator: Simulator, method: str, path: str
) -> None:
    answer = requests.request(method, simulator.origin + path, timeout=20)
    assert (answer.status_code, answer.text) == (404, "404 page not found")
    assert answer.headers["Content-Type"] == "text/plain"


def test_every_answer_carries_a_trace_id_of_its_own(
    simulator: Simulator, generate: Generate, get: Generate
) -> None:
    good = generate(simulator)
    answers = [
        good,
        generate(simulator, seed=-1),
        get(simulator, "/models"),
        get(simulator, "/nowhere"),
    ]
    answers.append(requests.get(good.json()["images"][0]["url"], timeout=20))
    answers.append(requests.get(simulator.origin + "/pictures/none", timeout=20))
    answers.append(requests.get(simulator.base_url + "/models", timeout=20))
    assert len({answer.headers[TRACE] for answer in answers}) == len(answers)


def test_the_record_of_a_request_bears_the_trace_id_of_its_answer(
    simulator: Simulator, generate: Generate
) -> None:
    answer = generate(simulator)
    assert simulator.requests[-1].trace_id == answer.headers[TRACE]


def test_a_record_says_the_whole_request(
    simulator: Simulator, generate: Generate, kolors: Any
) -> None:
    generate(simulator, seed=7)
    record = simulator.requests[-1]
    until(lambda: record.status)  # which is set once the response has left
    assert (record.method, record.path) == ("POST", "/v1/images/generations")
    assert (record.model, record.status, record.body) == (
        kolors["model"],
        200,
        {**kolors, "seed": 7},
    )


def test_a_record_says_why_a_request_was_refused(simulator: Simulator, generate: Generate) -> None:
    generate(simulator, seed=-1)
    record = simulator.requests[-1]
    assert (record.status, record.pictures, "seed" in record.refusal) == (400, 0, True)


def test_a_record_says_whether_the_key_went_along(simulator: Simulator, generate: Generate) -> None:
    requests.get(generate(simulator).json()["images"][0]["url"], timeout=20)
    assert [record.with_key for record in simulator.requests] == [True, False]


def test_the_models_can_be_listed_by_task(sites: dict[str, Simulator], get: Generate) -> None:
    listed = get(sites["cn"], "/models", type="image", sub_type="image-to-image").json()
    assert listed["object"] == "list"
    assert {entry["id"] for entry in listed["data"]} == {
        "Kwai-Kolors/Kolors",
        "Qwen/Qwen-Image-Edit",
        "Qwen/Qwen-Image-Edit-2509",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "stabilityai/stable-diffusion-2-1",
    }


def test_a_listed_model_has_the_documented_shape(
    sites: dict[str, Simulator], get: Generate
) -> None:
    first = get(sites["cn"], "/models", sub_type="text-to-image").json()["data"][0]
    expected = {"id": "Kwai-Kolors/Kolors", "object": "model", "created": 0, "owned_by": ""}
    assert first == expected


@pytest.mark.parametrize(
    ("query", "one_of_them"),
    [
        ({"type": "text"}, "Qwen/Qwen2.5-7B-Instruct"),
        ({"type": "text", "sub_type": "embedding"}, "BAAI/bge-m3"),
        ({"sub_type": "chat"}, "Qwen/Qwen2.5-7B-Instruct"),
        ({"sub_type": "embedding"}, "BAAI/bge-m3"),
        ({"sub_type": "reranker"}, "BAAI/bge-reranker-v2-m3"),
        ({"sub_type": "speech-to-text"}, "FunAudioLLM/SenseVoiceSmall"),
        ({"type": "audio"}, "FunAudioLLM/CosyVoice2-0.5B"),
        ({}, "Kwai-Kolors/Kolors"),
    ],
)
def test_every_kind_of_model_can_be_listed(
    sites: dict[str, Simulator], get: Generate, query: dict[str, str], one_of_them: str
) -> None:
    listed = [entry["id"] for entry in get(sites["cn"], "/models", **query).json()["data"]]
    assert one_of_them in listed
    assert query == {} or "Kwai-Kolors/Kolors" not in listed


@pytest.mark.parametrize(
    "query",
    [{"type": "text", "sub_type": "text-to-video"}, {"type": "text", "sub_type": "speech-to-text"}],
)
def test_a_filter_without_models_lists_none(
    sites: dict[str, Simulator], get: Generate, query: dict[str, str]
) -> None:
    assert get(sites["cn"], "/models", **query).json()["data"] == []


@pytest.mark.parametrize("query", [{"type": "picture"}, {"sub_type": "edit"}])
def test_an_unknown_filter_is_refused(
    sites: dict[str, Simulator], get: Generate, query: dict[str, str]
) -> None:
    assert get(sites["cn"], "/models", **query).status_code == 400


def test_a_request_of_absurd_size_is_refused(simulator: Simulator, generate: Generate) -> None:
    assert generate(simulator, prompt="x" * (65 * 1024 * 1024)).status_code == 413


def test_a_site_must_be_one_that_exists() -> None:
    with pytest.raises(ValueError, match="site"):
        Simulator(site="eu")


def test_a_port_in_use_is_reported_to_the_caller(simulator: Simulator) -> None:
    with pytest.raises(OSError, match=r"in use|10048"):
        Simulator(port=simulator.port).start()


def test_only_this_machine_is_served(simulator: Simulator) -> None:
    assert simulator.base_url == f"http://127.0.0.1:{simulator.port}/v1"
