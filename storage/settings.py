"""Key, site, timeouts and limits: the environment first, then the settings file.

Read at each run, so that a changed key needs no restart. The file is `settings.json` in the data
directory: `{"api_key": "sk-...", "site": "cn", "read_timeout": 300}`.
"""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ..siliconflow.errors import InvalidSettings, MissingKey
from ..siliconflow.http.addresses import is_loopback
from ..strings.text import Text

BASE_URLS = {"cn": "https://api.siliconflow.cn/v1", "com": "https://api.siliconflow.com/v1"}
FILE_NAME = "settings.json"
ENVIRONMENT = {"api_key": "SILICONFLOW_API_KEY", "base_url": "SILICONFLOW_BASE_URL"}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "site": ("cn", "com"),
    "upload_format": ("lossless", "lossy", "png"),
    "language": ("", "en", "zh"),
}
BOUNDS: Mapping[str, tuple[float, float]] = {
    "connect_timeout": (0.1, 3600),
    "read_timeout": (0.1, 86400),
    "max_parallel": (1, 128),
    "longest_wait": (0.1, 86400),
    "ledger_gib": (0.1, 100_000),
    "ledger_days": (0.1, 36_500),
    "balance_floor": (0, 1_000_000_000),
    "picture_price": (0, 1_000_000),
    "most_pictures": (0, 1_000_000),
    "most_picture_mib": (0.1, 4096),
    "most_megapixels": (0.1, 1000),
    "upload_side": (0, 16_384),
}
"""The least and the most that each number may be: all between can be reckoned with."""
KEY_PAGES = (
    "https://cloud.siliconflow.cn/account/ak",
    "https://cloud.siliconflow.com/account/ak",
)


@dataclass(frozen=True)
class Settings:
    """How the service is reached. Times in seconds."""

    api_key: str = field(default="", repr=False)
    site: Literal["cn", "com"] = "cn"
    """Whose models the catalogue shows: cn = China, com = international."""
    base_url: str = ""
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    max_parallel: int = 16
    """Requests of one node that may be under way at once."""
    longest_wait: float = 600.0
    """Seconds that a request may wait for a rate limit, or for the service to be reachable."""
    reuse: bool = True
    """Whether a request that was paid before is answered from the ledger."""
    ledger_gib: float = 2.0
    """GiB of pictures that the ledger keeps; the oldest go first."""
    ledger_days: float = 30.0
    """Days that the ledger keeps a picture."""
    balance_floor: float = 0.0
    """A run stops when it would leave less than this on the account; 0: not looked at."""
    picture_price: float = 0.0
    """What a picture costs, for the floor: the service does not tell."""
    most_pictures: int = 0
    """A run stops when more pictures than this would be under way at once; 0: no limit."""
    most_picture_mib: float = 64.0
    """Largest file of a result in MiB."""
    most_megapixels: float = 64.0
    """Largest result in millions of pixels."""
    upload_format: Literal["lossless", "lossy", "png"] = "lossless"
    """How pictures are sent: lossless (PNG, or WebP where it is smaller), lossy, or as PNG."""
    upload_side: int = 2048
    """A picture sent has at most as many pixels as a square of this side; 0: any number."""
    language: Literal["", "en", "zh"] = ""
    """Language of messages; empty: ComfyUI's, or the system's."""
    show_balance: bool = True
    """Whether the page shows the balance, which is asked for after each run."""

    def require_key(self, directory: Path | None = None) -> str:
        """Give the API key; raises `MissingKey`, which names the data folder, if there is none."""
        if not self.api_key:
            file = directory / FILE_NAME if directory else FILE_NAME
            raise MissingKey(
                Text(
                    "No SiliconFlow API key. Put it into ComfyUI's Settings / SiliconFlow, set the"
                    " environment variable SILICONFLOW_API_KEY, or"
                    f' write {{"api_key": "..."}} into {file}. Keys are made at {KEY_PAGES[0]}'
                    f" (China) and {KEY_PAGES[1]} (international). Nothing was sent.",
                    "没有找到 SiliconFlow API 密钥。请在 ComfyUI 的“设置 / SiliconFlow”中填写，"
                    "或设置环境变量 SILICONFLOW_API_KEY，"
                    f'或在 {file} 中写入 {{"api_key": "..."}}。密钥可在 {KEY_PAGES[0]}（国内站）'
                    f"或 {KEY_PAGES[1]}（国际站）创建。请求没有发出。",
                )
            )
        return self.api_key


