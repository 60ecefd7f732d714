"""The stored pictures of jobs: shown small, and copied to where a Load Image node reads."""

from __future__ import annotations

from pathlib import Path

from ..comfyui import host
from ..media.media_error import MediaError
from ..media.previews import thumbnail
from ..storage import atomic_files as files
from ..strings.text import Text
from .answers import Failed, File, Json, NotFound, PageRequest
from .ledger_access import page_job_history

THUMBNAIL_SIDE = 256
SUBFOLDER = "siliconflow"
_GONE = Text(
    "This picture is not here: it never came, or it was cleared from the ledger.",
    "这张图片不在本机：没有收到，或已从账本中清除。",
)
_NO_INPUT = Text("There is no ComfyUI to load it into.", "没有可以加载图片的 ComfyUI。")
_NO_COPY = Text(
    "The picture cannot be copied into ComfyUI's input folder: {reason}.",
    "无法把图片复制到 ComfyUI 的 input 目录：{reason}。",
)


def thumbnail_of(request: PageRequest) -> File:
    """Answer with a small JPEG of a job's picture."""
    try:
        return File(thumbnail(_content(_file(request)), THUMBNAIL_SIDE), "image/jpeg", kept=True)
    except MediaError:
        raise NotFound(_GONE) from None


def load(request: PageRequest) -> Json:
    """Copy a job's picture into ComfyUI's input folder, and say how a node loads it.

    The copy is the user's: clearing what is stored leaves it alone.
    """
    file, folder = _file(request), host.input_directory()
    if folder is None:
        raise NotFound(_NO_INPUT)
    name = f"{request.named['id'][:12]}-{int(request.named['place']) + 1}{file.suffix}"
    content = _content(file)
    try:
        files.write(folder / SUBFOLDER / name, content)
    except OSError as error:
        raise Failed(_NO_COPY.format(reason=error.strerror or type(error).__name__)) from None
    return {"name": name, "subfolder": SUBFOLDER, "type": "input"}


def _file(request: PageRequest) -> Path:
    place = request.named["place"]
    with page_job_history() as jobs:
        found = jobs.picture(request.named["id"], int(place)) if _is_place(place) else None
    if found is None:
        raise NotFound(_GONE)
    return found


def _is_place(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise NotFound(_GONE) from None
