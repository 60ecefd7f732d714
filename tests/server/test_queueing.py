"""What ComfyUI answers to a program that queues a graph with faults."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.nodes.image_nodes import SiliconFlowTextToImage
from comfyui_siliconflow.server import queueing
from comfyui_siliconflow.strings.text import use_language

CHECKED = ("prompt", "model", "custom_model")
Json = dict[str, Any]


def rejection(name: str, said: str) -> Json:
    """Return an error as ComfyUI makes it of what `VALIDATE_INPUTS` says."""
    return {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": f"{name} - {said}",
        "extra_info": {"input_name": name},
    }


def queue(headers: Json, class_type: str = "SiliconFlowTextToImage", **inputs: Any) -> Json:
    """Queue a graph of one node at a server that validates as ComfyUI does; return its answer."""

    async def post_prompt(request: web.Request) -> web.Response:
        body = await request.json()
        for handler in handlers:
            body = handler(body)
        verdict = SiliconFlowTextToImage.VALIDATE_INPUTS(**inputs)
        if verdict is True:
            return web.json_response({"prompt_id": body.get("prompt_id"), "node_errors": {}})
        missing = {"type": "required_input_missing", "details": "image", "extra_info": {}}
        errors = [missing, *(rejection(name, str(verdict)) for name in CHECKED)]
        node = {"errors": errors, "class_type": class_type}
        return web.json_response({"node_errors": {"1": node}}, status=400)

    async def answer() -> Json:
        app = web.Application()
        app.router.add_post("/prompt", post_prompt)
        server = SimpleNamespace(app=app, add_on_prompt_handler=handlers.append)
        queueing.register(server)
        async with TestClient(TestServer(app)) as client:
            response = await client.post("/prompt", json={}, headers=headers)
            content: Json = await response.json()
            return content

    handlers: list[Any] = []
    return asyncio.run(answer())


def details(answer: Json) -> list[tuple[str, str]]:
    """Return the rejections of the only node: the input that each is at, and its first line."""
    return [
        (error["extra_info"]["input_name"], error["details"].split("\n")[0])
        for error in answer["node_errors"]["1"]["errors"]
        if error["type"] == "custom_validation_failed"
    ]


def test_each_fault_is_told_once_at_its_own_input() -> None:
    answer = queue({}, prompt=" ", model="Gone/Model", custom_model="")
    (prompt, model) = details(answer)
    assert prompt == ("prompt", "prompt - prompt: must not be empty.")
    assert model[0] == "model"
    assert model[1].startswith('model - model: "Gone/Model" is not in the list')


def test_what_comfyui_itself_found_stays() -> None:
    errors = queue({}, prompt="")["node_errors"]["1"]["errors"]
    assert [error["type"] for error in errors].count("required_input_missing") == 1


def test_what_other_nodes_refuse_is_left_as_it_is() -> None:
    assert len(details(queue({}, class_type="Theirs", prompt=""))) == len(CHECKED)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "must not be empty"),
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, "不能为空"),
        ({"Accept-Language": "en;q=0.2, zh"}, "不能为空"),
        ({"Accept-Language": "zh;q=0, fr, *"}, "must not be empty"),
        ({"Accept-Language": "zh", "Comfy-User": ""}, "must not be empty"),
    ],
    ids=["none", "a browser's", "by weight", "none that is there", "the page"],
)
def test_faults_are_told_in_the_language_of_the_request(headers: Json, said: str) -> None:
    ((name, line),) = details(queue(headers, prompt=""))
    assert name == "prompt"
    assert said in line


def test_a_run_speaks_the_language_of_the_request_that_queued_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt_id = queue({"Accept-Language": "zh"}, prompt="a cat")["prompt_id"]
    running = {"value": prompt_id}
    monkeypatch.setattr(host, "_executing", lambda: SimpleNamespace(prompt_id=running["value"]))
    assert host.language("") == "zh"
    running["value"] = "another"
    assert host.language("") == "en"


def test_a_prompt_without_a_language_is_queued_as_it_came() -> None:
    assert queue({}, prompt="a cat") == {"prompt_id": None, "node_errors": {}}


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """Leave no language behind: validation chooses one for the thread that it is in."""
    yield
    use_language("en")
