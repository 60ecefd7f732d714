"""The prompts that wait for results in the background: listed, queued again, or given up."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

from ..comfyui import background, host
from ..comfyui.background import NotQueued
from ..engine.job import PlannedRequest
from ..engine.threads import start_thread
from ..siliconflow import catalogue
from ..storage.ledger import Ledger
from ..storage.waiting_runs import WaitingRun, WaitingRuns
from ..strings.text import text
from .ledger_access import page_ledger
from .page_http import BadRequest, CannotGoOn, Json, NotFound, PageRequest

_ASKING: dict[str, str] = {}
"""The page that asks about a lost run, by the id of the run; empty once the user has answered."""


def list_runs(request: PageRequest) -> Json:
    """Return what waits, the oldest first. With `ask`, what that page is to ask the user about.

    Those are the runs of an earlier process about which no other open page asks, until `answer`.
    """
    with page_ledger() as ledger:
        runs = WaitingRuns(ledger.database).all()
        paid = _paid_of(runs, ledger)
        listed = [_as_json(run, ledger, paid) for run in runs]
    ask: list[str] = []
    if page := request.query.get("ask"):
        ask = [run.id for run in runs if run.state == "lost" and _may_ask(page, run.id)]
        _ASKING.update(dict.fromkeys(ask, page))
    return {"runs": listed, "ask": ask, "now": time.time()}


def answer(request: PageRequest) -> Json:
    """Note that the user has answered what `list_runs` had a page ask: it is not asked again.

    What is not gone on with is stopped, so that no later process asks either.
    """
    if not _flag(request, "go_on", default=True):
        with page_ledger() as ledger:
            runs = WaitingRuns(ledger.database)
            lost = [run for run in runs.all() if run.state == "lost" and _ASKING.get(run.id)]
            paid = _paid_of(lost, ledger)
            for run in lost:
                background.decline(run.id, runs, is_free=_is_free(run, ledger, paid))
    _ASKING.update(dict.fromkeys(_ASKING, ""))
    return {}


def _may_ask(page: str, id_: str) -> bool:
    asking = _ASKING.get(id_, page)
    return asking == page or bool(asking and not host.is_open(asking))


def go_on(request: PageRequest) -> Json:
    """Queue a prompt again now. With `may_pay`, what is missing is requested and paid for again."""
    may_pay = _flag(request, "may_pay", default=False)
    id_ = request.params["id"]
    with page_ledger() as ledger:
        runs = WaitingRuns(ledger.database)
        try:
            new_id = background.go_on(id_, runs, may_pay=may_pay)
        except NotQueued as error:
            raise CannotGoOn(error.text) from None
    if new_id is None:
        raise NotFound(text("server.no_waiting_run"))
    start_thread(background.finish, id_, runs, new_id)
    return {"first_prompt_id": id_, "prompt_id": new_id}


def give_up(request: PageRequest) -> Json:
    """Do not queue a prompt again. What is sent is saved; what is not sent yet never is.

    Returns whether any results are still to come.
    """
    id_ = request.params["id"]
    is_under_way = background.has_under_way(id_)
    with page_ledger() as ledger:
        if not background.forget(id_, WaitingRuns(ledger.database)):
            raise NotFound(text("server.no_waiting_run"))
    return {"is_under_way": is_under_way}


def _flag(request: PageRequest, name: str, *, default: bool) -> bool:
    value = request.body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(text("server.bad_flag", name=name))
    return value


def _asked(run: WaitingRun) -> list[PlannedRequest]:
    return [
        PlannedRequest(frame, count, seed, {}, first_names=tuple(names))
        for requests in run.requests.values()
        for frame, count, seed, names in requests
    ]


def _paid_of(runs: Sequence[WaitingRun], ledger: Ledger) -> set[str]:
    """Return the names of what was asked for by those that the user decides on, and is paid."""
    names = {
        name
        for run in runs
        if run.state in {"stopped", "lost"}
        for request in _asked(run)
        for name in request.first_names
    }
    return ledger.paid_of(names) if names else set()


def _is_missing(run: WaitingRun, known: Collection[str]) -> bool:
    """Return whether anything that its nodes asked for is neither known nor under way."""
    return not background.has_under_way(run.id) and not all(
        _is_known(request, known) for request in _asked(run)
    )


def _is_known(request: PlannedRequest, known: Collection[str]) -> bool:
    """Return whether a request, or all of its parts, are among the names that are known."""
    return request.first_names[0] in known or (
        request.count > 1 and all(_is_known(part, known) for part in request.split())
    )


def _is_free(run: WaitingRun, ledger: Ledger, paid: Collection[str]) -> bool:
    """Return whether to go on sends nothing: each paid node has begun, and everything was sent.

    What may have been charged is not sent again. How often a loop repeats its nodes is not known.
    """
    names = [name for request in _asked(run) for name in request.first_names]
    sent = {*paid, *ledger.lost_of(names, run.since)}
    graph, _ = background.queued(run)
    begun = {call.rpartition(" ")[0] for call in run.requests}
    tasks = {id_: host.node_task(node.get("class_type", "")) for id_, node in graph.items()}
    pay = {id_ for id_, task in tasks.items() if task and catalogue.load().of_task(task)}
    return bool(begun) and pay <= begun <= graph.keys() and not _is_missing(run, sent)


def _as_json(run: WaitingRun, ledger: Ledger, paid: Collection[str]) -> Json:
    graph, extra_data = background.queued(run)
    workflow = extra_data.get("extra_pnginfo", {}).get("workflow") or {}
    is_asked_about = run.state in {"stopped", "lost"}
    return {
        "id": run.id,
        "state": run.state,
        "since": run.since,
        "reason": run.reason.as_json() if run.reason else None,
        "workflow": str(workflow.get("id") or ""),
        "nodes": list(run.left_out),
        "is_missing": is_asked_about and _is_missing(run, paid),
        "is_free": is_asked_about and _is_free(run, ledger, paid),
        "prompt": next(filter(None, (_words(graph, node_id) for node_id in run.left_out)), ""),
    }


def _words(graph: dict[str, Any], node_id: str) -> str:
    """Return the prompt of a node, unless another node gives it."""
    words = graph.get(node_id, {}).get("inputs", {}).get("prompt", "")
    return words if isinstance(words, str) else ""
