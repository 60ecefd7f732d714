"""ComfyUI's page as a person uses it: looked at, clicked and typed into through Chromium."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfyui_siliconflow.tests.host.comfy import Comfy, ComfyFailure, Ended
from comfyui_siliconflow.tests.host.graphs import Json

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        ConsoleMessage,
        Error,
        Locator,
        Playwright,
        ViewportSize,
    )

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-proxy-server",
    # Nothing from outside this machine: it would hang, or make the tests depend on it. To ask
    # Playwright for each request takes as long again as all else that opens a page.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
SIZE: ViewportSize = {"width": 1600, "height": 1000}
READY_MS = 90_000
ACTION_MS = 15_000
SETTLE_MS = 300
SEARCH_TRIES = 3

SETTINGS: Json = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Workflow.ConfirmDelete": False,
    "Comfy.Workflow.Persist": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.NodeSearchBoxImpl.FollowCursor": False,
    "Comfy.Node.AlwaysShowAdvancedWidgets": True,
    "Comfy.Queue.ShowRunProgressBar": True,
}
"""No greetings, nothing that lies over the canvas, and no widget folded away as advanced."""

COMFYS_OWN = (
    "Cannot read properties of null (reading '$el')",
    "Cannot read properties of undefined (reading 'id')",
    "getCanvas: canvas is null",
)
"""What pages throw without the pack too: 0.8.0 when an entry of a list is clicked in Nodes 2.0,
0.3.64 when it opens with settings of a newer page, 0.8.0 when it is closed while it opens."""

READY = """() => !!(window.app && app.graph && app.canvas && app.extensionManager?.setting
  && app.extensionManager.workflow && window.LiteGraph
  && Object.keys(LiteGraph.registered_node_types).length > 50
  && !document.querySelector('.p-progressspinner, #splash-loader'))"""

SEARCH_FIELD = "input:focus"
FOUND = "[...document.querySelectorAll('.option-container')].map(e => e.innerText)"
NODES = "[...(app.canvas.graph ?? app.graph)._nodes]"
NODE = "(app.canvas.graph ?? app.graph).getNodeById(id)"


def launch(playwright: Playwright) -> Browser:
    """Start Chromium: the one of CHROMIUM, of the path, or Playwright's own."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=found, args=ARGUMENTS)


