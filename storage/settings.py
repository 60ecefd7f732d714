"""The settings: API key, site, timeouts and limits, from `settings.json` and the environment.

Read at each run, so that a changed key needs no restart. The file lies in the data folder:
`{"api_key": "sk-...", "site": "cn", "read_timeout": 300}`. The environment takes precedence, and
in it `SILICONFLOW_API_KEY` over the file that `SILICONFLOW_API_KEY_FILE` names.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from ..strings.text import LANGUAGES, SiliconFlowError, text
from . import atomic_files, notices
from .accounts import account_id

BASE_URLS: Mapping[Literal["cn", "com"], str] = {
    "cn": "https://api.siliconflow.cn/v1",
    "com": "https://api.siliconflow.com/v1",
}
CURRENCIES = {"cn": "CNY", "com": "USD"}
"""Of a site's accounts; the service does not say."""
FILE_NAME = "settings.json"
ENVIRONMENT = {"api_key": "SILICONFLOW_API_KEY", "base_url": "SILICONFLOW_BASE_URL"}
KEY_FILE = "SILICONFLOW_API_KEY_FILE"
"""The variable that names a file with nothing but the key, as container platforms mount secrets."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "site": ("cn", "com"),
    "upload_format": ("lossless", "lossy", "png"),
    "language": ("", *LANGUAGES),
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
    "confirm_images": (0, 1_000_000),
    "confirm_cost": (0, 1_000_000_000),
    "auto_run_images": (0, 1_000_000),
    "daily_budget": (0, 1_000_000_000),
    "monthly_budget": (0, 1_000_000_000),
    "unknown_price": (0, 1_000_000),
    "most_picture_mib": (0.1, 4096),
    "most_megapixels": (0.1, 1000),
    "upload_side": (0, 16_384),
    "background_runs": (1, 1000),
}
"""The minimum and maximum of every number, both included."""
RATES = frozenset({"image", "video", "kilobyte", "input", "output", "input_images"})
"""What a price of the user's own may name, as in the catalogue."""
KEY_PAGES = (
    "https://cloud.siliconflow.cn/account/ak",
    "https://cloud.siliconflow.com/account/ak",
)
_LOCK = threading.Lock()


class InvalidSettings(SiliconFlowError):
    """A setting, in the environment or in the settings file, has no usable value."""


class MissingKey(InvalidSettings):
    """There is no API key, neither in the environment nor in the settings file."""


@dataclass(frozen=True)
class Settings:
    """How the service is used. Times in seconds."""

    api_key: str = field(default="", repr=False)
    site: Literal["cn", "com"] = "cn"
    """Whose models the catalogue shows: cn = China, com = international."""
    base_url: str = ""
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    max_parallel: int = 16
    """Requests of one node that may be in progress at once."""
    longest_wait: float = 600.0
    """Seconds that a request may wait for a rate limit, or for the service to be reachable."""
    reuse: bool = True
    """Whether a request that was paid before is answered from the ledger."""
    ledger_gib: float = 2.0
    """GiB of results that the ledger stores; the oldest are deleted first."""
    ledger_days: float = 30.0
    """Days that the ledger stores a result."""
    balance_floor: float = 0.0
    """Of older files, without effect: no balance is told any more. `daily_budget` replaces it."""
    picture_price: float = 0.0
    """Of older files: the `unknown_price`, where that is not set."""
    most_pictures: int = 0
    """A run that would bring more images than this in progress is stopped; 0: no limit."""
    most_picture_mib: float = 64.0
    """Largest file of a result in MiB."""
    most_megapixels: float = 64.0
    """Largest image of a result in millions of pixels."""
    upload_format: Literal["lossless", "lossy", "png"] = "lossless"
    """How images are uploaded: lossless (PNG, or WebP if smaller), lossy, or always PNG."""
    upload_side: int = 2048
    """Images with more pixels than a square of this side are scaled down; 0: never."""
    language: str = ""
    """Language of messages; empty: ComfyUI's, or the system's."""
    show_balance: bool = True
    """Whether the page shows the balance, which is requested after each run."""
    show_price: bool = True
    """Whether a badge on each node says what a run of it costs."""
    visible_watermark: bool = True
    """Whether images bear the service's visible mark; without it the user must label them."""
    confirm_images: int = 16
    """A prompt of more images is sent only when it is queued again; 0: never asked about."""
    confirm_cost: float = 5.0
    """A prompt that may cost more is sent only when it is queued again; 0: never asked about."""
    auto_run_images: int = 20
    """More images within ten minutes that differ in seeds alone are asked about; 0: never."""
    daily_budget: float = 0.0
    """A run that could bring the spend since midnight above this is stopped; 0: no limit."""
    monthly_budget: float = 0.0
    """The same for the spend since the first of the month."""
    unknown_price: float = 0.5
    """What an item counts whose price is not known, in the account's currency."""
    prices: Mapping[str, float | Mapping[str, float]] = field(default_factory=dict)
    """The user's own price by model: of one item, or of the rates that the catalogue names."""
    background: bool = False
    """Whether every node that can makes its results in the background."""
    background_runs: int = 50
    """Prompts that wait for results in the background at most; any more run in the foreground."""
    native_batch: bool = False
    """Whether `batch_size` is sent to models that take it: for services of before 2026-09-30."""

    @property
    def currency(self) -> str:
        """The currency of the account."""
        return CURRENCIES[self.site]

    def require_key(self, folder: Path | None = None) -> str:
        """Return the API key; raise `MissingKey`, which names the data folder, without one."""
        if not self.api_key:
            file = folder / FILE_NAME if folder else FILE_NAME
            china, international = KEY_PAGES
            raise MissingKey(
                text("settings.no_key", file=file, china=china, international=international)
            )
        return self.api_key

    @property
    def account(self) -> str:
        """The name under which something is saved for this account. It does not hold the key."""
        return f"{self.site}-{account_id(self.require_key(), self.base_url)}"


