"""The catalogue for the page: every node with its models and their fields."""

from __future__ import annotations

from typing import Any

from ..comfyui import host
from ..engine import model_refresh, prompt_costs
from ..engine.services import client_for, current_settings
from ..nodes import NODE_CLASS_MAPPINGS
from ..nodes.base import Node
from ..nodes.model_choices import mark_of, offered_models, own_voices, site_and_account
from ..nodes.widgets import IMAGE_INPUTS, shown_defaults
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Field, Model, Site
from ..storage.model_lists import ModelList, claim_refresh
from .page_http import Json, PageRequest


def read(_request: PageRequest) -> Json:
    """Return the catalogue for the site in use."""
    return catalogue_for_page(*site_and_account())


def refresh(_request: PageRequest) -> Json:
    """Fetch the account's model list from the service, save it, and return the catalogue."""
    settings = current_settings()
    client, folder = client_for(settings), host.data_directory()
    claim_refresh(folder, settings.account, 0)  # whoever asks is answered, and no run asks again
    return catalogue_for_page(settings.site, model_refresh.refresh(client, settings, folder))


def catalogue_for_page(site: Site, account: ModelList | None) -> Json:
    """Return every node with its models, as `site` has them and marked as `account` has them."""
    return {
        "site": site,
        "inputs": {name: _input(field) for name, field in catalogue.load().inputs.items()},
        "nodes": {name: _node(node, site, account) for name, node in NODE_CLASS_MAPPINGS.items()},
        "voices": [vars(voice) for voice in own_voices()],
        "batches": prompt_costs.BATCHES,
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
    models = offered_models(node.task, site, account)
    return {
        "task": node.task,
        "pictures": [name for name in names if name in IMAGE_INPUTS],
        "inputs": names,
        "models": [_model(model, node.task, site, account) for model in models],
    }


def _model(model: Model, task: str, site: Site, account: ModelList | None) -> Json:
    return {
        "id": model.id,
        "name": model.name,
        "site": model.site or site,
        "listed": model.listed,
        "mark": mark_of(model, task, account),
        "guessed_from": model.guessed_from,
        "images": list(model.images),
        "fields": {name: _field(field) for name, field in model.fields.items()},
        "defaults": shown_defaults(task, model),
        "published": model.published,
        "retired": model.retired,
        "price": model.price,
    }


def _field(field: Field) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(field).items() if name != "name"}
    return {**attributes, "choices": list(field.choices)}
