"""A failure of ours is read at once: what happened, whether it was paid, the trace id to copy."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import SIZE, Page
from comfyui_siliconflow.tests.host.browser.panels import draw, forgive_refusals
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Route

CARD = ".sf-failure"
PAID = "Qwen/Qwen-Image"
RETIRED = "stabilityai/stable-diffusion-xl-base-1.0"
ELSEWHERE = "black-forest-labs/FLUX-1.1-pro"
BOTH = pytest.mark.parametrize("language", LANGUAGES, scope="module")
HOST_OVERLAY = '[data-testid="error-overlay"]'
CUT = """() => [...document.querySelectorAll('.sf-failure, .sf-failure *')]
  .filter(e => e.scrollHeight > e.clientHeight + 2 && e.clientHeight > 0
    && getComputedStyle(e).overflowY !== 'visible').map(e => e.outerHTML)"""
"""What does not show all of itself, in a card that is not itself scrolled."""
HOST_DIALOG = '[aria-labelledby="global-execution-error"]'
FAIL = """async model => {
  const { api } = await import('/scripts/api.js');
  const detail = { node: model, kind: 'BadRequest', model, charged: false, trace_id: model,
    title: { en: 'Refused', zh: '' }, message: { en: 'Refused: bad size', zh: '' } };
  api.dispatchEvent(new CustomEvent('siliconflow.failed', { detail }));
}"""

COVERING = """() => [...document.querySelectorAll('.sf-failure')].map(card => {
  const { left, top, width, height } = card.getBoundingClientRect();
  const seen = document.elementFromPoint(left + width / 2, top + height / 2);
  return card.contains(seen);
})"""
"""Whether each card is what a click in its middle would meet."""


@pytest.fixture
def node(page: Page) -> int:
    """Put a node on the canvas whose request nobody has paid before, and whose seed stays."""
    prompt = f"An image that will not come {secrets.token_hex(4)}"
    return draw(page, prompt, control_after_generate="fixed")


@BOTH
def test_a_failure_is_shown_in_full_and_once(
    page: Page, node: int, service: Simulator, language: str
) -> None:
    """Where ComfyUI's own message would be, while its graph is open; one line on the node."""
    title = words("error.RequestError.what", language)
    service.fail(400, body={"code": 20015, "message": "The image is too wide. " * 20})
    assert page.run().status == "error"
    card = page.page.locator(CARD)
    card.wait_for()
    trace = service.generations[-1].trace_id
    said = card.inner_text()
    assert said.count(title) == 1
    assert words("page.failure.not_charged", language) in said
    assert "Kolors" in said
    assert said.count(trace) == 1
    assert not [text for text in page.dialogs() if trace in text], "ComfyUI's dialog repeats it"
    assert node in page.ids()
    assert said.count("The image is too wide.") == 20
    assert page.page.locator(HOST_OVERLAY).count() == 0
    assert page.js(CUT) == []
    assert page.page.locator(".sf-status p").inner_text() == title
    box = card.bounding_box()
    assert box
    assert box["x"] > SIZE["width"] / 2, "beside the Run button"
    assert box["y"] < SIZE["height"] / 4
    page.clear()
    assert card.count() == 0


@BOTH
def test_what_may_have_been_paid_is_run_again_with_its_seed(
    page: Page, service: Simulator, language: str
) -> None:
    prompt = f"A kite {secrets.token_hex(4)}"
    node = draw(page, prompt, model=PAID, control_after_generate="randomize", seed=77)
    service.fail(500, made=True)
    page.run()
    assert page.values(node)["seed"] != 77
    again = words("page.failure.again_seed", language, seed=77)
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")):
        page.page.locator(CARD).get_by_role("button", name=again).click()
    page.comfy.wait_for(
        lambda: len(service.generations) > 1 and service.generations[-1].status == 200
    )
    assert service.generations[-1].body["seed"] == 77
    values = page.values(node)
    assert (values["seed"], values["control_after_generate"]) == (77, "fixed")
    assert page.page.locator(CARD).count() == 0


