"""Whether the key works, whose it is, and what is left on the account."""

from __future__ import annotations

from ..siliconflow.resources.account import user_info
from ..strings.text import Text
from .services import client_for, current_settings


def check() -> int:
    """Ask the service and print what it says; raises a `SiliconFlowError` if the key fails."""
    settings = current_settings()
    account = user_info(client_for(settings))
    print(Text(f"The key works at {settings.base_url}.", f"密钥可用：{settings.base_url}。"))
    print(
        Text(
            f"Account: {account.name} ({account.status})",
            f"账户：{account.name}（{account.status}）",
        )
    )
    print(Text(f"Balance: {account.balance}", f"余额：{account.balance}"))
    return 0
