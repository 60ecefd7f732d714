"""What most tests need: a clean environment, a simulator, and a way to run a node."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator, video
from comfyui_siliconflow.dev.simulator.service import Endpoint, Service
from comfyui_siliconflow.engine import exchange, rate_limit
from comfyui_siliconflow.engine.job import Job
from comfyui_siliconflow.engine.rate_limit import RateSchedule, Sent
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.storage import spend_book
from comfyui_siliconflow.strings.text import Text, use_language
from comfyui_siliconflow.tests.waiting import LONGEST, pack_threads, until
from hypothesis import HealthCheck, settings

OF_THE_DEVELOPER = re.compile(r"SILICONFLOW_.*|(?i:.*_proxy)|LC_ALL|LC_MESSAGES")
NO_SERVICE = "http://127.0.0.1:9/v1"
"""The address of a port at which nothing listens."""

# What a property holds for is no question of time: a machine may be busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on every core, unless `-n` says otherwise; tests that are named, on one.

    Two workers more than cores: many tests wait, for a server or a process of theirs. Not by
    `addopts`, for without the plugin pytest would not know the option.
    """
    is_whole = config.args_source is config.ArgsSource.TESTPATHS
    is_worker = hasattr(config, "workerinput")  # One that started workers would never end.
    if is_whole and not is_worker and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = (os.cpu_count() or 1) + 2
        config.option.dist = "worksteal"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own key, settings, proxies and language out of every test.

    A test that forgets to say which service it means reaches none.
    """
    for name in list(os.environ):
        if OF_THE_DEVELOPER.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SILICONFLOW_BASE_URL", NO_SERVICE)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    use_language("en")


@pytest.fixture(autouse=True)
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the simulator make clips of a quarter of a second: five take it more than one."""
    monkeypatch.setattr(video, "SECONDS", 0.25)


@pytest.fixture(autouse=True)
def quick_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test queue again at once what it was asked about, as if a person had read it."""
    monkeypatch.setattr(spend_book, "READ_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def unlearned_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test know the rate limits of another: a port of a service may be used twice."""
    monkeypatch.setattr(exchange, "_LIMITERS", {})


@pytest.fixture
def address_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the site of the settings decide the address, as it does for most users."""
    monkeypatch.delenv("SILICONFLOW_BASE_URL")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulator], None]:
    """Let the nodes talk to a simulator."""

    def use_simulator(simulator: Simulator) -> None:
        monkeypatch.setenv("SILICONFLOW_API_KEY", simulator.key)
        monkeypatch.setenv("SILICONFLOW_BASE_URL", simulator.base_url)

    return use_simulator


@pytest.fixture
def simulator(
    use: Callable[[Simulator], None], write_settings: Callable[..., Path]
) -> Iterator[Simulator]:
    """Serve the China site of the older documents, which want `batch_size`, to the nodes."""
    write_settings(native_batch=True)
    with Simulator(site="cn") as started:
        use(started)
        yield started


class Held:
    """Paid requests that simulators have let in, and do not answer before the test says so.

    What is asked besides, of the models or the balance, comes when it likes: it is not held.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.is_released = False
        self.under_way = self.most = 0

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hold the paid requests that come from now on, as long as the test runs."""
        finish = Service._finish  # noqa: SLF001 - where a request takes its time

        def keep(service: Service, endpoint: Endpoint, *given: Any) -> Coroutine[Any, Any, Any]:
            work = finish(service, endpoint, *given)
            return self.keep(work) if endpoint.paid else work

        monkeypatch.setattr(Service, "_finish", keep)

    def release(self) -> None:
        """Let all go on: those that are held, and those that come."""
        self.is_released = True

    def wait_for(self, requests: int) -> None:
        """Wait until so many are held at the same time."""
        until(lambda: self.under_way == requests)

    async def keep(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Hold a request, then do its work."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            end = time.monotonic() + LONGEST
            while not self.is_released and time.monotonic() < end:  # noqa: ASYNC110 - by another thread
                await asyncio.sleep(0.005)
            return await work
        finally:
            self.under_way -= 1


@pytest.fixture
def hold(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Held]]:
    """Hold the requests that come to the simulator from when this is called."""
    del simulator  # is there first, and stops when nothing is held any more
    held = Held()

    def begin() -> Held:
        held.begin(monkeypatch)
        return held

    yield begin
    held.release()
    until(lambda: not pack_threads())  # a cancelled node's request goes on, and needs the simulator


@pytest.fixture
def held(hold: Callable[[], Held]) -> Held:
    """Hold every request to the simulator."""
    return hold()


class LimitClock:
    """A clock for both sides of a rate limit.

    It goes on only while requests wait for their turn and none is under way: by as much as the
    first of them has to wait. So nothing depends on how fast the machine is.
    """

    def __init__(self) -> None:
        """Begin today, for the service dates what it does."""
        self.now = self.began = time.time()
        self._under_way: list[Sent] = []

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def rule(self, patch: pytest.MonkeyPatch) -> None:
        """Be the clock of rate limiters. All that is patched is called while they are locked."""
        sent, wait = RateSchedule.sent, Job.wait

        def note(schedule: RateSchedule, now: float, weight: int = 1) -> Sent:
            self._under_way.append(sent(schedule, now, weight))
            return self._under_way[-1]

        def go_on(job: Job, reason: Text, seconds: float) -> None:
            wait(job, reason, seconds)
            if not self._under_way:
                self.now += seconds

        def ends(name: str) -> Callable[..., Any]:
            method = getattr(RateSchedule, name)

            def end(schedule: RateSchedule, note: Sent, *given: Any, **named: Any) -> Any:
                if note in self._under_way:
                    self._under_way.remove(note)
                return method(schedule, note, *given, **named)

            return end

        patch.setattr(rate_limit, "time", SimpleNamespace(monotonic=self))
        patch.setattr(RateSchedule, "sent", note)
        patch.setattr(Job, "wait", go_on)
        for name in ("passed", "undone", "refused", "failed"):
            patch.setattr(RateSchedule, name, ends(name))


@pytest.fixture
def limit_clock(monkeypatch: pytest.MonkeyPatch) -> LimitClock:
    """Let rate limits pass on a clock of the test's own."""
    clock = LimitClock()
    clock.rule(monkeypatch)
    return clock


