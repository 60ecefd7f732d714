"""The models that a node offers: the catalogue's, and new ones of the account's model list.

Those that the account has stand first, what it lacks is behind them: models of the other site, and
retired ones at the end. Never uses the network: the account's list is the one that was last saved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

from ..comfyui import host
from ..siliconflow import catalogue
from ..siliconflow.catalogue import OWN_VOICE, Model, Site
from ..siliconflow.errors import InvalidInput
from ..storage import model_lists
from ..storage import settings as settings_file
from ..storage.model_lists import SPEAKING, ModelList, OwnVoice
from ..storage.settings import InvalidSettings, Settings
from ..strings.text import text

Mark = Literal["new", "guessed", "missing", "retired"]
KINDS = {
    "text-to-image": "text-to-image",
    "image-to-image": "image-to-image",
    "image-edit": "image-to-image",
    "text-to-video": "text-to-video",
    "image-to-video": "image-to-video",
    "chat": "chat",
    "embedding": "embedding",
    "rerank": "reranker",
    "speech-to-text": "speech-to-text",
    "text-to-speech": SPEAKING,
    "voice": SPEAKING,
}
"""The `sub_type` of a task's models in `GET /models`; the service has none for speech models."""
IMAGE_KINDS = frozenset({"text-to-image", "image-to-image"})
"""Kinds that one model may well have together; any other two contradict each other."""


def offered_here(task: str) -> list[Model]:
    """Return a task's models in the order in which the node offers them."""
    return offered_models(task, *site_and_account())


def offered_models(task: str, site: Site, account: ModelList | None) -> list[Model]:
    """Return the models of a task as `site` has them, in the order in which they are offered."""
    models = catalogue.load()
    ids = dict.fromkeys(model.id for model in models.of_task(task))
    offered = [models.find(model_id, site) for model_id in ids]
    if account:
        offered += _new_models(task, site, account)
    return sorted(
        offered,
        key=lambda model: (
            mark_of(model, task, account) in {"missing", "retired"},
            model.is_retired,
            model.site not in {site, None},
        ),
    )


def mark_of(model: Model, task: str, account: ModelList | None) -> Mark | None:
    """Return what is to be known of a model before it is chosen, if anything.

    A list without any model of the task's kind says nothing of them: it may be of an earlier
    version, which did not ask for them.
    """
    if not model.listed:
        return "new"
    if model.guessed_from:
        return "guessed"
    if account and model.id in account:
        return None
    if model.is_retired:
        return "retired"
    return "missing" if account and account.kinds.get(KINDS.get(task, "")) else None


def _new_models(task: str, site: Site, account: ModelList) -> Iterator[Model]:
    """Yield the account's models for a task that the catalogue lacks."""
    listed = {model.id for model in catalogue.load().models}
    for model_id in dict.fromkeys(each for ids in account.kinds.values() for each in ids):
        if model_id not in listed:
            kinds = {kind for kind in KINDS.values() if model_id in account.kinds.get(kind, ())}
            model = _new_model(model_id, task, site, kinds)
            if model:
                yield model


def _new_model(model_id: str, task: str, site: Site, kinds: set[str]) -> Model | None:
    """Return a model that the catalogue lacks as it is offered for a task, `None` if it is not.

    The service's word on its kind comes first, its family decides what that leaves open (an edit
    model is an image-to-image model, too). One of no family has its kind's tasks, all its fields
    unchecked. If its kind is not told, or contradicts itself as where a gateway leaves out the
    filter, it is offered by its family alone: in a wrong list it would only fail, or cost money.
    """
    by_kind = {each for each, kind in KINDS.items() if kind in kinds}
    family = catalogue.load().guess(model_id, site)
    tasks = set(family.tasks) if family else set()
    if by_kind:
        tasks &= by_kind
    if tasks:
        return family if task in tasks else None
    is_sure = len(kinds) == 1 or kinds <= IMAGE_KINDS
    return catalogue.unlisted(model_id) if is_sure and task in by_kind else None


def site_and_account() -> tuple[Site, ModelList | None]:
    """Return the site in use, and the saved model list of the account there, if there is one."""
    settings = valid_settings()
    if not settings.api_key:
        return settings.site, None
    return settings.site, model_lists.load_model_list(host.data_directory(), settings.account)


def valid_settings() -> Settings:
    """Return the settings, or the defaults where they are invalid, which a run and the page report.

    Never raises: ComfyUI asks for the inputs of all nodes at start-up.
    """
    try:
        return settings_file.load(host.data_directory(), os.environ)
    except InvalidSettings:
        return Settings()


def check_model(task: str, model: str, custom_model: str) -> None:
    """Raise `InvalidInput` if a model is not offered and `custom_model` is empty."""
    if not custom_model.strip() and model not in {each.id for each in offered_here(task)}:
        raise InvalidInput("model", text("widget.unknown_model", model=model[:100]))


def own_voices() -> tuple[OwnVoice, ...]:
    """Return the account's own voices, as far as they are known."""
    settings = valid_settings()
    if not settings.api_key:
        return ()
    return model_lists.load_voices(host.data_directory(), settings.account)


def check_voice(voice: str) -> None:
    """Raise `InvalidInput` for what is neither a model's own voice nor the ID of the user's."""
    fields = [model.fields["voice"] for model in catalogue.load().of_task("text-to-speech")]
    voices = dict.fromkeys(choice for field in fields for choice in field.choices)
    if voice not in voices and not voice.startswith(OWN_VOICE):
        reason = text("invalid.not_a_choice", value=voice[:100], choices=", ".join(voices))
        raise InvalidInput("voice", reason)
