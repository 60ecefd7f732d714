"""What all tasks check of an IMAGE that is connected."""

from __future__ import annotations

import torch

from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow.errors import InvalidInput


def require_image(name: str, image: torch.Tensor) -> None:
    """Raise `InvalidInput` for an input that is no IMAGE `[B,H,W,C]` with something in it."""
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None
