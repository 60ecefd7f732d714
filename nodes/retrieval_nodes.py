"""Texts as vectors."""

from __future__ import annotations

from .base import ModelNode


class SiliconFlowEmbeddings(ModelNode):
    """`POST /embeddings`, once for every 32 texts."""

    task = "embedding"
    required = ("model", "input")
    optional = ("texts", "custom_model", "extra_body")
    outputs = ("embeddings", "similarity", "info", "table", "scores")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("EMBEDDINGS", "SIMILARITY", "STRING", "STRING", "FLOAT")
    OUTPUT_IS_LIST = (False, False, False, False, True)
    INPUT_IS_LIST = True
    SEARCH_ALIASES = ("embedding", "vector", "similarity", "bge", "文本向量", "相似度")
