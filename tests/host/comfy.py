"""A ComfyUI of its own for the tests: started in a folder of its own, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import aiohttp
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from typing_extensions import Self

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_SECONDS = 180.0
RUN_SECONDS = 150.0
POLL_SECONDS = 0.02
REQUEST_SECONDS = 20.0
STOP_SECONDS = 10.0
PORTS = (20_000, 32_000)
PREVIEW_MESSAGES = {1: 8, 4: None}
"""Where an image begins, by how it is sent; `None`: after a description as long as it says."""
TEXT_MESSAGE = 3
FINAL_MESSAGES = frozenset({"execution_success", "execution_error", "execution_interrupted"})

Json = dict[str, Any]


class ComfyFailure(Exception):
    """ComfyUI did not start, or did not do in time what a test waits for."""


@dataclass(frozen=True)
class Ended:
    """A prompt that came to its end, as /history has it."""

    prompt_id: str
    entry: Json
    folder: Path

    @property
    def status(self) -> str:
        """`success` or `error`; a cancelled prompt counts as an error."""
        return str(self.entry["status"]["status_str"])

    @property
    def files(self) -> list[Path]:
        """The images that were saved or previewed, by node id."""
        outputs = self.entry["outputs"]
        return [
            self.folder / image["type"] / image["subfolder"] / image["filename"]
            for node_id in sorted(outputs, key=int)
            for image in outputs[node_id].get("images", [])
        ]

    def message(self, name: str) -> Json | None:
        """Return the content of the first message of this name, or None."""
        found = (content for kind, content in self.entry["status"]["messages"] if kind == name)
        return next(found, None)


@dataclass
class Heard:
    """What the page would have been sent while a prompt ran."""

    texts: list[str] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)

    def data(self, name: str) -> list[Json]:
        """Return the content of every event of this name."""
        return [event["data"] for event in self.events if event["type"] == name]


class Comfy:
    """One running ComfyUI, which ends with the `with` block. `folder` is its base directory.

    The environment names its checkout and its Python: COMFYUI_PATH, COMFYUI_PYTHON.
    """

    def __init__(self, folder: Path, *options: str, pack: str = "comfyui_siliconflow") -> None:
        """Prepare the folder: the pack in custom_nodes/`pack`, ComfyUI's own image in input."""
        checkout, python = Path(os.environ["COMFYUI_PATH"]), os.environ["COMFYUI_PYTHON"]
        self.folder = folder
        self.port = free_port()
        self._command = [*command(checkout, python, folder, self.port), *options]
        self._checkout = checkout
        self._log = folder / "console.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.trust_env = False
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (folder / name).mkdir(parents=True)
        (folder / "custom_nodes" / pack).symlink_to(ROOT, target_is_directory=True)
        shutil.copy(checkout / "input" / "example.png", folder / "input")
        self.forget_settings()

    def forget_settings(self, *, native_batch: bool = True) -> None:
        """Begin without a key, and with the batches that the simulator's older service wants."""
        file = self.folder / "user" / "__siliconflow" / "settings.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"native_batch": native_batch}), encoding="utf-8")

    def start(self, variables: Mapping[str, str]) -> None:
        """Start it with these environment variables, and wait until it answers."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("SILICONFLOW_", "LC_"))}
        fixed = {"LANG": "en_US.UTF-8", "NO_PROXY": HOST, "no_proxy": HOST}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._checkout,
                env={**own, **fixed, **variables},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(self._answers, START_SECONDS)

    def __enter__(self) -> Self:
        """Return it; it may not have been started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """End it."""
        self._http.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it as a power failure does; it may be started again."""
        assert self._process
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def wait_for(self, condition: Callable[[], Any], seconds: float = RUN_SECONDS) -> Any:
        """Wait for a condition and give its value; `ComfyFailure` shows the console's end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(POLL_SECONDS)
        raise ComfyFailure(f"Not within {seconds} s. The console's end:\n{self.console[-3000:]}")

    @property
    def console(self) -> str:
        """What ComfyUI has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def address(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @cached_property
    def object_info(self) -> Json:
        """Every node, as the page gets it."""
        content: Json = self.get("/object_info").json()
        return content

    def listed(self, node_type: str, name: str) -> list[str]:
        """Return what a list of a node offers in a page that opens now."""
        node = self.get(f"/object_info/{node_type}").json()[node_type]
        kind, options = node["input"]["required"][name]
        values: list[str] = options["options"] if kind == "COMBO" else kind
        return values

    def get(self, path: str) -> requests.Response:
        """Request a page."""
        return self._http.get(self.address + path, timeout=REQUEST_SECONDS)

    def post(self, path: str, content: Json) -> requests.Response:
        """Send JSON."""
        return self._http.post(self.address + path, json=content, timeout=REQUEST_SECONDS)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send any request."""
        return self._http.request(method, self.address + path, timeout=REQUEST_SECONDS, **options)

    def queue(self, prompt: Json, workflow: Json | None = None) -> str:
        """Queue a prompt as the page does, with the workflow that goes into images."""
        extra = {"extra_pnginfo": {"workflow": workflow or {}}}
        answer = self.post("/prompt", {"prompt": prompt, "extra_data": extra})
        if answer.status_code != 200:
            raise ComfyFailure(answer.text)
        return str(answer.json()["prompt_id"])

    def end_of(self, prompt_id: str) -> Ended:
        """Wait for the end of a prompt."""
        path = f"/history/{prompt_id}"
        entry = self.wait_for(lambda: self.get(path).json().get(prompt_id))
        return Ended(prompt_id, entry, self.folder)

    def run(self, prompt: Json, workflow: Json | None = None) -> Ended:
        """Queue a prompt and wait for its end."""
        return self.end_of(self.queue(prompt, workflow))

    def listen(
        self,
        prompt: Json,
        until: AbstractSet[str] = FINAL_MESSAGES,
        flags: Json | None = None,
        queued_by: str = "listener",
        enough: Callable[[Heard], bool] = lambda _: True,
    ) -> Heard:
        """Run a prompt and give all that was sent over the websocket until one of these.

        `flags` is what the page can do, as it tells the server. Another page than the one that
        listens may be the one that `queued_by` names. What is not `enough` is listened to further.
        """
        listening = self._listen(prompt, until, flags or {}, queued_by, enough)
        return asyncio.run(asyncio.wait_for(listening, RUN_SECONDS))

    def files(self) -> Iterator[Path]:
        """Return every file that it has written or was given, but not the pack's own."""
        for folder, _, names in os.walk(self.folder, followlinks=False):
            yield from (Path(folder) / name for name in names)

    async def _listen(
        self,
        prompt: Json,
        until: AbstractSet[str],
        flags: Json,
        queued_by: str,
        enough: Callable[[Heard], bool],
    ) -> Heard:
        heard = Heard()
        url = f"{self.address}/ws?clientId=listener"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket_:
            await socket_.send_json({"type": "feature_flags", "data": flags})
            body = {"prompt": prompt, "client_id": queued_by}
            async with session.post(f"{self.address}/prompt", json=body) as answer:
                answer.raise_for_status()
            async for message in socket_:
                if note(heard, message) in until and enough(heard):
                    break
        return heard

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise ComfyFailure(f"ComfyUI ended. Its console:\n{self.console[-3000:]}")
        try:
            return self.get("/object_info").status_code == 200
        except requests.ConnectionError:
            return False


