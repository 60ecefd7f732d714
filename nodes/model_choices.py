"""The models that a node offers: the catalogue's, and new ones of the account's model list.

Never uses the network: the account's list is the one that the user last refreshed.
"""

from __future__ import annotations

import os
from typing import Literal

from ..comfyui import host
from ..siliconflow import catalogue
from ..siliconflow.errors import InvalidInput
from ..storage import model_lists
from ..storage import settings as settings_file
from ..storage.accounts import account_id
from ..storage.model_lists import SPEAKING, ModelList
from ..storage.settings import InvalidSettings, Settings
from ..strings.text import text

Mark = Literal["new", "missing"]
KINDS = {
    "text-to-image": "text-to-image",
    "image-to-image": "image-to-image",
    "image-edit": "image-to-image",
    "chat": "chat",
    "embedding": "embedding",
    "rerank": "reranker",
    "speech-to-text": "speech-to-text",
    "text-to-speech": SPEAKING,
    "voice": SPEAKING,
}
"""The `sub_type` of a task's models in `GET /models`; the service has none for speech models."""


def model_ids(task: str) -> list[str]:
    """Return the ids of a task's models in the order in which the node offers them."""
    ids = [model.id for model in catalogue.load().of_task(task)]
    return list(dict.fromkeys([*ids, *new_models(task, account_models())]))


def new_models(task: str, models: ModelList | None) -> list[str]:
    """Return the ids of the account's models for a task that are not in the catalogue."""
    listed = {model.id for model in catalogue.load().models}
    ids = models.kinds.get(KINDS.get(task, ""), ()) if models else ()
    return [model_id for model_id in ids if model_id not in listed]


def account_models() -> ModelList | None:
    """Return the saved model list of the account in the settings, or `None`.

    Never raises: ComfyUI asks for the inputs of all nodes at start-up. Invalid settings are
    reported by a run and by the page.
    """
    directory = host.data_directory()
    try:
        settings = settings_file.load(directory, os.environ)
    except InvalidSettings:
        return None
    return (
        model_lists.load_model_list(directory, account_name(settings)) if settings.api_key else None
    )


def account_name(settings: Settings) -> str:
    """Return the name under which an account's model list is saved. It does not hold the key."""
    return f"{settings.site}-{account_id(settings.require_key(), settings.base_url)}"


def check_model(task: str, model: str, custom_model: str) -> None:
    """Raise `InvalidInput` if a model is not offered and `custom_model` is empty."""
    if not custom_model.strip() and model not in model_ids(task):
        raise InvalidInput("model", text("widget.unknown_model", model=model[:100]))
