"""Prompts with results that are made in the background, queued again once all of them are there.

A node whose results are made in the background ends at once, and ComfyUI skips what depends on it.
Its prompt is recorded as waiting before its first request is sent. When the last of its requests
has ended, the same prompt is queued once more, as `POST /prompt` does: then every result comes from
the ledger. Everything here may block.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from ..storage.database import LedgerError
from ..storage.waiting_runs import WaitingRun, WaitingRuns
from ..strings.text import SiliconFlowError, Text, text
from . import events, host
from .host import GOING_ON, Caller

T = TypeVar("T")
TICK_SECONDS = 0.2
LONGEST_PAUSE = 30.0
"""Seconds between two tries to change a ledger that fails."""
MOST_FOUND = 256
MOST_SAID = 300
"""Characters of what ComfyUI says of a prompt that it refuses."""
_GRAPH, _EXTRA, _OUTPUTS = 2, 3, 4
"""Where an item of ComfyUI's queue has them, behind its number and its id."""
_STORED = ("graph", "extra_data", "outputs")
_LOCK = threading.Lock()
logger = logging.getLogger("siliconflow")


class NotQueued(SiliconFlowError):
    """ComfyUI did not queue a prompt again."""


@dataclass(eq=False)
class Waiting:
    """A prompt of this process that waits.

    By one of the hashes `contents` a prompt that is the same is recognised: one of them is for its
    nodes whose seeds are alike in both. `under_way` counts its nodes whose requests have not ended,
    and those of prompts that joined it; `failure` is why the first of them failed. `requests` are
    what they ask for, by their call.
    """

    id: str
    content: str
    contents: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    requests: dict[str, Any] = field(default_factory=dict)
    under_way: int = 0
    failure: Text | None = None


_WAITING: dict[str, Waiting] = {}
"""Those with requests under way, by the id of the prompt."""
_GONE_ON: set[Waiting] = set()
"""Those with requests under way that were queued again meanwhile: the user did not wait."""
_ITEMS: dict[str, dict[str, tuple[Any, ...]]] = {}
"""The items of all that are recorded, and of what joined them, each by the id of its prompt.

What is secret in them is never stored.
"""
_ENDS: dict[str, list[threading.Event]] = {}
"""What keeps the runs of each that is recorded from sending more, by the id of its prompt."""
_FOUND: dict[tuple[str, str], list[bool]] = {}
"""Whether each call of a node has its results already, by prompt and node, oldest first."""

_ASKED: dict[tuple[str, float], tuple[float, dict[str, Any]]] = {}
"""When each queueing of a prompt began, and what its nodes ask for, by their call; oldest first."""

_MADE_FOR: dict[str, tuple[str, str]] = {}
"""For which call of which prompt each request counts as made in the background; oldest first."""

_MISSING: dict[str, Text] = {}
"""Why nodes of a prompt that was queued again gave nothing, by its id, oldest first."""


