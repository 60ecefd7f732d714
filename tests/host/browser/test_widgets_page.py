"""The page opens with the pack, and its nodes are found by searching."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from comfyui_siliconflow.tests.host.browser.page import Page


@pytest.mark.parametrize("node_type", NODE_CLASS_MAPPINGS)
def test_a_node_is_added_by_searching_for_its_name(reused_page: Page, node_type: str) -> None:
    node = reused_page.add_by_search(NODE_DISPLAY_NAME_MAPPINGS[node_type])
    assert reused_page.ids(node_type) == [node]
    typed = set(NODE_CLASS_MAPPINGS[node_type].required) - {"image", "audio"}
    assert typed <= set(reused_page.visible(node))


@pytest.mark.parametrize(
    ("words", "node_type"),
    [
        ("SiliconFlow 文生图", "SiliconFlowTextToImage"),
        ("SiliconFlow 语音合成", "SiliconFlowTextToSpeech"),
    ],
)
@pytest.mark.parametrize("language", ["zh"])
def test_a_node_is_found_by_its_chinese_name(reused_page: Page, words: str, node_type: str) -> None:
    node = reused_page.add_by_search(words)
    assert reused_page.ids(node_type) == [node]


@pytest.mark.parametrize("language", ["zh"])
def test_an_empty_text_box_shows_the_translated_label(reused_page: Page) -> None:
    node = reused_page.add("SiliconFlowTextToImage")
    placeholders = reused_page.js(
        "id => app.graph.getNodeById(id).widgets.map(widget => widget.element)"
        ".filter(element => element?.tagName === 'TEXTAREA').map(element => element.placeholder)",
        node,
    )
    assert placeholders == ["提示词", "反向提示词"]
    assert reused_page.page.locator("textarea[placeholder=negative_prompt]").count() == 0
