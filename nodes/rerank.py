"""Texts in the order in which they answer a query."""

from __future__ import annotations

from .base import ModelNode


class SiliconFlowRerank(ModelNode):
    """`POST /rerank`."""

    task = "rerank"
    required = ("model", "query", "documents")
    optional = (
        "texts",
        "top_n",
        "max_chunks_per_doc",
        "overlap_tokens",
        "custom_model",
        "extra_body",
    )
    outputs = ("best", "texts", "scores", "indices", "info")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("STRING", "STRING", "FLOAT", "INT", "STRING")
    OUTPUT_IS_LIST = (False, True, True, True, False)
    INPUT_IS_LIST = True
    SEARCH_ALIASES = ("rerank", "rank", "best", "bge", "重排", "排序")
