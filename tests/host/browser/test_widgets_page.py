"""The page opens with the pack, and its nodes are found by searching."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from comfyui_siliconflow.tests.host.browser.page import Page

CHAT, DRAW, SPEAK = "SiliconFlowChat", "SiliconFlowTextToImage", "SiliconFlowTextToSpeech"
SOUGHT = {
    "硅基流动": CHAT,
    "silicon flow": DRAW,
    "qwen image": DRAW,
    "deepseek": CHAT,
    "vision": CHAT,
    "vlm": CHAT,
    "whisper": "SiliconFlowSpeechToText",
    "反推": CHAT,
    "配音": SPEAK,
    "克隆音色": "SiliconFlowUploadVoice",
}
NAMES = "all => all.map(each => LiteGraph.registered_node_types[each].title)"
DISPLAYED = "id => app.graph.getNodeById(id).widgets.map(w => w._displayValue).join()"


@pytest.mark.parametrize("node_type", NODE_CLASS_MAPPINGS)
def test_a_node_is_added_by_searching_for_its_name(page: Page, node_type: str) -> None:
    node = page.add_by_search(NODE_DISPLAY_NAME_MAPPINGS[node_type])
    assert page.ids(node_type) == [node]
    typed = set(NODE_CLASS_MAPPINGS[node_type].required) - {"image", "audio"}
    assert typed <= set(page.visible(node))


@pytest.mark.parametrize(
    ("words", "node_type"),
    [
        ("SiliconFlow 文生图", DRAW),
        ("SiliconFlow 语音合成", SPEAK),
    ],
)
@pytest.mark.parametrize("language", ["zh"])
def test_a_node_is_found_by_its_chinese_name(page: Page, words: str, node_type: str) -> None:
    node = page.add_by_search(words)
    assert page.ids(node_type) == [node]


@pytest.mark.parametrize("language", ["zh"])
def test_an_empty_text_box_shows_the_translated_label(page: Page) -> None:
    node = page.add(DRAW)
    placeholders = page.js(
        "id => app.graph.getNodeById(id).widgets.map(widget => widget.element)"
        ".filter(element => element?.tagName === 'TEXTAREA').map(element => element.placeholder)",
        node,
    )
    assert placeholders == ["提示词", "反向提示词"]
    assert page.page.locator("textarea[placeholder=negative_prompt]").count() == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nodes_are_found_by_the_words_of_their_users(page: Page) -> None:
    names = dict(zip(SOUGHT, page.js(NAMES, [*SOUGHT.values()]), strict=True))
    page.open_search()
    missing = [words for words, name in names.items() if not page.finds(words, name)]
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Escape")
    assert missing == []


@pytest.mark.parametrize("language", ["zh"])
def test_choices_that_are_words_are_in_the_page_s_language(page: Page) -> None:
    node = page.add("SiliconFlowImageToImage")
    shown = page.element(node).inner_text() if page.look == "nodes2" else page.js(DISPLAYED, node)
    assert "自动" in shown
    assert page.values(node)["image_size"] == "auto", "it is saved as ever"
