"""What is said beside a refusal when the model is one that only the other site has."""

from __future__ import annotations

from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Site
from ..siliconflow.errors import InvalidKey, ModelNotFound
from ..strings.text import SiliconFlowError, text


def add_advice(error: SiliconFlowError, model: Model, task: str, site: Site) -> None:
    """Add to a refusal that the model is the other site's, how to switch, and what else there is.

    Nothing is refused beforehand: a site may have got the model since the catalogue was written.
    """
    if not isinstance(error, ModelNotFound | InvalidKey) or model.site in {None, site}:
        return
    advice = text(
        "run.other_site",
        model=model.id,
        its=model.site,
        here=site,
        name=text(f"page.site.{model.site}"),
    )
    if advice[0] in error.text[0]:  # requests that are shared share their error
        return
    error.add(advice)
    living = [other.id for other in catalogue.load().of_task(task) if other.site == site]
    if living:
        error.add(text("run.other_model", here=site, model=living[0]))
