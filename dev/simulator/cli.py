"""The simulator at the command line: it runs until Ctrl-C and prints one line per request."""

from __future__ import annotations

import re
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .models import DEFAULT_AS_OF, Day, read_table
from .server import SITES, Simulator

if TYPE_CHECKING:
    import argparse

    from .state import Record

DEFAULT_PORT = 8900
PAUSE = 0.5


def _texts(language: str) -> dict[str, str]:
    texts: dict[str, dict[str, str]] = read_table("cli")
    return texts.get(language, texts["en"])


def add_arguments(parser: argparse.ArgumentParser, language: str = "en") -> None:
    """Add the options of the simulator command, explained in English or Chinese."""
    options: dict[str, dict[str, Any]] = {
        "--port": {"type": int, "default": DEFAULT_PORT},
        "--site": {"choices": SITES, "default": "cn"},
        "--as-of": {"type": _day, "default": DEFAULT_AS_OF},
        "--removed-fields": {"choices": ("refuse", "ignore"), "default": "refuse"},
        "--latency": {"type": _positive, "default": 0.0},
        "--clip-seconds": {"type": _positive, "default": 0.0},
        "--ipm": {"type": _positive},
        "--rpm": {"type": _positive},
        "--tpm": {"type": _positive},
        "--balance": {"type": _amount, "default": Decimal("100.00")},
        "--key": {"default": "sk-simulator"},
    }
    for name, rules in options.items():
        parser.add_argument(name, help=_texts(language)[name], **rules)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; 1 when the port cannot be used."""
    texts = _texts(getattr(args, "language", "en"))
    given = {name: value for name, value in vars(args).items() if name != "language"}
    simulator = Simulator(
        **given, on_request=lambda record: print(describe(record, texts), flush=True)
    )
    try:
        simulator.start()
    except (OSError, OverflowError) as error:
        print(texts["taken"].format(port=args.port, error=error), file=sys.stderr)
        return 1
    print(texts["intro"].format(site=simulator.site, as_of=args.as_of))
    address = {"origin": simulator.origin, "url": simulator.base_url, "key": simulator.key}
    print(texts["set"].format(**address), texts["stop"], texts["head"], sep="\n", flush=True)
    try:
        while True:
            # A wait without an end cannot be interrupted on Windows, hence the short ones.
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        simulator.stop()
    spent = sum((charge.amount for charge in simulator.charges), Decimal(0))
    count = len(simulator.requests)
    print(texts["stopped"].format(requests=count, spent=spent, balance=simulator.balance))
    return 0


def describe(record: Record, texts: dict[str, str]) -> str:
    """Return one line about a request: status, what, images, charge, trace id."""
    parts = [str(record.status), record.model or f"{record.method} {record.path}"]
    for name, count in (("pictures", record.pictures), ("tokens", record.tokens)):
        if count:
            parts.append(texts[name].format(count=count))
    if record.pictures or record.tokens or record.charged:
        parts.append(texts["charged"].format(amount=f"{record.charged:f}"))
    if record.refusal:
        parts.append(" ".join(record.refusal.split()))
    if not record.delivered:
        parts.append(texts["gone"])
    return "  ".join([*parts, record.trace_id])


def _day(text: str) -> str:
    return Day(text, SITES[0]).name


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        raise ValueError(text)
    return Decimal(text)


def _positive(text: str) -> float:
    if _amount(text) < 0:
        raise ValueError(text)
    return float(text)
