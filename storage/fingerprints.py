"""Names of accounts and requests that do not give away what they stand for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def account_of(key: str, base_url: str) -> str:
    """Give a name for an account that does not give its key away."""
    return hashlib.sha256(f"siliconflow account\0{base_url}\0{key}".encode()).hexdigest()[:32]


def fingerprint(account: str, path: str, body: Mapping[str, Any]) -> str:
    """Give the name of a request: the same for the same account, endpoint and body."""
    text = json.dumps([account, path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
