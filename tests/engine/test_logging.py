"""What the log tells of each request, and what it never tells."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import retry
from comfyui_siliconflow.media import image_files
from comfyui_siliconflow.media.image_files import tensor_to_pil
from comfyui_siliconflow.strings.text import SiliconFlowError
from comfyui_siliconflow.tests.waiting import pack_threads, until

Run = Callable[..., dict[str, Any]]

DRAW, EDIT, CHAT = "SiliconFlowTextToImage", "SiliconFlowImageEdit", "SiliconFlowChat"
KOLORS, QWEN = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image"
EDITOR, TALKER = "Qwen/Qwen-Image-Edit", "Qwen/Qwen2.5-7B-Instruct"
WORDS = ("lighthouse", "marmalade", "zeppelin", "灯塔")
PROMPT = ", ".join(WORDS)
SMALL = {"image_size": "custom", "width": 96, "height": 64}
LINE = re.compile(r"(\S+) (\S+): (.+) after (\d+\.\d) s, trace ID (.+)")
BASE64 = re.compile(r"[A-Za-z0-9+/]{40}")


class Lines(logging.Handler):
    """Keeps every line as it would be written, with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.texts.append(self.format(record))

    def of(self, level: int) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno == level]

    def requests(self) -> list[tuple[str, ...]]:
        """Return what each line of a request tells: task, model, outcome, seconds, trace id."""
        found = [LINE.fullmatch(line) for line in self.of(logging.INFO)]
        return [line.groups() for line in found if line]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Read all that the pack logs, as with every logger of its own at DEBUG."""
    monkeypatch.setattr(retry, "FIRST", 0.01)
    until(lambda: not pack_threads())  # of an earlier test
    handler, logger = Lines(), logging.getLogger("siliconflow")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def broken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a mistake of ours happen to the second image that is decoded."""
    decode, calls = image_files._decode, iter(range(1, 1000))  # noqa: SLF001 - what runs in it

    def decode_or_fail(*given: Any) -> Any:
        if next(calls) == 2:
            raise RuntimeError
        return decode(*given)

    monkeypatch.setattr(image_files, "_decode", decode_or_fail)


def draw(outputs_of: Run, **inputs: Any) -> None:
    """Run the node; what it raises is not looked at."""
    values = {"model": KOLORS, "prompt": PROMPT, "seed": 1, **SMALL, **inputs}
    with contextlib.suppress(SiliconFlowError):
        outputs_of(DRAW, **values)


def edit(outputs_of: Run, image: torch.Tensor) -> None:
    outputs_of(EDIT, model=EDITOR, prompt=PROMPT, image=image)


def chat(outputs_of: Run) -> None:
    outputs_of(CHAT, model=TALKER, prompt=PROMPT, seed=7)


def test_each_request_has_one_line_with_model_seconds_outcome_and_trace_id(
    simulator: Simulator, lines: Lines, outputs_of: Run, make_image: Callable[..., torch.Tensor]
) -> None:
    draw(outputs_of)
    edit(outputs_of, make_image())
    chat(outputs_of)
    simulator.fail(400)
    draw(outputs_of, seed=2)
    draw(outputs_of)
    traces = [record.trace_id for record in simulator.requests if record.method == "POST"]
    assert len(traces) == 4
    assert [
        (task, model, outcome, trace) for task, model, outcome, _, trace in lines.requests()
    ] == [
        ("text-to-image", KOLORS, "free", traces[0]),
        ("image-edit", EDITOR, "charged", traces[1]),
        ("chat", TALKER, "free", traces[2]),
        ("text-to-image", KOLORS, "BadRequest (400, 20015)", traces[3]),
        ("text-to-image", KOLORS, "reused", traces[0]),
    ]
    assert len(lines.of(logging.INFO)) == 5
    assert {record.name for record in lines.records if record.levelno == logging.INFO} == {
        "siliconflow"
    }


def test_the_line_of_an_error_without_a_code_has_its_status(
    simulator: Simulator, lines: Lines, outputs_of: Run
) -> None:
    simulator.fail(body="page-404")
    draw(outputs_of)
    assert [outcome for _, _, outcome, _, _ in lines.requests()] == ["WrongAddress (404)"]


def test_a_model_that_is_free_at_the_other_site_is_not_called_free_here(
    use: Callable[[Simulator], None], write_settings: Run, lines: Lines, outputs_of: Run
) -> None:
    write_settings(site="com")
    with Simulator(site="com", as_of="today") as international:
        use(international)
        chat(outputs_of)
    assert [outcome for _, _, outcome, _, _ in lines.requests()] == ["charged"]


def test_each_try_that_fails_is_a_line_for_who_looks_closely(
    simulator: Simulator, lines: Lines, outputs_of: Run
) -> None:
    simulator.fail(503, times=2)
    draw(outputs_of)
    tries = [re.sub(r"[\d.]+ s$", "_ s", line) for line in lines.of(logging.DEBUG)]
    assert [f"{KOLORS}: try {n} failed, next in _ s" for n in (1, 2)] == [
        line for line in tries if line.startswith(KOLORS)
    ]
    assert len(lines.requests()) == 1


@pytest.mark.usefixtures("broken_once", "simulator")
def test_a_mistake_of_ours_in_one_of_several_requests_is_logged_with_its_traceback(
    lines: Lines, outputs_of: Run
) -> None:
    draw(outputs_of, model=QWEN, batch_size=3)
    [record] = [record for record in lines.records if record.levelno == logging.ERROR]
    assert record.name == "siliconflow"
    assert QWEN in record.getMessage()
    [text] = [text for text in lines.texts if " ERROR " in text]
    assert "Traceback (most recent call last)" in text
    assert "decode_or_fail" in text
    outcomes = sorted(outcome for _, _, outcome, _, _ in lines.requests())
    assert outcomes == ["Unforeseen", "charged", "charged"]


@pytest.mark.usefixtures("broken_once")
def test_no_key_no_word_of_a_prompt_and_no_base64_is_ever_logged(
    simulator: Simulator, lines: Lines, outputs_of: Run, make_image: Callable[..., torch.Tensor]
) -> None:
    simulator.fail(503)
    draw(outputs_of, model=QWEN, batch_size=3)
    simulator.answer = "b64_json"
    edit(outputs_of, make_image())
    chat(outputs_of)
    simulator.fail(400, body={"code": 20015, "message": f"{simulator.key}: {PROMPT}, {png()}"})
    draw(outputs_of, seed=2)
    assert {record.levelno for record in lines.records} == {
        logging.DEBUG,
        logging.INFO,
        logging.ERROR,
    }
    log = "\n".join(lines.texts)
    assert simulator.key not in log
    assert [word for word in WORDS if word in log] == []
    assert BASE64.findall(re.sub(r'File "[^"]+"', "File", log)) == []


def png() -> str:
    """Return an image as base64."""
    file = io.BytesIO()
    tensor_to_pil(torch.rand(8, 8, 3)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
