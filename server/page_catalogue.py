"""The catalogue for the page, so that no table of models stands twice."""

from __future__ import annotations

import time
from typing import Any

from ..comfyui import host
from ..engine.services import client_for, current_settings
from ..nodes import NODE_CLASS_MAPPINGS
from ..nodes.model_choices import KINDS, Mark, account_name, list_of_account, new_models
from ..nodes.node import Node
from ..nodes.widgets import PICTURES
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Site
from ..siliconflow.errors import BadAnswer, Failure, InvalidSettings
from ..siliconflow.fields import Field
from ..siliconflow.resources.models import (
    IMAGE_SUB_TYPES,
    OTHER_SUB_TYPES,
    list_models,
    list_speech_models,
)
from ..storage import model_lists as model_list
from ..storage.model_lists import SPEAKING, ModelList
from ..storage.settings import Settings
from ..strings.text import Text
from .answers import Json, PageRequest

_NO_MODELS = Text("it lists no image models", "其中没有任何图像模型")


def read(_request: PageRequest) -> Json:
    """Answer with the catalogue of the site in use."""
    try:
        site = current_settings().site
    except InvalidSettings:  # the widgets need it all the same; the settings say what is wrong
        site = Settings.site
    return catalogue_for_page(site, list_of_account())


def refresh(_request: PageRequest) -> Json:
    """Ask the service for the account's models, remember them, and answer with the catalogue."""
    settings = current_settings()
    client = client_for(settings)
    kinds = {kind: list_models(client, "", kind) for kind in IMAGE_SUB_TYPES}
    if not any(kinds.values()):
        raise BadAnswer(Failure(_NO_MODELS, 200))
    kinds |= {kind: list_models(client, "", kind) for kind in OTHER_SUB_TYPES}
    kinds[SPEAKING] = list_speech_models(client, kinds["speech-to-text"])
    found = ModelList(time.time(), kinds)
    model_list.remember(host.data_directory(), account_name(settings), found)
    return catalogue_for_page(settings.site, found)


def catalogue_for_page(site: Site, known: ModelList | None) -> Json:
    """Give every node with its models, as `site` has them, and what each model takes."""
    return {
        "site": site,
        "inputs": {name: _input(field) for name, field in catalogue.load().inputs.items()},
        "nodes": {name: _node(node, site, known) for name, node in NODE_CLASS_MAPPINGS.items()},
        "refreshed_at": known.refreshed_at if known else None,
    }


def _input(field: Field) -> Json:
    return {
        "type": field.type,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "default": field.default,
        "unset": catalogue.load().unset.get(field.name),
    }


def _node(node: type[Node], site: Site, known: ModelList | None) -> Json:
    names = [*node.required, *node.optional]
    # A list of an earlier version says nothing of the kinds that it did not ask for.
    request = known if known and KINDS.get(node.task) in known.kinds else None
    ids = dict.fromkeys(model.id for model in catalogue.load().of_task(node.task))
    listed = [catalogue.load().find(model_id, site) for model_id in ids]
    new = [catalogue.unlisted(model_id) for model_id in new_models(node.task, known)]
    return {
        "task": node.task,
        "pictures": [name for name in names if name in PICTURES],
        "inputs": names,
        "models": [_model(model, site, request) for model in (*listed, *new)],
    }


def _model(model: Model, site: Site, known: ModelList | None) -> Json:
    return {
        "id": model.id,
        "name": model.name,
        "site": model.site or site,
        "listed": model.listed,
        "mark": _mark(model, known),
        "images": list(model.images),
        "fields": {name: _field(field) for name, field in model.fields.items()},
    }


def _mark(model: Model, known: ModelList | None) -> Mark | None:
    if not model.listed:
        return "new"
    return "missing" if known is not None and model.id not in known else None


def _field(field: Field) -> dict[str, Any]:
    shown = {name: value for name, value in vars(field).items() if name != "name"}
    return {**shown, "choices": list(field.choices)}
