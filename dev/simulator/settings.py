"""What can be changed while the simulator runs, from Python or over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from jsonschema import Draft202012Validator

from .account import LIMITS, Account
from .faults import AFTER, PLACES, Fault, Faults, fault_answer
from .limits import PerModel
from .log import Record, describe_record
from .rules import TASKS, Rules, check_schema
from .sending import BROKEN
from .voices import Voices

Form = Literal["url", "b64_json", "data_url"]
FORMS: tuple[str, ...] = ("url", "b64_json", "data_url")
LISTS: tuple[str, ...] = ("images", "data")
VOICE_LISTS: tuple[str, ...] = ("result", "results")

_NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
_PER_MODEL: dict[str, Any] = {
    "anyOf": [_NUMBER, {"type": "object", "additionalProperties": _NUMBER}]
}
_MONEY: dict[str, Any] = {"type": ["string", "number"], "pattern": r"^-?\d+(\.\d+)?$"}
_FAULT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"anyOf": [{"const": 0}, {"type": "integer", "minimum": 200, "maximum": 599}]},
        "times": {"type": "integer", "minimum": 1},
        "model": {"type": ["string", "null"]},
        "body": True,
        "kind": {"enum": ["json", "text", "html", "empty", None]},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "limit": {"type": ["string", "null"]},
        "made": {"type": "boolean"},
        "on": {"enum": list(PLACES)},
        "broken": {"enum": [*BROKEN, None]},
        "after": {"type": "integer", "minimum": 0},
    },
    "additionalProperties": False,
}
CHANGES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "latency": _PER_MODEL,
        **{limit.lower(): {"anyOf": [{"type": "null"}, _PER_MODEL]} for limit in LIMITS},
        "balance": _MONEY,
        "price": _MONEY,
        "call_price": _MONEY,
        "answer": {"enum": list(FORMS)},
        "answer_lists": {"type": "array", "items": {"enum": list(LISTS)}, "uniqueItems": True},
        "voice_lists": {
            "type": "array",
            "items": {"enum": list(VOICE_LISTS)},
            "uniqueItems": True,
        },
        "fail": {"anyOf": [_FAULT, {"type": "array", "items": _FAULT}]},
        "add_model": {"type": "object", "additionalProperties": {"type": "object"}},
    },
    "additionalProperties": False,
}


@dataclass
class Settings:
    """How the simulator behaves: everything that is not the account's or the models'."""

    latency: PerModel = 0.0
    answer: Form = "url"
    answer_lists: tuple[str, ...] = ("images",)
    # The owner's documentation says `results`; every client that was seen to work reads `result`.
    voice_lists: tuple[str, ...] = ("result",)


@dataclass
class State:
    """Everything that one simulator knows."""

    key: str
    rules: Rules
    account: Account
    clock: Callable[[], float]
    settings: Settings = field(default_factory=Settings)
    faults: Faults = field(default_factory=Faults)
    voices: Voices = field(default_factory=Voices)
    requests: list[Record] = field(default_factory=list)

    def fail(
        self,
        status: int = 503,
        times: int = 1,
        model: str | None = None,
        **how: Any,
    ) -> None:
        """Let the next requests fail; see `Simulator.fail`."""
        broken, after = how.pop("broken", None), how.pop("after", AFTER)
        if broken not in {None, *BROKEN}:
            text = f"broken must be one of {', '.join(BROKEN)}"
            raise ValueError(text)
        made, on = how.pop("made", False) or broken is not None, how.pop("on", "generations")
        answer = fault_answer(status, **how)
        fault = Fault(status, answer, times, model, made, on, broken, after)
        self.faults.add(fault)

    def describe(self) -> dict[str, Any]:
        """Return the state as JSON: what `GET /_simulator/state` answers."""
        return {
            "balance": str(self.account.balance),
            "price": str(self.account.price),
            "call_price": str(self.account.call_price),
            **{name.lower(): limit for name, limit in self.account.limits.items()},
            "latency": self.settings.latency,
            "answer": self.settings.answer,
            "answer_lists": list(self.settings.answer_lists),
            "voice_lists": list(self.settings.voice_lists),
            "voices": self.voices.all(),
            "faults_waiting": sum(fault.times for fault in self.faults.waiting),
            "requests": [describe_record(record) for record in list(self.requests)],
            "charges": [
                {**charge._asdict(), "amount": str(charge.amount)}
                for charge in list(self.account.charges)
            ],
        }

    def change(self, changes: Mapping[str, Any]) -> None:
        """Apply what `POST /_simulator/state` was sent; ValueError names what is wrong with it."""
        for error in Draft202012Validator(CHANGES).iter_errors(changes):
            text = f"{error.json_path}: {error.message}"
            raise ValueError(text)
        models = {
            name: entry if "schema" in entry else {"schema": entry}
            for name, entry in changes.get("add_model", {}).items()
        }
        for name, entry in models.items():
            check_schema(name, entry["schema"])
        for name in ("latency", "answer", "answer_lists", "voice_lists"):
            if name in changes:
                value = changes[name]
                setattr(self.settings, name, tuple(value) if isinstance(value, list) else value)
        self._change_account(changes)
        faults = changes.get("fail", [])
        for fault in [faults] if isinstance(faults, Mapping) else faults:
            self.fail(**fault)
        for name, entry in models.items():
            tasks = tuple(entry.get("tasks", TASKS))
            self.rules.add(name, entry["schema"], tasks, entry.get("traits"))

    def _change_account(self, changes: Mapping[str, Any]) -> None:
        for name in ("balance", "price", "call_price"):
            if name in changes:
                setattr(self.account, name, Decimal(str(changes[name])))
        for name in LIMITS:
            if name.lower() in changes:
                self.account.limits[name] = changes[name.lower()]
