"""What ComfyUI knows of the pack once it is up."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy

NODES = ("SiliconFlowTextToImage", "SiliconFlowImageToImage", "SiliconFlowImageEdit")


@pytest.mark.parametrize("node_id", NODES)
def test_the_node_is_in_the_menu(comfy: Comfy, node_id: str) -> None:
    info = comfy.object_info[node_id]
    assert info["category"] == "SiliconFlow/Image"
    assert info["display_name"].startswith("SiliconFlow ")
    assert info["description"]


@pytest.mark.parametrize("node_id", NODES)
def test_every_input_and_output_has_a_tooltip(comfy: Comfy, node_id: str) -> None:
    info = comfy.object_info[node_id]
    inputs = {**info["input"]["required"], **info["input"]["optional"]}
    assert [name for name, (_, options) in inputs.items() if not options.get("tooltip")] == []
    assert len(info["output_tooltips"]) == len(info["output"])
    assert all(info["output_tooltips"])


@pytest.mark.usefixtures("comfy")
def test_loading_the_pack_asks_the_network_for_nothing(paths_at_start: list[str]) -> None:
    assert paths_at_start == []


def test_the_examples_are_offered_as_templates(comfy: Comfy) -> None:
    offered = comfy.get("/api/workflow_templates").json()["comfyui_siliconflow"]
    assert "Text to image" in offered
    assert len(offered) == len([*(ROOT / "example_workflows").glob("*.json")])


def test_a_template_and_its_image_can_be_fetched(comfy: Comfy) -> None:
    folder = "/api/workflow_templates/comfyui_siliconflow"
    assert comfy.get(f"{folder}/Text%20to%20image.json").json()["nodes"]
    assert comfy.get(f"{folder}/Text%20to%20image.jpg").headers["Content-Type"] == "image/jpeg"
