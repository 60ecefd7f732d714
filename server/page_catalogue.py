"""The catalogue for the page: every node with its models and their fields."""

from __future__ import annotations

import time
from typing import Any

from ..comfyui import host
from ..engine.services import client_for, current_settings
from ..nodes import NODE_CLASS_MAPPINGS
from ..nodes.base import Node
from ..nodes.model_choices import KINDS, Mark, account_name, offered_models, site_and_account
from ..nodes.widgets import IMAGE_INPUTS
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Field, Model, Site
from ..siliconflow.errors import BadAnswer, Failure
from ..siliconflow.resources.models import (
    IMAGE_SUB_TYPES,
    OTHER_SUB_TYPES,
    list_models,
    list_speech_models,
)
from ..storage import model_lists
from ..storage.model_lists import SPEAKING, ModelList
from ..strings.text import text
from .page_http import Json, PageRequest


def read(_request: PageRequest) -> Json:
    """Return the catalogue for the site in use."""
    return catalogue_for_page(*site_and_account())


def refresh(_request: PageRequest) -> Json:
    """Fetch the account's model list from the service, save it, and return the catalogue."""
    settings = current_settings()
    client = client_for(settings)
    kinds = {kind: list_models(client, "", kind) for kind in IMAGE_SUB_TYPES}
    if not any(kinds.values()):
        raise BadAnswer(Failure(text("server.no_image_models"), 200))
    kinds |= {kind: list_models(client, "", kind) for kind in OTHER_SUB_TYPES}
    kinds[SPEAKING] = list_speech_models(client, kinds["speech-to-text"])
    models = ModelList(time.time(), kinds)
    model_lists.save_model_list(host.data_directory(), account_name(settings), models)
    return catalogue_for_page(settings.site, models)


def catalogue_for_page(site: Site, account: ModelList | None) -> Json:
    """Return every node with its models, as `site` has them and marked as `account` has them."""
    return {
        "site": site,
        "inputs": {name: _input(field) for name, field in catalogue.load().inputs.items()},
        "nodes": {name: _node(node, site, account) for name, node in NODE_CLASS_MAPPINGS.items()},
        "refreshed_at": account.refreshed_at if account else None,
    }


def _input(field: Field) -> Json:
    return {
        "type": field.type,
        "minimum": field.minimum,
        "maximum": field.maximum,
        "default": field.default,
        "unset": catalogue.load().unset.get(field.name),
    }


def _node(node: type[Node], site: Site, account: ModelList | None) -> Json:
    names = [*node.required, *node.optional]
    # A list that an earlier version saved lacks the kinds that it did not fetch.
    has_kind = account is not None and KINDS.get(node.task) in account.kinds
    models = offered_models(node.task, site, account)
    return {
        "task": node.task,
        "pictures": [name for name in names if name in IMAGE_INPUTS],
        "inputs": names,
        "models": [_model(model, site, account if has_kind else None) for model in models],
    }


def _model(model: Model, site: Site, account: ModelList | None) -> Json:
    return {
        "id": model.id,
        "name": model.name,
        "site": model.site or site,
        "listed": model.listed,
        "mark": _mark(model, account),
        "images": list(model.images),
        "fields": {name: _field(field) for name, field in model.fields.items()},
        "published": model.published,
        "retired": model.retired,
        "price": model.price,
    }


def _mark(model: Model, account: ModelList | None) -> Mark | None:
    if not model.listed:
        return "new"
    if account is not None and model.id in account:
        return None
    if model.is_retired:
        return "retired"
    return "missing" if account is not None else None


def _field(field: Field) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(field).items() if name != "name"}
    return {**attributes, "choices": list(field.choices)}
