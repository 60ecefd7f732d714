"""The models that a node offers: the catalogue's, and new ones of the account's model list.

Those that the site in use has stand first, those of the other site follow, retired ones are last.
Never uses the network: the account's list is the one that the user last refreshed.
"""

from __future__ import annotations

import os
from typing import Literal

from ..comfyui import host
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Site
from ..siliconflow.errors import InvalidInput
from ..storage import model_lists
from ..storage import settings as settings_file
from ..storage.accounts import account_id
from ..storage.model_lists import SPEAKING, ModelList
from ..storage.settings import InvalidSettings, Settings
from ..strings.text import text

Mark = Literal["new", "missing", "retired"]
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
    return [model.id for model in offered_models(task, *site_and_account())]


def offered_models(task: str, site: Site, account: ModelList | None) -> list[Model]:
    """Return the models of a task as `site` has them, in the order in which they are offered."""
    models = catalogue.load()
    ids = dict.fromkeys(model.id for model in models.of_task(task))
    listed = {model.id for model in models.models}
    in_account = account.kinds.get(KINDS.get(task, ""), ()) if account else ()
    new = [catalogue.unlisted(model_id) for model_id in in_account if model_id not in listed]
    offered = [*(models.find(model_id, site) for model_id in ids), *new]
    return sorted(offered, key=lambda model: (model.is_retired, model.site not in {site, None}))


def site_and_account() -> tuple[Site, ModelList | None]:
    """Return the site in use, and the saved model list of the account there, if there is one.

    Never raises: ComfyUI asks for the inputs of all nodes at start-up. Invalid settings are
    reported by a run and by the page.
    """
    directory = host.data_directory()
    try:
        settings = settings_file.load(directory, os.environ)
    except InvalidSettings:
        return Settings.site, None
    if not settings.api_key:
        return settings.site, None
    return settings.site, model_lists.load_model_list(directory, account_name(settings))


def account_name(settings: Settings) -> str:
    """Return the name under which an account's model list is saved. It does not hold the key."""
    return f"{settings.site}-{account_id(settings.require_key(), settings.base_url)}"


def check_model(task: str, model: str, custom_model: str) -> None:
    """Raise `InvalidInput` if a model is not offered and `custom_model` is empty."""
    if not custom_model.strip() and model not in model_ids(task):
        raise InvalidInput("model", text("widget.unknown_model", model=model[:100]))
