"""The faults of the calls that cost nothing, and what may come of them.

They are asked for again by themselves where a paid call would not be; so the same fault may end
in another error, or in none. None of these errors speaks of a charge.
"""

from __future__ import annotations

from dataclasses import replace

import requests
from comfyui_siliconflow.dev.simulator import sound
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.tests.reliability import breakers as b
from comfyui_siliconflow.tests.reliability.calls import FORMS, UNDECIDED, Kind
from comfyui_siliconflow.tests.reliability.faults import KEY, Fault, common, exchanges, unsure
from comfyui_siliconflow.tests.reliability.trial import (
    MOST_MIB,
    WARNING,
    Bench,
    Outcome,
    of_the_pack,
)

ACCOUNT = "SiliconFlowAccount"
DELETE = "SiliconFlowDeleteVoice"
UNREADABLE: dict[str, dict[str, str]] = {
    ACCOUNT: {
        **FORMS,
        "no data": '{"code": 20000, "data": null}',
        "no balance": '{"data": {"name": "me"}}',
        "a balance of words": '{"data": {"balance": "much"}}',
        "an endless balance": '{"data": {"balance": "Infinity"}}',
    },
    "SiliconFlowModels": {**FORMS, "models in words": '{"data": "many"}'},
    "SiliconFlowVoices": {**FORMS, "voices in words": '{"result": "many"}'},
    DELETE: {
        "an error object": FORMS["an error object"],
        "a message": '{"message": "voice not found"}',
        "an error of the other kind": '{"error": {"message": "voice not found"}}',
        "success: false": '{"success": false, "msg": "no"}',
        "text": "not found",
        "a page": "<html>Please log in</html>",
    },
}
SKIPPED = {UNDECIDED, "a length too short"}
"""What comes of these depends on when or where the short answers are cut."""
ENOUGH = {"paid, closed within the headers", "paid, the body drips", "gzip in part"}
"""A 200 says that a voice was deleted, whatever is left of its words."""


def of_free_node(node: str) -> list[Fault]:
    """Return the faults that strike a node whose calls cost nothing."""
    bad = errors.BadAnswer
    own = [
        *[
            unsure(f"200, {name}", b.changed(b.with_body(body)), bad)
            for name, body in UNREADABLE[node].items()
        ],
        unsure("echo: within the answer", b.changed(b.with_body(f'{{"data": "{KEY}"}}')), bad),
    ]
    items = [fault for fault in [*common(), *exchanges(), *own] if fault.name not in SKIPPED]
    # The server tells them from paid calls by where they go.
    return [replace(item, where="info") if item.where == "send" else item for item in items]


def new_voice(bench: Bench) -> str:
    """Make a voice that the account has, for a trial to delete; gives its name."""
    answer = requests.post(
        f"{bench.simulator.base_url}/uploads/audio/voice",
        headers={"Authorization": f"Bearer {KEY}"},
        data={"model": "FunAudioLLM/CosyVoice2-0.5B", "customName": "cat", "text": "A cat"},
        files={"file": ("audio.wav", sound.wav(bytes(8000), 8000), "audio/wav")},
        timeout=10,
    )
    return str(answer.json()["uri"])


def try_out_free(bench: Bench, fault: Fault, node: str) -> Outcome:
    """Run a node that costs nothing into a fault, and compare what it brought."""
    inputs = {"uri": new_voice(bench)} if node == DELETE else {}
    outcome = bench.try_out(fault, node, **inputs)
    outcome.problems = problems(outcome)
    return outcome


def problems(outcome: Outcome) -> list[str]:
    """Compare the outcome of a free call with what may come of it."""
    first, second = outcome.first, outcome.second
    kinds = {type(first.error), type(second.error)} - {type(None)}
    said = str(first.error)
    wrong = {
        f"ends with {first.error!r}": type(first.error) not in _allowed(outcome),
        f"then with {second.error!r}": not (second.error is None or _is_gone(outcome)),
        f"raises {kinds} of others": not all(map(of_the_pack, _errors(outcome))),
        f"speaks of a charge: {said}": any(_charges(error) for error in _errors(outcome)),
        "hangs": outcome.hung,
        f"leaks {outcome.leaks}": bool(outcome.leaks),
        "fills the memory": outcome.peak_mib >= MOST_MIB,
        f"says {len(said)} characters": len(said) >= 2000,
    }
    return [text for text, is_so in wrong.items() if is_so]


def _allowed(outcome: Outcome) -> set[type]:
    """Return the errors that are right; of no error, `NoneType`."""
    fault, nothing = outcome.fault, type(None)
    if outcome.node == ACCOUNT and _is(fault.kind, errors.RetiredCall):
        return {nothing}  # its status says so: without a balance the account may well work
    kinds: set[type] = {fault.kind or nothing}
    if _is(fault.kind, errors.ConnectionLost):
        kinds.add(errors.NotConnected)
    if _is(fault.kind, errors.WaitTooLong):
        kinds.add(errors.RateLimited)
    if outcome.node == DELETE and fault.name in ENOUGH:
        kinds.add(nothing)
    return kinds


def _is(kind: Kind, wanted: type[errors.RequestError]) -> bool:
    return kind is not None and issubclass(kind, wanted)


def _is_gone(outcome: Outcome) -> bool:
    """Return whether the service says that there is no such voice any more, as is right then."""
    return outcome.node == DELETE and isinstance(outcome.second.error, errors.BadRequest)


def _errors(outcome: Outcome) -> list[BaseException]:
    return [run.error for run in (outcome.first, outcome.second) if run.error]


def _charges(error: BaseException) -> bool:
    """Return whether an error says, in words or otherwise, that something may have been paid."""
    return getattr(error, "charged", False) is not False or WARNING in str(error)
