"""The `check` command: whether the key works, and what the service tells of its account."""

from __future__ import annotations

from ..engine.services import client_for, current_settings
from ..siliconflow.errors import RequestError
from ..siliconflow.resources.account import user_info
from ..siliconflow.resources.models import list_models
from ..strings.text import text


def check() -> int:
    """Ask the service and print what it says. Raises a `SiliconFlowError` if the key fails.

    The list of models is the test: the call that tells of the account is gone from many services.
    """
    settings = current_settings()
    client = client_for(settings)
    models = list_models(client)
    print(text("cli.check.works", url=settings.base_url))
    print(text("cli.check.models", n=len(models)))
    try:
        account = user_info(client)
    except RequestError as error:
        print(text("cli.check.no_account", reason=error.what))
    else:
        print(text("cli.check.account", name=account.name, status=account.status))
        print(text("cli.check.balance", balance=account.balance))
    return 0