@BOTH
def test_a_card_offers_a_living_model_and_the_setting_that_stopped_a_run(
    fresh_page: Page, service: Simulator, comfy: Comfy, language: str
) -> None:
    page = fresh_page
    node = draw(
        page, f"A kite {secrets.token_hex(4)}", control_after_generate="fixed", batch_size=2
    )
    page.change(node, "model", RETIRED)
    service.fail(400, body="model-400")
    page.run()
    card = page.page.locator(CARD)
    said = card.inner_text()
    general = words("error.ModelNotFound.advice", language)
    special = words("run.instead", language, models="").strip(".。")
    assert said.index(special) < said.index(general), "what is special comes first"
    use = words("page.failure.use_model", language, model="").strip()
    card.get_by_role("button", name=use).click()
    assert page.values(node)["model"] in said
    assert page.values(node)["model"] != RETIRED
    comfy.request("POST", "/siliconflow/settings", json={"most_pictures": 1})
    try:
        page.run()
        setting = words("page.setting.most_pictures", language)
        change = words("page.failure.setting", language, name=setting)
        page.page.locator(CARD).get_by_role("button", name=change).click()
        page.wait_for("() => document.activeElement?.name === 'most_pictures'")
    finally:
        comfy.request("POST", "/siliconflow/settings", json={"most_pictures": 0})


@BOTH
def test_an_empty_account_can_be_topped_up_from_the_card(
    fresh_page: Page, service: Simulator, language: str
) -> None:
    page = fresh_page
    draw(page, f"A kite {secrets.token_hex(4)}", control_after_generate="fixed")
    service.fail(402, body="balance-402")
    page.run()
    card = page.page.locator(CARD)
    page.page.context.route("https://cloud.siliconflow.*/**", lambda route: route.fulfill(body=""))
    with page.page.context.expect_page() as opened:
        card.get_by_role("button", name=words("page.failure.top_up", language)).click()
    site = page.comfy.get("/siliconflow/settings").json()["values"]["site"]
    opened.value.wait_for_url(f"https://cloud.siliconflow.{site}/expensebill")
    opened.value.close()
    card.get_by_role("button", name=words("page.failure.again", language)).click()
    card.wait_for(state="detached")
    page.comfy.wait_for(lambda: service.generations[-1].status == 200)


@BOTH
def test_a_model_of_the_other_site_is_a_press_from_its_site(
    fresh_page: Page, service: Simulator, language: str, shots: Path
) -> None:
    """The dialog of the key opens with that site chosen: each has accounts of its own."""
    page = fresh_page
    page.page.route("**/siliconflow/settings", as_for_most_users)
    page.open()
    page.clear()
    draw(page, f"A kite {secrets.token_hex(4)}", model=ELSEWHERE)
    service.fail(400, body="model-400")
    page.run()
    card = page.page.locator(CARD)
    site = words("page.site.com", language)
    assert words("run.other_site", language, model=ELSEWHERE, its="com", here="cn", name=site) in (
        card.inner_text().replace("\n", " ")
    )
    page.shot(shots / f"other-site-{page.look}-{language}.png")
    card.get_by_role("button", name=words("page.failure.other_site", language, site=site)).click()
    dialog = page.page.locator("dialog.sf-dialog")
    dialog.get_by_role("radio", name=site).wait_for()
    assert dialog.get_by_role("radio", name=site).is_checked()
    assert dialog.get_by_role("link").inner_text() == "cloud.siliconflow.com/account/ak"
    assert card.count() == 0
    dialog.get_by_role("textbox").fill("sk-of-the-other-site")
    with page.page.expect_request("**/siliconflow/key/test") as tested:
        dialog.get_by_role("button", name=words("page.first.save", language)).click()
    assert '"com"' in str(tested.value.post_data)
    page.settle(2)
    forgive_refusals(page)


SAVED = "() => { app.extensionManager.workflow.activeWorkflow.isModified = false }"


def as_for_most_users(route: Route) -> None:
    """Answer with settings that no variable of the environment fixes."""
    response = route.fetch()
    settings = response.json()
    settings["fixed"] = {}
    settings["key"]["source"] = "file"
    route.fulfill(response=response, json=settings)


