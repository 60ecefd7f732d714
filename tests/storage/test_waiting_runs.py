"""What waits in the background is known to the next process, and is queued again once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.storage import ledger as ledger_module
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.storage.migrations import LEDGER
from comfyui_siliconflow.storage.waiting_runs import MAX_PROMPT_BYTES, WaitingRuns
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.storage.conftest import BEGINNING, Clock

PROMPT = {"graph": {"1": {"inputs": {"prompt": "a kite \ud83d"}}}, "outputs": ["2"]}
Open = Callable[[], tuple[WaitingRuns, Ledger]]


@pytest.fixture
def open_runs(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Open the runs of one folder, each time as a process of its own."""
    opened: list[Ledger] = []

    def make() -> tuple[WaitingRuns, Ledger]:
        opened.append(Ledger(tmp_path, clock=clock))
        return WaitingRuns(opened[-1].database), opened[-1]

    yield make
    for item in opened:
        item.close()


def test_a_run_is_lost_only_when_its_process_has_ended(open_runs: Open) -> None:
    (runs, ledger), (others, _) = open_runs(), open_runs()
    runs.add("first", "content", {"3:5"}, PROMPT)
    runs.add("first", "content", {"3:5", "2"})
    (run,) = runs.all()
    assert (run.state, run.since, run.left_out) == ("waiting", BEGINNING, ("2", "3:5"))
    assert others.all() == []
    ledger.close()
    (run,) = others.all()
    assert (run.state, run.left_out) == ("lost", ("2", "3:5"))
    assert run.prompt is not None
    assert run.prompt["outputs"] == ["2"]


@pytest.mark.parametrize("state", ["waiting", "stopped", "lost"])
def test_a_run_is_taken_once(open_runs: Open, state: str) -> None:
    runs, ledger = open_runs()
    runs.add("first", "content", {"1"}, PROMPT)
    if state == "stopped":
        assert runs.stop("first", Text("why", "为何"))
    if state == "lost":
        ledger.close()
        runs, _ = open_runs()
    taken = runs.take("first")
    assert taken is not None
    assert taken.state == state
    assert taken.reason == (Text("why", "为何") if state == "stopped" else None)
    assert runs.take("first") is None
    assert [run.state for run in runs.all()] == ["queued"]
    assert runs.delete("first")
    assert not runs.delete("first")


def test_one_that_was_queued_when_its_process_ended_is_lost_too(open_runs: Open) -> None:
    """ComfyUI's queue lives in memory."""
    runs, ledger = open_runs()
    runs.add("first", "content", {"1"}, PROMPT)
    runs.take("first")
    ledger.close()
    assert [run.state for run in open_runs()[0].all()] == ["lost"]


def test_the_same_prompt_takes_the_place_of_one_that_was_stopped_or_lost(open_runs: Open) -> None:
    runs, ledger = open_runs()
    runs.add("lost", "same", {"1"}, PROMPT)
    ledger.close()
    runs, _ = open_runs()
    for id_, content in (("stopped", "same"), ("other", "other"), ("queued", "same")):
        runs.add(id_, content, {"1"}, PROMPT)
        if id_ != "queued":
            runs.stop(id_, Text("why"))
    runs.take("queued")
    assert [run.id for run in runs.all()] == ["other", "queued"]
    runs.add("new", "same", {"1"}, PROMPT)
    assert [run.id for run in runs.all()] == ["other", "queued", "new"]


def test_one_that_another_process_sees_to_keeps_its_place(open_runs: Open) -> None:
    (runs, _), (others, ledger) = open_runs(), open_runs()
    others.add("theirs", "same", {"1"}, PROMPT)
    runs.add("ours", "same", {"1"}, PROMPT)
    assert [run.id for run in runs.all()] == ["ours"]
    ledger.close()
    assert [run.id for run in runs.all()] == ["theirs", "ours"]


def test_what_a_second_run_leaves_out_takes_the_place_of_the_first_until_it_has_run(
    open_runs: Open,
) -> None:
    runs, _ = open_runs()
    runs.add("first", "content", {"1"}, PROMPT)
    runs.take("first")
    runs.add("second", "another", {"2"}, PROMPT, "first")
    assert [(run.id, run.left_out) for run in runs.all()] == [("second", ("1", "2"))]
    runs.leave_out("second", {"2"})
    assert [(run.id, run.left_out) for run in runs.all()] == [("second", ("2",))]


