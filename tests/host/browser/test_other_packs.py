"""A workflow made with nodes of other packs, opened where those packs are not installed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import Comfy

Json = dict[str, Any]
KEY = "sk-in-a-widget-of-another-pack"


def node(node_id: int, kind: str, x: int, inputs: Json, outputs: Json, *values: Any) -> Json:
    """Return a node as a page saves it; `inputs` and `outputs` are links by name."""
    types = {"image": "IMAGE", "images": "IMAGE", "IMAGE": "IMAGE"}
    return {
        "id": node_id,
        "type": kind,
        "pos": [x, 0],
        "size": [300, 250],
        "flags": {},
        "order": node_id,
        "mode": 0,
        "inputs": [
            {
                "name": name,
                "type": types.get(name, "STRING"),
                "link": link,
                **({} if name in types else {"widget": {"name": name}}),
            }
            for name, link in inputs.items()
        ],
        "outputs": [
            {"name": name, "type": types.get(name, "STRING"), "links": [link]}
            for name, link in outputs.items()
        ],
        "properties": {},
        "widgets_values": list(values),
    }


SHARED = {
    "version": 0.4,
    "last_node_id": 5,
    "last_link_id": 5,
    "nodes": [
        node(1, "LoadImage", 0, {}, {"IMAGE": 1}, "example.png", "image"),
        node(
            2,
            "SiliconFlowNode",
            400,
            {"image": 1},
            {"STRING": 2},
            *("What is it?", "Qwen/Qwen3-VL-32B-Instruct", 512, 0.6, 0.7, 50, 0.5, "Be short."),
            *("low", KEY),
        ),
        node(
            3,
            "SiliconFlowZImage",
            800,
            {"prompt": 2},
            {"image": 3},
            *("Tongyi-MAI/Z-Image-Turbo", "", "768x1024", -1, "randomize", "blurry"),
        ),
        node(4, "PreviewImage", 1200, {"images": 3}, {}),
    ],
    "links": [
        [1, 1, 0, 2, 0, "IMAGE"],
        [2, 2, 0, 3, 0, "STRING"],
        [3, 3, 0, 4, 0, "IMAGE"],
    ],
}


@pytest.fixture
def page(comfy: Comfy, open_page: Callable[..., Page], look: str) -> Page:
    """Return a page with the shared workflow, and click what ComfyUI offers."""
    if comfy.get("/node_replacements").status_code != 200:
        pytest.skip("this ComfyUI replaces no nodes")
    page = open_page(look)
    page.load(SHARED)
    page.page.get_by_test_id("error-overlay-see-errors").click()
    page.page.get_by_role("button", name="Replace All").click()
    page.wait_for("() => app.graph._nodes.some(n => n.type === 'SiliconFlowTextToImage')")
    page.settle(2)
    return page


def test_one_click_replaces_them_with_ours_and_their_values_but_no_key(page: Page) -> None:
    chat, image = (page.values(node_id) for node_id in (2, 3))
    assert {name: chat[name] for name in ("model", "prompt", "max_tokens", "temperature")} == {
        "model": "Qwen/Qwen3-VL-32B-Instruct",
        "prompt": "What is it?",
        "max_tokens": 512,
        "temperature": 0.6,
    }
    assert (chat["system_prompt"], chat["detail"]) == ("Be short.", "low")
    assert (image["model"], image["image_size"]) == ("Tongyi-MAI/Z-Image-Turbo", "768x1024")
    assert image["seed"] == -1
    assert KEY in str(SHARED)
    assert KEY not in str(page.saved())


def test_the_replaced_workflow_runs(page: Page, service: Simulator) -> None:
    page.change(3, "seed", secrets.randbelow(10**9))
    before = len(service.generations)
    ended = page.run()
    assert ended.status == "success", ended.entry["status"]
    assert len(ended.files) == 1
    [request] = service.generations[before:]
    assert (request.model, request.body["image_size"]) == ("Tongyi-MAI/Z-Image-Turbo", "768x1024")


def test_a_node_whose_id_begins_as_ours_do_looks_as_any_other(page: Page) -> None:
    """Beside its own pack, whose node is registered here as ComfyUI does with those of packs."""
    looks = page.js(
        """async () => {
          const look = async (name) => {
            const input = {
              required: { model: [['a', 'b'], {}], prompt: ['STRING', {}] },
              optional: { image: ['IMAGE', {}] },
            };
            await app.registerNodeDef(name, {
              name, display_name: 'A', category: 'rival', description: '', input,
              output: ['IMAGE'], output_name: ['image'], output_is_list: [false],
              output_node: false, python_module: 'custom_nodes.rival',
            });
            const node = LiteGraph.createNode(name);
            app.graph.add(node);
            const { color, bgcolor, badges, widgets, onDragDrop } = node;
            return [color, bgcolor, badges.length, widgets.map((w) => w.name), String(onDragDrop)];
          };
          return [await look('SiliconFlowQwenImage'), await look('AnyOtherNode')];
        }"""
    )
    assert looks[0] == looks[1]
    assert looks[0][3][:2] == ["model", "prompt"]