def note(heard: Heard, message: aiohttp.WSMessage) -> str:
    """Keep one message of the websocket, and give its name."""
    if message.type == aiohttp.WSMsgType.BINARY:
        kind, length = (int.from_bytes(message.data[at : at + 4], "big") for at in (0, 4))
        if kind == TEXT_MESSAGE:
            heard.texts.append(message.data[8 + length :].decode())
        if kind in PREVIEW_MESSAGES:
            heard.previews.append(message.data[PREVIEW_MESSAGES[kind] or 8 + length :])
        return ""
    event = json.loads(message.data)
    heard.events.append(event)
    return str(event["type"])


def command(checkout: Path, python: str, folder: Path, port: int) -> list[str]:
    """Return the command line of a ComfyUI that keeps everything it writes in `folder`."""
    options = {
        "--listen": HOST,
        "--port": str(port),
        "--base-directory": str(folder),
        "--database-url": f"sqlite:///{folder / 'comfyui.db'}",
    }
    if os.environ.get("COMFYUI_FRONTEND"):
        options["--front-end-root"] = os.environ["COMFYUI_FRONTEND"]
    words = [word for pair in options.items() for word in pair]
    return [python, str(checkout / "main.py"), "--cpu", "--disable-auto-launch", *words]


def variables_for(service: Simulator) -> dict[str, str]:
    """Return the environment variables that give the pack a simulated service and its key."""
    return {"SILICONFLOW_API_KEY": service.key, "SILICONFLOW_BASE_URL": service.base_url}


def free_port() -> int:
    """Return a port that nobody listens on, nor will be given by the system for a connection.

    A ComfyUI that is started again wants it again: meanwhile nobody else may get it.
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
