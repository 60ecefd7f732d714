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
COUNT = """async () => {
  const { api } = await import('/scripts/api.js');
  window.ended = 0;
  api.addEventListener('execution_success', () => window.ended++);
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
        assert status.count() == 0
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
        assert page.js(shown) == 0
    finally:
        service.latency = 0.0
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for(f"() => ({shown})() === 1")