@BOTH
@pytest.mark.parametrize("failed", [1, 3])
def test_a_card_says_how_many_images_did_not_come_only_if_some_did(
    page: Page, service: Simulator, language: str, failed: int
) -> None:
    draw(page, f"A kite {secrets.token_hex(4)}", model=PAID, batch_size=3)
    service.fail(400, times=failed)
    page.run()
    title = page.page.locator(f"{CARD} h3").inner_text()
    images = words("item.image.some", language)
    in_part = words("run.failed_what", language, failed=1, requested=3, items=images)
    assert title == (in_part if failed == 1 else words("error.RequestError.what", language))
    saved = words("run.rest_saved", language, n=2)
    assert (saved in page.page.locator(CARD).inner_text()) == (failed == 1)


@BOTH
def test_a_card_is_seen_with_its_workflow_and_goes_with_it(
    page: Page, node: int, service: Simulator
) -> None:
    service.fail(400)
    page.run()
    card = page.page.locator(CARD)
    card.wait_for()
    page.command("Comfy.NewBlankWorkflow")
    page.wait_for("() => !app.graph._nodes.length")
    card.wait_for(state="detached")
    assert node not in page.ids()
    page.command("Workspace.PreviousOpenedWorkflow")
    page.wait_for("() => app.graph._nodes.length > 0")
    card.wait_for()
    page.js(
        "() => { app.extensionManager.workflow.activeWorkflow.isModified = false }"
    )  # or it asks
    page.command("Workspace.CloseWorkflow")
    page.wait_for("() => !app.graph._nodes.length")
    card.wait_for(state="detached")


@pytest.mark.parametrize("field", ["prompt", "model"])
def test_what_is_refused_when_it_is_queued_is_reported_once(
    page: Page, node: int, field: str
) -> None:
    page.change(node, field, "" if field == "prompt" else "Gone/Model")
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")) as info:
        page.js("() => { app.queuePrompt(0, 1) }")
    assert info.value.status == 400
    assert len(info.value.json()["node_errors"][str(node)]["errors"]) == 1
    page.wait_for("() => Object.keys(app.lastNodeErrors ?? {}).length > 0")
    marked = page.js("id => app.lastNodeErrors[id].errors.map(e => e.extra_info.input_name)", node)
    assert marked == [field]


def queue_refused(page: Page) -> None:
    """Queue what ComfyUI refuses altogether."""
    with page.page.expect_response(lambda r: r.url.split("?")[0].endswith("/prompt")) as info:
        page.js("() => { app.queuePrompt(0, 1) }")
    assert info.value.status == 400


@BOTH
def test_what_is_refused_when_it_is_queued_is_read_at_once(
    page: Page, node: int, language: str
) -> None:
    page.change(node, "prompt", "")
    queue_refused(page)
    card = page.page.locator(CARD)
    card.wait_for()
    said = card.inner_text()
    assert words("page.failure.refused", language) in said
    assert said.count(words("invalid.empty", language)) == 1
    assert words("input.prompt.name", language) in said
    assert words("page.failure.not_charged", language) in said
    page.change(node, "prompt", "An image that will come")
    assert page.run().status == "success"
    assert page.page.locator(CARD).count() == 0


def test_a_refusal_outlasts_the_run_of_what_was_not_refused(page: Page, node: int) -> None:
    """ComfyUI runs the rest of the graph; that run begins after the card came."""
    refused = draw(page, "")
    assert refused != node
    assert page.run().status == "success"
    assert "prompt: must not be empty" in page.page.locator(CARD).inner_text()
    page.change(refused, "prompt", "Another image that will come")
    assert page.run().status == "success"
    assert page.page.locator(CARD).count() == 0


@pytest.mark.parametrize("look", ["classic"])
def test_many_refusals_do_not_pile_up(page: Page) -> None:
    for _ in range(5):
        draw(page, "")
    queue_refused(page)
    cards = page.page.locator(CARD)
    cards.first.wait_for()
    assert cards.count() == 3
    page.page.get_by_text("and 2 more nodes with invalid inputs").wait_for()
    page.settle(2)
    if page.dialogs():  # older pages say it in one, too
        page.page.keyboard.press("Escape")
    cards.first.get_by_role("button", name="Close").click()
    assert cards.count() == 3
    page.page.get_by_text("and 1 more node with invalid inputs").wait_for()


@pytest.mark.usefixtures("node")
def test_the_trace_id_is_copied(page: Page, service: Simulator) -> None:
    service.fail(400)
    page.run()
    page.page.locator(CARD).get_by_role("button", name="Copy trace ID").click()
    page.settle()
    assert page.js("() => navigator.clipboard.readText()") == service.generations[-1].trace_id


