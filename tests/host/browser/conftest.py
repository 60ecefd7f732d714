"""A real page for the tests: Chromium on a running ComfyUI, in either look and either language.

COMFYUI_PATH=<checkout> COMFYUI_PYTHON=<its python> python -m pytest tests/host/browser

Optional: COMFYUI_FRONTEND, the `static` folder of another comfyui-frontend-package; CHROMIUM, a
browser that Playwright did not bring itself.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.host.browser.page import Page, launch
from comfyui_siliconflow.tests.host.comfy import Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
HAS_PLAYWRIGHT = importlib.util.find_spec("playwright") is not None
REASON = "Playwright is not here: pip install -e '.[browser]'"
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

    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


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
    with Comfy(tmp_path_factory.mktemp("keyless")) as comfy:
        comfy.start({"SILICONFLOW_BASE_URL": running_service.base_url})
        yield comfy


class KeptPages(dict[tuple[str, str], Page]):
    """The pages of one look that `page` keeps open, by look and language."""

    def __init__(self, browser: Browser, comfy: Comfy) -> None:
        """Begin with none."""
        super().__init__()
        self._open = partial(Page, browser, comfy)

    def get_page(self, look: str, language: str) -> Page:
        """Return a page with an empty canvas, and close those of another look."""
        for other in [kept for kept in self if kept[0] != look]:
            self.pop(other).close()
        if (look, language) in self:
            self[look, language].tidy()
        else:
            self[look, language] = self._open(look, language)
        return self[look, language]


@pytest.fixture(scope="module")
def kept_pages(browser: Browser, comfy: Comfy) -> Iterator[KeptPages]:
    """Keep the pages that `page` opens until the module is over."""
    kept = KeptPages(browser, comfy)
    yield kept
    for page in kept.values():
        page.close()


@pytest.fixture
def page(
    kept_pages: KeptPages, look: str, language: str, request: pytest.FixtureRequest
) -> Iterator[Page]:
    """Return a page with an empty canvas: that of an earlier test, for to open one takes seconds.

    What a test that failed may have left in it, no other test meets. A test that changes what
    outlives a workflow wants a `fresh_page`.
    """
    page, failures = kept_pages.get_page(look, language), request.session.testsfailed
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
