"""The Chat node, from its inputs to the simulator and back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.media.image_files import decode, to_batch
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.resources import chat
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tasks.chat_tasks import Conversation, parts_of
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.data_urls import file_of
from comfyui_siliconflow.tests.waiting import pack_threads, until
from PIL import Image

Run = Callable[..., dict[str, Any]]
Draw = Callable[..., torch.Tensor]

CHAT = "SiliconFlowChat"
WRITER = "Qwen/Qwen2.5-7B-Instruct"
SEER = "Qwen/Qwen3-VL-32B-Instruct"
PAID = "deepseek-ai/DeepSeek-V4-Flash"
INPUTS = {"model": WRITER, "prompt": "Tell me of cats", "seed": 7}


def test_a_prompt_becomes_a_text_with_its_usage(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(CHAT, **INPUTS)
    assert "Tell me of cats" in outputs["text"]
    assert outputs["info"]["finish_reason"] == "stop"
    assert outputs["info"]["usage"]["total_tokens"] > 0
    assert outputs["info"]["requests"][0]["trace_id"] == simulator.requests[0].trace_id
    assert len(simulator.charges) == 1


def test_what_the_user_set_is_sent_and_a_stream_requested(
    simulator: Simulator, outputs_of: Run
) -> None:
    outputs_of(
        CHAT,
        **INPUTS,
        system_prompt="Be short",
        max_tokens=640,
        temperature=0.2,
        top_p=0.9,
        top_k=20,
        frequency_penalty=0.5,
        stop="END\n\\n\\n",
        response_format="json_object",
        extra_body='{"min_p": 0.1}',
    )
    assert simulator.requests[0].body == {
        "model": WRITER,
        "messages": [
            {"role": "system", "content": "Be short"},
            {"role": "user", "content": "Tell me of cats"},
        ],
        "max_tokens": 640,
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 20,
        "frequency_penalty": 0.5,
        "seed": 7,
        "stop": ["END", "\n\n"],
        "response_format": {"type": "json_object"},
        "min_p": 0.1,
        "stream": True,
    }


def test_every_frame_of_every_image_is_shown_in_order(
    simulator: Simulator, outputs_of: Run, make_image: Draw, write_settings: Any
) -> None:
    write_settings(upload_format="png")
    first, second = make_image(frames=2, height=56), make_image(height=60)
    inputs = {**INPUTS, "model": SEER, "detail": "low"}
    outputs_of(CHAT, **inputs, image=first, image4=second)
    [message] = simulator.requests[0].body["messages"]
    *images, words = message["content"]
    assert words == {"type": "text", "text": "Tell me of cats"}
    assert [part["image_url"]["detail"] for part in images] == ["low"] * 3
    shown = [decode(file_of(part["image_url"]["url"])) for part in images]
    for sent, original in zip(shown, (*first, *second), strict=True):
        assert torch.equal(to_batch([sent])[0][0], original)


def test_the_size_and_format_of_uploads_are_as_the_settings_say(
    simulator: Simulator, outputs_of: Run, make_image: Draw, write_settings: Any
) -> None:
    write_settings(upload_format="lossy", upload_side=56)
    outputs = outputs_of(CHAT, **{**INPUTS, "model": SEER}, image=make_image(height=96, width=96))
    part, _ = simulator.requests[0].body["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/jpeg")
    assert decode(file_of(part["image_url"]["url"])).shape[:2] == (56, 56)
    assert "96×96 was scaled to 56×56 before upload (Settings" in outputs["info"]["notes"][0]


@pytest.mark.parametrize("name", ["image", "image3"])
def test_no_image_is_dropped_for_a_model_that_sees_none(
    simulator: Simulator, outputs_of: Run, make_image: Draw, name: str
) -> None:
    with pytest.raises(errors.InvalidInput, match="does not accept images") as caught:
        outputs_of(CHAT, **INPUTS, **{name: make_image()})
    assert caught.value.name == name
    assert simulator.requests == []


def test_a_model_that_the_catalogue_lacks_is_shown_the_images(
    simulator: Simulator, outputs_of: Run, make_image: Draw
) -> None:
    simulator.fail(400, on="chat")
    with pytest.raises(errors.RequestError):
        outputs_of(CHAT, **INPUTS, custom_model="vendor/new", image=make_image())
    assert simulator.requests[0].body["model"] == "vendor/new"
    assert len(simulator.requests[0].body["messages"][0]["content"]) == 2


def test_a_conversation_goes_on(simulator: Simulator, outputs_of: Run) -> None:
    first = outputs_of(CHAT, **INPUTS)
    second = outputs_of(CHAT, model=WRITER, prompt="And dogs?", conversation=first["conversation"])
    assert [message["role"] for message in simulator.requests[1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    assert simulator.requests[1].body["messages"][1]["content"] == first["text"]
    assert len(second["conversation"].messages) == 4


def test_a_new_system_prompt_takes_the_place_of_the_old_one(
    simulator: Simulator, outputs_of: Run
) -> None:
    first = outputs_of(CHAT, **INPUTS, system_prompt="Be short")
    outputs_of(CHAT, **INPUTS, system_prompt="Be long", conversation=first["conversation"])
    messages = simulator.requests[1].body["messages"]
    assert [item["content"] for item in messages if item["role"] == "system"] == ["Be long"]


def test_a_conversation_of_more_than_ten_messages_is_sent(
    use: Callable[[Simulator], None], outputs_of: Run
) -> None:
    said = tuple({"role": "user", "content": "x"} for _ in range(40))
    with Simulator(as_of="today") as simulator:
        use(simulator)
        assert outputs_of(CHAT, **INPUTS, conversation=Conversation(said))["text"]
        assert len(simulator.requests[0].body["messages"]) == 41


def test_an_answer_may_be_as_long_as_the_context_of_the_model(
    use: Callable[[Simulator], None], outputs_of: Run
) -> None:
    with Simulator(as_of="today") as simulator:
        use(simulator)
        assert outputs_of(CHAT, **INPUTS, max_tokens=32768)["text"]
        with pytest.raises(errors.InvalidInput, match="32769 is outside 1-32768"):
            outputs_of(CHAT, **INPUTS, max_tokens=32769)
        assert len(simulator.requests) == 1


@pytest.mark.usefixtures("simulator")
def test_a_conversation_with_images_reads_without_their_data(
    outputs_of: Run, make_image: Draw
) -> None:
    outputs = outputs_of(CHAT, **{**INPUTS, "model": SEER}, image=make_image())
    said = outputs["conversation"]
    assert str(said).startswith("user: [image] Tell me of cats\n\nassistant: ")
    assert "base64" not in str(said) + repr(said) + str(outputs["info"])
    with pytest.raises(errors.InvalidInput, match="does not accept images"):
        outputs_of(CHAT, **INPUTS, conversation=said)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"prompt": " "}, "prompt"),
        ({"max_tokens": 40000}, "max_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"stop": "1\n2\n3\n4\n5"}, "stop"),
        ({"model": "Kwai-Kolors/Kolors"}, "model"),
        ({"extra_body": '{"messages": []}'}, "extra_body"),
        ({"conversation": ["Hello"]}, "conversation"),
    ],
)
def test_nothing_is_sent_when_an_input_is_wrong(
    simulator: Simulator, outputs_of: Run, inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        outputs_of(CHAT, **{**INPUTS, **inputs})
    assert caught.value.name == name
    assert simulator.requests == []


def test_an_answer_that_is_cut_off_is_noted(simulator: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(CHAT, **INPUTS, max_tokens=3)
    assert outputs["info"]["finish_reason"] == "length"
    assert outputs["info"]["notes"] == ["The answer reached max_tokens (3) and was cut off."]
    assert len(simulator.charges) == 1


def test_the_same_question_is_free_the_second_time(simulator: Simulator, outputs_of: Run) -> None:
    first, second = outputs_of(CHAT, **INPUTS), outputs_of(CHAT, **INPUTS)
    assert first["text"] == second["text"]
    assert str(first["conversation"]) == str(second["conversation"])
    assert second["info"]["requests"][0]["origin"] == "reused"
    assert len(simulator.charges) == 1
    outputs_of(CHAT, **{**INPUTS, "seed": 8})
    assert len(simulator.charges) == 2


class Shown:
    """Keeps what a node shows."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def text(self, text: Text) -> None:
        self.lines.append(str(text))

    def value(self, done: int, total: int) -> None:
        assert done <= total

    def image(self, image: Image.Image, _place: int) -> None:
        raise AssertionError(f"chat shows no image: {image}")

    def grown(self) -> Iterator[bool]:
        """Tell of each line whether it is a text that grows."""
        start = re.compile(r"\d+ s:\n")
        return (start.match(line) is not None for line in self.lines)

    async def of_a_node(self) -> None:
        host.report_to(self)
        await NODE_CLASS_MAPPINGS[CHAT]().execute(**INPUTS)


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_text_grows_on_every_node_that_waits_for_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    monkeypatch.setattr("comfyui_siliconflow.engine.run.TICK_SECONDS", 0.01)
    monkeypatch.setattr(chat, "ON_TEXT_SECONDS", 0)
    simulator.fail(broken="stall", on="chat", after=4)
    shown = [Shown() for _ in range(nodes)]

    async def graph() -> None:
        tasks = [asyncio.create_task(one.of_a_node()) for one in shown]
        await asyncio.to_thread(until, lambda: all(any(one.grown()) for one in shown))
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended)

    asyncio.run(graph())
    for one in shown:
        assert any(one.grown())
    assert len(simulator.requests) == 1
    simulator.stop()


