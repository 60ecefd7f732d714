"""The settings and the key, as the page may read and change them. No response holds the key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..comfyui import events, host
from ..engine.balance import BALANCES
from ..engine.model_refresh import A_MINUTE, refresh_if_due
from ..engine.services import client_for, current_settings
from ..siliconflow.client import Client
from ..siliconflow.resources.models import list_models
from ..storage import settings as settings_file
from ..storage.settings import (
    BASE_URLS,
    BOUNDS,
    CHOICES,
    ENVIRONMENT,
    KEY_FILE,
    InvalidSettings,
    Settings,
    key_variable,
    save,
)
from ..strings.text import text
from .hops import walk
from .page_http import FixedSetting, Json, PageRequest, SharedServer

_OPERATOR_ONLY = frozenset(
    {
        "api_key",
        "base_url",
        "connect_timeout",
        "read_timeout",
        "most_picture_mib",
        "most_megapixels",
    }
)
"""Settings that `POST /settings` refuses. The key has routes of its own."""
PAGE_SETTINGS = tuple(item.name for item in fields(Settings) if item.name not in _OPERATOR_ONLY)
SHORTEST_KEY_TO_SHOW = 12
"""Characters. Of a shorter key not even the last four are shown."""


def read(_request: PageRequest) -> Json:
    """Return the settings in use."""
    return _settings_body(current_settings())


def change(request: PageRequest) -> Json:
    """Save settings: all of them, or none if one is invalid."""
    _check_not_shared()
    _check_names(request.body)
    return _save(request.body)


def set_key(request: PageRequest) -> Json:
    """Save a key, and the site that it belongs to: both, or neither."""
    _check_not_shared()
    _check_key_is_ours()
    saved = _save_key({"api_key": _parse_key(request.body), **_parse_site(request.body)})
    settings = current_settings()
    refresh_if_due(client_for(settings), settings, A_MINUTE)
    return saved


def delete_key(_request: PageRequest) -> Json:
    """Delete the key from the settings file."""
    _check_not_shared()
    _check_key_is_ours()
    return _save_key({"api_key": None})


def test_key(request: PageRequest) -> Json:
    """Return how many models the key in use opens, or one that is not saved yet.

    The service no longer tells whose a key is: name, status and balance are empty. A key to test
    is sent to the same address as the key in use: the page can choose the site, but no other
    address.
    """
    client, settings = _tested(request)
    models = list_models(client)
    refresh_if_due(client, settings, A_MINUTE)
    return {
        "name": "",
        "status": "",
        "balance": None,
        "currency": settings.currency,
        "site": settings.site,
        "models": len(models),
    }


def test_connection(request: PageRequest) -> Json:
    """Return each hop to the service and whether it is passed, for the same keys as `test_key`."""
    client, settings = _tested(request)
    hops = list(walk(client))
    if all(hop.is_good is not False for hop in hops):
        refresh_if_due(client, settings, A_MINUTE)
    return {
        "hops": [
            {
                "name": hop.name,
                "good": hop.is_good,
                "label": hop.label.as_json(),
                "text": hop.text.as_json(),
            }
            for hop in hops
        ]
    }


def read_balance(_request: PageRequest) -> Json:
    """Return the balance of the account; `null`, with the reason, where the call is retired."""
    settings = current_settings()
    return BALANCES.now(client_for(settings), settings)


def _tested(request: PageRequest) -> tuple[Client, Settings]:
    """Return a client with the key in use, or with the one of the request, and its settings."""
    settings = current_settings()
    if "key" not in request.body:
        return client_for(settings), settings
    tested = _settings_with_key(_parse_key(request.body), request.body)
    client = Client(
        tested.api_key,
        tested.base_url,
        connect_timeout=tested.connect_timeout,
        read_timeout=tested.read_timeout,
    )
    return client, tested


def _settings_with_key(key: str, body: Mapping[str, Any]) -> Settings:
    values = {**settings_file.read(host.data_directory()), "api_key": key}
    if body.get("site") is not None:
        values["site"] = body["site"]
    ignored = {ENVIRONMENT["api_key"], KEY_FILE}
    environ = {name: value for name, value in os.environ.items() if name not in ignored}
    return settings_file.validate(values, environ)


def _parse_key(body: Mapping[str, Any]) -> str:
    value = body.get("key")
    key = value.strip().strip("\"'") if isinstance(value, str) else ""
    if not key:
        raise InvalidSettings(text("server.empty_key"))
    return key


def _parse_site(body: Mapping[str, Any]) -> Json:
    """Return the site to save with a key: none if the environment sets the same one."""
    site = body.get("site")
    if site is None or ("site" in _fixed() and site == current_settings().site):
        return {}
    _check_names({"site": site})
    return {"site": site}


def _save(changes: Mapping[str, Any]) -> Json:
    settings = save(host.data_directory(), os.environ, changes)
    events.send_settings_changed()
    return _settings_body(settings)


def _save_key(changes: Mapping[str, Any]) -> Json:
    BALANCES.forget()  # so that the next request for the balance is answered for the new key
    return _save(changes)


def _check_names(body: Mapping[str, Any]) -> None:
    for name in body:
        if name not in PAGE_SETTINGS:
            raise InvalidSettings(text("server.operator_only", name=name[:100]))
    if "site" in body and "site" in _fixed():
        raise FixedSetting(text("server.fixed_setting", variable=_fixed()["site"]))


def _check_key_is_ours() -> None:
    if variable := key_variable(os.environ):
        raise FixedSetting(text("server.fixed_setting", variable=variable))


def _check_not_shared() -> None:
    if host.is_multi_user():
        raise SharedServer(text("server.shared_settings"))


def _settings_body(settings: Settings) -> Json:
    values = vars(settings)
    return {
        "values": {name: values[name] for name in PAGE_SETTINGS},
        "choices": {name: list(CHOICES[name]) for name in PAGE_SETTINGS if name in CHOICES},
        "bounds": {name: list(BOUNDS[name]) for name in PAGE_SETTINGS if name in BOUNDS},
        "key": _key_body(settings.api_key),
        "balance": BALANCES.last_known(client_for(settings), settings)
        if settings.api_key
        else None,
        "base_url": settings.base_url,
        "fixed": _fixed(),
        "read_only": host.is_multi_user(),
        "data_directory": "" if host.is_multi_user() else str(host.data_directory()),
    }


def _key_body(key: str) -> Json:
    variable = key_variable(os.environ) or ""
    source = ("environment" if variable else "file") if key else ""
    last4 = key[-4:] if len(key) >= SHORTEST_KEY_TO_SHOW else ""
    return {"is_set": bool(key), "last4": last4, "source": source, "variable": variable}


def _fixed() -> dict[str, str]:
    """Return the settings that the page cannot change, each with what sets it.

    A base URL of one of the sites sets the site. With any other base URL the site stays free: it
    chooses whose models are shown.
    """
    in_file = settings_file.read(host.data_directory()).get("base_url", "")
    in_environment = os.environ.get(ENVIRONMENT["base_url"], "").strip()
    base_url = str(in_environment or in_file).strip().rstrip("/")
    if base_url not in BASE_URLS.values():
        return {}
    return {"site": ENVIRONMENT["base_url"] if in_environment else "base_url"}
