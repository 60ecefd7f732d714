"""One trial: a node runs into a fault, and the same is queued again when all is mended."""

from __future__ import annotations

import asyncio
import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.strings.text import SiliconFlowError
from comfyui_siliconflow.tests.reliability.children import Nursery
from comfyui_siliconflow.tests.reliability.faults import KEY, Fault
from comfyui_siliconflow.tests.reliability.server import FaultServer, until
from comfyui_siliconflow.tests.waiting import pack_threads

PACK = "comfyui_siliconflow"
LONGEST = 25.0
"""Seconds after which a run hangs: its waits are scaled down, and the server keeps still longer."""
MOST_MIB = 600
MINUTE = 0.4
"""Seconds that a minute of rate limits lasts in a trial."""
WARNING = "may have been charged"
SETTINGS = {
    "connect_timeout": 0.5,
    "read_timeout": 5.0,
    "longest_wait": 10.0,
    "native_batch": True,
    "prices": dict.fromkeys(
        (
            "Kwai-Kolors/Kolors",
            "Qwen/Qwen2.5-7B-Instruct",
            "FunAudioLLM/SenseVoiceSmall",
            "BAAI/bge-m3",
            "BAAI/bge-reranker-v2-m3",
            "FunAudioLLM/CosyVoice2-0.5B",
        ),
        0.3,
    ),
}
"""The simulator is the service of the older documents, which want `batch_size`; nothing is free."""
SMALL = {"image_size": "custom", "width": 64, "height": 64}
NODES: dict[str, dict[str, Any]] = {
    "SiliconFlowTextToImage": {"model": "Qwen/Qwen-Image", **SMALL},
    "SiliconFlowImageToImage": {"model": "Kwai-Kolors/Kolors", **SMALL},
    "SiliconFlowImageEdit": {"model": "Qwen/Qwen-Image-Edit"},
}
CALLS: dict[str, dict[str, Any]] = {
    "SiliconFlowChat": {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "prompt": "Tell me of a cat on a mat",
        "seed": 7,
    },
    "SiliconFlowTextToSpeech": {
        "model": "FunAudioLLM/CosyVoice2-0.5B",
        "input": "A cat.",
        "sample_rate": "8000",
    },
    "SiliconFlowSpeechToText": {"model": "FunAudioLLM/SenseVoiceSmall"},
    "SiliconFlowUploadVoice": {
        "model": "FunAudioLLM/CosyVoice2-0.5B",
        "customName": "cat",
        "text": "A cat",
    },
    "SiliconFlowEmbeddings": {"model": ["BAAI/bge-m3"], "input": ["a cat\na dog"]},
    "SiliconFlowRerank": {
        "model": ["BAAI/bge-reranker-v2-m3"],
        "query": ["a cat"],
        "documents": ["a dog\na cat"],
    },
}
"""The nodes of the other endpoints, whose one result counts as an image does."""
FREE_CALLS: dict[str, dict[str, Any]] = {
    "SiliconFlowAccount": {},
    "SiliconFlowModels": {"type": "image"},
    "SiliconFlowVoices": {},
    "SiliconFlowDeleteVoice": {},
}
"""The nodes that cost nothing; which voice is deleted, a trial says."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass
class Run:
    """What one queueing of a node brought."""

    images: int = 0
    requests: int = 0
    charged: int = 0
    seconds: float = 0.0
    error: BaseException | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def origins(self) -> set[str]:
        """The origins of the images."""
        return {entry["origin"] for entry in self.info.get("requests", [])}

    @property
    def notes(self) -> str:
        """The notes that the user saw."""
        return "\n".join(self.info.get("notes", []))

    @property
    def seen(self) -> str:
        """What the user saw, in a word."""
        return type(self.error).__name__ if self.error else "the image"


@dataclass
class Outcome:
    """The outcome of a trial, and what was wrong with it."""

    fault: Fault
    node: str
    first: Run
    second: Run
    leaks: list[str]
    problems: list[str] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def hung(self) -> bool:
        """Whether a run took longer than any may."""
        return max(self.first.seconds, self.second.seconds) > LONGEST

    @property
    def lost(self) -> bool:
        """Whether an image that could be had was not."""
        could_be_had = self.fault.again.origin != "" and self.node not in FREE_CALLS
        return could_be_had and not self.second.images

    @property
    def paid_again(self) -> bool:
        """Whether the second run paid what the first had paid already."""
        return self.first.charged > 0 and self.second.charged > 0

    @property
    def paid_twice(self) -> bool:
        """Whether a charge could have been avoided: see the head of the report."""
        charged = getattr(self.first.error, "charged", False)
        warned = charged is not False and WARNING in self.second.notes
        return self.first.charged > 1 or (self.paid_again and not warned)


class Bench:
    """A simulator behind a fault server, and runs of nodes against it."""

    def __init__(self, simulator: Simulator, server: FaultServer, directory: Path) -> None:
        """Keep ledgers below `directory`, a new one each trial."""
        self.simulator = simulator
        self.server = server
        self.directory = directory
        self.nursery = Nursery()

    def close(self) -> None:
        """End the fault server, and the process that forks children."""
        self.nursery.close()
        self.server.close()

    def try_out(self, fault: Fault, node: str, **inputs: Any) -> Outcome:
        """Run a node into a fault, then queue the same again."""
        inputs = {**fault.inputs, **inputs}
        data = self.directory / f"{len(list(self.directory.iterdir()))}"
        data.mkdir()
        write_settings(data, **fault.settings)
        self.server.transport = fault.transport
        self.server.drop_idle()
        self.server.heads.clear()
        _reset_peak()
        before = _peak_mib()
        with environment({**self.server.environment(), "SILICONFLOW_DATA_DIR": str(data)}):
            first = self._broken(fault, node, inputs)
            write_settings(data)
            second = self._mended(node, inputs)
        outcome = Outcome(fault, node, first, second, self._leaks(first, second, data))
        outcome.peak_mib = _peak_mib() - before
        outcome.problems = problems(outcome)
        _let_go(first, second)
        return outcome

    def run(self, node: str, **inputs: Any) -> Run:
        """Queue a node once."""
        posts, charged, started = self.server.posts, self.paid, time.monotonic()
        run = Run()
        try:
            outputs = asyncio.run(self._execute(node, inputs))
            run.images = len(outputs.get("images", [None]))
            run.info = json.loads(outputs.get("info", "{}"), parse_constant=_no_json)
        except Exception as error:  # noqa: BLE001 - what it is, is judged later
            run.error = error
        run.seconds = time.monotonic() - started
        self.server.quiet(0.3)
        run.requests, run.charged = self.server.posts - posts, self.paid - charged
        return run

    def settled(self) -> bool:
        """Wait until the pack works at nothing any more; returns whether it did."""
        return until(lambda: not pack_threads(), LONGEST)

    @property
    def paid(self) -> int:
        """How many images and other answers were charged so far, and voices made."""
        charged = sum(max(1, charge.pictures) for charge in self.simulator.charges)
        return charged + len(self.simulator.voices)

    async def _execute(self, node: str, inputs: dict[str, Any]) -> dict[str, Any]:
        drawn = {"prompt": "a cat", "seed": 7, **NODES.get(node, {})}
        values = {**{**CALLS, **FREE_CALLS}.get(node, drawn), **_given(node), **inputs}
        runs = NODE_CLASS_MAPPINGS[node]()
        ran = await asyncio.wait_for(runs.execute(**values), LONGEST * 3)
        return dict(zip(runs.RETURN_NAMES, ran, strict=True))

    def _broken(self, fault: Fault, node: str, inputs: dict[str, Any]) -> Run:
        if fault.breaker:
            self.server.break_next(fault.breaker, fault.where, fault.times)
        if fault.before:
            fault.before(self.server)
        return self.run(node, **inputs)

    def _mended(self, node: str, inputs: dict[str, Any]) -> Run:
        self.server.mend()
        run = self.run(node, **inputs)
        self.server.quiet()
        self.settled()
        return run

    def _leaks(self, first: Run, second: Run, data: Path) -> list[str]:
        texts = {"error": wording(first.error), "second error": wording(second.error)}
        texts["info"] = json.dumps([first.info, second.info])
        files = {str(file): file.read_bytes() for file in data.rglob("*") if file.is_file()}
        items = [name for name, text in texts.items() if KEY in text]
        items += [name for name, content in files.items() if KEY.encode() in content]
        return items + self.server.stray_keys()


def _let_go(*runs: Run) -> None:
    """Keep what an error says, without the frames that keep its files and connections open."""
    for run in runs:
        if run.error:
            run.error.__traceback__ = run.error.__cause__ = run.error.__context__ = None


def write_settings(data: Path, **values: Any) -> None:
    """Write the settings file: short timeouts, and what differs."""
    (data / "settings.json").write_text(json.dumps({**SETTINGS, **values}), encoding="utf-8")


def problems(outcome: Outcome) -> list[str]:
    """Compare the outcome with the table."""
    fault, first, second = outcome.fault, outcome.first, outcome.second
    checks: list[tuple[str, object, object]] = [
        ("sees", type(first.error), fault.kind or type(None)),
        ("charged", first.charged, fault.charged),
        ("images", first.images, fault.images if fault.delivered else 0),
        ("requests of the second", second.requests, fault.again.requests),
        ("charged by the second", second.charged, fault.again.charged),
        ("origin of the second", second.origins, {fault.again.origin} - {""}),
        ("second warned", WARNING in second.notes, fault.again.has_warning),
        ("note", fault.note in first.notes, True),
        ("says unpaid although paid", _denies(first), False),
        ("lost", outcome.lost, False),
        ("paid twice", outcome.paid_twice, False),
        ("hung", outcome.hung, False),
        ("leaks", outcome.leaks, []),
        ("memory in bounds", outcome.peak_mib < MOST_MIB, True),
        ("length of the message", len(str(first.error)) < 2000, True),
    ]
    wrong = [f"{name}: {was!r}, not {wanted!r}" for name, was, wanted in checks if was != wanted]
    return wrong + ([f"first: {first.error!r}", f"second: {second.error!r}"] if wrong else [])


def _denies(run: Run) -> bool:
    return run.charged > 0 and getattr(run.error, "charged", None) is False


def wording(error: BaseException | None) -> str:
    """Return all that an error could show: text, repr, traceback, and the errors behind it."""
    texts: list[str] = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return "\n".join(texts)


def of_the_pack(error: BaseException | None) -> bool:
    """Return whether an error is one that the pack raises on purpose."""
    return isinstance(error, SiliconFlowError)


@contextmanager
def environment(values: dict[str, str], minute: float = MINUTE) -> Iterator[None]:
    """Set variables, wait less than usual, and begin without what was learned."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*_PROXIES, *map(str.lower, _PROXIES)):
            patch.delenv(name, raising=False)
        for name, value in {"LANG": "en_US.UTF-8", **values}.items():
            patch.setenv(name, value)
        hurry(patch, minute)
        yield


