"""Hashes that identify accounts and requests without revealing the key or the prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def account_id(key: str, base_url: str) -> str:
    """Return 32 hex digits that identify the account of an API key at a base URL."""
    return hashlib.sha256(f"siliconflow account\0{base_url}\0{key}".encode()).hexdigest()[:32]


def fingerprint(account: str, path: str, body: Mapping[str, Any]) -> str:
    """Return 64 hex digits: the same for the same account, endpoint path and JSON body.

    The ledger finds paid requests by it: a change here loses every result stored so far.
    """
    content = json.dumps([account, path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
