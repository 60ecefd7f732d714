"""Our page beside those of the two packs whose names it had: neither changes what the other does.

The two are made up here. Their scripts do as such scripts do: they wrap functions of ComfyUI's,
listen to its events, and add entries to menus and widgets to nodes of their own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.test_edit import close_menu, open_menu
from comfyui_siliconflow.tests.host.browser.test_panels_jobs import card, show_jobs
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for
from comfyui_siliconflow.tests.host.test_beside_rivals import OWN_FOLDER, RIVALS

DRAW, LISTED = "SiliconFlowTextToImage", ["theirs/one", "theirs/two"]
PACK = """
from comfy_execution.utils import get_executing_context
from server import PromptServer


class Node:
    CATEGORY, FUNCTION, OUTPUT_NODE = "SiliconFlow", "run", True
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        required = {{"model": (["none"],), "prompt": ("STRING", {{"default": ""}})}}
        return {{"required": required, "optional": {{"image": ("IMAGE",)}}}}

    @classmethod
    def VALIDATE_INPUTS(cls, model):
        return True

    def run(self, model, prompt, image=None):
        PromptServer.instance.send_progress_text(
            f"Their {{prompt}}", get_executing_context().node_id, PromptServer.instance.client_id
        )
        if prompt == "fail":
            raise ValueError("their node failed")
        return {{"ui": {{"text": [prompt]}}, "result": (prompt,)}}


NODE_CLASS_MAPPINGS = {{"{node}": Node}}
NODE_DISPLAY_NAME_MAPPINGS = {{"{node}": "Their node"}}
WEB_DIRECTORY = "./web"
"""
SCRIPT = """
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const NODE = %(node)s, MODELS = %(models)s;
const seen = ((window.rivals ??= {})[NODE] = { texts: [], queued: 0, errors: [] });

