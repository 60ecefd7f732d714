"""The nodes of the pack: an explicit list, by node id. The ids are kept for ever."""

from __future__ import annotations

from ..strings.text import text
from .account_nodes import SiliconFlowAccount, SiliconFlowModels
from .chat_node import SiliconFlowChat
from .image_edit import SiliconFlowImageEdit
from .image_to_image import SiliconFlowImageToImage
from .node import Node
from .rerank import SiliconFlowRerank
from .retrieval_nodes import SiliconFlowEmbeddings
from .speech_to_text import SiliconFlowSpeechToText
from .text_to_image import SiliconFlowTextToImage
from .text_to_speech import SiliconFlowTextToSpeech
from .voice_nodes import SiliconFlowDeleteVoice, SiliconFlowUploadVoice, SiliconFlowVoices

NODE_CLASS_MAPPINGS: dict[str, type[Node]] = {
    "SiliconFlowTextToImage": SiliconFlowTextToImage,
    "SiliconFlowImageToImage": SiliconFlowImageToImage,
    "SiliconFlowImageEdit": SiliconFlowImageEdit,
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
    node_id: text(f"node.{node.task}.name").en for node_id, node in NODE_CLASS_MAPPINGS.items()
}
