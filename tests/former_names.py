"""The names that requests had in the ledger until December 2026, which hashed encoded files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from typing import Any

from comfyui_siliconflow.engine.services import current_settings, ledger_for
from comfyui_siliconflow.storage.accounts import account_id


def former_fingerprint(path: str, body: dict[str, Any]) -> str:
    """Return what named a request of this body until December 2026; images were hashed encoded."""
    account = account_id(current_settings().require_key(), current_settings().base_url)
    named = {
        name: hashlib.sha256(value.encode()).hexdigest() if _is_image(value) else value
        for name, value in body.items()
    }
    content = json.dumps([account, path, named], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def _is_image(value: object) -> bool:
    return isinstance(value, str) and value.startswith("data:")


def name_as_before(path: str, body: dict[str, Any]) -> None:
    """Give the saved request the name that it would have had."""
    file = ledger_for(current_settings()).database.folder / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        former = former_fingerprint(path, body)
        assert db.execute("UPDATE requests SET fingerprint = ?", (former,)).rowcount == 1
        db.execute("UPDATE former_names SET until = 1e12")
