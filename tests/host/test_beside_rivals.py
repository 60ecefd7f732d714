"""The pack in the folder of its own name, beside packs whose folders have the names that it had.

ComfyUI-Manager's list gives the id `siliconflow` to one pack, and the folder `comfyui_siliconflow`
to another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for

OWN_FOLDER = "ComfyUI-SiliconFlow-Nodes"
RIVALS = {
    "siliconflow": "FreeChat (2lab)",
    "comfyui_siliconflow": "SiliconFlowQwenImage",
}
"""A node of each, by folder."""
PACK = """
from .nodes import Node
NODE_CLASS_MAPPINGS = {{"{node}": Node}}
NODE_DISPLAY_NAME_MAPPINGS = {{"{node}": "SiliconFlow"}}
WEB_DIRECTORY = "./web"
"""
NODE = """
class Node:
    CATEGORY, FUNCTION, RETURN_TYPES = "SiliconFlow", "run", ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"prompt": ("STRING", {"default": ""})}}

    def run(self, prompt):
        return (prompt,)
"""
IMPORTS = re.compile(r"""(?:import|from)\s+["'](\.[^"']+\.js)["']""")


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory, running_service: Simulator) -> Iterator[Comfy]:
    """Start a ComfyUI with all three packs."""
    with Comfy(tmp_path_factory.mktemp("rivals"), pack=OWN_FOLDER) as comfy:
        for name, node in RIVALS.items():
            folder = comfy.folder / "custom_nodes" / name
            (folder / "web" / "js").mkdir(parents=True)
            (folder / "__init__.py").write_text(PACK.format(node=node))
            (folder / "nodes.py").write_text(NODE)
            (folder / "web" / "js" / "extension.js").write_text("export const NODE = 'rival';\n")
        comfy.start(variables_for(running_service))
        yield comfy


def test_the_nodes_of_all_three_are_there(comfy: Comfy) -> None:
    origins = {node: info["python_module"] for node, info in comfy.object_info.items()}
    own = {node for node, origin in origins.items() if origin == f"custom_nodes.{OWN_FOLDER}"}
    assert own == set(NODE_CLASS_MAPPINGS)
    assert {folder: origins[node] for folder, node in RIVALS.items()} == {
        folder: f"custom_nodes.{folder}" for folder in RIVALS
    }


def test_an_image_is_made(
    comfy: Comfy, service: Simulator, drawing: Callable[..., dict[str, Any]]
) -> None:
    before = len(service.charges)
    ended = comfy.run(drawing())
    assert ended.status == "success", ended.entry["status"]
    assert len(ended.files) == 1
    assert len(service.charges) == before + 1


def test_the_templates_are_offered_under_the_own_name(comfy: Comfy) -> None:
    offered = comfy.get("/api/workflow_templates").json()
    assert "Text to image" in offered[OWN_FOLDER]


def test_every_script_finds_what_it_imports(comfy: Comfy) -> None:
    """A script is fetched from the pack's own folder, and asks for others by relative paths."""
    listed = comfy.get("/extensions").json()
    scripts = [path for path in listed if path.startswith(f"/extensions/{OWN_FOLDER}/")]
    imports = [(path, name) for path in scripts for name in IMPORTS.findall(comfy.get(path).text)]
    assert imports
    missing = [
        (path, name)
        for path, name in imports
        if comfy.get(f"{path.rpartition('/')[0]}/{name}").status_code != 200
    ]
    assert missing == []
