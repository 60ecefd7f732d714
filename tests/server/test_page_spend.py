"""What was spent, as the page shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow.errors import ConfirmationNeeded
from comfyui_siliconflow.storage import spend_book
from comfyui_siliconflow.tests.server.conftest import Page

QWEN = "Qwen/Qwen-Image"


def draw(**inputs: Any) -> None:
    values = {"model": QWEN, "prompt": "a cat", "seed": 1, "image_size": "custom", **inputs}
    node = NODE_CLASS_MAPPINGS["SiliconFlowTextToImage"]()
    asyncio.run(node.execute(**values, width=64, height=64))


def asked(**inputs: Any) -> list[str]:
    """Return the hashes of what is asked about."""
    with pytest.raises(ConfirmationNeeded) as needed:
        draw(**inputs)
    return [*needed.value.contents]


def test_the_spend_is_shown_by_model_with_what_saved_results_would_have_cost(
    today: Simulator, page: Page
) -> None:
    today.add_model("vendor/new", {"type": "object"}, ("text-to-image",), {"size": 64})
    draw(batch_size=2)
    draw()
    draw(custom_model="vendor/new")
    body = page.get("/spend")
    assert body["currency"] == "CNY"
    assert body["today"] == body["month"]
    assert (body["today"]["spent"], body["today"]["saved"]) == ("0.6", "0.3")
    assert body["today"]["unknown"] == 1
    assert body["today"]["models"] == [
        {"model": QWEN, "spent": "0.6", "saved": "0.3", "unknown": 0},
        {"model": "vendor/new", "spent": "0", "saved": "0", "unknown": 1},
    ]


def test_of_several_users_none_sees_the_spend(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "is_multi_user", lambda: True)
    assert page.request("GET", "/spend").status_code == 403


@pytest.mark.parametrize("users", ["one", "several"])
def test_who_cancels_is_asked_again(
    today: Simulator, page: Page, several_users: Callable[[], None], users: str
) -> None:
    if users == "several":
        several_users()
    for _ in range(2):
        contents = asked(batch_size=17)
        assert page.delete("/questions", {"contents": contents}) == {}
    assert today.generations == []


def test_an_answer_touches_no_other_question(
    today: Simulator, page: Page, write_settings: Any
) -> None:
    write_settings(confirm_images=1, auto_run_images=1)
    asked(batch_size=2)
    page.delete("/questions", {"contents": asked(prompt="a dog", batch_size=2)})
    draw(batch_size=2)
    asked(prompt="a dog", batch_size=2)
    draw(prompt="a cow")
    draw(prompt="a hen")
    asked(prompt="a cow", seed=2)
    page.post("/questions", {"contents": asked(prompt="a hen", seed=2)})
    draw(prompt="a hen", seed=3)
    asked(prompt="a cow", seed=3)
    assert len(today.generations) == 5


@pytest.mark.parametrize("auto_run_images", [0, 3])
def test_an_answer_holds_for_as_many_runs_as_it_says_and_no_more(
    today: Simulator, page: Page, write_settings: Any, auto_run_images: int
) -> None:
    write_settings(confirm_images=1, auto_run_images=auto_run_images)
    contents = asked(seed=1, batch_size=2)
    page.post("/questions", {"contents": contents, "runs": 3})
    for seed in (1, 3, 5):
        draw(seed=seed, batch_size=2)
    assert len(today.generations) == 6
    asked(seed=7, batch_size=2)


def test_an_answer_for_several_runs_holds_for_none_that_is_queued_later(
    today: Simulator, page: Page, write_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(confirm_images=1)
    page.post("/questions", {"contents": asked(seed=1, batch_size=2), "runs": 3})
    draw(seed=1, batch_size=2)
    monkeypatch.setattr(spend_book, "BATCH_SECONDS", 0.0)
    asked(seed=3, batch_size=2)
    assert len(today.generations) == 2


@pytest.mark.parametrize("runs", [0, True, "3", 10**9])
def test_an_answer_for_a_number_of_runs_that_is_none_is_refused(page: Page, runs: Any) -> None:
    body = {"contents": ["a"], "runs": runs}
    assert page.refused("POST", "/questions", body)[0] == 400


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("body", [{}, {"contents": "all"}, {"contents": [1]}])
def test_an_answer_without_a_question_is_refused(
    page: Page, method: str, body: dict[str, Any]
) -> None:
    assert page.refused(method, "/questions", body)[0] == 400


def test_an_auto_run_goes_ahead_at_once_when_its_user_has_read_what_it_costs(
    today: Simulator, page: Page, write_settings: Any
) -> None:
    write_settings(auto_run_images=1)
    draw(seed=1)
    for seed in (2, 3):
        contents = asked(seed=seed)
    assert page.post("/questions", {"contents": contents}) == {}
    draw(seed=4)
    assert len(today.generations) == 2
