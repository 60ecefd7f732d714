"""From a workflow as the page saves it to the prompt that ComfyUI's HTTP API takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

BYPASSED = 4
WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"})
SEEDS = frozenset({"seed", "noise_seed"})
NOTES = frozenset({"Note", "MarkdownNote"})


def to_prompt(workflow: Json, object_info: Mapping[str, Json]) -> Json:
    """Return the prompt of all nodes that run; notes and bypassed ones are left out."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    return {
        str(node["id"]): {
            "class_type": node["type"],
            "inputs": {
                **widget_values(node, object_info[node["type"]]),
                **linked_inputs(node, nodes, links),
            },
        }
        for node in nodes.values()
        if node["type"] not in NOTES and node["mode"] != BYPASSED
    }


def widget_values(node: Json, info: Json) -> Json:
    """Return the saved values by name; what only the page uses is passed over.

    A widget that is younger than the workflow has its default.
    """
    values = iter(node.get("widgets_values", []))
    by_name: Json = {}
    for name, kind, options in _declared(info):
        is_widget = isinstance(kind, list) or kind in WIDGETS
        if is_widget and not options.get("forceInput"):
            by_name[name] = next(values, options.get("default"))
        if kind == "INT" and (name in SEEDS or options.get("control_after_generate")):
            next(values)
    return by_name


def linked_inputs(
    node: Json, nodes: Mapping[int, Json], links: Mapping[int, tuple[int, int]]
) -> Json:
    """Return the node id and output that each connected input reads."""
    sources = {
        at["name"]: _source(at["link"], at["type"], nodes, links)
        for at in node.get("inputs", [])
        if at["link"] is not None
    }
    return {name: [str(source[0]), source[1]] for name, source in sources.items() if source}


def _declared(info: Json) -> Iterator[tuple[str, Any, Json]]:
    for group in ("required", "optional"):
        for name, (kind, *options) in info["input"].get(group, {}).items():
            yield name, kind, options[0] if options else {}


def _source(
    link: int, kind: str, nodes: Mapping[int, Json], links: Mapping[int, tuple[int, int]]
) -> tuple[int, int] | None:
    """Follow a link to the node that makes its value: a bypassed one hands on its own input."""
    node = nodes[links[link][0]]
    if node["mode"] != BYPASSED:
        return links[link]
    handed_on = (at["link"] for at in node["inputs"] if at["type"] == kind and at["link"])
    before = next(handed_on, None)
    return None if before is None else _source(before, kind, nodes, links)
