"""From an image to its edit: the menu of any node that has one, and files dropped on nodes."""

from __future__ import annotations

import base64
import itertools
import secrets
from pathlib import Path

import pytest
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import NODE, Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.words import words

EDIT = "SiliconFlowImageEdit"
Box = tuple[float, float, float, float]
BESIDE = (1450, 700)
"""Where no node is."""
MENU = {"classic": ".litecontextmenu", "nodes2": ".p-contextmenu, [role=menu][data-state=open]"}
SOURCE = f"""id => {{
    const node = {NODE}, slot = node.inputs.find(input => input.type === 'IMAGE');
    return slot.link == null ? null : Number(node.graph.getLink(slot.link).origin_id);
}}"""
SOURCES = f"""id => {NODE}.inputs.filter(input => input.type === 'IMAGE' && input.link != null)
    .map(input => [input.name, Number(app.graph.getLink(input.link).origin_id)])"""
CONSUMERS = (
    f"id => ({NODE}.outputs[0].links ?? []).map(l => Number(app.graph.getLink(l).target_id))"
)
DROP = """([selector, x, y, files, content]) => {
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    const carried = new DataTransfer();
    for (const [name, type] of files) carried.items.add(new File([bytes], name, {type}));
    const target = selector ? document.querySelector(selector) : app.canvas.canvas;
    for (const kind of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(
        new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true,
                             clientX: x, clientY: y}));
}"""


def open_menu(page: Page, node: int) -> None:
    """Right-click a node's title, and wait for ComfyUI's menu."""
    page.fit()
    left, top, right, _ = page.box(node)
    if page.look == "nodes2":
        if page.version.startswith("0.8."):
            pytest.skip("its menu of Nodes 2.0 takes no entries from packs")
        page.element(node).locator(".lg-node-header").first.click(button="right")
    else:
        page.page.mouse.click((left + right) / 2, top + 36, button="right")
    page.page.locator(MENU[page.look]).first.wait_for()


def close_menu(page: Page) -> None:
    """Close it, as a click beside it does once the menu has come up: before, none is heeded."""
    page.wait_for("() => !document.querySelector('.p-contextmenu-enter-active')")
    page.page.mouse.click(*BESIDE)
    page.page.locator(MENU[page.look]).first.wait_for(state="hidden")


def edit_by_menu(page: Page, node: int) -> int:
    """Choose the entry of a node's menu, and give the id of the edit node."""
    before = set(page.ids(EDIT))
    open_menu(page, node)
    page.page.get_by_text(words("page.edit.menu", page.language), exact=True).first.click()
    page.wait_for(f"n => app.graph.nodes.filter(e => e.type === '{EDIT}').length > n", len(before))
    (added,) = set(page.ids(EDIT)) - before
    return added


pytestmark = pytest.mark.parametrize("language", LANGUAGES)


def test_an_image_is_edited_from_the_menu_of_its_node(page: Page, shots: Path) -> None:
    loader = page.add("LoadImage", (200, 300))
    editor = edit_by_menu(page, loader)
    assert page.js(SOURCE, editor) == loader
    # What is to be edited is asked for at once: an empty prompt is refused.
    page.wait_for("() => document.activeElement?.tagName === 'TEXTAREA'")
    page.settle(1)
    page.page.keyboard.type("At night")
    page.wait_for(
        f"id => {NODE}.widgets.find(w => w.name === 'prompt').value === 'At night'", editor
    )
    page.clear()

    # What a preview shows may be another image after the next run: it is copied.
    draw(page, f"A kite {secrets.token_hex(4)}")
    assert page.run().status == "success"
    (preview,) = page.ids("PreviewImage")
    editor = edit_by_menu(page, preview)
    copy = page.js(SOURCE, editor)
    assert page.ids("LoadImage") == [copy]
    assert page.values(copy)["image"] in page.comfy.listed("LoadImage", "image")
    (result,) = set(page.ids("PreviewImage")) - {preview}
    assert page.js(CONSUMERS, editor) == [result]
    page.fit()
    assert overlapping(page, page.ids()) == []
    page.shot(shots / f"edit-{page.look}-{page.language}.png")
    page.change(editor, "prompt", f"At night {secrets.token_hex(4)}")
    assert page.run().status == "success"
    page.wait_for(f"id => {NODE}.imgs?.length === 1 || app.nodeOutputs[id]?.images.length", result)
    page.fit()
    assert overlapping(page, page.ids()) == []
    page.shot(shots / f"edited-{page.look}-{page.language}.png")


