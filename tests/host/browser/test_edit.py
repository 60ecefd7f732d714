"""From an image to its edit: the menu of any node that has one, and files dropped on nodes."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.page import NODE, Page
from comfyui_siliconflow.tests.host.browser.panels import draw

EDIT = "SiliconFlowImageEdit"
WORDS = {"en": "Edit with SiliconFlow", "zh": "用 SiliconFlow 编辑"}
BOTH = pytest.mark.parametrize(("look", "language"), [("classic", "zh"), ("nodes2", "en")])
SOURCE = f"""id => {{
    const node = {NODE}, slot = node.inputs.find(input => input.type === 'IMAGE');
    return slot.link == null ? null : Number(node.graph.getLink(slot.link).origin_id);
}}"""
DROP = """([selector, x, y, name, content]) => {
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    const carried = new DataTransfer();
    carried.items.add(new File([bytes], name, {type: 'image/png'}));
    const target = selector ? document.querySelector(selector) : app.canvas.canvas;
    for (const kind of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(
        new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true,
                             clientX: x, clientY: y}));
}"""


def edit_by_menu(page: Page, node: int) -> int:
    """Right-click a node's title, choose the entry, and give the id of the edit node."""
    before = set(page.ids(EDIT))
    page.fit()
    left, top, right, _ = page.box(node)
    if page.look == "nodes2":
        if page.version.startswith("0.8."):
            pytest.skip("its menu of Nodes 2.0 takes no entries from packs")
        page.element(node).locator(".lg-node-header").first.click(button="right")
    else:
        page.page.mouse.click((left + right) / 2, top + 36, button="right")
    page.page.get_by_text(WORDS[page.language], exact=True).first.click()
    page.wait_for(f"n => app.graph.nodes.filter(e => e.type === '{EDIT}').length > n", len(before))
    (added,) = set(page.ids(EDIT)) - before
    return added


@BOTH
def test_an_image_is_edited_from_the_menu_of_its_node(page: Page, shots: Path) -> None:
    loader = page.add("LoadImage", (200, 300))
    assert page.js(SOURCE, edit_by_menu(page, loader)) == loader
    page.clear()

    # What a preview shows may be another image after the next run: it is copied.
    draw(page, f"A kite {secrets.token_hex(4)}")
    assert page.run().status == "success"
    (preview,) = page.ids("PreviewImage")
    editor = edit_by_menu(page, preview)
    copy = page.js(SOURCE, editor)
    assert page.ids("LoadImage") == [copy]
    assert str(page.values(copy)["image"]).startswith("siliconflow/")
    page.fit()
    page.shot(shots / f"edit-{page.look}-{page.language}.png")


@BOTH
def test_a_file_dropped_on_an_edit_node_is_its_image(page: Page, comfy_image: bytes) -> None:
    editor = page.add(EDIT, (700, 250))
    left, top, _, _ = page.box(editor)
    selector = f'[data-node-id="{editor}"]' if page.look == "nodes2" else ""
    at = [left + 60, top + 90]
    page.js(DROP, [selector, *at, "dropped.png", base64.b64encode(comfy_image).decode()])
    page.wait_for(f"id => ({SOURCE})(id) !== null", editor)
    (loader,) = page.ids("LoadImage")
    assert page.js(SOURCE, editor) == loader
    assert str(page.values(loader)["image"]).startswith("siliconflow/dropped")


@pytest.fixture
def comfy_image(page: Page) -> bytes:
    """Return ComfyUI's own example image."""
    return (page.comfy.folder / "input" / "example.png").read_bytes()
