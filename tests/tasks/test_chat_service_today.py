"""What the Chat node asks of the service as it is now: how a model thinks and what it sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.media.image_files import decode
from comfyui_siliconflow.siliconflow import catalogue, errors
from comfyui_siliconflow.siliconflow.resources import chat
from comfyui_siliconflow.tests.data_urls import file_of

Run = Callable[..., dict[str, Any]]
Draw = Callable[..., torch.Tensor]

CHAT = "SiliconFlowChat"
DEFAULT = "Qwen/Qwen3.5-4B"
ALWAYS, NEVER, OFF = "deepseek-ai/DeepSeek-R1", "THUDM/GLM-4-9B-0414", "deepseek-ai/DeepSeek-V3.2"
FLASH = "deepseek-ai/DeepSeek-V4-Flash"
PAID = "deepseek-ai/DeepSeek-V4-Flash"
ASKED = {"model": DEFAULT, "prompt": "Tell me of cats", "seed": 7}
SCHEMA = {"type": "object", "properties": {"scenes": {"type": "array"}, "n": {"type": "integer"}}}


def images_of(simulator: Simulator, request: int = -1) -> list[torch.Tensor]:
    """Return the pixels of the images that a request shows, in order."""
    messages = simulator.requests[request].body["messages"]
    parts = [
        part for message in messages if message["role"] == "user" for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
    return [torch.tensor(decode(file_of(url))) for url in urls]


def sides_of(simulator: Simulator) -> list[tuple[int, int]]:
    """Return width and height of the images of the last request."""
    return [(image.shape[1], image.shape[0]) for image in images_of(simulator)]


def answer_with(simulator: Simulator, reasoning: str, finish_reason: str) -> None:
    """Let the next answer be without content."""
    message = {"role": "assistant", "content": "", "reasoning_content": reasoning}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message}
    simulator.fail(200, body={"choices": [choice]}, kind="json", on="chat")


def test_the_model_of_a_new_node_answers_with_text_alone(today: Simulator, outputs_of: Run) -> None:
    """It thinks unless it is told not to, which could use up max_tokens."""
    assert catalogue.load().of_task("chat")[0].id == DEFAULT
    outputs = outputs_of(CHAT, **ASKED, max_tokens=2048, enable_thinking="auto")
    assert outputs["text"]
    assert outputs["reasoning"] == ""
    assert today.requests[0].body["enable_thinking"] is False


@pytest.mark.parametrize(
    ("inputs", "sent"),
    [
        ({"model": DEFAULT, "enable_thinking": "on"}, {"enable_thinking": True}),
        ({"model": DEFAULT, "enable_thinking": "off"}, {"enable_thinking": False}),
        (
            {"model": DEFAULT, "thinking_budget": 256},
            {"enable_thinking": True, "thinking_budget": 256},
        ),
        ({"model": OFF}, {}),
        ({"model": OFF, "enable_thinking": "on"}, {"enable_thinking": True}),
        ({"model": ALWAYS, "thinking_budget": 256}, {"thinking_budget": 256}),
        (
            {"model": FLASH, "reasoning_effort": "max"},
            {"enable_thinking": True, "reasoning_effort": "max"},
        ),
        ({"model": NEVER}, {}),
        ({"model": DEFAULT, "min_p": 0.25}, {"enable_thinking": False, "min_p": 0.25}),
    ],
)
def test_how_a_model_thinks_is_sent_where_it_can_be_told(
    today: Simulator, outputs_of: Run, inputs: dict[str, Any], sent: dict[str, Any]
) -> None:
    outputs = outputs_of(CHAT, **{**ASKED, **inputs})
    fields = {"enable_thinking", "thinking_budget", "reasoning_effort", "min_p"}
    body = today.requests[0].body
    assert {name: body[name] for name in fields & set(body)} == sent
    if "enable_thinking" in sent:
        assert bool(outputs["reasoning"]) == sent["enable_thinking"]


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (ALWAYS, {"enable_thinking": "off"}),
        (NEVER, {"enable_thinking": "on", "thinking_budget": 256}),
        (DEFAULT, {"reasoning_effort": "high"}),
        (NEVER, {"min_p": 0.1}),
    ],
)
def test_what_a_model_does_not_have_is_left_out_with_a_note(
    today: Simulator, outputs_of: Run, model: str, inputs: dict[str, Any]
) -> None:
    info = outputs_of(CHAT, **{**ASKED, "model": model}, **inputs)["info"]
    assert info["not_sent"] == sorted(inputs)
    [note] = info["notes"]
    assert note == f"Not sent, because {model} does not have it: {', '.join(sorted(inputs))}."
    assert not set(inputs) & set(today.requests[0].body)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [(DEFAULT, {"thinking_budget": 512}), (FLASH, {"reasoning_effort": "max"})],
)
def test_how_long_to_think_is_left_out_with_a_note_where_thinking_is_off(
    today: Simulator, outputs_of: Run, model: str, inputs: dict[str, Any]
) -> None:
    off = {**ASKED, "model": model, "enable_thinking": "off"}
    info = outputs_of(CHAT, **off, **inputs)["info"]
    assert info["not_sent"] == [*inputs]
    assert info["notes"] == [f"Not sent, because enable_thinking is off: {', '.join(inputs)}."]
    assert not set(inputs) & set(today.requests[0].body)
    assert today.requests[0].body["enable_thinking"] is False


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"thinking_budget": 64}, "thinking_budget"),
        ({"thinking_budget": 40000}, "thinking_budget"),
        ({"thinking_budget": 512, "max_tokens": 512}, "thinking_budget"),
        ({"min_p": 1.5}, "min_p"),
        ({"enable_thinking": "maybe"}, "enable_thinking"),
        ({"model": FLASH, "reasoning_effort": "low"}, "reasoning_effort"),
        ({"json_schema": "{"}, "json_schema"),
        ({"json_schema": "[1]"}, "json_schema"),
        ({"json_schema": "{}", "extra_body": '{"response_format": {}}'}, "extra_body"),
        ({"max_images": 300}, "max_images"),
    ],
)
def test_what_cannot_be_right_is_refused_before_it_is_sent(
    today: Simulator, outputs_of: Run, inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        outputs_of(CHAT, **{**ASKED, **inputs})
    assert caught.value.name == name
    assert today.requests == []


@pytest.mark.parametrize(
    ("inputs", "warned"),
    [
        ({"model": ALWAYS, "max_tokens": 2048}, True),
        ({"model": ALWAYS, "max_tokens": 8192}, False),
        ({"model": ALWAYS, "max_tokens": 0}, False),
        ({"model": ALWAYS, "max_tokens": 2048, "thinking_budget": 1024}, False),
        ({"model": DEFAULT, "max_tokens": 2048}, False),
    ],
)
def test_whoever_leaves_max_tokens_to_a_model_that_always_reasons_is_told_what_it_bounds(
    today: Simulator, outputs_of: Run, inputs: dict[str, Any], warned: bool
) -> None:
    notes = outputs_of(CHAT, **{**ASKED, **inputs})["info"]["notes"]
    assert ["always reasons" in note for note in notes] == [True] * warned
    assert today.requests[0].body.get("max_tokens", 0) == inputs["max_tokens"]


def test_max_tokens_of_zero_is_left_to_the_service(today: Simulator, outputs_of: Run) -> None:
    assert outputs_of(CHAT, **ASKED, max_tokens=0)["text"]
    assert "max_tokens" not in today.requests[0].body


def test_null_in_extra_body_takes_a_field_out(today: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(CHAT, **ASKED, extra_body='{"enable_thinking": null}')
    assert "enable_thinking" not in today.requests[0].body
    assert outputs["reasoning"]


def test_a_model_that_refuses_to_be_told_says_how_to_leave_that_out(
    today: Simulator, outputs_of: Run
) -> None:
    today.fail(body="thinking-400", on="chat")
    with pytest.raises(errors.BadRequest, match=r'put \{"enable_thinking": null\} into extra_body'):
        outputs_of(CHAT, **ASKED, enable_thinking="off")
    assert len(today.requests) == 1
    assert today.charges == []


def test_a_field_that_only_a_default_sent_is_left_out_once_it_is_refused(
    today: Simulator, outputs_of: Run
) -> None:
    today.fail(body="thinking-400", on="chat")
    outputs = outputs_of(CHAT, **ASKED)
    assert outputs["text"]
    assert ["enable_thinking" in record.body for record in today.requests] == [True, False]
    assert len(today.charges) == 1
    [note] = outputs["info"]["notes"]
    assert "does not have enable_thinking" in note
    assert "charges nothing" in note
    assert outputs_of(CHAT, **ASKED)["info"]["requests"][0]["origin"] == "reused"


def test_a_request_that_is_refused_without_the_field_too_is_not_sent_again(
    today: Simulator, outputs_of: Run
) -> None:
    today.fail(body="thinking-400", on="chat", times=3)
    with pytest.raises(errors.BadRequest):
        outputs_of(CHAT, **ASKED)
    assert len(today.requests) == 2
    assert today.charges == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_answer_follows_a_json_schema(today: Simulator, outputs_of: Run, wrapped: bool) -> None:
    written = {"name": "story", "strict": True, "schema": SCHEMA} if wrapped else SCHEMA
    outputs = outputs_of(
        CHAT, **ASKED, json_schema=json.dumps(written), response_format="json_object"
    )
    assert set(json.loads(outputs["text"])) == {"scenes", "n"}
    assert today.requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": written if wrapped else {"name": "answer", "schema": SCHEMA},
    }


def test_an_answer_that_is_all_reasoning_says_what_to_raise_and_that_it_was_charged(
    today: Simulator, outputs_of: Run
) -> None:
    with pytest.raises(errors.Unusable) as caught:
        outputs_of(CHAT, **{**ASKED, "model": PAID}, enable_thinking="on", max_tokens=9)
    said = str(caught.value)
    assert "used up max_tokens (9) on reasoning and wrote no answer. Raise max_tokens" in said
    assert "The reasoning: The user says" in said
    assert "You were charged" in said
    assert len(today.charges) == 1


def test_an_answer_that_came_as_reasoning_with_thinking_off_is_used_and_noted(
    today: Simulator, outputs_of: Run
) -> None:
    answer_with(today, "A red square.", "stop")
    outputs = outputs_of(CHAT, **ASKED)
    assert (outputs["text"], outputs["reasoning"]) == ("A red square.", "")
    [note] = outputs["info"]["notes"]
    assert "returned the whole answer as reasoning although thinking was off" in note
    assert outputs["conversation"].messages[-1]["content"] == "A red square."


def test_an_answer_that_came_as_reasoning_with_thinking_on_is_an_error(
    today: Simulator, outputs_of: Run
) -> None:
    answer_with(today, "A red square.", "stop")
    with pytest.raises(errors.Unusable, match="wrote reasoning and no answer"):
        outputs_of(CHAT, **ASKED, enable_thinking="on")


def test_reasoning_that_is_cut_off_is_no_answer_even_with_thinking_off(
    today: Simulator, outputs_of: Run
) -> None:
    answer_with(today, "Let me see", "length")
    with pytest.raises(errors.Unusable, match=r"max_tokens \(2048\) on reasoning"):
        outputs_of(CHAT, **ASKED, max_tokens=2048)


def test_an_answer_without_even_reasoning_says_what_to_raise(
    today: Simulator, outputs_of: Run
) -> None:
    answer_with(today, "", "length")
    with pytest.raises(errors.BadAnswer, match="no text, and ended at max_tokens: raise max_tok"):
        outputs_of(CHAT, **ASKED)


def test_an_image_larger_than_the_model_can_use_is_scaled_and_sent_lossy(
    today: Simulator, outputs_of: Run, write_settings: Any
) -> None:
    write_settings(upload_side=0)
    outputs = outputs_of(CHAT, **ASKED, image=torch.zeros(1, 3000, 5000, 3))
    [(width, height)] = sides_of(today)
    assert 0.97 * 12_845_056 < width * height <= 12_845_056
    assert (width % 28, height % 28) == (0, 0)
    assert abs(width / height - 5 / 3) < 0.02
    [upload] = outputs["info"]["uploads"]
    assert (upload["input"], upload["frame"], upload["format"]) == ("image", 0, "jpeg")
    assert upload["scaled_from"] == [5000, 3000]
    [note] = outputs["info"]["notes"]
    assert f"5000×3000 was scaled to {width}×{height}" in note
    assert f"the size that {DEFAULT} works with" in note


@pytest.mark.parametrize(
    ("size", "detail", "expected"),
    [
        ((20, 20), "auto", (56, 56)),
        ((600, 400), "auto", (600, 400)),
        ((1800, 1800), "low", (448, 448)),
        ((600, 300), "low", (600, 300)),
    ],
)
def test_an_image_has_the_pixels_that_the_model_looks_at(
    today: Simulator,
    outputs_of: Run,
    size: tuple[int, int],
    detail: str,
    expected: tuple[int, int],
) -> None:
    width, height = size
    outputs_of(CHAT, **ASKED, detail=detail, image=torch.zeros(1, height, width, 3))
    assert sides_of(today) == [expected]


def test_of_a_long_batch_evenly_spaced_frames_are_sent_and_listed(
    today: Simulator, outputs_of: Run
) -> None:
    video = torch.arange(81).reshape(-1, 1, 1, 1).expand(-1, 56, 56, 3) / 80
    outputs = outputs_of(CHAT, **ASKED, image=video, image2=video[:2], max_images=5)
    expected = [0, 20, 40, 60, 80, 0, 1]
    shown = [round(float(frame.float().mean()) / 255 * 80) for frame in images_of(today)]
    assert shown == expected
    frames = [(upload["input"], upload["frame"]) for upload in outputs["info"]["uploads"]]
    assert frames == [("image", at) for at in expected[:5]] + [("image2", 0), ("image2", 1)]
    assert outputs["info"]["notes"] == [
        "image: 5 of 81 frames were sent, evenly spaced (max_images)."
    ]


@pytest.mark.parametrize(("max_images", "count"), [({}, 16), ({"max_images": 0}, 20)])
def test_a_batch_is_bounded_unless_the_user_asks_for_every_frame(
    today: Simulator, outputs_of: Run, max_images: dict[str, int], count: int
) -> None:
    outputs_of(CHAT, **ASKED, image=torch.zeros(20, 56, 56, 3), **max_images)
    assert len(images_of(today)) == count


def few_bytes(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the images of a request have only so many bytes."""
    limits = catalogue.load().find(DEFAULT, "cn").limits
    monkeypatch.setitem(limits, "request_bytes", count)


