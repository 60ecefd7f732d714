"""The page opens with the pack, and its nodes are found by searching."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.tests.host.browser.page import Page

NODES = {
    "SiliconFlow Text to Image": "SiliconFlowTextToImage",
    "SiliconFlow Image to Image": "SiliconFlowImageToImage",
    "SiliconFlow Image Edit": "SiliconFlowImageEdit",
}


@pytest.mark.parametrize("words", NODES)
def test_a_node_is_added_by_searching_for_its_name(page: Page, words: str) -> None:
    node = page.add_by_search(words)
    assert page.ids(NODES[words]) == [node]
    assert page.visible(node)[:2] == ["model", "prompt"]