@pytest.mark.parametrize("look", ["classic"])
def test_what_may_have_been_paid_is_said(page: Page, node: int, service: Simulator) -> None:
    page.change(node, "model", PAID)
    service.fail(500)
    page.run()
    page.page.locator(CARD).get_by_text("May have been charged", exact=True).wait_for()


@pytest.mark.parametrize("look", ["classic"])
@pytest.mark.usefixtures("node")
def test_a_wrong_key_can_be_mended_from_the_card(page: Page, service: Simulator) -> None:
    service.fail(401)
    page.run()
    page.page.locator(CARD).get_by_role("button", name="Set API key").click()
    page.page.locator("dialog.sf-dialog").get_by_text("SILICONFLOW_API_KEY").wait_for()
    assert page.page.locator(CARD).count() == 0


@pytest.mark.parametrize("look", ["classic"])
@pytest.mark.usefixtures("node")
def test_queueing_again_takes_the_old_cards_away(page: Page, service: Simulator) -> None:
    service.fail(400)
    page.run()
    page.page.locator(CARD).wait_for()
    assert page.run().status == "success"
    assert page.page.locator(CARD).count() == 0


@pytest.mark.parametrize("look", ["classic"])
def test_only_what_is_new_is_put_before_a_reader_for_the_blind(page: Page) -> None:
    region = page.page.get_by_role("region", name="SiliconFlow messages", include_hidden=True)
    assert region.count() == 1, "a region that comes with its content is not read aloud"
    assert region.inner_text().strip() == ""
    for model in ("first", "second"):
        page.js(FAIL, model)
        page.page.get_by_role("alert").filter(has_text=model).wait_for()
        page.js("() => document.querySelectorAll('.sf-failure').forEach(c => { c.isOld = true })")
    page.js(FAIL, "third")
    assert page.js("() => [...document.querySelectorAll('.sf-failure')].map(c => !!c.isOld)") == [
        False,
        True,
        True,
    ]
    page.page.locator(CARD).get_by_role("button", name="Close").nth(1).click()
    assert page.page.locator(CARD).count() == 2


def test_the_cards_wait_below_a_dialog_of_comfyui_s(page: Page) -> None:
    for model in ("first", "second", "third"):
        page.js(FAIL, model)
    page.page.locator(CARD).nth(2).wait_for()
    assert page.js(COVERING) == [True, True, True], "on the canvas they lie above all"
    page.command("SiliconFlow.OpenSettings")
    page.page.locator('.sf-control [name="key"]').wait_for()
    page.settle(2)
    assert page.js(COVERING) == [False, False, False]
    page.page.keyboard.press("Escape")
    page.page.locator('.sf-control [name="key"]').wait_for(state="detached")
    page.settle(2)
    assert page.js(COVERING) == [True, True, True]


@pytest.mark.parametrize("look", ["classic"])
def test_many_failures_do_not_pile_up(page: Page, service: Simulator) -> None:
    for at in range(6):
        draw(page, f"An image {at} that will not come, {service.base_url}")
    service.fail(400, times=6)
    assert page.run().status == "error"
    page.page.locator(CARD).first.wait_for()
    assert page.page.locator(CARD).count() <= 3


@pytest.mark.parametrize("look", ["classic"])
def test_what_another_node_says_is_never_closed_unread(page: Page) -> None:
    """Of two of our nodes that fail in one run ComfyUI names one; the other's number stays."""
    page.js(FAIL, "1")
    fail_elsewhere(page, 1)
    page.settle(3)
    said = page.page.locator(HOST_DIALOG)
    if not said.count() and page.page.get_by_text("View details").count():
        pytest.skip("this page says of errors that there are some, and opens no dialog")
    assert "unterminated subpattern" in said.inner_text()


def fail_elsewhere(page: Page, node: int) -> None:
    """Run a node of ComfyUI's own, under this id, that fails."""
    while max(page.ids(), default=0) < node - 1:
        page.add("Note")
    failing, preview = page.add("RegexReplace"), page.add("PreviewAny", (700, 200))
    assert failing == node
    page.link(failing, 0, preview, "source")
    page.change(failing, "regex_pattern", "(")
    assert page.run().status == "error"
