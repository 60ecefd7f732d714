"""Fetches the list of models that an account has, which is free, and stores it for the nodes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..comfyui import events, host
from ..siliconflow.client import Client
from ..siliconflow.errors import BadAnswer, Failure, RequestError
from ..siliconflow.resources.audio import Voice, list_voices
from ..siliconflow.resources.models import SUB_TYPES, list_models, list_speech_models
from ..storage.model_lists import (
    EVERY,
    SPEAKING,
    ModelList,
    OwnVoice,
    change_voices,
    claim_refresh,
    save_model_list,
)
from ..storage.settings import InvalidSettings, Settings
from ..strings.text import SiliconFlowError, text
from .services import current_settings
from .threads import start_thread

A_DAY = 86_400.0
A_MINUTE = 60.0
"""In seconds, between two refreshes: after runs, and when a key is tested, then saved."""
logger = logging.getLogger("siliconflow")


def refresh(client: Client, settings: Settings, folder: Path) -> ModelList:
    """Fetch and store the list, and tell every page; return what is stored.

    Raises a `RequestError`, or `InvalidSettings` if it cannot be stored: then the last list stays,
    as it does if the process dies meanwhile.
    """
    every = list_models(client)
    if not every:
        raise BadAnswer(Failure(text("server.no_models"), 200))
    kinds = {EVERY: every, **{kind: list_models(client, "", kind) for kind in SUB_TYPES}}
    kinds[SPEAKING] = list_speech_models(client, kinds["speech-to-text"])
    models = save_model_list(folder, settings.account, ModelList(time.time(), kinds))
    try:
        own = own_voices(list_voices(client))
        change_voices(folder, settings.account, lambda _: own)
    except RequestError as error:  # a gateway may well have models and no voices
        logger.info("The list of voices was not refreshed: %s", type(error).__name__)
    events.send_models_refreshed()
    return models


def own_voices(listed: Iterable[Voice]) -> list[OwnVoice]:
    """Return what is stored of voices that the service listed."""
    return [OwnVoice(voice.uri, voice.name, voice.model) for voice in listed]


def note_voices(change: Callable[[Sequence[OwnVoice]], Iterable[OwnVoice]]) -> None:
    """Store what `change` makes of the account's own voices, and tell every page. Never raises.

    The service has it already, and will list it so: a file that cannot be written fails nothing.
    """
    try:
        change_voices(host.data_directory(), current_settings().account, change)
    except InvalidSettings as error:
        logger.warning("The list of voices was not stored: %s", error)
    events.send_models_refreshed()


def refresh_if_due(client: Client, settings: Settings, every: float) -> None:
    """Refresh the list in a thread, unless this account's was asked for within `every` seconds.

    Nobody waits for it, and nobody is told if it fails: whoever asks for the list sees why.
    """
    start_thread(_refresh_if_due, client, settings, every, host.data_directory())


def _refresh_if_due(client: Client, settings: Settings, every: float, folder: Path) -> None:
    try:
        if claim_refresh(folder, settings.account, every):
            refresh(client, settings, folder)
    except SiliconFlowError as error:
        logger.info("The list of models was not refreshed: %s", type(error).__name__)