class Page:
    """One open page, in a browser profile of its own.

    `errors` holds what scripts of the page or of the pack threw, `console` all that they said.
    """

    def __init__(
        self,
        browser: Browser,
        comfy: Comfy,
        look: str,
        language: str,
        *,
        scripts: bool = True,
        user: str = "",
        address: str = "",
    ) -> None:
        """Write the settings that make the look and the language, then open the page.

        Without `scripts` the page does not get those of the pack. `user` is the id of one of
        several users (--multi-user). `address` is where a proxy serves this ComfyUI.
        """
        self.comfy, self.look, self.language = comfy, look, language
        self.address = address or comfy.address
        self.errors: list[str] = []
        self.console: list[str] = []
        self._who = {"Comfy-User": user} if user else {}
        self._store_settings()
        self._context = browser.new_context(
            viewport={"width": SIZE["width"], "height": SIZE["height"]},
            color_scheme="dark",
            locale="en-US",
        )
        self._context.grant_permissions(["clipboard-read", "clipboard-write"])
        if not scripts:
            self._context.route(
                "**/extensions/comfyui_siliconflow/**/*.js",
                lambda route: route.fulfill(body="", content_type="text/javascript"),
            )
        if user:
            self._context.add_init_script(f"localStorage.setItem('Comfy.userId', '{user}')")
        self.page = self._context.new_page()
        self.page.set_default_timeout(ACTION_MS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", self._failed)
        self.open()
        self.clear()

    def tidy(self) -> None:
        """Close and forget what a test left open, and empty the canvas."""
        self._store_settings()
        self.page.unroute_all()
        if self.page.viewport_size != SIZE:
            self.page.set_viewport_size(SIZE)
        self.page.mouse.move(SIZE["width"] // 2, SIZE["height"] - 3)
        for _ in range(3):
            if not self.dialogs():
                break
            self.page.keyboard.press("Escape")
            self.settle()
        self.js(CLOSE)
        self.clear()
        self.errors, self.console = [], []

    # The page itself

    def open(self) -> None:
        """Load the page, again if it is open already, and close what greets a visitor."""
        self.page.goto(self.address, wait_until="domcontentloaded")
        self.page.wait_for_function(READY, timeout=READY_MS)
        self.settle(4)
        for _ in range(3):
            if not self.dialogs():
                break
            self.page.keyboard.press("Escape")
            self.settle()

    @cached_property
    def version(self) -> str:
        """Return the version of ComfyUI."""
        return str(self.comfy.get("/system_stats").json()["system"]["comfyui_version"])

    def close(self) -> None:
        """Close it."""
        self._context.close()

    def js(self, code: str, argument: Any = None) -> Any:
        """Run JavaScript in the page: an expression, or a function that gets `argument`."""
        return self.page.evaluate(code, argument)

    def settle(self, times: int = 1) -> None:
        """Return the page the time to draw."""
        self.page.wait_for_timeout(SETTLE_MS * times)

    def wait_for(self, code: str, argument: Any = None, seconds: float = 15) -> None:
        """Wait until JavaScript says true."""
        self.page.wait_for_function(code, arg=argument, timeout=seconds * 1000)

    def shot(self, file: Path, node: int | None = None) -> Path:
        """Take an image of the page, or of one node."""
        self.page.mouse.move(SIZE["width"] // 2, SIZE["height"] - 3)
        self.settle()
        self.page.screenshot(path=file, clip=self._clip(node) if node else None)
        return file

    def turns(self, code: str, argument: Any = None, seconds: float = 5) -> bool:
        """Return whether JavaScript says true before long."""
        end = time.monotonic() + seconds
        while not (said := self.js(code, argument)) and time.monotonic() < end:
            self.settle()
        return bool(said)

    def dialogs(self) -> list[str]:
        """Return what the open dialogs say."""
        value: list[str] = self.js(
            """() => [...document.querySelectorAll('[role=dialog], .p-dialog, .comfy-modal')]
            .filter(d => d.getBoundingClientRect().width > 0
                      && getComputedStyle(d).visibility !== 'hidden')
            .map(d => d.innerText)"""
        )
        return value

    def toasts(self) -> list[str]:
        """Return what the toasts say."""
        value: list[str] = self.js(
            "() => [...document.querySelectorAll('.p-toast-message')].map(e => e.innerText)"
        )
        return value

    def setting(self, name: str, value: Any) -> None:
        """Change a setting of ComfyUI while the page is open; one that it lacks is passed over."""
        self.js(
            """async ([name, value]) => {
                try { await app.extensionManager.setting.set(name, value); }
                catch (error) { if (!(error instanceof TypeError)) throw error; }  // as 0.3.64 does
            }""",
            [name, value],
        )
        self.settle(2)

    def command(self, name: str) -> None:
        """Execute a command of ComfyUI, as a menu entry or a key would."""
        self.js("name => app.extensionManager.command.execute(name)", name)
        self.settle(2)

    # The graph

    def clear(self) -> None:
        """Empty the canvas."""
        self.load({"version": 0.4, "nodes": [], "links": [], "last_node_id": 0, "last_link_id": 0})

    def load(self, workflow: Json, name: str | None = None) -> None:
        """Open a workflow as it was saved."""
        self.js("([flow, name]) => app.loadGraphData(flow, true, true, name)", [workflow, name])
        self.settle(3)

    def saved(self) -> Json:
        """Return the workflow as the page would save it."""
        value: Json = json.loads(self.js("() => JSON.stringify(app.graph.serialize())"))
        return value

    def exported(self) -> Json:
        """Return the API form of the graph: what "Export (API)" writes and a run sends."""
        value: Json = self.js("async () => (await app.graphToPrompt()).output")
        return value

    def add(self, node_type: str, at: tuple[int, int] = (200, 200)) -> int:
        """Put a node on the canvas and give its id."""
        value: int = self.js(
            """([type, pos]) => {
                const node = LiteGraph.createNode(type);
                node.pos = pos;
                (app.canvas.graph ?? app.graph).add(node);
                return Number(node.id);
            }""",
            [node_type, list(at)],
        )
        self.settle()
        return value

    def add_by_search(self, words: str) -> int:
        """Double-click the canvas, search, press Enter; return the id of the new node."""
        before = set(self.ids())
        self.open_search()
        self.page.locator(SEARCH_FIELD).fill(words)
        self.wait_for(f"words => {FOUND}[0]?.includes(words)", words)
        self.page.keyboard.press("Enter")
        self.wait_for(f"before => {NODES}.length > before", len(before))
        self.settle()
        (added,) = set(self.ids()) - before
        return added

    def open_search(self) -> None:
        """Double-click the canvas: a page under load takes that for two single clicks."""
        middle = SIZE["width"] // 2, SIZE["height"] // 2
        for _ in range(SEARCH_TRIES):
            self.page.mouse.move(*middle)
            self.settle()
            self.page.mouse.dblclick(*middle, delay=30)
            self.settle(4)
            if self.page.locator(SEARCH_FIELD).is_visible():
                break
        self.page.locator(SEARCH_FIELD).wait_for()

    def finds(self, words: str, name: str) -> bool:
        """Type words into the search that is open; return whether it soon lists this name."""
        self.page.locator(SEARCH_FIELD).fill(words)
        return self.turns(f"name => {FOUND}.some(each => each.includes(name))", name)

    def note_state(self) -> None:
        """Make the state of the graph one that undo goes back to.

        A person's next click does it; Nodes 2.0 does not on the click that closes a list.
        """
        self.js("() => { app.extensionManager.workflow.activeWorkflow.changeTracker.checkState() }")

    def ids(self, node_type: str = "") -> list[int]:
        """Return the ids of all nodes, or of those of one type."""
        value: list[int] = self.js(
            f"type => {NODES}.filter(n => !type || n.type === type).map(n => Number(n.id))",
            node_type,
        )
        return value

    def select(self, *ids: int) -> None:
        """Select these nodes and no others."""
        self.js(
            """ids => { app.canvas.deselectAll?.(); const g = app.canvas.graph ?? app.graph;
            app.canvas.selectItems(ids.map(id => g.getNodeById(id))); }""",
            list(ids),
        )
        self.settle()

    def press(self, keys: str) -> None:
        """Press keys while the canvas has the focus."""
        self.js("() => { document.activeElement?.blur?.(); app.canvas.canvas.focus(); }")
        self.page.keyboard.press(keys)
        self.settle(2)

    def fit(self) -> None:
        """Bring the whole graph into view, as large as it goes."""
        self.js(FIT)
        self.settle(2)
        self.js(FIT)
        self.settle()

    def link(self, source: int, output: int, target: int, name: str) -> None:
        """Draw a link to an input, or to the socket of a widget, by name."""
        self.js(
            """([source, output, target, name]) => {
                const g = app.canvas.graph ?? app.graph, node = g.getNodeById(target);
                g.getNodeById(source).connect(output, node,
                    node.inputs.findIndex(i => i.name === name));
            }""",
            [source, output, target, name],
        )
        self.settle(2)

    def unlink(self, node: int, name: str) -> None:
        """Remove the link to an input."""
        self.js(
            f"""([id, name]) => {{ const node = {NODE};
                node.disconnectInput(node.inputs.findIndex(i => i.name === name)); }}""",
            [node, name],
        )
        self.settle(2)

    def drop(self, file: Path) -> None:
        """Drag a file onto the page and let it go."""
        content = base64.b64encode(file.read_bytes()).decode()
        self.js(DROP, [file.name, content])
        self.settle(6)

    # One node

    def values(self, node: int) -> Json:
        """Return the values of all widgets of a node, hidden ones as well, by name."""
        value: Json = self.js(
            f"""id => Object.fromEntries({NODE}.widgets.filter(w => !w.name.startsWith('$$'))
                .map(w => [w.name, w.value]))""",
            node,
        )
        return value

    def options(self, node: int, widget: str) -> Json:
        """Return what ComfyUI holds of one widget: choices, minimum, maximum, steps."""
        value: Json = self.js(
            f"""([id, name]) => {{
                const o = {NODE}.widgets.find(w => w.name === name).options;
                return {{values: o.values ?? null, min: o.min ?? null, max: o.max ?? null,
                         step2: o.step2 ?? null}};
            }}""",
            [node, widget],
        )
        return value

    def visible(self, node: int) -> list[str]:
        """Name the widgets of a node that can be seen, in order."""
        value: list[str] = self.js(SEEN_IN_DOM if self.look == "nodes2" else SEEN_ON_CANVAS, node)
        return value

    def slots(self, node: int) -> list[str]:
        """Return what stands at the inputs of a node that are no widgets."""
        if self.look == "nodes2":
            card = self.element(node).locator(".lg-slot--input:not(.lg-slot--dot-only)")
            return [text.strip() for text in card.all_inner_texts() if text.strip()]
        named: list[str] = self.js(
            f"""id => {NODE}.inputs.filter(i => !i.widget)
                .map(i => i.label || i.localized_name || i.name)""",
            node,
        )
        return named

    def badges(self, node: int) -> list[str]:
        """Return what the badges of a node say."""
        if self.look == "nodes2":
            return [line.strip() for line in self.element(node).inner_text().split("\n")]
        value: list[str] = self.js(
            f"id => {NODE}.badges.map(b => (typeof b === 'function' ? b() : b).text)", node
        )
        return value

    def size(self, node: int) -> tuple[float, float]:
        """Return width and height as ComfyUI holds them."""
        width, height = self.js(f"id => [...{NODE}.size]", node)
        return width, height

    def change(self, node: int, widget: str, value: Any) -> None:
        """Change a widget by what the page's own controls call when they are used."""
        self.js(CHANGE, [node, widget, value, self.look])
        self.settle()

    def choose(self, node: int, widget: str, value: str) -> None:
        """Open a widget's list with the mouse and click the entry of a value."""
        value = self.label(node, widget, value)
        if self.look == "nodes2":
            self._choose_in_dom(node, widget, value)
        else:
            self._choose_on_canvas(node, widget, value)
        self.settle(2)

    def label(self, node: int, widget: str, value: str) -> str:
        """Return what the list of a widget shows for a value."""
        shown: str = self.js(
            f"""([id, name, value]) => {{
                const o = {NODE}.widgets.find(w => w.name === name).options;
                return o.getOptionLabel?.(value) ?? value;
            }}""",
            [node, widget, value],
        )
        return shown

    def box(self, node: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of a node as drawn, in pixels of the window."""
        left, top, right, bottom = self.js(BOX, node)
        return left, top, right, bottom

    def element(self, node: int) -> Locator:
        """Return a node's element; only Nodes 2.0 has one."""
        return self.page.locator(f'[data-node-id="{node}"]').first

    # Runs

    def run(self, seconds: float = 60) -> Ended:
        """Queue the graph as the Run button does, and wait for its end."""
        prompt_id = self.queue()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            entry = self.comfy.get(f"/history/{prompt_id}").json().get(prompt_id)
            if entry:
                self.settle(2)
                return Ended(prompt_id, entry, self.comfy.folder)
            self.settle()
        raise ComfyFailure(
            f"The prompt did not end. The console's end:\n{self.comfy.console[-3000:]}"
        )

    def queue(self) -> str:
        """Queue the graph and give the prompt's id."""
        with self.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")) as info:
            self.js("() => { app.queuePrompt(0, 1) }")
        answer = info.value
        if answer.status != 200:
            raise ComfyFailure(answer.text())
        return str(answer.json()["prompt_id"])

    # Inside

    def _store_settings(self) -> None:
        look = {"Comfy.VueNodes.Enabled": self.look == "nodes2", "Comfy.Locale": self.language}
        settings = {**SETTINGS, **look}
        self.comfy.request("POST", "/settings", json=settings, headers=self._who)

    def _failed(self, error: Error) -> None:
        """Note what a script threw, but for what the page throws by itself."""
        is_ours = "/extensions/" in (error.stack or "")
        if is_ours or error.message not in COMFYS_OWN:
            self.errors.append(str(error))

    def _heard(self, message: ConsoleMessage) -> None:
        self.console.append(f"[{message.type}] {message.text}")
        place = f"{message.location} {message.text}".lower()
        if message.type == "error" and ("siliconflow/" in place or "'siliconflow" in place):
            self.errors.append(message.text)

    def _clip(self, node: int) -> Any:
        left, top, right, bottom = self.box(node)
        pad = 14
        return {
            "x": max(left - pad, 0),
            "y": max(top - pad, 0),
            "width": right - left + 2 * pad,
            "height": bottom - top + 2 * pad,
        }

    def _choose_in_dom(self, node: int, widget: str, value: str) -> None:
        row = self.element(node).locator(".lg-node-widget").nth(self.visible(node).index(widget))
        row.locator("[role=combobox]").first.click()
        self.page.locator("[role=option]:visible", has_text=value).first.wait_for()
        for option in self.page.locator("[role=option]:visible").all():
            if option.inner_text().strip() == value:
                option.click()
                return
        raise AssertionError(f"{value} is not offered")

    def _choose_on_canvas(self, node: int, widget: str, value: str) -> None:
        x, y = self.js(MIDDLE_OF_WIDGET, [node, widget])
        self.page.mouse.click(x, y)
        entries = self.page.locator(".litecontextmenu .litemenu-entry")
        entries.first.wait_for()
        for entry in entries.all():
            if entry.inner_text().strip() == value:
                entry.click()
                return
        raise AssertionError(f"{value} is not offered")


CHANGE = f"""([id, name, value, look]) => {{
  const node = {NODE}, w = node.widgets.find(w => w.name === name);
  if (look === 'nodes2') {{ w.value = value; w.callback?.(value, app.canvas, node); }}
  else if (w.setValue) w.setValue(value, {{e: {{}}, node, canvas: app.canvas}});
  else {{ w.value = value; w.callback?.(value, app.canvas, node); }}
  app.extensionManager.workflow.activeWorkflow?.changeTracker?.checkState?.();
  app.canvas.setDirty(true, true);
}}"""

# Of a widget that is linked, the newest pages draw only the name, and call it not visible.
SEEN_ON_CANVAS = f"""id => {{
  const node = {NODE};
  const isNamed = w => w.connectionSuppressed && !w.visibility.suppression.byExtension;
  const isSeen = w => isNamed(w) || (node.isWidgetVisible(w)
    && (!w.element || w.element.checkVisibility()));
  return node.widgets.filter(w => !node.collapsed && !w.name.startsWith('$$') && isSeen(w))
    .map(w => w.name);
}}"""

# Each row is known by its label: the widget's own, or its name. Linked ones of the newest pages,
# which are but a name, come last.
SEEN_IN_DOM = f"""id => {{
  const node = {NODE};
  const rows = [...document.querySelectorAll(`[data-node-id="${{id}}"] .lg-node-widget`)];
  const left = [...node.widgets];
  const lines = document.querySelector(`[data-node-id="${{id}}"]`).innerText.split('\\n');
  const named = left.filter(w => w.connectionSuppressed && lines.includes(w.label ?? w.name));
  const isWidget = r => r.checkVisibility() && !r.querySelector('.sf-status');
  const seen = rows.filter(isWidget).map(row => {{
    const said = [row.innerText, ...[...row.querySelectorAll('[aria-label], [placeholder]')]
      .flatMap(e => [e.ariaLabel, e.placeholder])].join('\\n').split('\\n').map(s => s.trim());
    const at = left.findIndex(w => said.includes(w.label ?? w.name) || said.includes(w.name));
    return at < 0 ? `? ${{said}}` : left.splice(at, 1)[0].name;
  }}).filter(name => !name.includes('$$'));
  return [...seen, ...named.map(w => w.name)];
}}"""

BOX = f"""id => {{
  const node = {NODE}, c = app.canvas, r = c.canvas.getBoundingClientRect();
  const el = document.querySelector(`[data-node-id="${{id}}"]`);
  if (el?.getBoundingClientRect().width) {{
    const b = el.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom];
  }}
  const s = c.ds.scale, [ox, oy] = c.ds.offset, title = 30 + (node.badges?.length ? 24 : 0);
  return [r.left + (node.pos[0] + ox) * s, r.top + (node.pos[1] - title + oy) * s,
    r.left + (node.pos[0] + node.size[0] + ox) * s, r.top + (node.pos[1] + node.size[1] + oy) * s];
}}"""

MIDDLE_OF_WIDGET = f"""([id, name]) => {{
  const node = {NODE}, c = app.canvas, r = c.canvas.getBoundingClientRect();
  const w = node.widgets.find(w => w.name === name), s = c.ds.scale;
  return [r.left + (node.pos[0] + node.size[0] / 2 + c.ds.offset[0]) * s,
    r.top + (node.pos[1] + w.last_y + 10 + c.ds.offset[1]) * s];
}}"""

DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, {type: 'image/png'}));
  for (const kind of ['dragenter', 'dragover', 'drop']) app.canvas.canvas.dispatchEvent(
    new DragEvent(kind, {dataTransfer: carried, bubbles: true, cancelable: true,
                         clientX: 800, clientY: 900}));
}"""

CLOSE = """() => {
  const side = app.extensionManager.sidebarTab ?? app.extensionManager;
  if (side.activeSidebarTabId) side.toggleSidebarTab(side.activeSidebarTabId);
  document.querySelectorAll('.p-toast-close-button').forEach(button => button.click());
  document.querySelectorAll('dialog[open]').forEach(dialog => dialog.close());
  document.activeElement?.blur?.();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [0, 0];
}"""

FIT = f"""() => {{
  const c = app.canvas, ds = c.ds, r = c.canvas.getBoundingClientRect();
  const boxes = {NODES}.map(n => {{
    const el = document.querySelector(`[data-node-id="${{n.id}}"]`);
    const b = el?.getBoundingClientRect();
    if (b?.width) return [(b.left - r.left) / ds.scale - ds.offset[0],
      (b.top - r.top) / ds.scale - ds.offset[1], b.width / ds.scale, b.height / ds.scale];
    return [n.pos[0], n.pos[1] - 54, n.size[0], n.size[1] + 54];
  }});
  if (!boxes.length) return;
  const x0 = Math.min(...boxes.map(b => b[0])), x1 = Math.max(...boxes.map(b => b[0] + b[2]));
  const y0 = Math.min(...boxes.map(b => b[1])), y1 = Math.max(...boxes.map(b => b[1] + b[3]));
  const [L, T, R, B] = [80, 100, 30, 60], w = r.width - L - R, h = r.height - T - B;
  const s = Math.min(w / (x1 - x0), h / (y1 - y0), 1.3);
  ds.scale = s;
  ds.offset[0] = (L + w / 2) / s - (x0 + x1) / 2;
  ds.offset[1] = (T + h / 2) / s - (y0 + y1) / 2;
  ds.onChanged?.(s, ds.offset);
  c.setDirty(true, true);
}}"""
