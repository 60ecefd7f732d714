"""What a node shows while it runs appears in the workflow that was queued, and in no other."""

from __future__ import annotations

import secrets

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import NODE, Page
from comfyui_siliconflow.tests.host.browser.panels import draw

TEXT_EVENT = 3
LISTEN = """async kind => {
  const { api } = await import('/scripts/api.js');
  window.heard = 0;
  api.socket.addEventListener('message', ({ data }) => {
    if (data instanceof ArrayBuffer && new DataView(data).getUint32(0) === kind) window.heard++;
  });
}"""
COUNT = """async () => {
  const { api } = await import('/scripts/api.js');
  if (!('ended' in window)) {
    api.addEventListener('execution_success', () => window.ended++);
    api.addEventListener('executed', () => window.executed++);
  }
  window.ended = window.executed = 0;
}"""


def test_a_node_of_the_same_id_in_another_workflow_shows_nothing_of_a_run(
    page: Page, service: Simulator
) -> None:
    node = draw(page, f"An image of elsewhere {secrets.token_hex(4)}")
    page.js(LISTEN, TEXT_EVENT)
    service.latency = 20.0
    try:
        page.js("() => { app.queuePrompt(0, 1) }")
        status = page.page.locator(".sf-status")
        status.wait_for()
        page.command("Comfy.NewBlankWorkflow")
        page.wait_for("() => !(app.canvas.graph ?? app.graph)._nodes.length")
        assert draw(page, "An image of here") == node
        page.js("() => { window.heard = 0 }")
        page.wait_for("() => window.heard > 1")
        assert "".join(status.all_inner_texts()) == ""  # older pages draw an empty one at once
        assert status.locator("img").count() == 0
    finally:
        service.latency = 0.0


def test_a_result_from_the_background_is_in_the_tab_that_was_queued_and_in_no_other(
    page: Page, service: Simulator
) -> None:
    def has_ended() -> bool:
        return not page.comfy.get("/siliconflow/background").json()["runs"]

    shown = """() => {
      const [node] = app.graph._nodes.filter(({ type }) => type === 'PreviewImage');
      return node ? (app.nodeOutputs[node.id]?.images ?? []).length : -1;
    }"""
    page.comfy.wait_for(has_ended)
    service.latency = 8.0
    prompt = f"A kite above {secrets.token_hex(4)}"
    node = draw(page, prompt, background=True, control_after_generate="fixed")
    page.js(COUNT)
    try:
        page.queue()
        page.comfy.wait_for(lambda: not has_ended())
        page.command("Comfy.NewBlankWorkflow")
        page.wait_for("() => !app.graph._nodes.length")
        assert draw(page, "An image of here") == node
        page.wait_for("() => window.ended === 2", seconds=60)
        assert page.js("() => window.executed") > 0, "other scripts hear of it"
        assert page.js(shown) == 0
    finally:
        service.latency = 0.0
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for(f"() => ({shown})() === 1")


SHOWN = """() => [...document.querySelectorAll('.sf-status')].filter(e => e.checkVisibility())
  .map(e => [e.querySelector('p').innerText, e.querySelectorAll('img').length])"""


def test_what_nodes_show_is_there_again_when_their_tab_is(page: Page, service: Simulator) -> None:
    """That of a run that ended meanwhile, too; neither is saved, and another tab has none of it."""
    node = draw(page, f"A kite above {secrets.token_hex(4)}", batch_size=2)
    size = page.size(node)
    page.run()
    page.wait_for(f"() => ({SHOWN})()[0]?.[1] === 2")
    first = page.js(SHOWN)
    page.command("Comfy.NewBlankWorkflow")
    page.wait_for("() => !app.graph._nodes.length")
    assert draw(page, "An image of here") == node
    assert [images for _, images in page.js(SHOWN)] in ([], [0])
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for(f"first => JSON.stringify(({SHOWN})()) === JSON.stringify(first)", first)
    assert page.size(node)[1] > size[1] + 100
    [saved] = [each["size"] for each in page.saved()["nodes"] if each["id"] == node]
    assert saved[1] == pytest.approx(size[1], abs=1)  # a page of 0.8 widens what it loads
    page.change(node, "prompt", "another")
    page.js("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    page.wait_for(f"id => {NODE}?.widgets.some(w => String(w.value).startsWith('A kite'))", node)
    page.wait_for(f"first => JSON.stringify(({SHOWN})()) === JSON.stringify(first)", first)

    service.latency = 4.0
    page.change(node, "prompt", f"A kite below {secrets.token_hex(4)}")
    page.change(node, "batch_size", 3)
    page.js(COUNT)
    page.queue()
    page.command("Workspace.NextOpenedWorkflow")
    page.wait_for(f"id => {NODE}.widgets.some(w => w.value === 'An image of here')", node)
    page.wait_for("() => window.ended === 1", seconds=60)
    assert [images for _, images in page.js(SHOWN)] in ([], [0])
    service.latency = 0.0
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for(f"() => ({SHOWN})()[0]?.[1] === 3")
    assert page.js(SHOWN)[0][0].startswith("3 images")
