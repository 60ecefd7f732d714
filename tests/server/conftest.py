"""The pack's routes on a server of their own, on loopback: what ComfyUI's page would send."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from aiohttp import web
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.loopback import served
from comfyui_siliconflow.server import routes
from comfyui_siliconflow.tests.waiting import pack_threads, until

Json = dict[str, Any]
Event = tuple[str, Json, str | None]
WAIT_SECONDS = 15.0


def wait_for(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and give its value."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it never happened")


class Page:
    """Sends requests as the page does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self._http = requests.Session()
        self._http.trust_env = False

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request; JSON bodies are given as `json`, all else as `data` and `headers`."""
        url = path if path.startswith("http") else f"{self.origin}/siliconflow{path}"
        return self._http.request(method, url, timeout=20, **options)

    def get(self, path: str) -> Any:
        """Return the response to a GET that must not fail."""
        return self._good(self.request("GET", path))

    def post(self, path: str, body: Json | None = None) -> Any:
        """Return the response to a POST that must not fail."""
        return self._good(self.request("POST", path, json=body or {}))

    def delete(self, path: str, body: Json | None = None) -> Any:
        """Return the response to a DELETE that must not fail."""
        return self._good(self.request("DELETE", path, json=body or {}))

    def refused(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Return the status and the error of a request that must fail."""
        answer = self.request(method, path, **({} if method == "GET" else {"json": body or {}}))
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]

    def close(self) -> None:
        self._http.close()

    @staticmethod
    def _good(answer: requests.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(autouse=True)
def no_earlier_job() -> None:
    """Wait for the jobs of earlier tests, which would be listed and sent here."""
    until(lambda: not pack_threads())


@pytest.fixture
def page() -> Iterator[Page]:
    """Serve the routes from a thread with an event loop, as ComfyUI does."""
    started, port = threading.Event(), [0]

    async def serve() -> None:
        table = web.RouteTableDef()
        routes.register(table)
        app = web.Application()
        app.add_routes(table)
        async with served(app) as port[0]:
            stop.append(asyncio.get_running_loop().create_future())
            started.set()
            await stop[0]

    stop: list[asyncio.Future[None]] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    client = Page(port[0])
    yield client
    client.close()
    stop[0].get_loop().call_soon_threadsafe(stop[0].set_result, None)
    thread.join()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Return what ComfyUI's server sends: (event, data, page)."""
    events: list[Event] = []

    def send_sync(event: str, data: Json, page: str | None = None) -> None:
        events.append((event, data, page))

    server = SimpleNamespace(send_sync=send_sync, client_id="page-1")
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    return events


@pytest.fixture
def several_users(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Run ComfyUI with several users, as with --multi-user."""

    def change() -> None:
        monkeypatch.setattr(host, "is_multi_user", lambda: True)

    return change
