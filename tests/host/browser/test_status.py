"""What a node shows of its run: plain text, every image, in a room that it gives back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import draw
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

STATUS = ".sf-status"
DONE = {"en": "3 images, 1024×1024", "zh": "3 张图片，1024×1024"}
SMALL = {"model": "Qwen/Qwen-Image", "image_size": "custom", "width": 64, "height": 64}
WATCH = f"""() => {{
  window.statusLines = [];
  window.readAloud = [];
  const live = document.querySelector('body > [role=status].sf-off-screen');
  let said = live.textContent;
  window.statusObserver = new MutationObserver(() => {{
    for (const line of document.querySelectorAll('{STATUS} p'))
      if (line.textContent && line.textContent !== statusLines.at(-1))
        statusLines.push(line.textContent);
    if (live.textContent && live.textContent !== said) readAloud.push(live.textContent);
    said = live.textContent;
  }});
  statusObserver.observe(document.body, {{ subtree: true, childList: true, characterData: true }});
}}"""
WATCHED = "() => statusLines"
LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"], scope="module")
LARGEST = 400
"""Pixels that a text box is high at most."""
BOXES = """node => [...document.querySelectorAll(
    `[data-node-id="${node}"] textarea, .dom-widget textarea`)]
  .filter(e => e.checkVisibility()).map(e => e.offsetHeight)"""


@LANGUAGES
def test_the_images_of_a_run_take_room_and_give_it_back(page: Page) -> None:
    """The text boxes stay as they are, and what is saved, copied or undone is the node itself."""
    node = draw(page, f"A kite {secrets.token_hex(4)}", batch_size=3)
    before, boxes = page.size(node), page.js(BOXES, node)
    assert boxes
    for _ in range(2):
        page.run()
        images = page.page.locator(f"{STATUS} img")
        assert images.count() == 3, "those of this run alone"
        alts = [words("page.status.image", page.language, n=n) for n in (1, 2, 3)]
        assert [each.get_attribute("alt") for each in images.all()] == alts
        assert page.page.locator(STATUS).inner_text().startswith(DONE[page.language])
        room = page.page.locator(STATUS).evaluate("e => e.offsetHeight")
        assert room > 200
        assert page.size(node)[1] == pytest.approx(before[1] + room, abs=5)
        assert page.js(BOXES, node) == pytest.approx(boxes, abs=2)
        saved = page.saved()
        [size] = [each["size"] for each in saved["nodes"] if each["id"] == node]
        assert tuple(size) == pytest.approx(before, abs=1)
        if page.look == "nodes2" and page.version.startswith("0.8."):
            continue  # it enlarges what it loads, by a fifth
        page.load(saved)
        assert page.size(node) == pytest.approx(before, abs=1)
        assert page.js(BOXES, node) == pytest.approx(boxes, abs=2)


@pytest.fixture
def one_at_a_time(comfy: Comfy) -> Iterator[None]:
    """Send one request after the other."""
    before = comfy.get("/siliconflow/settings").json()["values"]["max_parallel"]
    comfy.post("/siliconflow/settings", {"max_parallel": 1})
    yield
    comfy.post("/siliconflow/settings", {"max_parallel": before})


@LANGUAGES
@pytest.mark.usefixtures("one_at_a_time")
def test_the_line_of_a_run_counts_its_images_seconds_and_cost(
    page: Page, service: Simulator, language: str
) -> None:
    """ "2 of 4 · 12 s · ¥0.60", as they come, and nothing else."""
    service.latency = 3.0
    draw(page, f"A kite {secrets.token_hex(4)}", batch_size=4, **SMALL)
    page.js(WATCH)
    assert page.run().status == "success"
    lines = page.js(WATCHED)

    def line_of(done: int, cost: str) -> str:
        seconds = words("run.seconds", language, seconds="-1")
        parts = [words("run.done_of", language, done=done, of=4), seconds, *[cost] * bool(cost)]
        return re.escape(" · ".join(parts)).replace(re.escape("-1"), r"(\d+)")

    seconds = []
    for done, cost in enumerate(("", "¥0.30", "¥0.60", "¥0.90")):
        matches = [match for line in lines if (match := re.fullmatch(line_of(done, cost), line))]
        assert matches, (done, lines)
        seconds += [int(match[1]) for match in matches]
    assert seconds == sorted(seconds)
    assert seconds[-1] > seconds[0]
    assert lines[-1].split("\n")[0].endswith(" · ¥1.20")
    page.wait_for("() => readAloud.length")
    assert page.js("() => readAloud") == [lines[-1].split("\n")[0]], "the last line alone is read"


@LANGUAGES
def test_the_line_of_a_paid_run_says_what_it_cost(page: Page, service: Simulator) -> None:
    prompt = f"A kite {secrets.token_hex(4)}"
    draw(page, prompt, batch_size=2, **SMALL)
    page.run()
    line = page.page.locator(f"{STATUS} p").inner_text().split("\n")[0]
    assert line.endswith(" · ¥0.60"), line
    assert service.generations


@LANGUAGES
@pytest.mark.parametrize("look", ["classic"])
def test_a_text_box_has_a_largest_height(page: Page) -> None:
    """In a node saved much too high; in Nodes 2.0 a box fills what the user gave its node."""
    node = draw(page, "A kite")
    saved = page.saved()
    saved["nodes"][0]["size"] = [400, 3000]
    page.load(saved)
    boxes = page.js(BOXES, node)
    assert boxes
    assert max(boxes) <= LARGEST


@LANGUAGES
def test_a_copy_and_the_workflow_in_an_image_have_no_room_for_what_is_shown(
    page: Page,
) -> None:
    """Both are made while the node is higher by the images of its run."""
    if page.look == "nodes2" and page.version.startswith("0.8."):
        pytest.skip("this page enlarges what it loads, by a fifth")
    node = draw(page, f"A kite {secrets.token_hex(4)}")
    page.link(node, 0, page.add("SaveImage", (1200, 200)), "images")
    before, boxes = page.size(node), page.js(BOXES, node)
    assert boxes
    page.run()
    page.page.locator(f"{STATUS} img").wait_for()
    page.change(node, "prompt", f"A kite {secrets.token_hex(4)}")
    files = page.run().files  # queued while the images of the first run are shown
    assert page.size(node)[1] > before[1] + 200

    page.select(node)
    page.press("Control+c")
    page.press("Control+v")
    [copy] = set(page.ids("SiliconFlowTextToImage")) - {node}
    assert page.size(copy) == pytest.approx(before, abs=1)
    page.run()
    page.clear()

    page.drop(next(file for file in files if "output" in file.parts))
    page.wait_for("() => app.graph._nodes.length === 3")
    [opened] = page.ids("SiliconFlowTextToImage")
    assert page.size(opened) == pytest.approx(before, abs=1)
    assert page.js(BOXES, opened) == pytest.approx(boxes, abs=2)
    page.run()
    page.page.locator(f"{STATUS} img").wait_for()
    assert page.size(opened)[1] > before[1] + 200


PLACES = """() => [...document.querySelectorAll('.sf-status img')].map(image => {
  const { left, top, width, height } = image.getBoundingClientRect();
  return [left, top, width / height, image.naturalWidth / image.naturalHeight];
})"""


@LANGUAGES
def test_several_images_are_a_grid_and_one_has_its_own_shape(page: Page, shots: Path) -> None:
    wide = {"image_size": "custom", "width": 1280, "height": 640, "model": "Kwai-Kolors/Kolors"}
    node = draw(page, f"A kite {secrets.token_hex(4)}", **wide, batch_size=3)
    page.run()
    page.fit()
    page.wait_for(f"() => ({PLACES})().filter(([,,, shape]) => shape > 0).length === 3")
    page.shot(shots / f"grid-{page.look}-{page.language}.png", node)
    (left1, top1, *_), (left2, top2, *_), (left3, top3, *_) = page.js(PLACES)
    assert left1 == left3 < left2
    assert top1 == top2 < top3
    for *_, shown, own in page.js(PLACES):
        assert own == pytest.approx(2, abs=0.05)
        assert shown == pytest.approx(own, abs=0.05), "nothing is cut, nothing is empty beside it"


SOURCES = f"() => [...document.querySelectorAll('{STATUS} img')].map(image => image.src)"
NOTE_ARRIVALS = f"""() => {{
  const before = ({SOURCES})();
  window.arrived = [];
  new MutationObserver(() => {{
    for (const source of ({SOURCES})())
      if (![...before, ...arrived].includes(source)) arrived.push(source);
  }}).observe(document.body, {{ subtree: true, childList: true }});
}}"""


def test_an_image_that_comes_late_stands_in_its_place_of_the_batch(
    page: Page, service: Simulator
) -> None:
    prompt = f"A kite {secrets.token_hex(4)}"
    node = draw(page, prompt, seed=2, control_after_generate="fixed", **SMALL)
    page.run()
    page.change(node, "seed", 1)
    page.change(node, "batch_size", 3)  # its second image is that of the first run, and there
    page.js(NOTE_ARRIVALS)
    service.latency = 5.0
    assert page.run().status == "success"
    page.wait_for("() => arrived.length === 3")
    sources = page.js(SOURCES)
    assert sources.index(page.js("() => arrived[0]")) == 1
    alts = [words("page.status.image", page.language, n=n) for n in (1, 2, 3)]
    assert [each.get_attribute("alt") for each in page.page.locator(f"{STATUS} img").all()] == alts


@LANGUAGES
def test_a_subgraph_shows_what_its_nodes_do_and_gives_the_room_back(page: Page) -> None:
    node = draw(page, f"A kite {secrets.token_hex(4)}")
    page.js(
        "id => { const g = app.graph; app.canvas.selectItems([g.getNodeById(id)]);"
        " g.convertToSubgraph(new Set([g.getNodeById(id)])); }",
        node,
    )
    (subgraph,) = set(page.ids()) - set(page.ids("PreviewImage"))
    before, exported = page.size(subgraph), page.exported()
    page.run()
    page.fit()
    page.page.locator(f"{STATUS} img:visible").wait_for()
    assert page.size(subgraph)[1] > before[1] + 100
    [size] = [each["size"] for each in page.saved()["nodes"] if each["id"] == subgraph]
    assert tuple(size) == pytest.approx(before, abs=1)
    assert page.exported().keys() == exported.keys()


@LANGUAGES
def test_a_text_is_shown_as_it_is(page: Page, service: Simulator) -> None:
    """What a model or a gateway wrote brings neither links nor images, and lines stay lines."""
    said = "*one* _two_ <b>three</b> [four](http://a.test/) ![five](http://a.test/b.png)"
    node, shown = page.add("SiliconFlowChat"), page.add("PreviewAny", (700, 200))
    page.link(node, 0, shown, "source")
    page.change(node, "prompt", f"{said}\n{LONG}\n{secrets.token_hex(4)}")
    requested: list[str] = []
    page.page.on("request", lambda request: requested.append(request.url))
    page.run()
    status = page.page.locator(f"{STATUS} p")
    assert said in status.inner_text()
    assert "\n" in status.inner_text()
    assert status.evaluate("e => e.children.length") == 0
    assert page.js(BROKEN) == []
    assert not [url for url in requested if "a.test" in url]
    assert service.requests


LONG = "unmistakable characteristics notwithstanding straightforwardly " * 3
BROKEN = r"""() => {
  const [text] = document.querySelector('.sf-status p').childNodes, range = new Range();
  return [...text.data.matchAll(/[A-Za-z]+/g)].filter(({ 0: word, index }) => {
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1;
  }).map(([word]) => word);
}"""
"""The words of what a node says that stand on two lines."""
