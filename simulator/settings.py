"""What can be changed while the simulator runs, from Python or over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from jsonschema import Draft202012Validator

from .account import Account, PerModel
from .faults import PLACES, Fault, Faults, fault_answer
from .log import Record, describe_record
from .rules import Rules, check_schema

Form = Literal["url", "b64_json", "data_url"]
FORMS: tuple[str, ...] = ("url", "b64_json", "data_url")
LISTS: tuple[str, ...] = ("images", "data")

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
    },
    "additionalProperties": False,
}
CHANGES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "latency": _PER_MODEL,
        "ipm": {"anyOf": [{"type": "null"}, _PER_MODEL]},
        "balance": _MONEY,
        "price": _MONEY,
        "answer": {"enum": list(FORMS)},
        "answer_lists": {"type": "array", "items": {"enum": list(LISTS)}, "uniqueItems": True},
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


@dataclass
class State:
    """Everything that one simulator knows."""

    key: str
    rules: Rules
    account: Account
    clock: Callable[[], float]
    settings: Settings = field(default_factory=Settings)
    faults: Faults = field(default_factory=Faults)
    requests: list[Record] = field(default_factory=list)

    def fail(
        self,
        status: int = 503,
        times: int = 1,
        model: str | None = None,
        **how: Any,
    ) -> None:
        """Let the next requests fail; see `Simulator.fail`."""
        made, on = how.pop("made", False), how.pop("on", "generations")
        answer = fault_answer(status, **how)
        self.faults.add(Fault(status, answer, times, model, made=made, on=on))

    def describe(self) -> dict[str, Any]:
        """Return the state as JSON: what `GET /_simulator/state` answers."""
        return {
            "balance": str(self.account.balance),
            "price": str(self.account.price),
            "ipm": self.account.ipm,
            "latency": self.settings.latency,
            "answer": self.settings.answer,
            "answer_lists": list(self.settings.answer_lists),
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
        models = changes.get("add_model", {})
        for name, schema in models.items():
            check_schema(name, schema)
        for name in ("latency", "answer", "answer_lists"):
            if name in changes:
                value = changes[name]
                setattr(self.settings, name, tuple(value) if isinstance(value, list) else value)
        self._change_account(changes)
        faults = changes.get("fail", [])
        for fault in [faults] if isinstance(faults, Mapping) else faults:
            self.fail(**fault)
        for name, schema in models.items():
            self.rules.add(name, schema)

    def _change_account(self, changes: Mapping[str, Any]) -> None:
        for name in ("balance", "price"):
            if name in changes:
                setattr(self.account, name, Decimal(str(changes[name])))
        if "ipm" in changes:
            self.account.ipm = changes["ipm"]
