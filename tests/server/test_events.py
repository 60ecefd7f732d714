"""What open pages are told, and which of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.responses import Place
from comfyui_siliconflow.engine import balance
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.server.conftest import Event, Json, Page, wait_for
from comfyui_siliconflow.tests.waiting import pack_threads, until
from PIL import Image

DRAW = "SiliconFlowTextToImage"
KOLORS = "Kwai-Kolors/Kolors"
SMALL = {"image_size": "custom", "width": 96, "height": 64}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the balance be fetched without a pause."""
    monkeypatch.setattr(balance, "PAUSE_SECONDS", 0.5)


def draw(**inputs: Any) -> None:
    """Run a node; what it raises is not looked at."""
    values = {"model": KOLORS, "prompt": "a cat", "seed": 1, **SMALL, **inputs}
    with contextlib.suppress(Exception):
        asyncio.run(NODE_CLASS_MAPPINGS[DRAW]().execute(**values))


def data_of(sent: list[Event], name: str) -> list[Json]:
    return [data for event, data, _ in sent if event == f"siliconflow.{name}"]


def test_a_failure_is_sent_with_all_that_a_user_needs(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.fail(401)
    draw()
    [failure] = data_of(sent, "failed")
    assert failure["kind"] == "InvalidKey"
    assert failure["title"]["en"] == "SiliconFlow does not accept the API key"
    assert failure["title"]["zh"] == "SiliconFlow 不接受这个 API 密钥"
    assert "cloud.siliconflow.com" in failure["message"]["zh"]
    assert (failure["model"], failure["charged"]) == (KOLORS, False)
    assert failure["trace_id"] == simulator.generations[0].trace_id
    assert simulator.key not in str(sent)


def test_a_failure_is_sent_with_what_may_help_and_its_workflow(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.fail(500, made=True)
    draw(model="Qwen/Qwen-Image", extra_pnginfo={"workflow": {"id": "one", "nodes": []}})
    simulator.fail(400, body="model-400")
    draw(model="black-forest-labs/FLUX-1.1-pro", image_size="auto")
    paid, elsewhere = data_of(sent, "failed")
    assert (paid["workflow"], paid["remedies"]) == ("one", {"seed": 1})
    assert elsewhere["workflow"] == ""
    assert elsewhere["remedies"]["site"] == "com"
    assert elsewhere["remedies"]["models"]


def test_where_all_requests_failed_the_reason_is_the_title(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.fail(403, times=9)
    draw(model="Qwen/Qwen-Image", batch_size=2)
    [failure] = data_of(sent, "failed")
    assert (failure["kind"], failure["cause"]) == ("PartialFailure", "Forbidden")
    assert failure["title"]["en"] == "Your account does not have access to this"
    assert failure["message"]["en"].startswith(failure["title"]["en"])
    assert "of 2 requests failed" in failure["message"]["en"]


def test_a_missing_key_and_an_invalid_input_have_titles(
    sent: list[Event], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(num_inference_steps=101)
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    draw()
    kinds = [failure["kind"] for failure in data_of(sent, "failed")]
    titles = [failure["title"]["en"] for failure in data_of(sent, "failed")]
    assert kinds == ["InvalidInput", "MissingKey"]
    assert titles == ["Check this input", "SiliconFlow needs an API key"]
    assert simulator.requests == []


def test_what_a_run_is_asked_about_is_said_for_a_page_that_has_buttons_for_it(
    sent: list[Event], simulator: Simulator
) -> None:
    for size, is_asked in ((17, True), (0, False)):
        draw(model="Qwen/Qwen-Image", batch_size=size)
        failure = data_of(sent, "failed")[-1]
        assert bool(failure["question"]) is is_asked
    said, question = data_of(sent, "failed")[0]["message"], data_of(sent, "failed")[0]["question"]
    assert [len(content) for content in question["contents"]] == [64]
    assert (question["cost"], question["currency"]) == ("5.1", "CNY")
    for language, to_go_ahead in {"en": "queue the same again", "zh": "再次运行同样的内容"}.items():
        assert to_go_ahead in said[language]
        assert to_go_ahead not in question["message"][language]
        assert "¥5.10" in question["message"][language]
    assert "Nothing was sent." in question["message"]["en"]
    assert simulator.generations == []


@pytest.mark.parametrize(
    ("status", "how", "charged"), [(403, {}, False), (504, {"made": True}, None)]
)
def test_of_several_failures_the_worst_charge_is_sent(
    sent: list[Event], simulator: Simulator, status: int, how: Json, charged: bool | None
) -> None:
    simulator.fail(status, **how)
    draw(model="Qwen/Qwen-Image", batch_size=2)
    [failure] = data_of(sent, "failed")
    assert (failure["kind"], failure["charged"]) == ("PartialFailure", charged)
    assert failure["trace_id"]
    assert failure["title"]["en"] == "1 of 2 images failed"
    assert failure["title"]["zh"] == "图片：2 个中有 1 个失败"


SEVERAL: dict[str, tuple[Place, Json, str]] = {
    "SiliconFlowTextToSpeech": (
        "speech",
        {"model": "FunAudioLLM/CosyVoice2-0.5B", "input": "So it is. " * 150},
        "1 of 2 parts of the speech failed",
    ),
    "SiliconFlowSpeechToText": (
        "transcriptions",
        {
            "model": "TeleAI/TeleSpeechASR",
            "audio": {"waveform": torch.rand(2, 1, 4000), "sample_rate": 8000},
        },
        "1 of 2 transcriptions failed",
    ),
    "SiliconFlowEmbeddings": (
        "embeddings",
        {"model": ["BAAI/bge-m3"], "input": [f"text {at}" for at in range(40)]},
        "1 of 2 vectors failed",
    ),
}


@pytest.mark.parametrize("node", SEVERAL)
def test_a_partial_failure_names_what_is_missing(
    sent: list[Event], simulator: Simulator, node: str
) -> None:
    place, inputs, title = SEVERAL[node]
    simulator.fail(400, on=place)
    with pytest.raises(errors.PartialFailure):
        asyncio.run(NODE_CLASS_MAPPINGS[node]().execute(**inputs))
    [failure] = data_of(sent, "failed")
    assert failure["title"]["en"] == title


@pytest.mark.usefixtures("simulator")
def test_a_success_is_no_failure(sent: list[Event]) -> None:
    draw()
    assert data_of(sent, "failed") == []


def test_a_job_is_sent_when_its_state_changes_and_not_more_often(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.latency = 1.2
    draw()
    jobs = [data["job"] for data in data_of(sent, "jobs")]
    assert [job["state"] for job in jobs] == ["waiting", "running", "done"]
    assert jobs[-1]["pictures"][0]["is_here"]
    draw()
    assert data_of(sent, "jobs")[-1]["job"]["state"] == "reused"


def pages_of(sent: list[Event]) -> dict[str, set[str | None]]:
    """Return the pages that each kind of event went to; `None` is every page."""
    pages_by_event: dict[str, set[str | None]] = {}
    for event, _, page in sent:
        pages_by_event.setdefault(event.removeprefix("siliconflow."), set()).add(page)
    return pages_by_event


def test_every_page_sees_the_jobs_and_the_balance_and_the_one_that_queued_the_failure(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.fail(400)
    draw()
    until(lambda: not pack_threads())
    told = {"jobs": {None}, "balance": {None}, "failed": {"page-1"}}
    assert pages_of(sent) == {**told, "models": {None}}


def test_a_failure_of_a_run_that_a_program_queued_is_in_the_list_of_jobs_alone(
    sent: list[Event], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "current_page", lambda: None)
    simulator.fail(400)
    draw()
    assert "failed" not in pages_of(sent)
    job = data_of(sent, "jobs")[-1]["job"]
    assert (job["state"], "rejected the request" in job["reason"]["en"]) == ("failed", True)


@pytest.mark.parametrize("page", ["page-1", "page-of-before"])
def test_with_several_users_only_the_page_that_queued_the_run_gets_its_events(
    sent: list[Event],
    simulator: Simulator,
    several_users: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
) -> None:
    several_users()
    monkeypatch.setattr(host, "current_page", lambda: page)
    simulator.fail(400)
    draw()
    wait_for(lambda: data_of(sent, "balance"))
    until(lambda: not pack_threads())
    told = {"jobs": {page}, "balance": {page}, "failed": {page}}
    assert pages_of(sent) == {**told, "models": {None}}, "a list of models is nobody's own"


@pytest.mark.usefixtures("simulator")
def test_with_several_users_a_run_of_nobody_is_sent_to_nobody(
    sent: list[Event], several_users: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "current_page", lambda: None)
    draw()
    assert {page for _, _, page in sent} == {None}
    several_users()
    sent.clear()
    draw(seed=2)
    until(lambda: not pack_threads())
    assert set(pages_of(sent)) <= {"models"}


def test_after_a_run_the_balance_is_sent(sent: list[Event], simulator: Simulator) -> None:
    draw()
    [event] = wait_for(lambda: data_of(sent, "balance"))
    assert event["balance"] == str(simulator.balance) == "99.90"
    assert event["currency"] == "CNY"
    assert event["at"] > 0


def test_runs_that_end_together_are_followed_by_one_balance_request_after_the_last(
    sent: list[Event], simulator: Simulator
) -> None:
    async def six() -> None:
        values = {"model": KOLORS, "prompt": "a cat", **SMALL}
        nodes = [NODE_CLASS_MAPPINGS[DRAW]().execute(**values, seed=seed) for seed in range(6)]
        await asyncio.gather(*nodes)

    asyncio.run(six())
    wait_for(
        lambda: data_of(sent, "balance") and data_of(sent, "balance")[-1]["balance"] == "99.40"
    )
    until(lambda: not pack_threads())
    lookups = [record for record in simulator.requests if record.path == "/v1/user/info"]
    assert len(lookups) < 5


def test_the_balance_is_not_fetched_when_it_is_not_shown(
    sent: list[Event], simulator: Simulator, write_settings: Any
) -> None:
    write_settings(show_balance=False)
    draw()
    until(lambda: not pack_threads())
    assert data_of(sent, "balance") == []
    assert {record.path for record in simulator.requests} >= {"/v1/images/generations"}
    assert "/v1/user/info" not in {record.path for record in simulator.requests}


def test_a_balance_that_cannot_be_fetched_is_no_failure(
    sent: list[Event], simulator: Simulator
) -> None:
    simulator.fail(500, on="info")
    draw()
    wait_for(lambda: [r for r in simulator.requests if r.path == "/v1/user/info" and r.status])
    assert data_of(sent, "balance") == []
    assert data_of(sent, "failed") == []


def test_outside_comfyui_nothing_is_sent_or_fetched(simulator: Simulator) -> None:
    draw()
    until(lambda: not pack_threads())
    assert "/v1/user/info" not in {record.path for record in simulator.requests}


def test_the_page_s_balance_request_is_answered_from_memory_for_ten_seconds(
    page: Page, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = page.get("/balance")
    assert (first["balance"], first["currency"]) == ("100.00", "CNY")
    assert page.get("/balance") == first
    assert len(simulator.requests) == 1
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    simulator.balance = 7
    assert page.get("/balance")["balance"] == "7.00"


def questions(simulator: Simulator) -> int:
    return sum(record.path == "/v1/user/info" for record in simulator.requests)


def test_simultaneous_balance_requests_of_pages_share_one_request(
    page: Page, simulator: Simulator
) -> None:
    simulator.latency = 0.5
    answers: list[Json] = []
    asking = [
        threading.Thread(target=lambda: answers.append(page.get("/balance"))) for _ in "12345"
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert [answer["balance"] for answer in answers] == ["100.00"] * 5
    assert questions(simulator) == 1


def test_a_failed_balance_request_is_not_repeated_for_as_long(
    page: Page, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.fail(401, on="info")
    assert page.refused("GET", "/balance")[1]["kind"] == "InvalidKey"
    assert page.refused("GET", "/balance")[1]["kind"] == "InvalidKey"
    assert questions(simulator) == 1
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    assert page.get("/balance")["balance"] == "100.00"


@pytest.mark.usefixtures("simulator")
def test_after_runs_that_end_together_each_user_s_page_is_sent_the_balance(
    sent: list[Event], several_users: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    several_users()
    draw()
    wait_for(lambda: data_of(sent, "balance"))
    sent.clear()
    for page in ("page-1", "page-2"):  # both end within the pause after the first
        monkeypatch.setattr(host, "current_page", lambda page=page: page)
        draw()
    wait_for(lambda: pages_of(sent).get("balance") == {"page-1", "page-2"})
    assert len(data_of(sent, "balance")) == 2


class Node:
    """Records what a node of ComfyUI's page is shown, and on which thread."""

    def __init__(self) -> None:
        self.images: list[Image.Image] = []
        self.places: list[int] = []
        self.threads: set[int] = set()

    def text(self, text: object) -> None:
        """Show nothing."""

    def value(self, done: int, total: int) -> None:
        """Show nothing."""

    def image(self, image: Image.Image, place: int) -> None:
        self.images.append(image)
        self.places.append(place)
        self.threads.add(threading.get_ident())


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    shown = Node()
    monkeypatch.setattr(host, "current_progress", lambda: shown)
    monkeypatch.setattr(host, "shows_images", lambda: True)
    return shown


@pytest.mark.usefixtures("simulator")
def test_every_image_is_shown_once_small_and_rgb(node: Node) -> None:
    draw(batch_size=6, image_size="1024x1024")
    assert [(image.size, image.mode) for image in node.images] == [((512, 512), "RGB")] * 6
    assert node.threads == {threading.get_ident()}
    assert sorted(node.places) == list(range(6))


@pytest.mark.usefixtures("simulator")
def test_reused_images_are_shown_too(node: Node) -> None:
    draw()
    node.images.clear()
    draw()
    assert [image.size for image in node.images] == [(96, 64)]


def test_an_image_that_two_nodes_requested_is_shown_on_both(
    node: Node, simulator: Simulator
) -> None:
    async def both() -> None:
        values = {"model": KOLORS, "prompt": "a cat", "seed": 1, **SMALL}
        runs = [NODE_CLASS_MAPPINGS[DRAW]().execute(**values) for _ in range(2)]
        await asyncio.gather(*runs)

    asyncio.run(both())
    assert len(simulator.generations) == 1
    assert len(node.images) == 2


def test_an_image_is_shown_before_the_rest_of_the_run_is_there(
    node: Node, simulator: Simulator, hold: Callable[[], Held]
) -> None:
    """And knows its place: the second one is saved already, and comes first."""
    draw(model="Qwen/Qwen-Image", seed=2)
    node.images.clear()
    node.places.clear()
    held = hold()
    values = {"model": "Qwen/Qwen-Image", "batch_size": 2, "seed": 1}
    run = threading.Thread(target=draw, kwargs=values)
    run.start()
    wait_for(lambda: node.images)
    held.wait_for(1)
    assert len(node.images) == 1
    held.release()
    run.join()
    assert len(simulator.generations) == 2
    assert node.places == [1, 0]