def join(  # noqa: PLR0913 - each is of the run
    caller: Caller,
    runs: WaitingRuns,
    most: int,
    requests: Sequence[Any],
    ends: threading.Event,
    *,
    is_alike: bool,
) -> Waiting | None:
    """Record that a node's results are made in the background; `None`: too many prompts wait.

    A prompt that is the same as one that waits joins it, unless its seeds are not alike, or its
    `requests`, in JSON, are others. `ends` is set when the user gives the prompt up. Raises
    `LedgerError`; then nothing is recorded.
    """
    item = host.running_item(caller.prompt_id)
    root = "" if is_alike else caller.going_on.get("root", caller.prompt_id)
    content = _hash([item[_GRAPH], sorted(item[_OUTPUTS]), root])
    with _LOCK:
        alike = (
            each
            for each in _WAITING.values()
            if content in each.contents and each.requests.get(caller.call, requests) == requests
        )
        waiting = _WAITING.get(caller.prompt_id) or next(alike, None)
        parent, is_new = caller.going_on.get("parent", ""), waiting is None
        if parent in _WAITING:  # with more of its nodes, that began after it was queued again
            parent = ""
        if waiting is None:
            if len(_WAITING) >= most:
                return None
            waiting = Waiting(caller.prompt_id, content)
        prompt = _stored(item) if is_new and host.may_store_workflows() else None
        own, left_out = {caller.call: requests}, {*waiting.left_out, caller.node_id}
        since, asked = _ASKED.get(caller.queueing, (time.time(), {}))
        if waiting.id == caller.prompt_id:
            own = {**asked, **own}
            waiting.contents.add(content)
        runs.add(waiting.id, waiting.content, left_out, prompt, parent, requests=own, since=since)
        waiting.left_out.add(caller.node_id)
        waiting.requests.update(own)
        waiting.under_way += 1
        _WAITING[waiting.id] = waiting
        _ENDS[waiting.id] = [*_ENDS.pop(parent, ()), *_ENDS.get(waiting.id, ()), ends]
        items = {} if is_new else _ITEMS[waiting.id]
        _ITEMS[waiting.id] = {**items, item[1]: item}
    if is_new:
        logger.info("Prompt %s waits for results in the background", waiting.id)
    if parent in _ITEMS:
        _tell(parent, "over")
        _ITEMS.pop(parent, None)
    _tell(waiting.id, "waiting", of=item[1])
    return waiting


def note_requests(caller: Caller, runs: WaitingRuns, requests: Sequence[Any]) -> None:
    """Note what a call of any paid node asks for, in JSON, before it is sent.

    If its prompt waits in the end, or goes on here, the next run finds it even with other inputs.
    Raises `LedgerError`.
    """
    with _LOCK:
        _, asked = _ASKED.setdefault(caller.queueing, (time.time(), {}))
        asked[caller.call] = requests
        for oldest in list(_ASKED)[:-MOST_FOUND]:
            del _ASKED[oldest]
        parent = caller.going_on.get("parent", "")
        if parent or caller.prompt_id in _ITEMS:
            runs.note_requests((caller.prompt_id, parent), {caller.call: requests})


def first_requests(caller: Caller) -> Any:
    """Return what a call asked for when its prompt ran before, in JSON; empty if it did not then.

    The prompt may have been queued again before it ran to its end, and have asked for more since.
    """
    parent, call = caller.going_on.get("parent"), caller.call
    with _LOCK:
        later = [asked.get(call, ()) for (id_, _), (_, asked) in _ASKED.items() if id_ == parent]
    return caller.going_on.get("requests", {}).get(call) or (later[-1] if later else ())


def is_under_way_before(caller: Caller) -> bool:
    """Return whether requests of a node are under way that its prompt asked for in its run before.

    Some may wait for their turn: nobody but the run that has them knows of those.
    """
    parent = caller.going_on.get("parent")
    with _LOCK:
        before = [each for each in (*_GONE_ON, *_WAITING.values()) if each.id == parent]
        return any(each.under_way and caller.node_id in each.left_out for each in before)


def has_under_way(id_: str) -> bool:
    """Return whether requests of a prompt are under way, or wait for their turn, in this process.

    It may have stopped meanwhile: the user did not wait for them.
    """
    with _LOCK:
        return any(each.id == id_ and each.under_way for each in (*_GONE_ON, *_WAITING.values()))


def is_list_there(caller: Caller, calls: int, ends: threading.Event, *, is_there: bool) -> bool:
    """Return whether each call of a node for the items of a list has its results already.

    A part of a list is given to nobody: what depends on it would run with that now, and with all of
    it later. Blocks until each call is known, or the run of this one `ends`.
    """
    found = note_found(caller, is_there=is_there)
    while all(found) and len(found) < calls and not ends.is_set():
        time.sleep(TICK_SECONDS)
    return all(found)


