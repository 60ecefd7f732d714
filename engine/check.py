"""The `check` command: whether the key works, whose it is, and what is left on the account."""

from __future__ import annotations

from ..siliconflow.resources.account import user_info
from ..strings.text import text
from .services import client_for, current_settings


def check() -> int:
    """Ask the service and print what it says. Raises a `SiliconFlowError` if the key fails."""
    settings = current_settings()
    account = user_info(client_for(settings))
    print(text("cli.check.works", url=settings.base_url))
    print(text("cli.check.account", name=account.name, status=account.status))
    print(text("cli.check.balance", balance=account.balance))
    return 0
