"""What costs nothing to ask: the account, its models, its voices."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

from ..comfyui import host
from ..comfyui.host import Caller
from ..engine.job import as_json
from ..engine.run import Inputs, look_up
from ..siliconflow.client import Client
from ..siliconflow.errors import RetiredCall
from ..siliconflow.resources import audio
from ..siliconflow.resources.account import Account, user_info
from ..siliconflow.resources.models import list_models
from ..strings.text import Text, text

ALL = "all"


async def account(_inputs: Inputs, caller: Caller) -> tuple[float, str, str]:
    """Return the balance, the state of the account, and every amount. Raises a `RequestError`.

    Where the service has retired the call, the state says so, and the balance is 0.
    """

    def ask(client: Client) -> Account:
        try:
            return user_info(client)
        except RetiredCall:
            return Account("", str(text("task.account_retired")), Decimal(0))

    owner = await look_up(caller, ask, _account_line)
    amounts = {name: f"{amount:f}" for name, amount in owner.amounts.items()}
    info = as_json({"name": owner.name, "status": owner.status, **amounts})
    return float(owner.balance), owner.status, info


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
    uris = host.list_output([voice.uri for voice in own])
    return uris, as_json({"voices": [vars(voice) for voice in own]})


async def delete_voice(inputs: Inputs, caller: Caller) -> tuple[str]:
    """Delete a voice, and return its name. Raises a `RequestError`."""
    uri = str(inputs["uri"]).strip()

    def delete(client: Client) -> str:
        audio.delete_voice(client, uri)
        return uri

    return (await look_up(caller, delete, lambda uri: text("task.voice_deleted", voice=uri)),)
