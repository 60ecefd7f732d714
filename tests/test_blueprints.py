"""The subgraph blueprints: files as ComfyUI's page publishes them, checked against the nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue

Json = dict[str, Any]
FOLDER = Path(__file__).parent.parent / "subgraphs"
FILES = sorted(FOLDER.glob("*.json"))
LOCAL = {"ImageScaleBy", "RebatchImages"}
"""Nodes of ComfyUI itself, in 0.8.0 and 0.33.0 alike."""


@pytest.fixture(params=FILES, ids=[file.stem for file in FILES])
def file(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def outer(file: Path) -> Json:
    [node] = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    return dict(node)


@pytest.fixture
def subgraph(file: Path) -> Json:
    [graph] = json.loads(file.read_text(encoding="utf-8"))["definitions"]["subgraphs"]
    return dict(graph)


@pytest.fixture
def own(subgraph: Json) -> list[Json]:
    return [node for node in subgraph["nodes"] if node["type"] in NODE_CLASS_MAPPINGS]


def widgets_of(node: Json) -> list[str]:
    """Return the inputs of a node of ours that have a saved value, in order."""
    types = NODE_CLASS_MAPPINGS[node["type"]].INPUT_TYPES()
    names = []
    for name, (kind, options) in {**types["required"], **types["optional"]}.items():
        if isinstance(kind, list) or kind in {"STRING", "INT", "FLOAT", "BOOLEAN"}:
            names.append(name)
        names += ["control_after_generate"] * bool(options.get("control_after_generate"))
    return names


def test_there_are_blueprints_to_offer() -> None:
    assert len(FILES) >= 5


def test_it_is_one_subgraph_of_the_file_s_name(file: Path, outer: Json, subgraph: Json) -> None:
    assert outer["type"] == subgraph["id"]
    assert outer["title"] == subgraph["name"] == file.stem
    assert subgraph["category"]
    assert subgraph["description"].endswith(".")


def test_outer_and_inner_inputs_and_outputs_agree(outer: Json, subgraph: Json) -> None:
    for side in ("inputs", "outputs"):
        ends = [(each["name"], each["type"]) for each in subgraph[side]]
        assert [(each["name"], each["type"]) for each in outer[side]] == ends
        assert all(each["linkIds"] for each in subgraph[side])


def test_every_node_is_ours_or_comfyui_s_and_names_its_pack(
    subgraph: Json, own: list[Json]
) -> None:
    assert own
    packs = {node["type"]: node["properties"]["cnr_id"] for node in subgraph["nodes"]}
    assert packs == {
        **{node["type"]: "siliconflow-nodes" for node in own},
        **{node: "comfy-core" for node in packs if node in LOCAL},
    }


def test_the_saved_values_are_those_of_the_widgets(own: list[Json]) -> None:
    for node in own:
        names = widgets_of(node)[: len(node["widgets_values"])]
        assert dict(zip(names, node["widgets_values"], strict=True)) == node["widgets_values_named"]


def test_every_model_is_one_that_a_new_account_has(own: list[Json]) -> None:
    for node in own:
        model = catalogue.load().find(node["widgets_values_named"]["model"], "cn")
        assert model.listed
        assert not model.is_retired


def test_a_seed_stays_as_it_is(own: list[Json]) -> None:
    assert {node["widgets_values_named"]["control_after_generate"] for node in own} == {"fixed"}