def load(folder: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings in effect.

    Raises `InvalidSettings`, which names the setting, for a file that cannot be read, an unknown
    name, a value of the wrong type or out of bounds, a base URL that is not https (http only for
    this computer), and a key with characters that an HTTP header cannot carry.
    """
    return validate(read(folder), environ)


def read(folder: Path) -> dict[str, Any]:
    """Return the values of the settings file unchecked; raise `InvalidSettings` if unreadable."""
    file = folder / FILE_NAME
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = type(error).__name__
        raise InvalidSettings(text("settings.unreadable", file=file, reason=reason)) from None
    if not isinstance(values, dict):
        raise InvalidSettings(text("settings.not_an_object", file=file))
    _make_private(file, has_key=bool(values.get("api_key")))
    return values


def validate(values: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Return the settings that a file with these values would give; raises as `load` does."""
    from_environment = {
        name: environ[variable]
        for name, variable in ENVIRONMENT.items()
        if environ.get(variable, "").strip()
    }
    if key_variable(environ) == KEY_FILE:
        from_environment["api_key"] = _read_key(Path(environ[KEY_FILE].strip()))
    older = {"unknown_price": values["picture_price"]} if values.get("picture_price") else {}
    values = {**older, **values, **from_environment}
    _check_values(values)
    settings = Settings(**values)
    base_url = _normalized_base_url(settings.base_url) or BASE_URLS[settings.site]
    site = next((site for site, url in BASE_URLS.items() if url == base_url), settings.site)
    key = _normalized_key(settings.api_key)
    # A site's own address decides whose models are shown.
    return replace(settings, api_key=key, base_url=base_url, site=site)


def save(folder: Path, environ: Mapping[str, str], changes: Mapping[str, Any]) -> Settings:
    """Write changes to the settings file, and return the settings then in effect.

    `None` removes a setting from the file. Raises `InvalidSettings`, and leaves the file as it
    was, if any value is unusable or the file cannot be read or written.
    """
    with _LOCK:
        values = {**read(folder), **changes}
        values = {name: value for name, value in values.items() if value is not None}
        settings = validate(values, environ)
        try:
            atomic_files.write_json(folder / FILE_NAME, values, private=True)
        except OSError as error:
            raise unwritable(folder / FILE_NAME, error) from None
    return settings


def unwritable(file: Path, error: OSError) -> InvalidSettings:
    """Return the error of a file of the data folder that cannot be written."""
    reason = error.strerror or type(error).__name__
    return InvalidSettings(text("settings.unwritable", file=file, reason=reason))


def key_variable(environ: Mapping[str, str]) -> str | None:
    """Return the environment variable that decides the key, or `None`: then the file does."""
    variables = (ENVIRONMENT["api_key"], KEY_FILE)
    return next((name for name in variables if environ.get(name, "").strip()), None)


def _read_key(file: Path) -> str:
    """Return the content of a key file; raise `InvalidSettings` if there is none."""
    try:
        key = file.expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of an unknown user
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidSettings(text("settings.key_file", file=file, reason=reason)) from None
    if not key:
        raise InvalidSettings(text("settings.key_file_empty", file=file))
    return key


def _make_private(file: Path, *, has_key: bool) -> None:
    """Revoke other users' access to the file; tell the user where it holds a key and that fails."""
    if os.name == "nt" or not _is_open_to_others(file):
        return
    reason = "chmod"  # of a drive that takes it and does nothing
    try:
        file.chmod(0o600)
    except OSError as error:
        reason = error.strerror or reason
    if has_key and _is_open_to_others(file):
        notices.tell("disk.not_private", file=file, reason=reason)


def _is_open_to_others(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(file.stat().st_mode & 0o077)
    return False


def _check_values(values: Mapping[str, Any]) -> None:
    defaults = vars(Settings())
    for name, value in values.items():
        if name not in defaults:
            raise InvalidSettings(text("settings.unknown", name=name, names=", ".join(defaults)))
        _check_value(name, value, defaults[name])


def _check_value(name: str, value: Any, default: object) -> None:
    expected = (int, float) if isinstance(default, float) else (type(default),)
    is_bool = isinstance(value, bool)  # Python's booleans are integers as well
    has_type = isinstance(value, expected) and is_bool is isinstance(default, bool)
    if not has_type:
        raise InvalidSettings(text("settings.type", name=name, type=type(default).__name__))
    for model, price in value.items() if isinstance(value, dict) else ():
        rates = price if isinstance(price, dict) else {"image": price}
        is_price = rates and rates.keys() <= RATES and all(map(_is_amount, rates.values()))
        if not is_price:
            names = ", ".join(sorted(RATES))
            raise InvalidSettings(text("settings.price", name=name, model=model, rates=names))
    choices = CHOICES.get(name)
    if choices and value not in choices:
        raise InvalidSettings(
            text("settings.choice", name=name, choices=", ".join(filter(None, choices)))
        )
    if name in BOUNDS:
        least, most = BOUNDS[name]
        if not least <= value <= most:  # so that NaN is refused, too
            raise InvalidSettings(text("settings.bounds", name=name, least=least, most=most))


def _is_amount(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= BOUNDS["unknown_price"][1]


def _normalized_key(key: str) -> str:
    key = key.strip().strip("\"'")
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    raise InvalidSettings(text("settings.bad_key"))


def _normalized_base_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/")
    if not url:
        return url
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
        if is_safe and host and not parts.username:
            return url
    raise InvalidSettings(text("settings.bad_base_url"))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine.

    Downloads have their own copy: `storage` and `siliconflow` do not import each other.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
