"""What costs nothing to ask: the account, its models, its voices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..comfyui import host
from ..comfyui.caller import Caller
from ..engine.run import look_up
from ..siliconflow.client import Client
from ..siliconflow.resources import audio as speech
from ..siliconflow.resources.account import Account, user_info
from ..siliconflow.resources.audio import Voice
from ..siliconflow.resources.models import list_models
from ..strings.text import Text
from .results import as_json

ALL = "all"
_NO_VOICE = Text(
    "The account has no voice of its own. Make one with SiliconFlow Upload Voice, or remove the"
    " link from SiliconFlow Voices. Nothing was sent.",
    "账户还没有自己的音色。请先用“SiliconFlow 上传音色”创建，或断开与“SiliconFlow 音色列表”的连线。"
    "请求没有发出。",
)
_NO_MODEL = Text(
    "The account has no model of this type and sub type. Choose others in SiliconFlow Models, or"
    " remove the link from it. Nothing was sent.",
    "账户没有这种类型和用途的模型。请在“SiliconFlow 模型列表”中另选，或断开与它的连线。"
    "请求没有发出。",
)
Inputs = Mapping[str, Any]


async def account(_inputs: Inputs, caller: Caller) -> tuple[float, str, str]:
    """Give the balance, the state of the account, and every amount; raises a `RequestError`."""
    found = await look_up(caller, user_info, _told)
    amounts = {name: f"{amount:f}" for name, amount in found.amounts.items()}
    info = as_json({"name": found.name, "status": found.status, **amounts})
    return float(found.balance), found.status, info


async def models(inputs: Inputs, caller: Caller) -> tuple[list[str], str]:
    """Give the models of a type and a sub type; raises a `RequestError`."""
    kind, sub_type = (_chosen(str(inputs.get(name, ALL))) for name in ("type", "sub_type"))

    def listed(client: Client) -> tuple[str, ...]:
        return list_models(client, kind, sub_type)

    found = await look_up(caller, listed, _counted)
    return host.list_output(found, _NO_MODEL), "\n".join(found)


async def voices(_inputs: Inputs, caller: Caller) -> tuple[list[str], str]:
    """Give the account's own voices; raises a `RequestError`."""
    found = await look_up(caller, speech.list_voices, _listed)
    uris = host.list_output([voice.uri for voice in found], _NO_VOICE)
    return uris, as_json({"voices": [vars(item) for item in found]})


async def delete_voice(inputs: Inputs, caller: Caller) -> tuple[str]:
    """Delete a voice, and give its name; raises a `RequestError`."""
    uri = str(inputs["uri"]).strip()

    def deleted(client: Client) -> str:
        speech.delete_voice(client, uri)
        return uri

    return (
        await look_up(caller, deleted, lambda uri: Text(f"{uri} was deleted", f"已删除 {uri}")),
    )


def _chosen(value: str) -> str:
    return "" if value == ALL else value


def _told(found: Account) -> Text:
    return Text(
        f"Balance {found.balance:f}, {found.status}", f"余额 {found.balance:f}，{found.status}"
    )


def _counted(found: tuple[str, ...]) -> Text:
    return Text(f"{len(found)} models", f"{len(found)} 个模型")


def _listed(found: list[Voice]) -> Text:
    lines = "\n".join(f"{voice.name} · {voice.uri}" for voice in found)
    return Text(lines or "No voice of your own.", lines or "还没有自己的音色。")
