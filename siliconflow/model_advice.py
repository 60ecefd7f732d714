"""What is said of a refused model, or of a field that it was believed to have."""

from __future__ import annotations

import re

from ..strings.text import SiliconFlowError, Text, text
from . import catalogue
from .catalogue import Model, Site
from .errors import BadRequest, InvalidKey, ModelNotFound

_REFUSED = re.compile(r"does not support parameter `(\w+)`")
SUGGESTED = 3
"""How many models are named in place of a retired one."""


def add_advice(error: SiliconFlowError, model: Model, task: str, site: Site) -> None:
    """Put before a refusal's own advice what the catalogue knows of its model, and what to use.

    To a refusal of a field by a chat model that was believed to have it: how to leave it out.

    Nothing is refused beforehand: a site may have got the model since the catalogue was written.
    """
    if isinstance(error, ModelNotFound) and model.is_retired:
        living = _living(model, task, site)[:SUGGESTED]
        error.advise(_retired(model, living))
    elif isinstance(error, ModelNotFound | InvalidKey) and model.site not in {None, site}:
        living = _living(model, task, site)[:1]
        error.advise(_other_site(model, site, living))
        error.offer(site=model.site)
    else:
        if isinstance(error, BadRequest):
            error.advise(_of_fields(error, model, task))
        return
    error.offer(models=living)


def refused_field(error: BadRequest) -> str:
    """Return the field that the model does not have, if that is why a request was refused."""
    named = _REFUSED.search(str(error.failure.message))
    return named[1] if named else ""


def _of_fields(error: BadRequest, model: Model, task: str) -> list[Text]:
    name = refused_field(error) if task == "chat" else ""
    advice = [text("run.leave_out", field=name)] if name else []
    if model.guessed_from:
        advice.append(text("run.guessed", model=model.id, like=model.guessed_from))
    return advice


def _other_site(model: Model, site: Site, living: list[str]) -> list[Text]:
    name = text(f"page.site.{model.site}")
    advice = text("run.other_site", model=model.id, its=model.site, here=site, name=name)
    return [advice, *(text("run.other_model", here=site, model=other) for other in living)]


def _retired(model: Model, living: list[str]) -> list[Text]:
    key = "run.retired" if model.retired else "run.retired_by"
    advice = text(key, model=model.id, date=model.retired or model.retired_by)
    return [advice, text("run.instead", models=", ".join(living))] if living else [advice]


def _living(model: Model, task: str, site: Site) -> list[str]:
    """Return the ids of the site's models for a task; for a chat with one that sees, such ones."""
    must_see = task == "chat" and model.sees
    return [
        other.id
        for other in catalogue.load().of_task(task)
        if other.site == site and not other.is_retired and (other.sees or not must_see)
    ]
