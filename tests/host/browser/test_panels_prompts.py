"""What a node shows while it runs appears in the workflow that was queued, and in no other."""

from __future__ import annotations

import secrets

from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw

TEXT_EVENT = 3
LISTEN = """async kind => {
  const { api } = await import('/scripts/api.js');
  window.heard = 0;
  api.socket.addEventListener('message', ({ data }) => {
    if (data instanceof ArrayBuffer && new DataView(data).getUint32(0) === kind) window.heard++;
  });
}"""
NEW_WORKFLOW = "() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')"


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
        page.js(NEW_WORKFLOW)
        page.wait_for("() => !(app.canvas.graph ?? app.graph)._nodes.length")
        assert draw(page, "An image of here") == node
        page.js("() => { window.heard = 0 }")
        page.wait_for("() => window.heard > 1")
        assert status.count() == 0
    finally:
        service.latency = 0.0
