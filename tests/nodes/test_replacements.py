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


def test_no_key_is_taken_over(row: Row) -> None:
    assert [name for name in row["inputs"].values() if "key" in name] == []


def test_no_seed_is_taken_over_that_may_be_refused(row: Row) -> None:
    """Theirs is -1 for any; ours refuses that, and is rolled by its control."""
    assert "seed" not in row["inputs"]


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