app.registerExtension({
  name: `Rival.${NODE}`,
  setup() {
    const { queuePrompt } = api;
    api.queuePrompt = async function (...rest) {
      seen.queued += 1;
      return queuePrompt.apply(this, rest);
    };
    const { graphToPrompt } = app;
    app.graphToPrompt = async function (...rest) {
      return graphToPrompt.apply(this, rest);
    };
    api.addEventListener("progress_text", ({ detail }) => seen.texts.push(detail.text));
    api.addEventListener("execution_error", ({ detail }) => seen.errors.push(detail.node_type));
  },
  getNodeMenuItems: () => [{ content: `Menu of ${NODE}`, callback() {} }],
  nodeCreated(node) {
    node.createdBeside = [...(node.createdBeside ?? []), NODE];
  },
  beforeRegisterNodeDef(nodeType, { name }) {
    if (name !== NODE) return;
    const { onNodeCreated, onExecuted } = nodeType.prototype;
    nodeType.prototype.onNodeCreated = async function (...rest) {
      onNodeCreated?.apply(this, rest);
      this.onDragDrop = () => "theirs";
      const model = this.widgets.find((widget) => widget.name === "model");
      await null;
      model.options.values = MODELS;
      model.value = MODELS[0];
    };
    nodeType.prototype.onExecuted = function (message) {
      onExecuted?.call(this, message);
      this.addWidget("text", "showtext", message.text.join(""), () => {}, {});
    };
  },
});
"""
THEIRS = """id => {
  const node = app.graph.getNodeById(id), model = node.widgets[0];
  return {
    color: node.color ?? null, price: document.querySelectorAll('.sf-price').length,
    models: model.options.values, model: model.value, drop: node.onDragDrop?.({}),
    widgets: node.widgets.map(w => w.name).filter(n => n.startsWith('$$siliconflow')),
  };
}"""
QUEUED = "() => Object.values(rivals).map(each => each.queued)"
SHOWN = """id => app.graph.getNodeById(id).widgets
    .filter(widget => widget.name === 'showtext').map(widget => widget.value)"""
COMFYS = "[aria-labelledby=global-execution-error], [data-testid=error-overlay]"
"""What ComfyUI shows of an error, older pages in a dialog."""


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory, running_service: Simulator) -> Iterator[Comfy]:
    """Start a ComfyUI with all three packs."""
    with Comfy(tmp_path_factory.mktemp("beside"), pack=OWN_FOLDER) as comfy:
        for name, node in RIVALS.items():
            web = comfy.folder / "custom_nodes" / name / "web" / "js"
            web.mkdir(parents=True)
            (web.parents[1] / "__init__.py").write_text(PACK.format(node=node))
            names = {"node": json.dumps(node), "models": json.dumps(LISTED)}
            (web / "extension.js").write_text(SCRIPT % names)
        comfy.start(variables_for(running_service))
        yield comfy


pytestmark = pytest.mark.parametrize("language", LANGUAGES)


def test_ours_does_all_that_it_does_alone(
    page: Page, service: Simulator, language: str, shots: Path
) -> None:
    prompt = f"A kite {secrets.token_hex(4)}"
    node = draw(page, prompt, model="Qwen/Qwen-Image", image_size="custom", width=64, height=64)
    assert set(page.js("id => app.graph.getNodeById(id).createdBeside", node)) == {*RIVALS.values()}
    page.wait_for("id => app.graph.getNodeById(id).color", node)
    assert any("¥0.30" in badge for badge in page.badges(node))
    before, queued = len(service.generations), page.js(QUEUED)
    assert page.run().status == "success"
    assert len(service.generations) == before + 1
    assert page.js(QUEUED) == [count + 1 for count in queued]
    assert page.page.locator(".sf-status p").first.inner_text().split("\n")[0].endswith("¥0.30")
    show_jobs(page)
    done = card(page, prompt, "done")
    assert words("page.state.done", language) in done.inner_text()
    if not (page.look == "nodes2" and page.version.startswith("0.8.")):
        (preview,) = page.ids("PreviewImage")
        open_menu(page, preview)
        for entry in (
            words("page.edit.menu", language),
            *(f"Menu of {each}" for each in RIVALS.values()),
        ):
            assert page.page.get_by_text(entry, exact=True).count(), entry
        close_menu(page)

    page.change(node, "prompt", f"{prompt} fails")
    service.fail(400)
    assert page.run().status == "error"
    failure = page.page.locator(".sf-failure")
    assert words("error.RequestError.what", language) in failure.inner_text()
    assert page.js("() => Object.values(rivals).map(each => each.errors.at(-1))") == [DRAW, DRAW]
    page.shot(shots / f"beside-{page.look}-{language}.png")
    failure.get_by_role("button", name=words("page.action.close", language)).click()


@pytest.mark.parametrize("name", RIVALS.values(), ids=RIVALS)
def test_theirs_does_all_that_it_does_alone(page: Page, name: str, shots: Path) -> None:
    node = page.add(name)
    alone = {"color": None, "price": 0, "models": LISTED, "model": LISTED[0], "drop": "theirs"}
    assert page.js(THEIRS, node) == {**alone, "widgets": []}

    # What it says while it runs goes to ComfyUI, and to its own script.
    prompt = f"kite {secrets.token_hex(4)}"
    page.change(node, "prompt", prompt)
    assert page.run().status == "success"
    said = [name, f"Their {prompt}"]
    page.wait_for("([name, text]) => rivals[name].texts.at(-1) === text", said)
    assert page.js(SHOWN, node) == [prompt]
    assert page.page.locator(".sf-status").count() == 0
    assert page.saved()["nodes"][0]["widgets_values"][:2] == [LISTED[0], prompt]

    # So does what ComfyUI says of its failures; ours says nothing of them.
    page.change(node, "prompt", "fail")
    assert page.run().status == "error"
    page.page.locator(COMFYS).first.wait_for()
    page.shot(shots / f"beside-theirs-{page.look}-{page.language}.png")
    assert page.page.locator(".sf-failure").count() == 0
    page.page.keyboard.press("Escape")