def test_a_cancelled_answer_goes_on_and_is_kept(
    simulator: Simulator, held: Held, outputs_of: Run
) -> None:
    async def cancelled() -> None:
        node = asyncio.create_task(NODE_CLASS_MAPPINGS[CHAT]().execute(**INPUTS))
        await asyncio.to_thread(held.wait_for, 1)
        node.cancel()
        with pytest.raises(asyncio.CancelledError):
            await node

    asyncio.run(cancelled())
    assert simulator.requests[0].status is None
    held.release()
    until(lambda: not pack_threads())
    assert outputs_of(CHAT, **INPUTS)["info"]["requests"][0]["origin"] in {"reused", "joined"}
    assert len(simulator.charges) == 1


@pytest.mark.parametrize("broken", ["cut", "short", "malformed", "error"])
def test_a_broken_stream_is_an_error_that_keeps_the_text_so_far(
    simulator: Simulator, outputs_of: Run, broken: Any
) -> None:
    simulator.fail(broken=broken, on="chat", after=4)
    inputs = {**INPUTS, "model": PAID}
    with pytest.raises(errors.BrokenStream, match=r"characters arrived: This"):
        outputs_of(CHAT, **inputs)
    again = outputs_of(CHAT, **inputs)
    assert "may have been charged" in again["info"]["notes"][0]
    assert len(simulator.charges) == 2


