"""The prompts that wait for results in the background: listed, queued again, or given up."""

from __future__ import annotations

import time
from typing import Any

from ..comfyui import background, host
from ..comfyui.background import NotQueued
from ..engine.job import PlannedRequest
from ..engine.prompt_costs import PLANNERS
from ..engine.threads import start_thread
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
        listed = [_as_json(run, ledger) for run in runs]
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
            for run in runs.all():
                if run.state == "lost" and _ASKING.get(run.id):
                    background.decline(run.id, runs, is_free=_is_free(run, ledger))
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
    """Do not queue a prompt again. What is sent is saved; what is not sent yet never is."""
    with page_ledger() as ledger:
        if not background.forget(request.params["id"], WaitingRuns(ledger.database)):
            raise NotFound(text("server.no_waiting_run"))
    return {}


def _flag(request: PageRequest, name: str, *, default: bool) -> bool:
    value = request.body.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(text("server.bad_flag", name=name))
    return value


def _is_missing(run: WaitingRun, ledger: Ledger) -> bool:
    """Return whether anything that its nodes asked for is neither here nor under way."""
    asked = [each for requests in run.requests.values() for each in requests]
    return any(
        not _is_paid(PlannedRequest(frame, count, seed, {}, first_names=tuple(names)), ledger)
        for frame, count, seed, names in asked
    )


def _is_paid(request: PlannedRequest, ledger: Ledger) -> bool:
    """Return whether a request, or all of its parts, would cost nothing."""
    return ledger.is_paid(request.first_names[0]) or (
        request.count > 1 and all(_is_paid(part, ledger) for part in request.split())
    )


def _is_free(run: WaitingRun, ledger: Ledger) -> bool:
    """Return whether to go on sends nothing: each paid node has begun, and nothing is missing.

    How often a loop repeats its nodes is not known.
    """
    graph, _ = background.queued(run)
    begun = {call.rpartition(" ")[0] for call in run.requests}
    tasks = {id_: host.node_task(node.get("class_type", "")) for id_, node in graph.items()}
    paid = {id_ for id_, task in tasks.items() if task in PLANNERS}
    return bool(begun) and paid <= begun <= graph.keys() and not _is_missing(run, ledger)


def _as_json(run: WaitingRun, ledger: Ledger) -> Json:
    graph, extra_data = background.queued(run)
    workflow = extra_data.get("extra_pnginfo", {}).get("workflow") or {}
    return {
        "id": run.id,
        "state": run.state,
        "since": run.since,
        "reason": run.reason.as_json() if run.reason else None,
        "workflow": str(workflow.get("id") or ""),
        "nodes": list(run.left_out),
        "is_missing": run.state in {"stopped", "lost"} and _is_missing(run, ledger),
        "is_free": run.state in {"stopped", "lost"} and _is_free(run, ledger),
        "prompt": next(filter(None, (_words(graph, node_id) for node_id in run.left_out)), ""),
    }


def _words(graph: dict[str, Any], node_id: str) -> str:
    """Return the prompt of a node, unless another node gives it."""
    words = graph.get(node_id, {}).get("inputs", {}).get("prompt", "")
    return words if isinstance(words, str) else ""
