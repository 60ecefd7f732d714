"""The nodes of the pack by node id. The ids are in saved workflows and never change."""

from __future__ import annotations

from ..strings.text import DEFAULT, text
from .account_nodes import SiliconFlowAccount, SiliconFlowModels
from .base import Node
from .chat_node import SiliconFlowChat
from .image_nodes import SiliconFlowImageEdit, SiliconFlowImageToImage, SiliconFlowTextToImage
from .retrieval_nodes import SiliconFlowEmbeddings, SiliconFlowRerank
from .speech_nodes import SiliconFlowSpeechToText, SiliconFlowTextToSpeech
from .video_nodes import SiliconFlowImageToVideo, SiliconFlowTextToVideo
from .voice_nodes import SiliconFlowDeleteVoice, SiliconFlowUploadVoice, SiliconFlowVoices

NODE_CLASS_MAPPINGS: dict[str, type[Node]] = {
    "SiliconFlowTextToImage": SiliconFlowTextToImage,
    "SiliconFlowImageToImage": SiliconFlowImageToImage,
    "SiliconFlowImageEdit": SiliconFlowImageEdit,
    "SiliconFlowTextToVideo": SiliconFlowTextToVideo,
    "SiliconFlowImageToVideo": SiliconFlowImageToVideo,
    "SiliconFlowChat": SiliconFlowChat,
    "SiliconFlowTextToSpeech": SiliconFlowTextToSpeech,
    "SiliconFlowSpeechToText": SiliconFlowSpeechToText,
    "SiliconFlowUploadVoice": SiliconFlowUploadVoice,
    "SiliconFlowVoices": SiliconFlowVoices,
    "SiliconFlowDeleteVoice": SiliconFlowDeleteVoice,
    "SiliconFlowEmbeddings": SiliconFlowEmbeddings,
    "SiliconFlowRerank": SiliconFlowRerank,
    "SiliconFlowAccount": SiliconFlowAccount,
    "SiliconFlowModels": SiliconFlowModels,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    node_id: text(f"node.{node.task}.name").in_language(DEFAULT)
    for node_id, node in NODE_CLASS_MAPPINGS.items()
}
