"""Embeddings and rerank. Both take lists of texts, and images."""

from __future__ import annotations

from .base import ModelNode


class SiliconFlowEmbeddings(ModelNode):
    """`POST /embeddings`, one request for every 32 texts or images."""

    task = "embedding"
    required = ("model", "input")
    optional = ("texts", "custom_model", "extra_body", "dimensions", "image")
    outputs = ("embeddings", "similarity", "info", "table", "scores")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("EMBEDDINGS", "SIMILARITY", "STRING", "STRING", "FLOAT")
    OUTPUT_IS_LIST = (False, False, False, False, True)
    INPUT_IS_LIST = True
    SEARCH_ALIASES = ("embedding", "vector", "similarity", "bge", "文本向量", "嵌入", "相似度")


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
        "instruction",
        "image",
    )
    outputs = ("best", "texts", "scores", "indices", "info")
    CATEGORY = "SiliconFlow/Text"
    RETURN_TYPES = ("STRING", "STRING", "FLOAT", "INT", "STRING")
    OUTPUT_IS_LIST = (False, True, True, True, False)
    INPUT_IS_LIST = True
    SEARCH_ALIASES = ("rerank", "rank", "best", "bge", "重排", "排序")
