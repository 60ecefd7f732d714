"""SiliconFlow nodes for ComfyUI: what ComfyUI imports."""

from __future__ import annotations

from .comfyui import host
from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from .server import routes

WEB_DIRECTORY = "./web"
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]

if host.prompt_server():
    routes.register(host.prompt_server().routes)
