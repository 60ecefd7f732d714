"""ComfyUI below a path, as a reverse proxy serves it that serves other things too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from comfyui_siliconflow.dev.loopback import served
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import ARGUMENTS, Page
from comfyui_siliconflow.tests.host.browser.panels import draw, forgive_refusals
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import HOST, Comfy
from multidict import CIMultiDict
from yarl import URL

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse

PATH = "/comfy"
OF_CONNECTION = {"connection", "content-length", "keep-alive", "transfer-encoding"}


class Proxy:
    """A reverse proxy that serves one target below a path, from a thread of its own."""

    def __init__(self, target: str) -> None:
        """Start it."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        port = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=10)
        self.address = f"http://{HOST}:{port}{PATH}/"

    def close(self) -> None:
        """End it."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", PATH + "/{rest:.*}", self._forward)
        self._serving = contextlib.AsyncExitStack()
        return await self._serving.enter_async_context(served(app))

    async def _stop(self) -> None:
        await self._session.close()
        await self._serving.aclose()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        url = URL(self._target + request.raw_path.removeprefix(PATH), encoded=True)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._forward_socket(request, url)
        forwarded = self._session.request(
            request.method,
            url,
            headers=request.headers,
            data=await request.read(),
            allow_redirects=False,
        )
        async with forwarded as answer:
            headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in OF_CONNECTION]
            return web.Response(
                status=answer.status,
                headers=CIMultiDict(headers),
                body=await answer.read(),
            )

    async def _forward_socket(self, request: web.Request, url: URL) -> web.WebSocketResponse:
        page = web.WebSocketResponse()
        await page.prepare(request)
        async with self._session.ws_connect(url, max_msg_size=0) as comfy:
            to_comfy = asyncio.create_task(_pass_on(page, comfy))
            await _pass_on(comfy, page)
            to_comfy.cancel()
        return page


async def _pass_on(source: Socket, target: Socket) -> None:
    async for message in source:
        if message.type == aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type == aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
    await target.close()


@pytest.fixture
def below(comfy: Comfy) -> Iterator[str]:
    """Serve ComfyUI below a path too, and give the address."""
    proxy = Proxy(comfy.address)
    yield proxy.address
    proxy.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_below_a_path_the_scripts_run_and_reach_the_pack(
    open_page: Callable[..., Page], below: str, look: str, language: str
) -> None:
    page = open_page(look, language, address=below)
    prompt = f"A kite {secrets.token_hex(4)}"
    node = draw(page, prompt)
    assert "cfg" not in page.visible(node), "the catalogue did not arrive"
    page.command("SiliconFlow.ShowJobs")
    assert page.run().status == "success"
    assert_listed_with_its_image(page, prompt)


def assert_listed_with_its_image(page: Page, prompt: str) -> None:
    """Assert that the panel has a result, and that its image comes from the page's address."""
    done = page.page.locator(".sf-job-done", has_text=prompt).first
    image = done.locator("img")
    image.wait_for()
    assert words("page.state.done", page.language) in done.inner_text()
    assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }")
    assert str(image.evaluate("image => image.src")).startswith(page.address)


TUNNEL, NOBODY_S = "kite-and-fox.trycloudflare.com", "kite-and-fox.example.com"
RESOLVE = "--host-resolver-rules="


@pytest.fixture(scope="module")
def elsewhere(browser: Browser) -> Iterator[Browser]:
    """Start a browser for which two names on the internet are this machine."""
    arguments = [each for each in ARGUMENTS if not each.startswith(RESOLVE)]
    names = ", ".join(f"MAP {name} {HOST}" for name in (TUNNEL, NOBODY_S))
    started = browser.browser_type.launch(
        executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
        args=[*arguments, f"{RESOLVE}{names}, MAP * ~NOTFOUND, EXCLUDE {HOST}"],
    )
    yield started
    started.close()


@pytest.fixture
def open_by_name(
    elsewhere: Browser, comfy: Comfy, look: str, language: str
) -> Iterator[Callable[[str], Page]]:
    """Open a page at a host name; no script may fail."""
    pages: list[Page] = []

    def open_one(name: str) -> Page:
        address = f"http://{name}:{comfy.port}"
        pages.append(Page(elsewhere, comfy, look, language, address=address))
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()
        if NOBODY_S in page.address:
            forgive_refusals(page)
    assert [error for page in pages for error in page.errors] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_by_the_name_of_a_tunnel_the_page_works(
    open_by_name: Callable[[str], Page], comfy: Comfy
) -> None:
    page = open_by_name(TUNNEL)
    prompt = f"A kite {secrets.token_hex(4)}"
    node = draw(page, prompt)
    assert "cfg" not in page.visible(node), "the catalogue did not arrive"
    page.command("SiliconFlow.ShowJobs")
    assert page.run().status == "success"
    assert_listed_with_its_image(page, prompt)
    page.command("SiliconFlow.OpenSettings")
    page.page.locator('.sf-control [name="confirm_images"]').fill("17")
    page.page.keyboard.press("Tab")
    try:
        comfy.wait_for(lambda: setting(comfy, "confirm_images") == 17)
    finally:
        comfy.request("POST", "/siliconflow/settings", json={"confirm_images": 16})


@pytest.mark.parametrize("language", LANGUAGES)
def test_by_a_name_that_anybody_may_point_here_the_page_says_what_to_set(
    open_by_name: Callable[[str], Page], language: str
) -> None:
    page = open_by_name(NOBODY_S)
    page.command("SiliconFlow.ShowJobs")
    failed = page.page.locator(".sf-jobs .sf-empty")
    failed.wait_for()
    reason = words("server.unknown_host", language, name=NOBODY_S, variable="SILICONFLOW_HOSTS")
    assert reason in failed.inner_text()


def setting(comfy: Comfy, name: str) -> Any:
    """Return the value of a setting."""
    return comfy.get("/siliconflow/settings").json()["values"][name]
