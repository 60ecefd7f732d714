"""How the nodes behave while ComfyUI runs them: cancel, overlap, progress, errors."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Record, Simulator
from comfyui_siliconflow.storage.spend_book import READ_SECONDS
from comfyui_siliconflow.tests.host.comfy import Comfy

Json = dict[str, Any]
Drawing = Callable[..., Json]

SCENES = 'Three scenes of a kite, as JSON like {"scenes": ["a kite", "a cloud", "a string"]}'
"""The simulator's chat answers with the example that a prompt gives."""
LONGER = 20.0
"""Seconds: a request takes longer than its test."""
IN_THE_MIDST = 1.2
"""By then the progress stands still: ComfyUI's own bar notices a cancel only when it moves."""


def under_way(service: Simulator, since: int) -> list[Record]:
    """Return the requests for images, from a place in the list, that wait for an answer."""
    return [record for record in service.generations[since:] if record.status is None]


def test_cancel_stops_a_running_node_while_its_request_goes_on(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.latency, since = LONGER, len(service.generations)
    prompt_id = comfy.queue(drawing())
    comfy.wait_for(lambda: under_way(service, since))
    time.sleep(IN_THE_MIDST)
    comfy.post("/interrupt", {})
    ended = comfy.end_of(prompt_id)
    assert under_way(service, since)
    assert ended.message("execution_interrupted")
    assert ended.message("execution_error") is None


def test_comfyui_goes_on_after_a_cancel(comfy: Comfy, service: Simulator, drawing: Drawing) -> None:
    service.latency, since = 2.0, len(service.generations)
    prompt_id = comfy.queue(drawing(count=2))
    comfy.wait_for(lambda: len(under_way(service, since)) == 2)
    comfy.post("/interrupt", {})
    assert comfy.end_of(prompt_id).message("execution_interrupted")
    service.latency = 0.0
    assert comfy.run(drawing()).status == "success"


def test_independent_nodes_wait_at_the_same_time(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.latency, since = 2.0, len(service.generations)
    prompt_id = comfy.queue(drawing(count=2))
    comfy.wait_for(lambda: len(under_way(service, since)) == 2)
    assert comfy.end_of(prompt_id).status == "success"


def test_a_program_goes_ahead_by_queueing_the_same_with_the_same_id_again(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    since, prompt = len(service.generations), drawing(model="Qwen/Qwen-Image", batch_size=17)
    prompt_id = str(uuid.uuid4())
    queued = {"prompt": prompt, "prompt_id": prompt_id, "extra_data": {}}
    assert comfy.post("/prompt", queued).status_code == 200
    error = comfy.end_of(prompt_id).message("execution_error")
    assert error is not None
    assert "queue the same again" in error["exception_message"]
    assert len(service.generations) == since
    time.sleep(READ_SECONDS)
    comfy.post("/prompt", queued)
    comfy.wait_for(lambda: len(service.generations) == since + 17)


def test_a_refused_request_fails_the_node_with_its_trace_id(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.fail(400)
    ended = comfy.run(drawing())
    error = ended.message("execution_error")
    assert error is not None
    assert error["node_type"] == "SiliconFlowTextToImage"
    assert service.generations[-1].trace_id in error["exception_message"]


def test_an_empty_prompt_is_refused_before_anything_runs(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    before = len(service.generations)
    answer = comfy.post("/prompt", {"prompt": drawing(prompt=" ")})
    assert answer.status_code == 400
    errors = answer.json()["node_errors"]["1"]["errors"]
    assert all("prompt: must not be empty" in error["details"] for error in errors)
    assert len(service.generations) == before


def test_each_fault_of_a_queued_graph_is_told_once_at_its_own_input(
    comfy: Comfy, drawing: Drawing
) -> None:
    """ComfyUI repeats what the node says for every input that the node looks at itself."""
    answer = comfy.post("/prompt", {"prompt": drawing(prompt="", model="Gone/Model")})
    assert answer.status_code == 400
    errors = answer.json()["node_errors"]["1"]["errors"]
    assert [error["extra_info"]["input_name"] for error in errors] == ["prompt", "model"]
    for error in errors:
        name = error["extra_info"]["input_name"]
        assert error["details"].startswith(f"{name} - {name}: ")
        assert error["details"].count("Nothing was sent") == 1


def test_a_program_is_told_in_the_language_of_its_request(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    wanted = {"Accept-Language": "fr, zh-CN;q=0.8, en;q=0.5"}
    body = {"prompt": drawing(prompt="")}
    answer = comfy.request("POST", "/prompt", json=body, headers=wanted)
    (error,) = answer.json()["node_errors"]["1"]["errors"]
    assert error["details"].startswith("prompt - 提示词（prompt）：不能为空")
    service.fail(400, times=2)
    ended = []
    for headers in (wanted, {}):
        answer = comfy.request("POST", "/prompt", json={"prompt": drawing()}, headers=headers)
        ended.append(comfy.end_of(answer.json()["prompt_id"]).message("execution_error"))
    said = [error["exception_message"] for error in ended if error]
    assert "拒绝了这次请求" in said[0]
    assert "rejected the request" in said[1]


def test_a_model_that_is_in_no_list_is_refused_before_anything_runs(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    before = len(service.generations)
    answer = comfy.post("/prompt", {"prompt": drawing(model="Gone/Model")})
    assert answer.status_code == 400
    (first, *_) = answer.json()["node_errors"]["1"]["errors"]
    for words in ('"Gone/Model" is not in the list', "custom_model", "refresh the list"):
        assert words in first["details"]
    assert len(service.generations) == before


def test_the_waiting_node_shows_the_seconds(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.latency = 1.5
    texts = comfy.listen(drawing()).texts
    assert texts[0] == "0 s"
    assert "1 s" in texts
    assert texts[-1].startswith("1 image, 1024×1024, ")


@pytest.mark.usefixtures("service")
def test_the_bar_of_the_node_moves_to_its_end(comfy: Comfy, drawing: Drawing) -> None:
    heard = comfy.listen(drawing())
    states = [data["nodes"]["1"] for data in heard.data("progress_state") if "1" in data["nodes"]]
    steps = {(state["value"], state["max"]) for state in states}
    assert len(steps) > 1
    assert (1, 1) in steps


def chatting(**inputs: Any) -> Json:
    """Return a prompt of one Chat node that ends in a text; never the same twice."""
    values = {"model": "Qwen/Qwen2.5-7B-Instruct", "prompt": "Tell me of kites", **inputs}
    return {
        "1": {"class_type": "SiliconFlowChat", "inputs": {"seed": seed(), **values}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }


def seed() -> int:
    return secrets.randbelow(10**9)


def test_the_text_of_a_chat_grows_on_its_node(comfy: Comfy, service: Simulator) -> None:
    service.latency = 3.0
    texts = comfy.listen(chatting()).texts
    growing = [text.partition("\n")[2] for text in texts if re.match(r"\d+ s:\n", text)]
    seen = [text for text in growing if text]
    assert len(set(seen)) > 2
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    assert "Tell me of kites" in texts[-1]


def test_a_chat_is_cancelled_at_once(comfy: Comfy, service: Simulator) -> None:
    service.latency, since = LONGER, len(service.requests)
    prompt_id = comfy.queue(chatting())
    comfy.wait_for(lambda: any("chat" in record.path for record in service.requests[since:]))
    time.sleep(IN_THE_MIDST)
    comfy.post("/interrupt", {})
    ended = comfy.end_of(prompt_id)
    chats = [record.status for record in service.requests[since:] if "chat" in record.path]
    assert chats == [None], [record.path for record in service.requests[since:]]
    assert ended.message("execution_interrupted")


@pytest.mark.parametrize("kind", ["mp3", "opus"])
def test_packed_speech_is_decoded_with_what_comfyui_brings(
    comfy: Comfy, service: Simulator, kind: str
) -> None:
    values = {"model": "FunAudioLLM/CosyVoice2-0.5B", "input": f"A kite {seed()}"}
    prompt = {
        "1": {
            "class_type": "SiliconFlowTextToSpeech",
            "inputs": {**values, "response_format": kind},
        },
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
    }
    before = len(service.requests)
    ended = comfy.run(prompt)
    [asked] = [record for record in service.requests[before:] if record.method == "POST"]
    assert asked.body["response_format"] == kind
    assert ended.status == "success", ended.entry["status"]


def test_every_item_of_a_list_is_requested_at_the_same_time(
    comfy: Comfy, service: Simulator
) -> None:
    service.latency = 2.0
    chat = chatting(prompt=SCENES, response_format="json_object")["1"]
    drawing = {"model": "Kwai-Kolors/Kolors", "prompt": ["1", 1], "seed": seed()}
    prompt = {
        "1": chat,
        "2": {"class_type": "SiliconFlowTextToImage", "inputs": drawing},
        "3": {"class_type": "RebatchImages", "inputs": {"images": ["2", 0], "batch_size": 3}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }
    since = len(service.generations)
    prompt_id = comfy.queue(prompt)
    comfy.wait_for(lambda: len(under_way(service, since)) == 3)
    assert len(comfy.end_of(prompt_id).files) == 3


def test_what_costs_nothing_runs_by_itself(comfy: Comfy, service: Simulator) -> None:
    before = len(service.charges)
    prompt = {
        str(at): {"class_type": f"SiliconFlow{name}", "inputs": {"refresh": seed()}}
        for at, name in enumerate(("Account", "Models", "Voices"))
    }
    assert comfy.run(prompt).status == "success"
    assert len(service.charges) == before