def note_found(caller: Caller, *, is_there: bool) -> list[bool]:
    """Note whether a call of a node needs nothing more; return that of all its calls so far."""
    with _LOCK:
        found = _FOUND.setdefault((caller.prompt_id, caller.node_id), [])
        found.append(is_there)
        for oldest in list(_FOUND)[:-MOST_FOUND]:
            del _FOUND[oldest]
        return found


def is_made_for(request_id: str, caller: Caller) -> bool:
    """Return whether a request that was made in the background counts for a call of a node.

    It does for the first that has its result, in each run of the same prompt: it was paid once.
    """
    owner = caller.going_on.get("first_prompt_id", ""), caller.call
    with _LOCK:
        is_own = _MADE_FOR.setdefault(request_id, owner) == owner
        for oldest in list(_MADE_FOR)[:-MOST_FOUND]:
            del _MADE_FOR[oldest]
    return is_own


def note_missing(caller: Caller, reason: Text) -> bool:
    """Note that a node of a prompt that was queued again has no result: the prompt is stopped.

    Returns whether it does: what does not depend on the node runs with what there is.
    """
    if caller.node_id not in caller.going_on.get("left_out", ()):
        return False
    _MISSING.setdefault(caller.prompt_id, reason)
    for oldest in list(_MISSING)[:-MOST_FOUND]:
        del _MISSING[oldest]
    return True


def leave(waiting: Waiting, runs: WaitingRuns, failure: Text | None) -> None:
    """Record that a node's requests have ended; the last of a prompt goes on with it.

    Returns when the prompt has run again. One that failed is stopped: the user decides.
    """
    with _LOCK:
        waiting.under_way -= 1
        waiting.failure = waiting.failure or failure
        is_last_of_gone_on = not waiting.under_way and waiting in _GONE_ON
        if is_last_of_gone_on:
            _GONE_ON.discard(waiting)
    if is_last_of_gone_on and (waiting.id, "stopped") in _written(partial(_states, runs)):
        _tell(waiting.id, "stopped")  # what of it is missing is known only now
    while not waiting.under_way and host.running_item(waiting.id):
        time.sleep(TICK_SECONDS)  # it may have more such nodes
    with _LOCK:
        if waiting.under_way or _WAITING.get(waiting.id) is not waiting:
            return
        del _WAITING[waiting.id]
        _ENDS.pop(waiting.id, None)
    if reason := waiting.failure or _failure_of(waiting.id):
        _stop(waiting.id, runs, reason)
    else:
        _written(partial(runs.leave_out, waiting.id, waiting.left_out))
        with contextlib.suppress(NotQueued):  # it is stopped, too
            if new_id := _written(partial(go_on, waiting.id, runs)):
                finish(waiting.id, runs, new_id)


def _states(runs: WaitingRuns) -> set[tuple[str, str]]:
    return {(run.id, run.state) for run in runs.all()}


def go_on(id_: str, runs: WaitingRuns, *, may_pay: bool = False) -> str | None:
    """Queue a prompt again and return its new id; `None` if it was queued, or given up.

    Unless it `may_pay`, the nodes that were left out send nothing; or where its process ended, and
    so the user has said to go on, what was surely never charged. One that was stopped or lost is
    queued by the user, who confirms what was asked about. Raises `NotQueued`, `LedgerError`.
    """
    with _LOCK:
        run = runs.take(id_)
        if (waiting := _WAITING.pop(id_, None)) and waiting.under_way:
            _GONE_ON.add(waiting)
    if run is None:
        return None
    item, new_id = _item_of(run), str(uuid4())
    try:
        _queue(new_id, item, run, may_pay=may_pay)
    except NotQueued as error:
        _stop(id_, runs, error.text)
        raise
    logger.info("Prompt %s goes on as %s", id_, new_id)
    return new_id