@pytest.fixture
def today(use: Callable[[Simulator], None]) -> Iterator[Simulator]:
    """Serve the China site as it is now, and let the nodes talk to it."""
    with Simulator(site="cn", as_of="today") as started:
        use(started)
        yield started


@pytest.fixture
def write_settings(tmp_path: Path) -> Callable[..., Path]:
    """Write settings into the file that the nodes read, beside those that are there."""

    def write(**values: Any) -> Path:
        file = tmp_path / "data" / "settings.json"
        file.parent.mkdir(exist_ok=True)
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        file.write_text(json.dumps({**settings, **values}), encoding="utf-8")
        return file

    return write


@pytest.fixture
def run_node() -> Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]:
    """Run a node as ComfyUI does, and read its info."""

    def run(node_id: str, **inputs: Any) -> tuple[torch.Tensor, int, dict[str, Any]]:
        node = NODE_CLASS_MAPPINGS[node_id]()
        images, seed, info, *_ = asyncio.run(node.execute(**inputs))
        return images, seed, json.loads(info)

    return run


@pytest.fixture
def outputs_of() -> Callable[..., dict[str, Any]]:
    """Run a node as ComfyUI does, and give its outputs by name, with its info as it reads."""

    def run(node_id: str, **inputs: Any) -> dict[str, Any]:
        node = NODE_CLASS_MAPPINGS[node_id]()
        if getattr(node, "INPUT_IS_LIST", False):
            inputs = {k: v if isinstance(v, list) else [v] for k, v in inputs.items()}
        outputs = dict(zip(node.RETURN_NAMES, asyncio.run(node.execute(**inputs)), strict=True))
        if "info" in outputs:
            outputs["info"] = json.loads(outputs["info"])
        return outputs

    return run


@pytest.fixture
def make_image() -> Callable[..., torch.Tensor]:
    """Draw an IMAGE of 8-bit values, different in every frame and pixel; models keep its shape."""

    def draw(frames: int = 1, height: int = 64, width: int = 64, channels: int = 3) -> torch.Tensor:
        dice = torch.Generator().manual_seed(height * width * channels)
        shape = (frames, height, width, channels)
        return torch.randint(0, 256, shape, generator=dice).float() / 255

    return draw
