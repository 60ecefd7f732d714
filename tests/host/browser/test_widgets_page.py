"""The page opens with the pack, and its nodes are found by searching."""

from __future__ import annotations

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words

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
BOTH = pytest.mark.parametrize("language", LANGUAGES, scope="module")
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


@BOTH
def test_an_empty_text_box_says_what_it_is_for_in_the_page_s_language(page: Page) -> None:
    page.add(DRAW)
    page.fit()
    seen = page.js(
        "() => [...document.querySelectorAll('textarea')].filter(e => e.checkVisibility())"
        ".map(e => e.placeholder || document.querySelector(`label[for='${e.id}']`)?.innerText)"
    )
    assert seen == [
        words(f"input.{name}.name", page.language) for name in ("prompt", "negative_prompt")
    ]


@BOTH
def test_nodes_are_found_by_the_words_of_their_users(page: Page) -> None:
    names = dict(zip(SOUGHT, page.js(NAMES, [*SOUGHT.values()]), strict=True))
    page.open_search()
    missing = [words for words, name in names.items() if not page.finds(words, name)]
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Escape")
    assert missing == []


CHOICES = {
    "SiliconFlowImageToImage": ("image_size", ["auto", "custom"]),
    CHAT: ("response_format", ["text", "json_object"]),
    "SiliconFlowModels": ("type", ["all", "text", "image", "audio", "video"]),
}


@BOTH
@pytest.mark.parametrize("node_type", CHOICES)
def test_choices_that_are_words_are_in_the_page_s_language(page: Page, node_type: str) -> None:
    (name, values), node = CHOICES[node_type], page.add(node_type)
    page.change(node, name, values[-1])
    page.fit()
    page.choose(node, name, values[0])  # by what is shown
    shown = [words(f"page.choice.{value}", page.language) for value in values]
    assert [page.label(node, name, value) for value in values] == shown
    seen = page.element(node).inner_text() if page.look == "nodes2" else page.js(DISPLAYED, node)
    assert shown[0] in seen
    assert page.values(node)[name] == values[0], "it is saved as ever"
