"""What costs nothing to ask: the account, its models, its voices."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from ..comfyui import host
from ..comfyui.host import Caller
from ..engine.job import as_json
from ..engine.model_refresh import note_voices, own_voices
from ..engine.run import Inputs, look_up
from ..engine.services import current_settings, ledger_for
from ..engine.spending import spent_by_model, times_began
from ..engine.threads import in_thread
from ..siliconflow.catalogue import NO_VOICE, require_text
from ..siliconflow.client import Client
from ..siliconflow.errors import RetiredCall
from ..siliconflow.resources import audio
from ..siliconflow.resources.account import Account, user_info
from ..siliconflow.resources.models import list_models
from ..storage.database import LedgerError
from ..strings.text import Text, text

ALL = "all"


async def account(_inputs: Inputs, caller: Caller) -> tuple[float, str, str, float, float]:
    """Return the balance, the state of the account, every amount, and the spend of day and month.

    Where the service has retired the call, the state says so, the balance is 0, and null among the
    amounts. The spend is that of this pack's records. Raises a `RequestError`, or `LedgerError` if
    they cannot be read.
    """

    def ask(client: Client) -> Account:
        try:
            return user_info(client)
        except RetiredCall:
            return Account("", str(text("task.account_retired")), Decimal(0))

    owner = await look_up(caller, ask, _account_line)
    amounts: dict[str, str | None] = {key: f"{value:f}" for key, value in owner.amounts.items()}
    amounts = amounts or {"balance": None}
    today, month = await in_thread(_spent)
    spent = {"spent_today": f"{today:f}", "spent_month": f"{month:f}"}
    info = as_json({"name": owner.name, "status": owner.status, **amounts, **spent})
    return float(owner.balance), owner.status, info, float(today), float(month)


def _spent() -> tuple[Decimal, Decimal]:
    """Return what was spent today and this month, without what has no known price."""
    settings = current_settings()
    try:
        with ledger_for(settings).spending() as book:
            parts = [spent_by_model(book.since(began), settings) for began in times_began()]
    except LedgerError as error:
        raise LedgerError(text("task.spend_unreadable", reason=error.text)) from None
    today, month = (sum((each.spent for each in part), Decimal(0)) for part in parts)
    return today, month


def _account_line(owner: Account) -> Text:
    if not owner.amounts:
        return text("task.account_retired")
    return text("task.account_done", balance=f"{owner.balance:f}", status=owner.status)


async def models(inputs: Inputs, caller: Caller) -> tuple[list[str], str]:
    """Return the models of a type and a sub type. Raises a `RequestError`."""
    type_, sub_type = (
        "" if inputs.get(name, ALL) == ALL else str(inputs[name]) for name in ("type", "sub_type")
    )
    call = partial(list_models, kind=type_, sub_type=sub_type)
    ids = await look_up(
        caller,
        call,
        lambda ids: text("task.models_done", n=len(ids)) if ids else text("task.no_models"),
    )
    return host.list_output(ids), "\n".join(ids)


async def voices(_inputs: Inputs, caller: Caller) -> tuple[list[str], str]:
    """Return the account's own voices. Raises a `RequestError`."""
    own = await look_up(
        caller,
        audio.list_voices,
        lambda own: (
            Text("\n".join(f"{voice.name} · {voice.uri}" for voice in own))
            if own
            else text("task.no_voices")
        ),
    )
    await in_thread(partial(note_voices, lambda _: own_voices(own)))
    uris = host.list_output([voice.uri for voice in own])
    return uris, as_json({"voices": [vars(voice) for voice in own]})


async def delete_voice(inputs: Inputs, caller: Caller) -> tuple[str]:
    """Delete a voice, and return its ID. Raises a `RequestError`."""
    chosen = str(inputs.get("voice", NO_VOICE))
    uri = str(inputs.get("uri", "")).strip() or (chosen if chosen != NO_VOICE else "")
    require_text(uri, "uri")

    def delete(client: Client) -> str:
        audio.delete_voice(client, uri)
        return uri

    await look_up(caller, delete, lambda uri: text("task.voice_deleted", voice=uri))
    await in_thread(
        partial(note_voices, lambda known: [voice for voice in known if voice.uri != uri])
    )
    return (uri,)
