"""The settings and the key, as the page may see and change them. The key itself is never told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..comfyui import events, host
from ..engine.balance import BALANCES, CURRENCIES
from ..engine.services import client_for, current_settings
from ..siliconflow.client import Client
from ..siliconflow.resources.account import Account, user_info
from ..storage import settings as settings_file
from ..storage.settings import (
    BASE_URLS,
    BOUNDS,
    CHOICES,
    ENVIRONMENT,
    InvalidSettings,
    Settings,
    save,
)
from ..strings.text import Text
from .answers import FixedSetting, Json, PageRequest, SharedServer

_OPERATOR_S = frozenset(
    {
        "api_key",
        "base_url",
        "connect_timeout",
        "read_timeout",
        "most_picture_mib",
        "most_megapixels",
    }
)
"""What the page cannot set: the key has a route of its own, and the rest is the operator's."""
PAGE_S = tuple(item.name for item in fields(Settings) if item.name not in _OPERATOR_S)
LEAST_KEY_TO_SHOW = 12
_NOT_HERE = Text(
    "{name}: the page cannot set it. Write it into settings.json on the server, or set"
    " its environment variable.",
    "{name}：不能在页面上设置，请在服务器上的 settings.json 或环境变量中设置。",
)
_ENVIRONMENT_S = Text(
    "{variable} decides this. Change it where ComfyUI is started.",
    "由 {variable} 决定，请在启动 ComfyUI 的地方修改。",
)
_SHARED = Text(
    "This ComfyUI has several users (--multi-user) and one key for all: it is set on the server.",
    "这个 ComfyUI 有多个用户（--multi-user），共用一个密钥：请由管理员在服务器上设置。",
)
_EMPTY = Text("The key is empty. Nothing was changed.", "密钥为空，未作任何修改。")


def read(_request: PageRequest) -> Json:
    """Answer with the settings that hold now."""
    return _shown(current_settings())


def change(request: PageRequest) -> Json:
    """Write settings: all of them, or none if one cannot be used."""
    _check_not_shared()
    _check_names(request.body)
    return _saved(request.body)


def set_key(request: PageRequest) -> Json:
    """Keep a key in the settings file, with the site whose key it is: both, or neither."""
    _check_not_shared()
    _check_variable("api_key")
    return _saved_key({"api_key": _key_of(request.body), **_site_of(request.body)})


def delete_key(_request: PageRequest) -> Json:
    """Take the key out of the settings file."""
    _check_not_shared()
    _check_variable("api_key")
    return _saved_key({"api_key": None})


def test_key(request: PageRequest) -> Json:
    """Say whose key it is and what is left: the one in use, or one that is not stored yet.

    It goes where the key in use would go: to the site, or where the environment says.
    """
    if "key" not in request.body:
        return _own_account(current_settings())
    current_settings()
    tried = _tried(_key_of(request.body), request.body)
    client = Client(
        tried.api_key,
        tried.base_url,
        connect_timeout=tried.connect_timeout,
        read_timeout=tried.read_timeout,
    )
    return _told(user_info(client), tried)


def balance(_request: PageRequest) -> Json:
    """Answer with what is left on the account."""
    settings = current_settings()
    return BALANCES.now(client_for(settings), settings)


def _own_account(settings: Settings) -> Json:
    client = client_for(settings)
    account = user_info(client)
    BALANCES.remember(client, account.balance)
    return _told(account, settings)


def _told(account: Account, settings: Settings) -> Json:
    return {
        "name": account.name,
        "status": account.status,
        "balance": str(account.balance),
        "currency": CURRENCIES[settings.site],
        "site": settings.site,
    }


def _tried(key: str, body: Mapping[str, Any]) -> Settings:
    values = {**settings_file.read(host.data_directory()), "api_key": key}
    if body.get("site") is not None:
        values["site"] = body["site"]
    environ = {name: value for name, value in os.environ.items() if name != ENVIRONMENT["api_key"]}
    return settings_file.validate(values, environ)


def _key_of(body: Mapping[str, Any]) -> str:
    key = body.get("key")
    bare = key.strip().strip("\"'") if isinstance(key, str) else ""
    if not bare:
        raise InvalidSettings(_EMPTY)
    return bare


def _site_of(body: Mapping[str, Any]) -> Json:
    """Give the site that comes with a key; the one that is decided elsewhere is not written."""
    site = body.get("site")
    if site is None or ("site" in _fixed() and site == current_settings().site):
        return {}
    _check_names({"site": site})
    return {"site": site}


def _saved(changes: Mapping[str, Any]) -> Json:
    settings = save(host.data_directory(), os.environ, changes)
    events.settings_changed()
    return _shown(settings)


def _saved_key(changes: Mapping[str, Any]) -> Json:
    BALANCES.forget()  # whoever changes the key wants to know what is on it now
    return _saved(changes)


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in PAGE_S:
            raise InvalidSettings(_NOT_HERE.format(name=name[:100]))
    if "site" in body and "site" in _fixed():
        raise FixedSetting(_ENVIRONMENT_S.format(variable=_fixed()["site"]))


def _check_variable(name: str) -> None:
    variable = ENVIRONMENT[name]
    if os.environ.get(variable, "").strip():
        raise FixedSetting(_ENVIRONMENT_S.format(variable=variable))


def _check_not_shared() -> None:
    if host.is_multi_user():
        raise SharedServer(_SHARED)


def _shown(settings: Settings) -> Json:
    values = vars(settings)
    return {
        "values": {name: values[name] for name in PAGE_S},
        "choices": {name: list(CHOICES[name]) for name in PAGE_S if name in CHOICES},
        "bounds": {name: list(BOUNDS[name]) for name in PAGE_S if name in BOUNDS},
        "key": _key(settings.api_key),
        "balance": BALANCES.last_known(client_for(settings), settings)
        if settings.api_key
        else None,
        "base_url": settings.base_url,
        "fixed": _fixed(),
        "read_only": host.is_multi_user(),
        "data_directory": "" if host.is_multi_user() else str(host.data_directory()),
    }


def _last_balance(settings: Settings) -> Json | None:
    return BALANCES.last_known(client_for(settings), settings) if settings.api_key else None


def _key(key: str) -> Json:
    is_ours = bool(os.environ.get(ENVIRONMENT["api_key"], "").strip())
    source = ("environment" if is_ours else "file") if key else ""
    shown = key[-4:] if len(key) >= LEAST_KEY_TO_SHOW else ""
    return {"is_set": bool(key), "last4": shown, "source": source}


def _fixed() -> dict[str, str]:
    """Name what the environment, or an address in the file, decides, and by what.

    An address that is neither site's leaves open whose models are shown.
    """
    written = settings_file.read(host.data_directory()).get("base_url", "")
    url = os.environ.get(ENVIRONMENT["base_url"], "").strip()
    by = ENVIRONMENT["base_url"] if url else "base_url"
    decided = str(url or written).strip().rstrip("/") in BASE_URLS.values()
    return {"site": by} if decided else {}