def hurry(patch: pytest.MonkeyPatch, minute: float) -> None:
    """Scale every wait of the pack down, a minute to so many seconds."""
    patch.setattr(f"{PACK}.engine.retry.FIRST", 0.004)
    patch.setattr(f"{PACK}.siliconflow.http.downloads.WAITS", (0.01, 0.01, 0.01))
    patch.setattr(f"{PACK}.engine.rate_limit.WINDOW", minute)
    patch.setattr(f"{PACK}.engine.rate_limit.FORGET", 60 * minute)
    patch.setattr(f"{PACK}.engine.exchange._LIMITERS", {})
    patch.setattr(f"{PACK}.engine.retry._DICE", _Longest())


class _Longest:
    """Dice that always fall on the longest wait."""

    def uniform(self, _low: float, high: float) -> float:
        """Return the upper end."""
        return high


def _given(node: str) -> dict[str, Any]:
    """Return the image or the recording that a node needs."""
    dice = torch.Generator().manual_seed(1)
    if node in {"SiliconFlowImageToImage", "SiliconFlowImageEdit"}:
        return {"image": torch.randint(0, 256, (1, 64, 64, 3), generator=dice).float() / 255}
    if node in {"SiliconFlowSpeechToText", "SiliconFlowUploadVoice"}:
        waveform = torch.rand(1, 1, 800, generator=dice) - 0.5
        return {"audio": {"waveform": waveform, "sample_rate": 8000}}
    return {}


def _no_json(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _reset_peak() -> None:
    if os.path.exists("/proc/self/clear_refs"):  # noqa: PTH110 - a file of the kernel
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    """Return the most memory since the last reset."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