def test_an_answer_that_was_ended_for_another_reason_says_so(
    outputs_of: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = chat.Completion("Half of it", "", "content_filter", {}, "t-1", 1.0)
    monkeypatch.setattr(chat, "complete", lambda *_: ended)
    outputs = outputs_of(CHAT, **INPUTS)
    assert outputs["info"]["notes"] == ["The answer ended with: content_filter."]
    assert simulator.requests == []


@pytest.mark.parametrize("broken", ["noise", "undone"])
def test_an_odd_stream_that_is_whole_is_read(
    simulator: Simulator, outputs_of: Run, broken: Any, write_settings: Any
) -> None:
    write_settings(reuse=False)
    plain = outputs_of(CHAT, **INPUTS)["text"]
    simulator.fail(broken=broken, on="chat")
    assert outputs_of(CHAT, **INPUTS)["text"] == plain


def test_a_rate_limit_is_waited_out(
    simulator: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfyui_siliconflow.engine.rate_limit.WINDOW", 0.5)
    simulator.fail(429, limit="TPM", on="chat")
    assert outputs_of(CHAT, **INPUTS)["text"]
    assert [record.status for record in simulator.requests] == [429, 200]


def test_a_bound_on_images_does_not_stop_a_chat_but_a_budget_does(
    simulator: Simulator, outputs_of: Run, write_settings: Any
) -> None:
    write_settings(most_pictures=1, prices={INPUTS["model"]: 0.01})
    for seed in range(3):
        outputs_of(CHAT, **{**INPUTS, "seed": seed})
    write_settings(daily_budget=0.035)
    with pytest.raises(errors.GuardStopped, match=r"¥0\.005 is left"):
        outputs_of(CHAT, **{**INPUTS, "seed": 9})
    assert len(simulator.requests) == 3


def test_an_answer_of_thoughts_alone_is_an_error(
    outputs_of: Run, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    thought = chat.Completion("", "Let me see", "length", {}, "t-1", 1.0)
    monkeypatch.setattr(chat, "complete", lambda *_: thought)
    with pytest.raises(errors.Unusable, match=r"Raise max_tokens, .* The reasoning: Let me see"):
        outputs_of(CHAT, **INPUTS, max_tokens=9)
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("one\n\n two \n", ["one", "two"]),
        ('["one", "two"]', ["one", "two"]),
        ('{"scenes": ["one", "two"], "title": "x"}', ["one", "two"]),
        ('{"a": "one", "b": "two"}', ["one", "two"]),
        ('```json\n{"scenes": [{"prompt": "one"}, {"prompt": "two"}]}\n```', ["one", "two"]),
        ('[{"a": 1, "b": "二"}, 3]', ['{"a": 1, "b": "二"}', "3"]),
        ('Here it is:\n```json\n["one", "two"]\n```\nEnjoy!', ["one", "two"]),
        ('{"cast": ["x"], "story": {"scenes": ["one", "two"]}}', ["one", "two"]),
        ("42", ["42"]),
        ("[]", [""]),
        ('{"scenes": []}', [""]),
        ('["one", null]', ["one"]),
        ('{"scenes": ["a cat", "a dog"], "tags": ["x", "y", "z"]}', ["a cat", "a dog"]),
        ('{"scenes": [{"n": 1, "prompt": "one"}], "style": ["a", "b"]}', ["one"]),
        ("[" * 100_000, ["[" * 100_000]),
    ],
)
def test_an_answer_falls_into_parts(text: str, parts: list[str]) -> None:
    assert parts_of(text) == parts


def test_an_answer_that_should_be_json_and_is_not_goes_no_further(
    simulator: Simulator, outputs_of: Run
) -> None:
    with pytest.raises(errors.Unusable, match="not the JSON you asked for") as caught:
        outputs_of(CHAT, **INPUTS, response_format="json_object", max_tokens=5)
    assert "The answer: " in str(caught.value)
    assert len(simulator.charges) == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ('{"tags": ["x"], "scenes": ["a cat"]}', "contains 2 lists; texts is the one that begins:"),
        ('{"scenes": []}', "The list in the answer is empty."),
    ],
)
@pytest.mark.usefixtures("simulator")
def test_which_list_becomes_texts_is_reported(
    outputs_of: Run, monkeypatch: pytest.MonkeyPatch, answer: str, note: str
) -> None:
    said = chat.Completion(answer, "", "stop", {}, "t-1", 1.0)
    monkeypatch.setattr(chat, "complete", lambda *_: said)
    [note_text] = outputs_of(CHAT, **INPUTS)["info"]["notes"]
    assert note in note_text


def test_a_schema_goes_in_extra_body_and_json_is_then_expected(
    simulator: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    extra = json.dumps({"response_format": schema})
    outputs_of(CHAT, **INPUTS, extra_body=extra)
    assert simulator.requests[0].body["response_format"] == schema
    said = chat.Completion("no JSON", "", "stop", {}, "t-1", 1.0)
    monkeypatch.setattr(chat, "complete", lambda *_: said)
    with pytest.raises(errors.Unusable, match="not the JSON"):
        outputs_of(CHAT, **{**INPUTS, "seed": 8}, extra_body=extra)


def test_what_cannot_be_used_is_not_given_again(simulator: Simulator, outputs_of: Run) -> None:
    for _ in range(2):
        with pytest.raises(errors.Unusable, match="Running again costs again"):
            outputs_of(
                CHAT, **{**INPUTS, "model": PAID}, response_format="json_object", max_tokens=5
            )
    assert len(simulator.charges) == 2