def load(directory: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises `InvalidSettings`, which names the setting, for a file that cannot be read, an unknown
    name, a value of the wrong type, a base URL that is not https (http for loopback alone), and a
    key that could not stand in a header.
    """
    return checked(read(directory), environ)


def read(directory: Path) -> dict[str, Any]:
    """Give what the settings file holds, unchecked; `InvalidSettings` if it cannot be read."""
    return _read(directory / FILE_NAME)


def checked(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Give the settings that a file of these values would make; see `load` for what it raises."""
    own = {
        name: environ[variable]
        for name, variable in ENVIRONMENT.items()
        if environ.get(variable, "").strip()
    }
    _check_types({**values, **own})
    return _resolved(Settings(**{**values, **own}))


def _resolved(settings: Settings) -> Settings:
    base_url = _checked_base_url(settings.base_url) or BASE_URLS[settings.site]
    known = {url: site for site, url in BASE_URLS.items()}
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    site = known.get(base_url, settings.site)
    return Settings(
        **{**values, "api_key": _checked_key(settings.api_key), "base_url": base_url, "site": site}
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        _keep_private(file)
        values = json.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise _invalid(str(file), f"cannot be read ({type(error).__name__})", "无法读取") from None
    if not isinstance(values, dict):
        raise _invalid(str(file), "must hold a JSON object", "内容必须是 JSON 对象")
    return values


def _keep_private(file: Path) -> None:
    """Take the file away from other users of the machine: it may hold the key."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        with contextlib.suppress(PermissionError):
            file.chmod(0o600)


def _check_types(values: Mapping[str, Any]) -> None:
    known = {item.name: getattr(Settings, item.name, "") for item in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            listed = ", ".join(known)
            raise _invalid(
                name, f"is no setting; there are {listed}", f"不是设置项，可用：{listed}"
            )
        _check_type(name, value, known[name])
    for name, choices in CHOICES.items():
        if values.get(name, choices[0]) not in choices:
            listed = ", ".join(filter(None, choices))
            raise _invalid(name, f"must be one of {listed}", f"可选：{listed}")


def _check_type(name: str, value: object, default: object) -> None:
    wanted = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(default, bool):
        kind = type(default).__name__
        raise _invalid(name, f"must be of type {kind}", f"类型应为 {kind}")
    if name in BOUNDS:
        _check_bounds(name, value)


def _check_bounds(name: str, value: Any) -> None:
    """Refuse what is out of range, and what is no number at all: NaN is within no bounds."""
    least, most = BOUNDS[name]
    if not least <= value <= most:
        raise _invalid(name, f"must be from {least} to {most}", f"应在 {least} 到 {most} 之间")


def _checked_key(key: str) -> str:
    key = key.strip().strip("\"'")
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    raise _invalid(
        "api_key / SILICONFLOW_API_KEY",
        "has spaces or characters that no key has; copy it again",
        "含有空格或密钥中不会出现的字符，请重新复制",
    )


def _checked_base_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/")
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        local = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not url or (
            (parts.scheme == "https" or local) and parts.hostname and not parts.username
        ):
            return url
    raise _invalid(
        "SILICONFLOW_BASE_URL",
        "must start with https:// (http:// only for this machine itself)",
        "必须以 https:// 开头（仅本机地址可用 http://）",
    )


def _invalid(name: str, en: str, zh: str) -> InvalidSettings:
    return InvalidSettings(Text(f"{name} {en}.", f"{name} {zh}。"))
