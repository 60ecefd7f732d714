"""The help of a node in the page: opened as a person opens it, read, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import Comfy

NODES = list(NODE_CLASS_MAPPINGS)
OPEN = '[data-testid="info-button"], .help-button'
HELP = ".node-help-content"
FIRST_HEADING = {"en": "How to use it", "zh": "怎么用"}

Open = Callable[..., Page]


def open_help(page: Page, node_type: str) -> None:
    """Select a node and press the button above it that explains it."""
    page.clear()
    node = page.add(node_type, at=(300, 200))
    page.select(node)
    page.settle(2)
    page.page.locator(OPEN).first.click()
    page.page.locator(f"{HELP} img").first.wait_for()
    page.wait_for(f"() => [...document.querySelectorAll('{HELP} img')].every(i => i.complete)")
    page.settle()


@pytest.mark.parametrize("language", FIRST_HEADING)
def test_help_is_in_the_page_s_language(open_page: Open, language: str) -> None:
    page = open_page("classic", language)
    open_help(page, NODES[0])
    assert FIRST_HEADING[language] in page.page.locator(f"{HELP} h2").first.inner_text()


def test_help_is_english_in_a_language_that_it_lacks(open_page: Open) -> None:
    page = open_page("classic", "ja")
    open_help(page, NODES[0])
    assert FIRST_HEADING["en"] in page.page.locator(f"{HELP} h2").first.inner_text()
    assert all("404" in error for error in page.errors)  # the page asks for ja.md first
    page.errors.clear()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_of_help_fits_its_column_and_shows_its_image(
    page: Page, language: str, shots: Path
) -> None:
    for node_type in NODES:
        open_help(page, node_type)
        page.shot(shots / f"help-{page.look}-{language}-{node_type}.png")
        widths = page.js(
            f"""() => {{ const help = document.querySelector('{HELP}');
                return [...help.querySelectorAll('table, pre, img')]
                    .filter(e => e.scrollWidth > help.clientWidth + 1).map(e => e.outerHTML); }}"""
        )
        assert widths == [], node_type
        drawn = page.js(
            f"() => [...document.querySelectorAll('{HELP} img')].map(i => i.naturalWidth)"
        )
        assert len(drawn) == 1, node_type
        assert all(drawn), node_type


def test_help_is_served_from_whatever_the_folder_is_called(open_page: Open, comfy: Comfy) -> None:
    """The page asks for the image where ComfyUI serves the folder, not at a name we wrote."""
    page = open_page()
    open_help(page, NODES[0])
    source = page.js(f"() => document.querySelector('{HELP} img').getAttribute('src')")
    module = comfy.object_info[NODES[0]]["python_module"].removeprefix("custom_nodes.")
    assert source == f"/extensions/{module}/docs/{NODES[0]}/en.png"
    assert NODES[0] not in source.partition("/docs/")[0]
