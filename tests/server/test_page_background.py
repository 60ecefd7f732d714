"""The routes of what waits in the background; a real ComfyUI queues it: tests/host."""

from __future__ import annotations

from contextlib import closing

import pytest
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.storage.waiting_runs import WaitingRuns
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.server.conftest import Page

PROMPT = {
    "graph": {"1": {"inputs": {"prompt": ["7", 0]}}, "2": {"inputs": {"prompt": "A kite"}}},
    "extra_data": {"extra_pnginfo": {"workflow": {"id": "w-1"}}},
    "outputs": ["3"],
}


@pytest.fixture
def lost() -> str:
    """Record a run, and end its process."""
    with closing(Ledger(host.data_directory())) as ledger:
        runs = WaitingRuns(ledger.database)
        runs.add("p-1", "content", {"1", "2"}, PROMPT)
        runs.stop("p-1", Text("why", "为何"))
        runs.add("p-2", "other", ())
    return "p-2"


def test_what_waits_is_listed_and_what_a_restart_left_is_asked_about_once(
    page: Page, lost: str
) -> None:
    stopped, other = page.get("/background")["runs"]
    assert stopped.pop("since") <= other.pop("since")
    assert stopped == {
        "id": "p-1",
        "state": "stopped",
        "reason": {"en": "why", "zh": "为何"},
        "workflow": "w-1",
        "nodes": ["1", "2"],
        "prompt": "A kite",
    }
    assert (other["id"], other["state"], other["workflow"]) == (lost, "lost", "")
    assert [page.get("/background?ask=1")["ask"] for _ in range(2)] == [[lost], []]


def test_what_is_given_up_is_gone(page: Page, lost: str) -> None:
    assert page.delete(f"/background/{lost}") == {}
    assert [run["id"] for run in page.get("/background")["runs"]] == ["p-1"]
    for method in ("DELETE", "POST"):
        answer = page.request(method, f"/background/{lost}", json={})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "NotFound")


def test_a_prompt_that_was_not_stored_cannot_go_on_after_a_restart(page: Page, lost: str) -> None:
    answer = page.request("POST", f"/background/{lost}", json={})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (409, "CannotGoOn")
    assert page.get("/background")["runs"][1]["state"] == "stopped"


def test_whether_it_may_pay_is_true_or_false(page: Page, lost: str) -> None:
    answer = page.request("POST", f"/background/{lost}", json={"may_pay": "yes"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (400, "BadRequest")
    assert page.get("/background")["runs"][1]["state"] == "lost"