def test_a_node_without_an_image_has_no_such_entry(page: Page) -> None:
    node = page.add("SiliconFlowChat", (200, 300))
    open_menu(page, node)
    assert page.page.get_by_text(words("page.edit.menu", page.language), exact=True).count() == 0
    close_menu(page)
    assert page.ids(EDIT) == []


def drop(page: Page, node: int, *files: tuple[str, str]) -> None:
    """Let go files of these names and types over a node; each holds ComfyUI's example image."""
    left, top, _, _ = page.box(node)
    selector = f'[data-node-id="{node}"]' if page.look == "nodes2" else ""
    content = (page.comfy.folder / "input" / "example.png").read_bytes()
    at = [left + 60, top + 90]
    page.js(
        DROP, [selector, *at, [list(file) for file in files], base64.b64encode(content).decode()]
    )


def test_files_dropped_on_an_edit_node_are_its_images(page: Page) -> None:
    """Each is that of the next free input."""
    editor = page.add(EDIT, (700, 250))
    names = ["first", "second"]
    drop(page, editor, *((f"{name}.png", "image/png") for name in names))
    page.wait_for(f"([id, n]) => ({SOURCES})(id).length === n", [editor, len(names)])
    sources = page.js(SOURCES, editor)
    assert [name for name, _ in sources] == ["image", "image2"]
    files = [str(page.values(loader)["image"]) for _, loader in sources]
    for name, file in zip(names, files, strict=True):
        assert file.startswith(name)
    assert set(files) <= set(page.comfy.listed("LoadImage", "image"))
    assert sorted(page.ids("LoadImage")) == sorted(loader for _, loader in sources)
    assert overlapping(page, [editor, *page.ids("LoadImage")]) == []


def test_a_file_that_is_no_image_is_not_taken(page: Page) -> None:
    editor = page.add(EDIT, (700, 250))
    drop(page, editor, ("notes.bin", "application/octet-stream"), ("image.png", "image/png"))
    page.wait_for(f"id => ({SOURCES})(id).length > 0", editor)
    page.settle(2)
    [(_, loader)] = page.js(SOURCES, editor)
    assert str(page.values(loader)["image"]).startswith("image")
    assert page.ids("LoadImage") == [loader]


def test_a_file_beyond_the_free_inputs_displaces_none(page: Page) -> None:
    node = page.add("SiliconFlowImageToImage", (700, 250))
    drop(page, node, ("first.png", "image/png"), ("second.png", "image/png"))
    page.page.get_by_text(words("page.jobs.no_free_input", page.language)).first.wait_for()
    assert page.page.get_by_text("second.png").first.is_visible()
    [(_, loader)] = page.js(SOURCES, node)
    assert page.ids("LoadImage") == [loader]
    assert str(page.values(loader)["image"]).startswith("first")


def test_of_a_node_that_loads_a_mask_the_image_is_copied(page: Page) -> None:
    mask = page.add("LoadImageMask", (200, 300))
    page.js(
        f"id => {{ const node = {NODE}, [list] = node.widgets;"
        " list.value = 'example.png'; list.callback?.('example.png'); }",
        mask,
    )
    page.wait_for(f"id => {NODE}.imgs?.length === 1", mask)
    copy = page.js(SOURCE, edit_by_menu(page, mask))
    assert page.ids("LoadImage") == [copy]
    assert str(page.values(copy)["image"]).startswith("example")


def overlapping(page: Page, nodes: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of nodes that have room in common."""
    boxes = {node: page.box(node) for node in nodes}
    pairs = itertools.combinations(nodes, 2)
    return [(a, b) for a, b in pairs if overlap(boxes[a], boxes[b])]


def overlap(a: Box, b: Box) -> bool:
    """Return whether two boxes (left, top, right, bottom) have room in common."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
