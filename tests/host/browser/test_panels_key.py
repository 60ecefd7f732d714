"""The key and the settings in ComfyUI's own dialog: set, tried, deleted, found nowhere else."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.panels import (
    draw,
    forgive_refusals,
    settings_file,
    stored,
)
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Response

WORDS = {
    "en": {
        "save": "Save",
        "test": "Test connection",
        "delete": "Delete",
        "in_use": "In use: …",
        "refused": "does not accept this key",
        "unchanged": "current key stays in use",
    },
    "zh": {
        "save": "保存",
        "test": "测试连接",
        "delete": "删除",
        "in_use": "正在使用：…",
        "refused": "不接受这个密钥",
        "unchanged": "仍使用原来的密钥",
    },
}
PAGES = ("/settings", "/history", "/queue", "/object_info", "/system_stats", "/internal/logs/raw")


@pytest.fixture(autouse=True)
def without_a_key(keyless: Comfy) -> None:
    """Begin each test as a new user."""
    keyless.forget_settings()


def row(page: Page, name: str) -> Locator:
    return page.page.locator(".sf-control").filter(has=page.page.locator(f'[name="{name}"]'))


def field(page: Page, name: str) -> Locator:
    return page.page.locator(f'.sf-control [name="{name}"]')


def open_settings(page: Page) -> None:
    page.command("SiliconFlow.OpenSettings")
    field(page, "key").wait_for()


def press(page: Page, name: str, label: str) -> None:
    row(page, name).get_by_role("button", name=label, exact=True).click()


def save_key(page: Page, key: str, language: str = "en") -> None:
    open_settings(page)
    field(page, "key").fill(key)
    press(page, "key", WORDS[language]["save"])
    row(page, "key").get_by_text(WORDS[language]["in_use"] + key[-4:]).wait_for()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_key_is_tried_stored_and_deleted(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator, language: str
) -> None:
    words, key = WORDS[language], running_service.key
    page = open_page(language=language, on=keyless)
    open_settings(page)
    field(page, "key").fill(key)
    press(page, "key", words["test"])
    row(page, "key").get_by_text(running_service.base_url).wait_for()
    assert stored(keyless) == {}

    press(page, "key", words["save"])
    row(page, "key").get_by_text(words["in_use"] + key[-4:]).wait_for()
    assert stored(keyless)["api_key"] == key
    assert stat.S_IMODE(settings_file(keyless).stat().st_mode) == 0o600
    assert field(page, "key").input_value() == ""

    press(page, "key", words["delete"])
    page.page.locator(".p-dialog, [role=dialog]").get_by_text(
        words["delete"], exact=True
    ).last.click()
    row(page, "key").get_by_text("cloud.siliconflow.cn/account/ak").wait_for()
    assert "api_key" not in stored(keyless)


def test_a_wrong_key_is_distinguished_from_a_right_one(
    open_page: Callable[..., Page], keyless: Comfy
) -> None:
    page = open_page(on=keyless)
    open_settings(page)
    field(page, "key").fill("sk-of-somebody-else")
    press(page, "key", "Test connection")
    row(page, "key").get_by_text("does not accept the API key").wait_for()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_wrong_key_does_not_replace_a_right_one(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator, language: str
) -> None:
    words = WORDS[language]
    page = open_page(language=language, on=keyless)
    save_key(page, running_service.key, language)
    field(page, "key").fill("sk-of-somebody-else")
    press(page, "key", words["save"])
    message = row(page, "key").locator(".sf-is-problem", has_text=words["refused"])
    message.wait_for()
    assert words["unchanged"] in message.inner_text()
    assert stored(keyless)["api_key"] == running_service.key
    assert field(page, "key").input_value() == "sk-of-somebody-else", "to be mended, not typed anew"
    forgive_refusals(page)


def test_a_key_is_saved_untested_while_the_service_is_out_of_reach(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    page = open_page(on=keyless)
    open_settings(page)
    field(page, "key").fill(running_service.key)
    running_service.fail(503, times=50, on="models")
    try:
        press(page, "key", "Save")
        message = row(page, "key").locator(".sf-is-warning", has_text="not tested")
        message.wait_for(timeout=60_000)
    finally:
        running_service.clear_failures()
    assert message.inner_text().startswith("Saved, but not tested: ")
    assert stored(keyless) == {"api_key": running_service.key}
    forgive_refusals(page)


def test_the_key_is_in_nothing_that_page_and_server_hold(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator, look: str
) -> None:
    key, answers = running_service.key, []
    page = open_page(look, on=keyless)
    page.page.on("response", lambda answer: answers.append((answer.url, body_of(answer))))
    save_key(page, key)
    press(page, "key", "Test connection")
    row(page, "key").get_by_text(running_service.base_url).wait_for()
    page.page.keyboard.press("Escape")
    page.settle()
    draw(page, f"A kite, {look}")
    assert page.run().status == "success"

    held = {
        "elements": page.page.content(),
        "fields": json.dumps(
            page.js("() => [...document.querySelectorAll('input, textarea')].map(e => e.value)")
        ),
        "storage": page.js("() => JSON.stringify([{...localStorage}, {...sessionStorage}])"),
        "prompt": json.dumps(page.exported()),
        "workflow": json.dumps(page.saved()),
        "console": "\n".join(page.console),
        **{path: keyless.get(path).text for path in PAGES},
        **dict(answers),
    }
    assert "SiliconFlowTextToImage" in held["workflow"]
    assert any("/siliconflow/settings" in name for name in held)
    assert [name for name, text in held.items() if key in text] == []
    files = [file for file in keyless.files() if key.encode() in file.read_bytes()]
    assert files == [settings_file(keyless)]


def body_of(answer: Response) -> str:
    """Return what a route answered; images and what the page left unread have no text."""
    try:
        return str(answer.text())
    except Exception:  # noqa: BLE001 - Playwright raises its own base class for all of these
        return ""


def test_a_setting_is_stored_by_the_pack_and_not_by_comfyui(
    open_page: Callable[..., Page], keyless: Comfy
) -> None:
    page = open_page(on=keyless)
    open_settings(page)
    number = field(page, "max_parallel")
    number.fill("3")
    number.press("Enter")
    row(page, "max_parallel").get_by_text("Saved").wait_for()
    field(page, "reuse").click()
    row(page, "reuse").get_by_text("Saved").wait_for()
    field(page, "site").select_option("com")
    row(page, "site").get_by_text("Saved").wait_for()
    assert stored(keyless) == {"max_parallel": 3, "reuse": False, "site": "com"}
    assert not [name for name in keyless.get("/settings").json() if "SiliconFlow" in name]


@pytest.mark.parametrize("typed", ["0", "-1", "many", "", "0x10", "1,000"])
def test_a_number_that_cannot_be_used_is_reported_and_put_back(
    open_page: Callable[..., Page], keyless: Comfy, typed: str
) -> None:
    before = keyless.get("/siliconflow/settings").json()["values"]["max_parallel"]
    page = open_page(on=keyless)
    open_settings(page)
    number = field(page, "max_parallel")
    number.fill(typed)
    number.press("Enter")
    row(page, "max_parallel").locator(".sf-is-problem").wait_for()
    assert number.input_value() == str(before)
    assert stored(keyless) == {}


def test_the_bounds_of_a_number_are_reported_before_the_server_refuses_it(
    open_page: Callable[..., Page], keyless: Comfy
) -> None:
    settings = keyless.get("/siliconflow/settings").json()
    least, most = settings["bounds"]["ledger_days"]
    page = open_page(on=keyless)
    open_settings(page)
    refused: list[str] = []
    page.page.on("request", lambda sent: refused.append(sent.method))
    number = field(page, "ledger_days")
    for typed in (str(most + 1), str(least / 2)):
        number.fill(typed)
        number.press("Enter")
        row(page, "ledger_days").get_by_text(f"Must be between {least} and {most}").wait_for()
        assert number.input_value() == str(settings["values"]["ledger_days"]).removesuffix(".0")
    assert "POST" not in refused


def test_a_second_page_shows_what_the_first_one_changed(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    first, second = open_page(on=keyless), open_page(on=keyless)
    open_settings(second)
    save_key(first, running_service.key)
    row(second, "key").get_by_text("In use: …" + running_service.key[-4:]).wait_for()


def test_the_balance_follows_the_key_and_a_page_that_opens_asks_nobody(
    open_page: Callable[..., Page], keyless: Comfy, running_service: Simulator
) -> None:
    page = open_page(on=keyless)
    page.command("SiliconFlow.ShowJobs")
    shown = page.page.locator(".sf-balance")
    shown.wait_for(state="hidden")
    save_key(page, running_service.key)
    shown.get_by_text(money(running_service)).wait_for()
    press(page, "key", "Delete")
    page.page.locator(".p-dialog, [role=dialog]").get_by_text("Delete", exact=True).last.click()
    shown.wait_for(state="hidden")
    running_service.balance -= 7
    save_key(page, running_service.key)
    shown.get_by_text(money(running_service)).wait_for()

    requests_before = balance_requests(running_service)
    page.open()
    assert balance_requests(running_service) == requests_before
    assert page.js(KNOWN_BALANCE) == money(running_service)


def balance_requests(service: Simulator) -> int:
    return sum(record.path == "/v1/user/info" for record in service.requests)


KNOWN_BALANCE = """async () => {
    const { balanceLine } = await import('/extensions/comfyui_siliconflow/js/balance.js');
    return balanceLine().querySelector('.sf-balance-amount').textContent;
}"""
"""What a line with the balance begins with."""


def money(service: Simulator) -> str:
    return f"¥{service.balance.quantize(Decimal('0.01'), ROUND_DOWN):,}"


@pytest.mark.parametrize("look", ["classic"])
def test_panels_that_were_closed_get_nothing_any_more(
    open_page: Callable[..., Page], keyless: Comfy, look: str
) -> None:
    page = open_page(look, on=keyless)
    counts = [message_after_opening(page) for _ in range(10)]
    assert counts[-1] == counts[0] < 5, counts


def message_after_opening(page: Page) -> int:
    open_and_close_panels(page)
    return message_elements(page)


def open_and_close_panels(page: Page) -> None:
    open_settings(page)
    page.settle()
    page.page.keyboard.press("Escape")
    field(page, "key").wait_for(state="detached")
    for _ in range(2):
        page.command("SiliconFlow.ShowJobs")
    page.page.locator(".sf-jobs").wait_for(state="detached")


def message_elements(page: Page) -> int:
    """Count what the panels' scripts hold of the page."""
    count: int = page.js(
        """async () => {
            const folder = '/extensions/comfyui_siliconflow/js';
            const { watchers } = await import(`${folder}/settings_store.js`);
            const { lines } = await import(`${folder}/balance.js`);
            return watchers.size + lines.size;
        }"""
    )
    return count


def test_a_page_over_a_network_without_encryption_warns_beside_the_field(
    open_page: Callable[..., Page], keyless: Comfy
) -> None:
    page = open_page(on=keyless)
    open_settings(page)
    assert row(page, "key").get_by_text("not encrypted").count() == 0, "this page is on the machine"
    page.page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.open()
    open_settings(page)
    row(page, "key").get_by_text("not encrypted").wait_for()
    page.page.keyboard.press("Escape")
    page.command("SiliconFlow.SetKey")
    page.page.locator("dialog.sf-dialog").get_by_text("not encrypted").wait_for()


def test_what_the_environment_decides_cannot_be_changed_here(
    open_page: Callable[..., Page], comfy: Comfy
) -> None:
    page = open_page(on=comfy)
    open_settings(page)
    row(page, "key").get_by_text("SILICONFLOW_API_KEY").wait_for()
    assert field(page, "key").is_disabled()
    assert row(page, "key").get_by_role("button", name="Delete").is_hidden()
