"""A workflow made with nodes of other packs, opened where those packs are not installed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import NODE, Page
from comfyui_siliconflow.tests.host.comfy import Comfy
from comfyui_siliconflow.tests.nodes.test_replacements import LINKED, MODELS, ROWS, SAVED

Json = dict[str, Any]
CHAT_MODEL = "deepseek-ai/DeepSeek-V3.2"
REPLACED = f"""id => {{
    const node = {NODE}, link = (id) => app.graph.getLink(id);
    return {{
        type: node.type,
        values: Object.fromEntries(node.widgets.map(w => [w.name, w.value])),
        images: node.inputs.filter(i => i.type === 'IMAGE' && link(i.link)?.origin_id == 1)
            .map(i => i.name),
        outputs: [1, 2].map(n => app.graph.getNodeById(id + n)?.inputs[0].link)
            .filter(link).map(n => link(n)).map(l => l.origin_id == id ? l.origin_slot : -1),
    }};
}}"""
KEY = "sk-in-a-widget-of-another-pack"


TYPES = {"image": "IMAGE", "images": "IMAGE", "IMAGE": "IMAGE"}
REPLACE_ALL = {"en": "Replace All", "zh": "全部替换"}
"""ComfyUI's own button."""


def node(node_id: int, kind: str, x: int, inputs: Json, outputs: Json, *values: Any) -> Json:
    """Return a node as a page saves it; `inputs` and `outputs` are links by name."""
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
                "type": TYPES.get(name, "STRING"),
                "link": link,
                **({} if name in TYPES else {"widget": {"name": name}}),
            }
            for name, link in inputs.items()
        ],
        "outputs": [
            {"name": name, "type": TYPES.get(name, "STRING"), "links": [link]}
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
def replaces(comfy: Comfy) -> None:
    """Skip where ComfyUI offers no replacements."""
    if comfy.get("/node_replacements").status_code != 200:
        pytest.skip("this ComfyUI replaces no nodes")


def replace_all(page: Page, workflow: Json) -> None:
    """Open a shared workflow, and click what ComfyUI offers."""
    page.load(workflow)
    page.page.get_by_test_id("error-overlay-see-errors").click()
    page.page.get_by_role("button", name=REPLACE_ALL[page.language]).click()
    theirs = sorted({node["type"] for node in workflow["nodes"]} & set(ROWS))
    page.wait_for("types => !app.graph._nodes.some(n => types.includes(n.type))", theirs)
    page.settle(2)


@pytest.fixture
def replaced(replaces: None, page: Page) -> Page:  # noqa: ARG001
    """Return a page with the shared workflow, its nodes replaced."""
    replace_all(page, SHARED)
    return page


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_click_replaces_them_with_ours_and_their_values_but_no_key(replaced: Page) -> None:
    chat, image = (replaced.values(node_id) for node_id in (2, 3))
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
    assert KEY not in str(replaced.saved())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_replaced_workflow_runs(replaced: Page, service: Simulator) -> None:
    replaced.change(3, "seed", secrets.randbelow(10**9))
    before = len(service.generations)
    ended = replaced.run()
    assert ended.status == "success", ended.entry["status"]
    assert len(ended.files) == 1
    [request] = service.generations[before:]
    assert (request.model, request.body["image_size"]) == ("Tongyi-MAI/Z-Image-Turbo", "768x1024")


def saved_by_theirs(name: str) -> Json:
    """Return what a workflow of theirs has in each widget, by name; texts name node and widget."""
    values = {**SAVED, "seed": 4711, "model": MODELS.get(name, CHAT_MODEL)}
    if name == "SiliconFlowQwenImage":  # which offers no such size
        values["image_size"] = "1140x1472"
    switches = dict.fromkeys(("raw", "prompt_enhancement", "prompt_upsampling"), True)
    other = {
        "control_after_generate": "fixed",
        "clear_history": False,
        "image_prompt_strength": 0.2,
    }
    every = {**values, **switches, **other}
    return {each: every.get(each, f"{each} of {name}") for each in ROWS[name]["widgets"]}


def all_of_theirs() -> tuple[Json, dict[int, str]]:
    """Return a workflow with a node of every id, and their names by node id.

    Each has its image from Load Image, and every output of it is looked at.
    """
    nodes = [node(1, "LoadImage", 0, {}, {}, "example.png", "image")]
    links, names, link_id = [], {}, 0
    nodes[0]["outputs"] = [{"name": "IMAGE", "type": "IMAGE", "links": []}]
    for at, (name, row) in enumerate(ROWS.items()):
        node_id, x = 10 * (at + 1), 500 * (at + 1)
        names[node_id] = name
        inputs: Json = {}
        for old in row["inputs"].values():
            if old in LINKED:
                link_id += 1
                links.append([link_id, 1, 0, node_id, len(inputs), "IMAGE"])
                nodes[0]["outputs"][0]["links"].append(link_id)
                inputs[old] = link_id
        theirs = node(node_id, name, x, inputs, {}, *saved_by_theirs(name).values())
        for old, kind in zip(row["outputs"], kinds_of(row), strict=True):
            link_id += 1
            links.append([link_id, node_id, int(old), node_id + 1 + int(old), 0, kind])
            theirs["outputs"].append({"name": kind, "type": kind, "links": [link_id]})
            looked = node(node_id + 1 + int(old), "PreviewAny", x, {"source": link_id}, {})
            looked["inputs"] = [{"name": "source", "type": "*", "link": link_id}]
            nodes.append(looked)
        nodes.append(theirs)
    last = {"last_node_id": 10 * len(ROWS) + 9, "last_link_id": link_id}
    return {"version": 0.4, **last, "nodes": nodes, "links": links}, names


def kinds_of(row: Json) -> list[str]:
    """Return the types of their outputs, in order."""
    return [NODE_CLASS_MAPPINGS[row["node"]].RETURN_TYPES[new] for new in row["outputs"].values()]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("replaces")
def test_every_id_of_the_five_packs_is_replaced_with_all_that_it_had(
    page: Page, shots: Path
) -> None:
    workflow, names = all_of_theirs()
    assert set(names.values()) == set(ROWS)
    replace_all(page, workflow)
    page.fit()
    page.shot(shots / f"replaced-{page.look}-{page.language}.png")
    wrong: dict[tuple[str, str], tuple[Any, Any]] = {}
    for node_id, name in names.items():
        row, before = ROWS[name], saved_by_theirs(name)
        expected = {
            "type": row["node"],
            **{new: before[old] for new, old in row["inputs"].items() if old in before},
            **row.get("values", {}),
            "images": [new for new, old in row["inputs"].items() if old in LINKED],
            "outputs": list(row["outputs"].values()),
        }
        is_now = page.js(REPLACED, node_id)
        is_now = {**is_now, **is_now.pop("values")}
        wrong |= {
            (name, each): (is_now.get(each), value)
            for each, value in expected.items()
            if is_now.get(each) != value
        }
    assert wrong == {}, "what it is, and what it was"


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
          return [await look('SiliconFlowOfAnother'), await look('AnyOtherNode')];
        }"""
    )
    assert looks[0] == looks[1]
    assert looks[0][3][:2] == ["model", "prompt"]
