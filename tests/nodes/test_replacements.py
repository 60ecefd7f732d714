"""Each mapping of a node of another pack fits the node of ours that takes its place."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, replacements

Row = dict[str, Any]
ROWS: dict[str, Row] = json.loads(replacements.FILE.read_text(encoding="utf-8"))["nodes"]
PACKS = {"mamorett", "penposs", "AI2lab", "yichengup", "siliconflow"}
LINKED = {"image", "images"}
"""The inputs of theirs that are no widgets."""


FLUX = "black-forest-labs/FLUX"
MODELS = {
    "SiliconFlowFlux2Pro": f"{FLUX}.2-pro",
    "SiliconFlowFlux2Flex": f"{FLUX}.2-flex",
    "SiliconFlowQwenImage": "Qwen/Qwen-Image",
    "SiliconFlowZImage": "Tongyi-MAI/Z-Image-Turbo",
    "SiliconFlowFlux1Schnell": f"{FLUX}.1-schnell",
    "SiliconFlowFlux1Dev": f"{FLUX}.1-dev",
    "SiliconFlowFlux11Pro": f"{FLUX}-1.1-pro",
    "SiliconFlowFlux11ProUltra": f"{FLUX}-1.1-pro-Ultra",
    "SiliconFlowFlux1Kontext": f"{FLUX}.1-Kontext-max",
    "SiliconFlowFlux1KontextDev": f"{FLUX}.1-Kontext-dev",
}
"""What their nodes of images offer first; those that chat take what the account has."""
SAVED: Row = {
    "image_size": "768x1024",
    "aspect_ratio": "1:1",
    "width": 1024,
    "height": 1024,
    "seed": -1,
    "batch_size": 4,
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
    "cfg": 4.0,
    "output_format": "png",
    "safety_tolerance": 2,
    "max_tokens": 512,
    "temperature": 0.6,
    "top_p": 0.7,
    "top_k": 50,
    "frequency_penalty": 0.5,
    "image_detail": "low",
    "detail": "low",
}
"""A value of each of their widgets of numbers and lists."""


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> Row:
    return ROWS[request.param]


def test_each_of_the_five_packs_is_there() -> None:
    assert {row["pack"].partition("/")[0] for row in ROWS.values()} == PACKS


def test_no_id_is_one_of_ours() -> None:
    """It would be replaced wherever ours is not loaded yet."""
    assert set(ROWS) & set(NODE_CLASS_MAPPINGS) == set()


def test_every_value_goes_to_an_input_that_the_node_has(row: Row) -> None:
    types = NODE_CLASS_MAPPINGS[row["node"]].INPUT_TYPES()
    own = {**types["required"], **types["optional"]}
    assert set(row["inputs"]) | set(row.get("values", {})) <= set(own)
    assert set(row["inputs"]) & set(row.get("values", {})) == set()


def test_every_value_comes_from_an_input_that_the_other_node_has(row: Row) -> None:
    assert len(set(row["widgets"])) == len(row["widgets"])
    assert set(row["inputs"].values()) <= {*row["widgets"], *LINKED}


def test_model_and_prompt_are_taken_over(row: Row) -> None:
    assert {"model", "prompt"} <= {*row["inputs"], *row.get("values", {})}


def test_a_set_value_is_one_that_the_widget_offers(row: Row) -> None:
    types = NODE_CLASS_MAPPINGS[row["node"]].INPUT_TYPES()
    own = {**types["required"], **types["optional"]}
    assert [n for n, value in row.get("values", {}).items() if value not in own[n][0]] == []


@pytest.mark.parametrize("name", ROWS)
def test_what_a_shared_workflow_has_saved_is_accepted(name: str) -> None:
    row = ROWS[name]
    types = NODE_CLASS_MAPPINGS[row["node"]].INPUT_TYPES()
    own = {**types["required"], **types["optional"]}
    saved = {**SAVED, "model": MODELS.get(name, "deepseek-ai/DeepSeek-V3")}
    taken = {new: saved[old] for new, old in row["inputs"].items() if old in saved}
    assert taken
    refused = {
        new: value
        for new, value in taken.items()
        if isinstance(own[new][0], list) and value not in own[new][0]
    }
    beyond = {
        new: value
        for new, value in taken.items()
        if isinstance(value, int | float) and not own[new][1]["min"] <= value <= own[new][1]["max"]
    }
    assert (refused, beyond) == ({}, {})


def test_no_key_is_taken_over(row: Row) -> None:
    assert [name for name in row["inputs"].values() if "key" in name] == []


def test_every_seed_is_taken_over_with_which_a_shared_workflow_makes_the_same(row: Row) -> None:
    """Theirs are -1, which is any, to 9999999999; so are ours."""
    assert row["inputs"].get("seed") == ("seed" if "seed" in row["widgets"] else None)
    if "seed" in row["inputs"]:
        _, options = NODE_CLASS_MAPPINGS[row["node"]].INPUT_TYPES()["optional"]["seed"]
        assert options["min"] <= -1
        assert options["max"] >= 9999999999


def test_outputs_lead_to_outputs_of_the_same_kind(row: Row) -> None:
    kinds = NODE_CLASS_MAPPINGS[row["node"]].RETURN_TYPES
    theirs = ["IMAGE", "INT"] if kinds[0] == "IMAGE" else ["STRING"] * len(row["outputs"])
    assert [kinds[after] for after in row["outputs"].values()] == theirs


def test_comfyui_is_told_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    manager = SimpleNamespace(register=told.append)
    server, api = ModuleType("server"), ModuleType("comfy_api.latest")
    vars(server)["PromptServer"] = SimpleNamespace(
        instance=SimpleNamespace(node_replace_manager=manager)
    )
    vars(api)["io"] = SimpleNamespace(NodeReplace=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "server", server)
    monkeypatch.setitem(sys.modules, "comfy_api.latest", api)
    replacements.register()
    assert {(each.old_node_id, each.new_node_id) for each in told} == {
        (old, row["node"]) for old, row in ROWS.items()
    }


def test_a_comfyui_that_replaces_no_nodes_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ModuleType("server")
    vars(server)["PromptServer"] = SimpleNamespace(instance=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "server", server)
    replacements.register()
