"""A real page for the tests: Chromium on a running ComfyUI, in either look and either language.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> python -m pytest tests/host/browser

Optional: COMFYUI_FRONTEND, the `static` folder of another comfyui-frontend-package; CHROMIUM, a
browser that Playwright did not bring itself.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
HAS_PLAYWRIGHT = importlib.util.find_spec("playwright") is not None
REASON = "Playwright is not here: pip install -e '.[browser]'"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-proxy-server",
    # Nothing from outside this machine: it would hang, or make the tests depend on it. To ask
    # Playwright for each request takes as long again as all else that opens a page.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
LOOKS = ("classic", "nodes2")
LANGUAGES = ("en", "zh")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where no browser can be driven."""
    if HAS_PLAYWRIGHT:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium once a module: Playwright's loop may not be open while other tests run."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everybody has it

    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(params=LOOKS, scope="module")
def look(request: pytest.FixtureRequest) -> str:
    """Return each look of ComfyUI's page in turn: the classic canvas and Nodes 2.0."""
    return str(request.param)


@pytest.fixture
def language() -> str:
    """Return the page's language; a test that is about languages parametrises it."""
    return "en"


@pytest.fixture
def open_page(comfy: Comfy, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages as a new visitor would, each with its look and language; no script may fail."""
    pages: list[Page] = []

    def open_one(
        look: str = "classic",
        language: str = "en",
        on: Comfy = comfy,
        *,
        scripts: bool = True,
        user: str = "",
        address: str = "",
    ) -> Page:
        page = Page(browser, on, look, language, scripts=scripts, user=user, address=address)
        pages.append(page)
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()
    assert [error for page in pages for error in page.errors] == []


@pytest.fixture(scope="module")
def keyless(
    tmp_path_factory: pytest.TempPathFactory, running_service: Simulator
) -> Iterator[Comfy]:
    """Start a ComfyUI whose environment has the service's address, but no key."""
    checkout, python = Path(os.environ["COMFYUI_PATH"]), os.environ["COMFYUI_PYTHON"]
    comfy = Comfy(checkout, python, tmp_path_factory.mktemp("keyless"))
    try:
        comfy.start({"SILICONFLOW_BASE_URL": running_service.base_url})
        yield comfy
    finally:
        comfy.stop()


@pytest.fixture(scope="module")
def kept_pages(browser: Browser) -> Iterator[dict[tuple[str, str], Page]]:  # noqa: ARG001 - closed before it is
    """Hold the pages of one look that `page` keeps open, by language."""
    kept: dict[tuple[str, str], Page] = {}
    yield kept
    for page in kept.values():
        page.close()


@pytest.fixture
def page(
    comfy: Comfy,
    browser: Browser,
    kept_pages: dict[tuple[str, str], Page],
    look: str,
    language: str,
    request: pytest.FixtureRequest,
) -> Iterator[Page]:
    """Return a page with an empty canvas: that of an earlier test, for to open one takes seconds.

    What a test that failed may have left in it, no other test meets. A test that changes what
    outlives a workflow wants a `fresh_page`.
    """
    for kept in [kept for kept in kept_pages if kept[0] != look]:
        kept_pages.pop(kept).close()
    if (look, language) in kept_pages:
        kept_pages[look, language].tidy()
    else:
        kept_pages[look, language] = Page(browser, comfy, look, language)
    page = kept_pages[look, language]
    failures = request.session.testsfailed
    yield page
    if page.errors or request.session.testsfailed > failures:
        kept_pages.pop((look, language)).close()
    assert page.errors == []


@pytest.fixture
def fresh_page(open_page: Callable[..., Page], look: str, language: str) -> Page:
    """Return a page that was just opened, with an empty canvas."""
    return open_page(look, language)


@pytest.fixture
def shots() -> Path:
    """Return the folder for images of the page: SHOTS, else one that is soon forgotten."""
    folder = Path(os.environ.get("SHOTS", "/tmp/comfyui-siliconflow-shots"))  # noqa: S108
    folder.mkdir(parents=True, exist_ok=True)
    return folder
