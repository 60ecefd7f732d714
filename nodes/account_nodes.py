"""The account of the API key, and its models."""

from __future__ import annotations

from .base import LookupNode


class SiliconFlowAccount(LookupNode):
    """`GET /user/info`, free."""

    task = "account"
    optional = ("refresh",)
    outputs = ("balance", "status", "info", "spent_today", "spent_month")
    CATEGORY = "SiliconFlow/Account"
    RETURN_TYPES = ("FLOAT", "STRING", "STRING", "FLOAT", "FLOAT")
    SEARCH_ALIASES = ("balance", "credit", "余额", "账户")


class SiliconFlowModels(LookupNode):
    """`GET /models`, free."""

    task = "models"
    optional = ("type", "sub_type", "refresh")
    outputs = ("models", "text")
    CATEGORY = "SiliconFlow/Account"
    RETURN_TYPES = ("STRING", "STRING")
    OUTPUT_IS_LIST = (True, False)
    SEARCH_ALIASES = ("model list", "模型列表")
