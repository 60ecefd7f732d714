"""The routes of what waits in the background; a real ComfyUI queues it: tests/host."""

from __future__ import annotations

from contextlib import closing

import pytest
from comfyui_siliconflow.comfyui import background, host
from comfyui_siliconflow.server import page_background
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


@pytest.fixture(autouse=True)
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process does that has not asked yet."""
    monkeypatch.setattr(page_background, "_ASKING", {})


def test_what_waits_is_listed(page: Page, lost: str) -> None:
    stopped, other = page.get("/background")["runs"]
    assert stopped.pop("since") <= other.pop("since")
    assert stopped == {
        "id": "p-1",
        "state": "stopped",
        "reason": {"en": "why", "zh": "为何"},
        "workflow": "w-1",
        "nodes": ["1", "2"],
        "is_missing": False,
        "is_free": False,
        "prompt": "A kite",
    }
    assert (other["id"], other["state"], other["workflow"]) == (lost, "lost", "")


def test_what_a_restart_left_is_asked_about_by_one_open_page_until_the_user_has_answered(
    page: Page, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open = {"first"}
    monkeypatch.setattr(host, "is_open", is_open.__contains__)

    def asked(by: str) -> list[str]:
        ids: list[str] = page.get(f"/background?ask={by}")["ask"]
        return ids

    assert [asked(by) for by in ("first", "first", "second")] == [[lost], [lost], []]
    is_open.clear()
    assert asked("second") == [lost]
    assert page.post("/background", {}) == {}
    assert [asked(by) for by in ("first", "second")] == [[], []]


def test_what_is_not_gone_on_with_after_a_restart_is_stopped_and_never_asked_about_again(
    page: Page, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.get("/background?ask=page")["ask"] == [lost]
    assert page.post("/background", {"go_on": False}) == {}
    monkeypatch.setattr(page_background, "_ASKING", {})  # as in the next process
    assert page.get("/background?ask=page")["ask"] == []
    _, run = page.get("/background")["runs"]
    assert (run["id"], run["state"]) == (lost, "stopped")
    assert run["reason"]["en"].startswith("ComfyUI was restarted, and you chose not to continue")


@pytest.mark.parametrize(
    ("sent", "other_node", "expected"),
    [
        (["whole"], "", (False, True)),
        (["half", "rest"], "", (False, True)),
        (["half"], "", (True, False)),
        (["half", "lost rest"], "", (True, True)),  # what may have been charged is not sent again
        (["lost whole"], "", (True, True)),
        (["whole"], "SiliconFlowImageEdit", (False, False)),  # has not begun
        (["whole"], "SiliconFlowSpeechToText", (False, False)),
    ],
)
def test_it_says_whether_anything_is_missing_and_whether_to_go_on_is_free(
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
    sent: list[str],
    other_node: str,
    expected: tuple[bool, bool],
) -> None:
    tasks = {
        "SiliconFlowTextToImage": "text-to-image",
        "SiliconFlowImageEdit": "image-edit",
        "SiliconFlowSpeechToText": "speech-to-text",
    }
    monkeypatch.setattr(host, "node_task", lambda node_type: tasks.get(node_type, ""))
    types = {"1": "SiliconFlowTextToImage", "2": other_node}
    graph = {id_: {"class_type": type_, "inputs": {}} for id_, type_ in types.items()}
    requests = {"1 0": [[0, 2, 7, ["whole", "half", "rest"]]]}
    with closing(Ledger(host.data_directory())) as ledger:
        prompt = {"graph": graph, "extra_data": {}, "outputs": ["1"]}
        WaitingRuns(ledger.database).add("p", "content", {"1"}, prompt, requests=requests)
        for name in sent:
            entry = ledger.claim(name.removeprefix("lost "), "model")
            ledger.mark_sent(entry)
            if not name.startswith("lost"):
                ledger.mark_submitted(entry, f"ticket of {name}")
    (run,) = page.get("/background?ask=page")["runs"]
    assert (run["state"], run["is_missing"], run["is_free"]) == ("lost", *expected)
    page.post("/background", {"go_on": False})
    (run,) = page.get("/background")["runs"]
    assert ("continuing is free" in run["reason"]["en"]) is expected[1]


def test_what_is_given_up_is_gone(page: Page, lost: str) -> None:
    assert page.delete(f"/background/{lost}") == {"is_under_way": False}
    assert [run["id"] for run in page.get("/background")["runs"]] == ["p-1"]
    for method in ("DELETE", "POST"):
        answer = page.request(method, f"/background/{lost}", json={})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "NotFound")


def test_a_prompt_that_was_not_stored_cannot_go_on_after_a_restart(page: Page, lost: str) -> None:
    answer = page.request("POST", f"/background/{lost}", json={})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (409, "CannotGoOn")
    assert page.get("/background")["runs"][1]["state"] == "stopped"


@pytest.mark.parametrize(("path", "name"), [("/p-2", "may_pay"), ("", "go_on")])
def test_whether_it_may_pay_or_goes_on_is_true_or_false(
    page: Page, lost: str, path: str, name: str
) -> None:
    assert lost == "p-2"
    answer = page.request("POST", f"/background{path}", json={name: "yes"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (400, "BadRequest")
    assert page.get("/background")["runs"][1]["state"] == "lost"


def test_nothing_is_missing_while_requests_wait_for_their_turn(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Ledger(host.data_directory())) as ledger:
        runs = WaitingRuns(ledger.database)
        runs.add("p", "content", {"1"}, PROMPT, requests={"1 0": [[0, 1, 7, ["planned"]]]})
        runs.stop("p", Text("why", "为何"))
    for is_under_way in (True, False):
        monkeypatch.setattr(background, "has_under_way", lambda _: is_under_way)  # noqa: B023 - used at once
        (run,) = page.get("/background")["runs"]
        assert run["is_missing"] is not is_under_way