def finish(id_: str, runs: WaitingRuns, new_id: str) -> None:
    """Wait until a prompt that was queued again has run, or was taken from the queue; forget it.

    One that failed is stopped: its results are saved, and the user decides.
    """
    while host.is_queued(new_id):
        time.sleep(TICK_SECONDS)
    reason = _failure_of(new_id) if host.has_run(new_id) else text("background.removed")
    _written(partial(_end, id_, runs, new_id, reason))


def _end(id_: str, runs: WaitingRuns, new_id: str, reason: Text | None) -> None:
    with _LOCK:
        if id_ in _WAITING:  # more of its nodes wait by now
            return
        if not reason and (child := _WAITING.get(new_id)):
            runs.leave_out(new_id, child.left_out)
    if reason:
        _stop(id_, runs, reason)
    else:
        forget(id_, runs)


def _failure_of(id_: str) -> Text | None:
    return host.failure_of(id_) or _MISSING.get(id_)


def forget(id_: str, runs: WaitingRuns) -> bool:
    """Do not go on with a prompt; return whether it was there.

    What is not sent yet is not sent any more, also for what joined it; all else is saved. Where it
    is queued again already, it is taken from the queue.
    """
    with _LOCK:
        was_there = runs.delete(id_)
        _WAITING.pop(id_, None)
        for ends in _ENDS.pop(id_, ()):
            ends.set()
    if was_there:
        host.take_from_queue(lambda item: item[_EXTRA].get(GOING_ON, {}).get("parent") == id_)
        _tell(id_, "over")
    _ITEMS.pop(id_, None)
    return was_there


def decline(id_: str, runs: WaitingRuns, *, is_free: bool) -> None:
    """Note that the user does not go on with a lost prompt for now: it is not asked about again.

    Whether to go on later `is_free` is part of the reason. Raises `LedgerError`.
    """
    if runs.stop(id_, text("background.declined_free" if is_free else "background.declined")):
        _tell(id_, "stopped")


