"""What all tasks check of an IMAGE that is connected."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model
from ..siliconflow.errors import InvalidInput
from ..strings.text import text

IMAGE_TOKENS = 16_384
"""What an image uses at most: a token each 28 x 28 pixels, up to 12,845,056 of them."""
_TEMPLATE_TOKENS = 16
"""What a model puts around a text or a message."""


def tokens_at_most(texts: Iterable[str], images: int = 0) -> int:
    """Return the tokens of texts and images that cannot be exceeded: none is under a byte."""
    return images * IMAGE_TOKENS + sum(len(each.encode()) + _TEMPLATE_TOKENS for each in texts)


def require_image(name: str, image: torch.Tensor) -> None:
    """Raise `InvalidInput` for an input that is no IMAGE `[B,H,W,C]` with something in it."""
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def require_sight(name: str, model: Model, task: str) -> None:
    """Raise `InvalidInput` for an input with images if a listed model accepts none."""
    if model.listed and not model.sees:
        other = next(known.id for known in catalogue.load().of_task(task) if known.sees)
        raise InvalidInput(name, text("task.sees_no_images", model=model.id, other=other))
