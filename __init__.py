"""SiliconFlow nodes for ComfyUI. This module is what ComfyUI imports."""

from __future__ import annotations

from .comfyui.host import prompt_server
from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, replacements
from .server import queueing, restart, routes

WEB_DIRECTORY = "./web"
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]

if prompt_server():
    routes.register(prompt_server().routes)
    queueing.register(prompt_server())
    replacements.register()
    restart.go_on()
