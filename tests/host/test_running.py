"""How the nodes behave while ComfyUI runs them: cancel, overlap, progress, errors."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.simulator import Record, Simulator
from comfyui_siliconflow.tests.host.comfy import Comfy

Json = dict[str, Any]
Drawing = Callable[..., Json]

CANCEL_SECONDS = 0.5
IN_THE_MIDST = 1.2
"""By then the progress stands still: ComfyUI's own bar notices a cancel only when it moves."""


def under_way(service: Simulator, since: int) -> list[Record]:
    """Give the requests for pictures, from a place in the list, that wait for an answer."""
    return [record for record in service.generations[since:] if record.status is None]


def test_cancel_stops_a_running_node_within_half_a_second(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.latency, since = 3.0, len(service.generations)
    prompt_id = comfy.queue(drawing())
    comfy.wait_for(lambda: under_way(service, since))
    time.sleep(IN_THE_MIDST)
    cancelled = time.monotonic()
    comfy.post("/interrupt", {})
    ended = comfy.end_of(prompt_id)
    assert time.monotonic() - cancelled < CANCEL_SECONDS
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
    started = time.monotonic()
    prompt_id = comfy.queue(drawing(count=2))
    comfy.wait_for(lambda: len(under_way(service, since)) == 2)
    assert comfy.end_of(prompt_id).status == "success"
    assert time.monotonic() - started < 3.5


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


@pytest.mark.parametrize("field", ["prompt", "model"])
def test_the_node_says_what_is_wrong_with_an_input(
    comfy: Comfy, drawing: Drawing, field: str
) -> None:
    """ComfyUI repeats what the node says for every input that the node looks at itself."""
    answer = comfy.post("/prompt", {"prompt": drawing(**{field: ""})})
    assert answer.status_code == 400
    errors = answer.json()["node_errors"]["1"]["errors"]
    assert field in {error["extra_info"]["input_name"] for error in errors}
    assert {error["details"].partition(" - ")[2].partition(":")[0] for error in errors} == {field}


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


def test_the_waiting_node_shows_the_model_and_the_seconds(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.latency = 1.5
    texts = comfy.listen(drawing()).texts
    assert texts[0] == "SiliconFlow · Kolors · 0 s"
    assert "SiliconFlow · Kolors · 1 s" in texts
    assert texts[-1].startswith("1 picture, 1024x1024, ")


@pytest.mark.usefixtures("service")
def test_the_bar_of_the_node_moves_to_its_end(comfy: Comfy, drawing: Drawing) -> None:
    heard = comfy.listen(drawing())
    states = [data["nodes"]["1"] for data in heard.data("progress_state") if "1" in data["nodes"]]
    steps = {(state["value"], state["max"]) for state in states}
    assert len(steps) > 1
    assert (1, 1) in steps