def queued(run: WaitingRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the graph and the `extra_data` that a prompt was queued with, as far as known."""
    item = _item_of(run)
    return (item[_GRAPH], item[_EXTRA]) if item else ({}, {})


def _item_of(run: WaitingRun) -> tuple[Any, ...]:
    """Return the item of ComfyUI's queue; empty if its process is gone, and stored nothing."""
    on_disk = (0, run.id, *(run.prompt[name] for name in _STORED)) if run.prompt else ()
    return _ITEMS.get(run.id, {}).get(run.id, on_disk)


def _queue(new_id: str, item: tuple[Any, ...], run: WaitingRun, *, may_pay: bool) -> None:
    """Queue an item of ComfyUI's queue again, as its server does with what it is sent."""
    if not item:
        raise NotQueued(text("background.not_stored"))
    _ITEMS.setdefault(run.id, {run.id: item})
    server, execution = host.prompt_server(), host.module("execution")
    host.keep_language(run.id, new_id)
    before = item[_EXTRA].get(GOING_ON, {})
    left_out, own = {*before.get("left_out", ())}, {*run.left_out}
    left_out = left_out - own if may_pay else left_out | own
    unpaid = {*before.get("unpaid", ())} - own | {*run.unpaid}
    first = {"first_prompt_id": run.id, "root": host.root_of(run.id, item[_EXTRA])}
    now = int(time.time() * 1000)
    first_at = before.get("queued_at", item[_EXTRA].get("create_time", 0))
    queued_at = now if may_pay or run.state in {"stopped", "lost"} else first_at
    since = None if may_pay else run.since
    made_since = {**before.get("made_since", {}), **dict.fromkeys(run.left_out, run.since)}
    own_marks = {"parent": run.id, "since": since, "queued_at": queued_at, "made_since": made_since}
    nodes = {"left_out": sorted(left_out), "unpaid": sorted(unpaid & left_out)}
    requests = {"requests": {**before.get("requests", {}), **run.requests}}
    going_on = {**first, **before, **own_marks, **nodes, **requests}

    async def put() -> None:
        graph = copy.deepcopy(item[_GRAPH])  # ComfyUI notes in it what it was for its cache
        outputs = _depending(graph, item[_OUTPUTS], run.left_out) or item[_OUTPUTS]
        checked = await execution.validate_prompt(new_id, graph, outputs)
        is_valid, error, outputs, node_errors = checked
        if not is_valid:
            reason = refusal(error, node_errors)
            raise NotQueued(text("background.not_queued", reason=reason))
        extra_data = {**item[_EXTRA], "create_time": now, GOING_ON: going_on}
        number, server.number = server.number, server.number + 1
        rest = item[_OUTPUTS + 1 :] or ({},)
        _tell(run.id, "queued", new_id)  # before any page hears of it otherwise
        server.prompt_queue.put((number, new_id, graph, extra_data, outputs, *rest))

    try:
        asyncio.run_coroutine_threadsafe(put(), server.loop).result()
    except NotQueued:
        raise
    except Exception as error:  # of ComfyUI, or of a node of another pack
        logger.exception("A prompt cannot be queued again")
        name = type(error).__name__
        raise NotQueued(text("background.not_queued", reason=name)) from error


def refusal(error: Mapping[str, Any], node_errors: Mapping[str, Mapping[str, Any]]) -> str:
    """Return why ComfyUI refuses a prompt: the first node that it names, and what that lacks."""
    for node_id, refused in node_errors.items():
        for each in refused["errors"]:
            said = f"{refused['class_type']} ({node_id}): {each['message']}. {each['details']}"
            return said.strip()[:MOST_SAID]
    return f"{error['message']} {error['details']}".strip()[:MOST_SAID]


def _depending(
    graph: Mapping[str, Any], outputs: Collection[str], on: Collection[str]
) -> list[str]:
    """Return the outputs of a graph that depend on some nodes: the others have run."""
    # What an expanded node runs is called after it: "4.0.2" is of node 4.
    roots = {node_id if node_id in graph else node_id.partition(".")[0] for node_id in on}

    def depends(node_id: str, passed: set[str]) -> bool:
        if node_id in roots:
            return True
        if node_id in passed or node_id not in graph:
            return False
        passed.add(node_id)
        links = (value for value in graph[node_id]["inputs"].values() if isinstance(value, list))
        return any(depends(str(link[0]), passed) for link in links if link)

    return [output for output in outputs if depends(output, set())]


def _stop(id_: str, runs: WaitingRuns, reason: Text) -> None:
    if _written(partial(runs.stop, id_, reason)):
        logger.info("Prompt %s is stopped in the background", id_)
        _tell(id_, "stopped")


def _written(change: Callable[[], T]) -> T:
    """Change the ledger; while it fails (a full disk), again: or the prompt would wait for ever."""
    pause = TICK_SECONDS
    while True:
        try:
            return change()
        except LedgerError as error:
            if pause == TICK_SECONDS:
                logger.warning("A prompt in the background waits for the ledger: %s", error)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _stored(item: tuple[Any, ...]) -> dict[str, Any]:
    """Return what is stored of an item: not what ComfyUI keeps apart, as it is secret."""
    return dict(zip(_STORED, item[_GRAPH : _OUTPUTS + 1], strict=True))


def _tell(id_: str, state: str, new_id: str = "", of: str = "") -> None:
    """Send the pages, and programs that listen, what has become of a prompt and what joined it.

    `of`: of one of them alone.
    """
    for own_id, item in _ITEMS.get(id_, {id_: (0, id_, {}, {})}).items():
        first = item[_EXTRA].get(GOING_ON, {}).get("first_prompt_id", own_id)
        data = {"id": id_, "first_prompt_id": first, "prompt_id": new_id, "state": state}
        if of in {"", own_id}:
            events.send(Caller(page=item[_EXTRA].get("client_id")), events.BACKGROUND, data)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
