"""What is said beside a refusal when the model is one that only the other site has."""

from __future__ import annotations

from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, Site
from ..siliconflow.errors import InvalidKey, ModelNotFound
from ..strings.text import SiliconFlowError, Text

_REFUSALS = (ModelNotFound, InvalidKey)
_NAMES = {"cn": Text("China", "国内站"), "com": Text("International", "国际站")}
"""The sites, as the settings call them."""
_ELSEWHERE = Text(
    "{model} is a model of siliconflow.{its}; your site is siliconflow.{here}. To use it, choose"
    " {name.en} in Settings > SiliconFlow > Site, and set a key of that site.",
    "{model} 是 siliconflow.{its} 的模型，而当前站点是 siliconflow.{here}。如需使用，请在"
    "“设置 > SiliconFlow > 站点”中选择“{name.zh}”，并填入该站的密钥。",
)
_INSTEAD = Text(
    "Or choose a model of siliconflow.{here}, such as {other}.",
    "也可以改用 siliconflow.{here} 的模型，例如 {other}。",
)


def explain(error: SiliconFlowError | None, model: Model, task: str, site: Site) -> None:
    """Add to a refusal that the model is the other site's, how to switch, and what else there is.

    Nothing is refused beforehand: a site may have got the model since the catalogue was written.
    """
    if not isinstance(error, _REFUSALS) or model.site in {None, site}:
        return
    known = _ELSEWHERE.format(
        model=model.id, its=model.site, here=site, name=_NAMES[str(model.site)]
    )
    if known.en not in error.text.en:  # requests that are one share their error
        error.add(known)
        for other in _of_site(task, site):
            error.add(_INSTEAD.format(here=site, other=other))


def _of_site(task: str, site: Site) -> list[str]:
    """Name the first model of a task that a site has, if it has any."""
    return [model.id for model in catalogue.load().of_task(task) if model.site == site][:1]
