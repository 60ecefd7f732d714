"""The `check` command: whether the key works, and whether the service is as the pack expects it."""

from __future__ import annotations

from collections import Counter
from textwrap import indent

from ..engine.services import client_for, current_settings
from ..siliconflow import catalogue, contract
from ..siliconflow.catalogue import Site
from ..siliconflow.client import Client
from ..siliconflow.contract import Row
from ..siliconflow.errors import InvalidKey, RequestError
from ..siliconflow.resources.account import user_info
from ..strings.text import Text, text
from .hops import walk

SAME, DIFFERS, NOT_ASKED = "same", "differs", "not_asked"
_MARGIN = " " * 4


def check() -> int:
    """Print each hop, and what the service tells of the account; return 1 if a hop fails."""
    settings = current_settings()
    client = client_for(settings)
    marks = {True: text("hop.good"), False: text("hop.bad"), None: text("hop.untried")}
    is_good = True
    for hop in walk(client):
        is_good = is_good and hop.is_good is not False
        row = text("cli.check.hop", mark=marks[hop.is_good], hop=hop.label, says=hop.text)
        print(row, flush=True)
    if not is_good:
        return 1
    print(text("cli.check.works", url=settings.base_url))
    try:
        account = user_info(client)
    except RequestError as error:
        print(text("cli.check.no_account", reason=error.what))
    else:
        print(text("cli.check.account", name=account.name, status=account.status))
        print(text("cli.check.balance", balance=account.balance))
    return 0


def check_contract(*, paid: bool) -> int:
    """Compare the service with all that the pack expects of it, and print what differs.

    Only calls that cost nothing; with `paid` one image more, whose price is printed before.
    Returns 0 if all is as expected, 1 if something differs, 2 if nothing does and something could
    not be asked. Raises a `SiliconFlowError` if the key fails.
    """
    settings = current_settings()
    client = client_for(settings)
    print(text("cli.contract.start", site=settings.site, url=settings.base_url))
    if not paid:
        print(text("cli.contract.all_free"))
    counts: Counter[str] = Counter()
    for row in contract.rows(settings.site, paid=paid):
        if row.cost == contract.PAID:
            print(_price(row.model, settings.site), flush=True)
        outcome, says = _compare(client, row, settings.site)
        counts[outcome] += 1
        cost = text(f"cli.contract.{row.cost}")
        print(text(f"cli.contract.{outcome}", request=row.request, cost=cost), flush=True)
        for line in says:
            print(indent(str(line), _MARGIN))
    totals = {outcome: counts[outcome] for outcome in (SAME, DIFFERS, NOT_ASKED)}
    print(text("cli.contract.summary", **totals))
    return 1 if counts[DIFFERS] else 2 if counts[NOT_ASKED] else 0


def _compare(client: Client, row: Row, site: Site) -> tuple[str, list[Text]]:
    """Return the outcome of a row, and what is to be said of it."""
    try:
        answer = contract.ask(client, row)
    except InvalidKey:
        raise
    except RequestError as error:
        return NOT_ASKED, [(error if row.cost == contract.PAID else error.for_free_call()).text]
    differences = contract.differences(row, answer, site)
    if not differences:
        return SAME, []
    used_by = ", ".join(row.used_by)
    belief = text("cli.contract.belief", since=row.since, source=row.source, used_by=used_by)
    return DIFFERS, [*differences, belief]


def _price(model_id: str, site: Site) -> Text:
    price = catalogue.load().find(model_id, site).price or {}
    amount, currency, day = (price.get(name, "?") for name in ("image", "currency", "as_of"))
    return text("cli.contract.price", model=model_id, amount=amount, currency=currency, day=day)
