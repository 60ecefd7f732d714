"""The account of the API key, and its models."""

from __future__ import annotations

from .base import Node


class SiliconFlowAccount(Node):
    """`GET /user/info`, free."""

    task = "account"
    optional = ("refresh",)
    outputs = ("balance", "status", "info")
    CATEGORY = "SiliconFlow/Account"
    RETURN_TYPES = ("FLOAT", "STRING", "STRING")
    OUTPUT_NODE = True
    SEARCH_ALIASES = ("balance", "credit", "余额", "账户")


class SiliconFlowModels(Node):
    """`GET /models`, free."""

    task = "models"
    optional = ("type", "sub_type", "refresh")
    outputs = ("models", "text")
    CATEGORY = "SiliconFlow/Account"
    RETURN_TYPES = ("STRING", "STRING")
    OUTPUT_IS_LIST = (True, False)
    OUTPUT_NODE = True
    SEARCH_ALIASES = ("model list", "模型列表")
