"""`POST /chat/completions`: what is taken, what is refused, and what is answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.waiting import until
from PIL import Image

Generate = Callable[..., requests.Response]

VISION = "Qwen/Qwen3-VL-32B-Instruct"
ALWAYS_THINKS = "deepseek-ai/DeepSeek-R1"
MAY_THINK = "Qwen/Qwen3-8B"


def said(answer: requests.Response) -> str:
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text


def image_part(url: str, **how: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **how}}


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def events_of(answer: requests.Response) -> list[str]:
    lines = answer.content.decode().split("\n\n")
    return [line.removeprefix("data: ") for line in lines if line]


def chunks_of(answer: requests.Response) -> list[Any]:
    return [json.loads(event) for event in events_of(answer)[:-1]]


# Shape


def test_the_answer_has_the_documented_shape(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, "Hello").json()
    assert set(answer) == {"id", "object", "created", "model", "choices", "usage"}
    assert (answer["object"], answer["model"]) == ("chat.completion", "Qwen/Qwen2.5-7B-Instruct")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_usage_adds_up(simulator: Simulator, chat: Generate) -> None:
    usage = chat(simulator, "Hello").json()["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_longer_question_uses_more_tokens(simulator: Simulator, chat: Generate) -> None:
    short, long = (chat(simulator, "word " * count).json()["usage"] for count in (1, 50))
    assert long["prompt_tokens"] > short["prompt_tokens"] + 40


def test_the_same_request_gets_the_same_answer(simulator: Simulator, chat: Generate) -> None:
    assert said(chat(simulator, "Hello")) == said(chat(simulator, "Hello"))


def test_the_answer_repeats_what_was_said(simulator: Simulator, chat: Generate) -> None:
    assert "seven purple foxes" in said(chat(simulator, "I saw seven purple foxes"))


def test_the_answer_counts_the_turns_of_a_conversation(
    simulator: Simulator, chat: Generate
) -> None:
    messages = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Two"},
    ]
    answer = said(chat(simulator, "", messages=messages))
    assert ("message 2" in answer, '"Two"' in answer) == (True, True)


def test_several_answers_can_be_requested(simulator: Simulator, chat: Generate) -> None:
    choices = chat(simulator, "Write a prompt: a fox", n=3).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]


# Streams


def test_a_stream_ends_with_done(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, "Hello", stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert events_of(answer)[-1] == "[DONE]"


def test_a_stream_says_the_same_as_the_whole_answer(simulator: Simulator, chat: Generate) -> None:
    chunks = chunks_of(chat(simulator, "你好，Hello", stream=True))
    streamed = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert streamed == said(chat(simulator, "你好，Hello"))


def test_a_stream_comes_in_many_chunks(simulator: Simulator, chat: Generate) -> None:
    chunks = chunks_of(chat(simulator, "Hello", stream=True))
    assert len(chunks) > 10
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_the_last_chunk_says_why_it_ended_and_what_was_used(
    simulator: Simulator, chat: Generate
) -> None:
    *early, last = chunks_of(chat(simulator, "Hello", stream=True))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == chat(simulator, "Hello").json()["usage"]
    assert {chunk["usage"] for chunk in early} == {None}


def test_a_stream_begins_before_its_time_is_over(simulator: Simulator, post: Generate) -> None:
    simulator.latency = 30
    body = {"model": MAY_THINK, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with post(simulator, "/chat/completions", body, stream=True) as answer:
        assert next(answer.iter_content(10)).startswith(b"data: ")
    assert simulator.requests[0].path.endswith("/chat/completions")


def test_a_stream_carries_a_trace_id(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, "Hello", stream=True)
    assert answer.headers["x-siliconcloud-trace-id"] == simulator.requests[-1].trace_id


def test_a_client_that_leaves_a_stream_is_noted(simulator: Simulator, post: Generate) -> None:
    simulator.latency = 5
    body = {"model": MAY_THINK, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with post(simulator, "/chat/completions", body, stream=True) as answer:
        next(answer.iter_content(10))
    until(lambda: not simulator.requests[0].delivered)


# Reasoning


def test_a_reasoning_model_keeps_its_thoughts_apart(simulator: Simulator, chat: Generate) -> None:
    message = chat(simulator, "a fox", model=ALWAYS_THINKS).json()["choices"][0]["message"]
    assert "a fox" in message["reasoning_content"]
    assert message["reasoning_content"] not in message["content"]


def test_thoughts_are_streamed_before_the_answer(simulator: Simulator, chat: Generate) -> None:
    deltas = [
        chunk["choices"][0]["delta"]
        for chunk in chunks_of(chat(simulator, "a fox", model=ALWAYS_THINKS, stream=True))
    ]
    kinds = ["think" if delta.get("reasoning_content") else "say" for delta in deltas[1:]]
    assert kinds == sorted(kinds, reverse=True)
    assert {delta["content"] for delta in deltas if delta.get("reasoning_content")} == {None}


def test_thinking_can_be_turned_off_where_the_model_allows(
    simulator: Simulator, chat: Generate
) -> None:
    thought = [
        "reasoning_content" in answer.json()["choices"][0]["message"]
        for answer in (
            chat(simulator, "a fox", model=MAY_THINK),
            chat(simulator, "a fox", model=MAY_THINK, enable_thinking=False),
            chat(simulator, "a fox", model=ALWAYS_THINKS, enable_thinking=False),
        )
    ]
    assert thought == [True, False, True]


def test_thoughts_are_counted(simulator: Simulator, chat: Generate) -> None:
    usage = chat(simulator, "a fox", model=ALWAYS_THINKS).json()["usage"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < thought < usage["completion_tokens"]


# Limits of an answer


def test_an_answer_ends_at_max_tokens(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, "Hello", max_tokens=5).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


@pytest.mark.parametrize("stop", ["simulator", ["nowhere", "simulator"]])
def test_an_answer_ends_before_a_stop_sequence(
    simulator: Simulator, chat: Generate, stop: str | list[str]
) -> None:
    answer = chat(simulator, "Hello", stop=stop)
    assert said(answer) == "This is the local "
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


# Images


def test_an_image_is_seen_with_its_size(
    simulator: Simulator, chat: Generate, red_square: str
) -> None:
    content = [text_part("Describe this"), image_part(red_square)]
    answer = said(chat(simulator, content, model=VISION))
    assert all(word in answer for word in ("Image 1: 320x320, mostly red", "Describe this"))


def test_several_images_are_seen(simulator: Simulator, chat: Generate, red_square: str) -> None:
    content = [image_part(red_square), text_part("Compare"), image_part(red_square)]
    assert "Image 2: 320x320" in said(chat(simulator, content, model=VISION))


def test_an_image_made_here_can_be_sent_by_its_url(
    simulator: Simulator, generate: Generate, chat: Generate
) -> None:
    url = generate(simulator).json()["images"][0]["url"]
    answer = said(chat(simulator, [image_part(url)], model=VISION))
    assert "Image 1: 320x240" in answer


def test_an_image_elsewhere_is_not_opened(simulator: Simulator, chat: Generate) -> None:
    url = "https://example.com/fox.png"
    assert url in said(chat(simulator, [image_part(url)], model=VISION))


def test_low_detail_uses_fewer_tokens(
    simulator: Simulator, chat: Generate, encode: Any, to_data_url: Any
) -> None:
    large = to_data_url(encode(Image.new("RGB", (900, 900))))
    low, high = (
        chat(simulator, [image_part(large, detail=detail)], model=VISION).json()["usage"]
        for detail in ("low", "high")
    )
    assert low["prompt_tokens"] < high["prompt_tokens"]


def test_a_model_that_only_reads_refuses_images(
    simulator: Simulator, chat: Generate, red_square: str
) -> None:
    answer = chat(simulator, [image_part(red_square)])
    assert (answer.status_code, answer.json()["code"]) == (400, 20041)


def test_a_broken_image_is_refused(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, [image_part("data:image/png;base64,AAAA")], model=VISION)
    assert (answer.status_code, "whole image" in answer.json()["message"]) == (400, True)


# What is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", []),
        ("messages", [{"role": "user", "content": "x"}] * 11),
        ("messages", [{"role": "robot", "content": "x"}]),
        ("messages", [{"role": "user"}]),
        ("messages", [{"role": "user", "content": None}]),
        ("messages", [{"role": "user", "content": []}]),
        ("messages", [{"role": "user", "content": [{"type": "text"}]}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]),
        ("messages", [{"role": "user", "content": [image_part("C:/fox.png")]}]),
        ("messages", [{"role": "user", "content": [image_part("https://a/b", detail="ultra")]}]),
        ("max_tokens", 0),
        ("max_tokens", 4097),
        ("max_tokens", 1.5),
        ("stop", []),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("temperature", "warm"),
        ("temperature", 2.1),
        ("top_p", 1.1),
        ("top_k", "50"),
        ("frequency_penalty", 3),
        ("n", 0),
        ("stream", "yes"),
        ("response_format", "json"),
        ("response_format", {"type": "xml"}),
        ("response_format", {"type": "json_schema"}),
        ("thinking_budget", 64),
    ],
)
def test_a_field_that_breaks_its_rule_is_refused(
    simulator: Simulator, chat: Generate, field: str, value: Any
) -> None:
    answer = chat(simulator, "x", **{field: value})
    assert (answer.status_code, answer.json()["code"]) == (400, 20015)
    assert answer.json()["message"].startswith(field)


@pytest.mark.parametrize("field", ["model", "messages"])
def test_a_required_field_must_be_there(simulator: Simulator, post: Generate, field: str) -> None:
    body = {"model": MAY_THINK, "messages": [{"role": "user", "content": "x"}]}
    del body[field]
    answer = post(simulator, "/chat/completions", body)
    assert (answer.status_code, field in answer.json()["message"]) == (400, True)


def test_every_documented_field_is_taken(simulator: Simulator, chat: Generate) -> None:
    answer = chat(
        simulator,
        "x",
        stream=False,
        max_tokens=4096,
        stop=None,
        temperature=0.7,
        top_p=0.7,
        top_k=50,
        frequency_penalty=0.5,
        n=1,
        response_format={"type": "text"},
        seed=7,
    )
    assert answer.status_code == 200


def test_a_newer_model_may_write_more(simulator: Simulator, chat: Generate) -> None:
    assert chat(simulator, "x", model=MAY_THINK, max_tokens=8192).status_code == 200


@pytest.mark.parametrize("model", ["no/such-model", "Kwai-Kolors/Kolors", "BAAI/bge-m3"])
def test_a_model_of_another_kind_does_not_exist_here(
    simulator: Simulator, chat: Generate, model: str
) -> None:
    assert chat(simulator, "x", model=model).json()["code"] == 20012


def test_a_chat_model_makes_no_images(simulator: Simulator, generate: Generate) -> None:
    assert generate(simulator, model=MAY_THINK).json()["code"] == 20012


def test_a_chat_model_can_be_added(simulator: Simulator, chat: Generate, red_square: str) -> None:
    simulator.add_model("new/eye", {"type": "object"}, ("chat",), {"vision": True})
    assert "320x320" in said(chat(simulator, [image_part(red_square)], model="new/eye"))


# JSON


def test_a_seed_varies_the_answer(simulator: Simulator, chat: Generate) -> None:
    answers = {said(chat(simulator, "Write a prompt: a fox", seed=seed)) for seed in range(12)}
    assert len(answers) > 3


def test_json_has_the_form_of_the_example_in_the_request(
    simulator: Simulator, chat: Generate
) -> None:
    rules = 'Answer with JSON: {"scenes": [{"title": "..."}, {"title": "..."}], "count": 2}'
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": "a fox"}]
    answer = json.loads(said(chat(simulator, "", messages=messages)))
    assert answer == {"scenes": [{"title": "a fox (1)"}, {"title": "a fox (2)"}], "count": 2}


def test_json_without_an_example_holds_what_was_said(simulator: Simulator, chat: Generate) -> None:
    form = {"type": "json_object"}
    assert "a fox" in json.loads(said(chat(simulator, "a fox", response_format=form)))["answer"]


def test_a_json_schema_is_kept(simulator: Simulator, chat: Generate) -> None:
    scene = {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "prompt": {"type": "string"},
            "mood": {"enum": ["calm", "wild"]},
        },
    }
    schema = {
        "type": "object",
        "properties": {"scenes": {"type": "array", "minItems": 2, "maxItems": 2, "items": scene}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "story", "schema": schema}}
    scenes = json.loads(said(chat(simulator, "Scenes: a fox", response_format=form)))["scenes"]
    assert [scene["number"] for scene in scenes] == [1, 2]
    assert {scene["mood"] for scene in scenes} <= {"calm", "wild"}
    assert all("a fox" in scene["prompt"] for scene in scenes)


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/nowhere"}, {"enum": []}, {"type": "array", "items": {"$ref": "#"}}]
)
def test_a_json_schema_that_leads_nowhere_is_refused(
    simulator: Simulator, chat: Generate, schema: Any
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "story", "schema": schema}}
    answer = chat(simulator, "a fox", response_format=form)
    assert (answer.status_code, "json_schema" in answer.json()["message"]) == (400, True)


def test_half_a_character_is_refused(simulator: Simulator, chat: Generate) -> None:
    assert chat(simulator, "\ud83c\udf89").status_code == 200
    assert chat(simulator, "\ud83c").status_code == 400
