"""Names of accounts that do not reveal the key."""

from __future__ import annotations

import hashlib
from functools import lru_cache


@lru_cache(maxsize=8)
def account_id(key: str, base_url: str) -> str:
    """Return 32 hex digits that identify the account of an API key at a base URL."""
    return hashlib.sha256(f"siliconflow account\0{base_url}\0{key}".encode()).hexdigest()[:32]
