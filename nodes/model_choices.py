"""The models that a node offers: the catalogue's, and those that only the account's list has.

No network: the list is what the service gave when the user last asked for it.
"""

from __future__ import annotations

import os
from typing import Literal

from ..comfyui import host
from ..siliconflow import catalogue
from ..siliconflow.errors import InvalidInput
from ..storage import model_lists as model_list
from ..storage import settings as settings_file
from ..storage.fingerprints import account_id
from ..storage.model_lists import SPEAKING, ModelList
from ..storage.settings import InvalidSettings, Settings
from ..strings.text import Text

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
"""The kind of the models of a task: the service's own, but for those that speak."""
_UNKNOWN = Text(
    '"{model}" is not in the list of models. Choose another model; or refresh the list in'
    " Settings > SiliconFlow, should your account have this one; or write its id into"
    " custom_model to use it all the same. Nothing was sent.",
    "模型列表中没有“{model}”。请换一个模型；如果你的账户有这个模型，请在“设置 > SiliconFlow”中"
    "刷新列表；也可以把它的 id 填入 custom_model 直接使用。请求没有发出。",
)


def model_ids(task: str) -> list[str]:
    """Give the models of a task in the order in which they are offered; never raises."""
    ids = [model.id for model in catalogue.load().of_task(task)]
    return list(dict.fromkeys([*ids, *new_models(task, list_of_account())]))


def new_models(task: str, known: ModelList | None) -> list[str]:
    """Give those of the account's models for a task that the catalogue lacks."""
    listed = {model.id for model in catalogue.load().models}
    found = known.kinds.get(KINDS.get(task, ""), ()) if known else ()
    return [model_id for model_id in found if model_id not in listed]


def list_of_account() -> ModelList | None:
    """Give the remembered list of the account that the settings name, if there is one.

    Settings that cannot be used count as no account here: ComfyUI asks while it starts, and a
    run, like the page's settings, says what is wrong with them.
    """
    directory = host.data_directory()
    try:
        settings = settings_file.load(directory, os.environ)
    except InvalidSettings:
        return None
    return (
        model_list.load_model_list(directory, account_name(settings)) if settings.api_key else None
    )


def account_name(settings: Settings) -> str:
    """Give the name under which an account's list is kept."""
    return f"{settings.site}-{account_id(settings.require_key(), settings.base_url)}"


def check_model(task: str, model: str, custom_model: str) -> None:
    """Raise `InvalidInput` for a model that is in no list, unless another was written down."""
    if custom_model.strip() or model in model_ids(task):
        return
    raise InvalidInput("model", _UNKNOWN.format(model=model[:100]))
