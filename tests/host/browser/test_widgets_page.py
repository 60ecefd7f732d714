"""The page opens with the pack, and its nodes are found by searching."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from comfyui_siliconflow.tests.host.browser.page import SIZE, Page

FOUND = {
    "硅基流动": "SiliconFlow 对话",
    "silicon flow": "SiliconFlow 文生图",
    "qwen image": "SiliconFlow 文生图",
    "deepseek": "SiliconFlow 对话",
    "vision": "SiliconFlow 对话",
    "vlm": "SiliconFlow 对话",
    "whisper": "SiliconFlow 语音识别",
    "反推": "SiliconFlow 对话",
    "配音": "SiliconFlow 语音合成",
    "克隆音色": "SiliconFlow 上传音色",
}
RESULTS = """() => [...document.querySelectorAll('[role=option], .option-container')]
  .map(e => e.innerText)"""
DISPLAYED = "id => app.graph.getNodeById(id).widgets.map(w => w._displayValue).join()"


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


@pytest.mark.parametrize("language", ["zh"])
def test_nodes_are_found_by_the_words_of_their_users(reused_page: Page) -> None:
    page = reused_page
    middle = SIZE["width"] // 2, SIZE["height"] // 2
    field = page.page.locator("input:focus")
    for _ in range(3):  # a page under load takes two clicks for two single ones
        page.page.mouse.dblclick(*middle, delay=30)
        page.settle(4)
        if field.is_visible():
            break
    missing = dict(FOUND)
    for words, node in FOUND.items():
        field.fill(words)
        page.settle(2)
        if any(node in result for result in page.js(RESULTS)):
            del missing[words]
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Escape")
    assert missing == {}


@pytest.mark.parametrize("language", ["zh"])
def test_choices_that_are_words_are_in_the_page_s_language(reused_page: Page) -> None:
    page = reused_page
    node = page.add("SiliconFlowImageToImage")
    shown = page.element(node).inner_text() if page.look == "nodes2" else page.js(DISPLAYED, node)
    assert "自动" in shown
    assert page.values(node)["image_size"] == "auto", "it is saved as ever"
