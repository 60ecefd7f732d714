"""The nodes of the pack: an explicit list, by node id. The ids are kept for ever."""

from __future__ import annotations

from .base import ImageNode
from .image_edit import SiliconFlowImageEdit
from .image_to_image import SiliconFlowImageToImage
from .inputs import texts
from .text_to_image import SiliconFlowTextToImage

NODE_CLASS_MAPPINGS: dict[str, type[ImageNode]] = {
    "SiliconFlowTextToImage": SiliconFlowTextToImage,
    "SiliconFlowImageToImage": SiliconFlowImageToImage,
    "SiliconFlowImageEdit": SiliconFlowImageEdit,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    node_id: texts()["nodes"][node.task]["name"]["en"]
    for node_id, node in NODE_CLASS_MAPPINGS.items()
}