def test_a_run_waits_since_its_prompt_began_and_one_that_takes_its_place_since_then(
    open_runs: Open,
) -> None:
    runs, _ = open_runs()
    runs.add("first", "content", {"1"}, PROMPT, since=BEGINNING - 20)
    runs.take("first")
    runs.add("second", "another", {"2"}, PROMPT, "first", since=BEGINNING - 5)
    runs.add("third", "a third", {"1"}, PROMPT, since=BEGINNING + 5)
    assert [run.since for run in runs.all()] == [BEGINNING - 20, BEGINNING]


def test_a_run_that_was_given_up_is_not_stopped(open_runs: Open) -> None:
    runs, _ = open_runs()
    runs.add("first", "content", {"1"}, PROMPT)
    runs.delete("first")
    assert not runs.stop("first", Text("why"))
    assert runs.all() == []


@pytest.mark.parametrize("prompt", [None, {"graph": "x" * MAX_PROMPT_BYTES}])
def test_a_prompt_that_may_not_be_stored_or_is_too_large_waits_without_it(
    open_runs: Open, prompt: dict[str, str] | None
) -> None:
    runs, _ = open_runs()
    runs.add("first", "content", {"1"}, prompt)
    assert [run.prompt for run in runs.all()] == [None]


def test_what_nodes_asked_for_is_stored_by_their_call_and_known_to_the_next_process(
    open_runs: Open,
) -> None:
    runs, ledger = open_runs()
    runs.add("first", "content", {"1"}, PROMPT, requests={"1 0": [[0, 1, 5, ["aa"]]]})
    runs.add("first", "content", {"2"}, requests={"2 0": [[0, 1, 6, ["bb"]]]})
    runs.add("other", "another", {"1"}, PROMPT)
    ledger.close()
    runs, _ = open_runs()
    assert [dict(run.requests) for run in runs.all()] == [
        {"1 0": [[0, 1, 5, ["aa"]]], "2 0": [[0, 1, 6, ["bb"]]]},
        {},
    ]


def test_a_run_that_waited_before_requests_were_stored_has_none(
    open_runs: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = (n for n, each in enumerate(LEDGER) if any("COLUMN requests" in do for do in each))
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "LEDGER", LEDGER[:step])
        _, ledger = open_runs()
    with ledger.database.change() as db:
        db.execute(
            "INSERT INTO waiting_runs (id, content, state, owner, since, left_out)"
            " VALUES ('first', 'content', 'waiting', 'gone', ?, '[\"1\"]')",
            (BEGINNING,),
        )
    ledger.close()
    (run,) = open_runs()[0].all()
    assert (run.state, run.left_out, run.requests) == ("lost", ("1",), {})


def test_what_was_never_charged_before_a_restart_stays_known_until_its_node_begins_again(
    open_runs: Open,
) -> None:
    runs, ledger = open_runs()
    for id_ in ("first", "declined"):
        runs.add(id_, id_, {"1", "2"}, PROMPT, requests={"1 0": []})
    ledger.close()
    runs, ledger = open_runs()
    runs.stop("declined", Text("why"))
    runs.take("first")
    runs.stop("first", Text("why"))
    assert [(run.unpaid, dict(run.requests)) for run in runs.all()] == [
        (("1", "2"), {"1 0": []})
    ] * 2
    again = runs.take("first")
    assert again is not None
    assert (again.state, again.unpaid) == ("stopped", ("1", "2"))
    runs.add("second", "another", {"1"}, PROMPT, "first")
    runs.stop("second", Text("why"))
    assert {run.id: run.unpaid for run in runs.all()} == {"declined": ("1", "2"), "second": ("2",)}


def test_what_failed_in_this_process_is_not_among_what_was_never_charged_before_a_restart(
    open_runs: Open,
) -> None:
    runs, _ = open_runs()
    runs.add("first", "content", {"1"}, PROMPT)
    runs.stop("first", Text("why"))
    assert [run.unpaid for run in runs.all()] == [()]