def test_images_of_too_many_bytes_are_sent_smaller_before_anything_is_sent(
    today: Simulator, outputs_of: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_bytes(monkeypatch, 100_000)
    outputs = outputs_of(CHAT, **ASKED, image=make_image(2, 224, 224))
    [request] = today.requests
    assert sides_of(today) == [(112, 112), (112, 112)]
    assert len(json.dumps(request.body)) < 101_000
    assert "all images of a request may have 0 MB together" in outputs["info"]["notes"][0]


def test_images_that_are_a_little_too_large_are_sent_a_little_smaller(
    today: Simulator, outputs_of: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"image": make_image(1, 560, 560)}
    outputs_of(CHAT, **ASKED, **images)
    size = len(json.dumps(today.requests[0].body))
    few_bytes(monkeypatch, int(size * 0.9))
    outputs_of(CHAT, **{**ASKED, "prompt": "And now?"}, **images)
    assert size * 0.7 < len(json.dumps(today.requests[1].body)) < size * 0.9 + 1000


def test_images_that_fit_and_are_refused_all_the_same_are_smaller_the_next_time(
    today: Simulator, outputs_of: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_bytes(monkeypatch, 100_000)
    today.fail(body="large-413", on="chat", times=2)
    outputs = outputs_of(CHAT, **ASKED, image=make_image(1, 560, 560))
    sizes = [len(json.dumps(request.body)) for request in today.requests]
    assert sizes[0] < 101_000
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3
    assert "sent again as JPEG" in outputs["info"]["notes"][0]


def test_images_that_stay_too_large_are_refused_before_anything_is_sent(
    today: Simulator, outputs_of: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_bytes(monkeypatch, 100)
    with pytest.raises(errors.UploadTooLarge, match="Lower max_images") as caught:
        outputs_of(CHAT, **ASKED, image=make_image())
    assert caught.value.charged is False
    assert "was sent as" not in str(caught.value)
    assert today.requests == []


def test_no_request_has_hundreds_of_megabytes() -> None:
    """Of any model that is shown images, one that the catalogue lacks among them."""
    models = catalogue.load()
    sighted = [model for model in models.of_task("chat") if model.sees]
    assert len(sighted) > 20
    limits = [model.limits["request_bytes"] for model in [*sighted, models.unlisted]]
    assert max(limits) <= 20_000_000


@pytest.mark.parametrize(("refusals", "size"), [(1, (112, 112)), (2, (56, 56))])
def test_images_that_a_gateway_refuses_are_sent_smaller_with_a_note_and_paid_once(
    today: Simulator, outputs_of: Run, make_image: Draw, refusals: int, size: tuple[int, int]
) -> None:
    today.fail(body="large-413", on="chat", times=refusals)
    inputs = {**ASKED, "image": make_image(1, 224, 224)}
    outputs = outputs_of(CHAT, **inputs)
    assert [record.status for record in today.requests] == [413] * refusals + [200]
    assert sides_of(today) == [size]
    [note] = outputs["info"]["notes"]
    assert "charges nothing for that, so it was sent again as JPEG" in note
    assert len(today.charges) == 1
    assert outputs_of(CHAT, **inputs)["info"]["requests"][0]["origin"] == "reused"


def test_images_that_a_gateway_refuses_thrice_are_an_error_that_names_the_settings(
    today: Simulator, outputs_of: Run, make_image: Draw
) -> None:
    today.fail(body="large-413", on="chat", times=3)
    with pytest.raises(errors.UploadTooLarge, match="Maximum upload size") as caught:
        outputs_of(CHAT, **ASKED, image=make_image(1, 224, 224))
    assert caught.value.charged is False
    assert len(today.requests) == 3
    assert today.charges == []


def test_a_conversation_shows_its_images_again_and_smaller_if_they_are_refused(
    today: Simulator, outputs_of: Run, make_image: Draw
) -> None:
    first = outputs_of(CHAT, **ASKED, image=make_image(1, 224, 224))
    today.fail(body="large-413", on="chat")
    second = outputs_of(
        CHAT, **ASKED, conversation=first["conversation"], image=make_image(1, 448, 224)
    )
    assert sides_of(today) == [(112, 112), (112, 224)]
    assert [upload["input"] for upload in second["info"]["uploads"]] == ["conversation", "image"]
    third = outputs_of(CHAT, **ASKED, conversation=second["conversation"])
    assert sides_of(today) == [(224, 224), (224, 448)]
    assert str(third["conversation"]).count("[image]") == 2


def test_other_frames_are_another_request(today: Simulator, outputs_of: Run) -> None:
    for shade in (0.0, 0.5, 0.0):
        outputs_of(CHAT, **ASKED, image=torch.full((1, 56, 56, 3), shade))
    assert len(today.charges) == 2


def test_a_model_that_the_catalogue_lacks_is_told_what_the_user_set(
    today: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def complete(_client: Any, body: Any, _on_text: Any) -> chat.Completion:
        asked.append(body)
        return chat.Completion("Yes", "", "stop", {}, "t-1", 1.0)

    monkeypatch.setattr(chat, "complete", complete)
    own = {"enable_thinking": "off", "thinking_budget": 200, "reasoning_effort": "low"}
    outputs_of(CHAT, **ASKED, custom_model="vendor/new", **own)
    assert {name: asked[0][name] for name in own} == {**own, "enable_thinking": False}
    assert today.requests == []
