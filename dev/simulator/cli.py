"""The simulator at the command line: it runs until Ctrl-C and prints one line per request."""

from __future__ import annotations

import sys
import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from .server import SITES, Simulator

if TYPE_CHECKING:
    import argparse
    from typing import TextIO

    from .log import Record

DEFAULT_PORT = 8900
PAUSE = 0.5

TEXTS = {
    "en": {
        "intro": "A SiliconFlow on this machine ({site}). Nothing leaves it, nothing is billed.",
        "url": "Base URL",
        "key": "Key",
        "stop": "Ctrl-C stops it.",
        "head": "status  model, pictures or tokens, charge, trace id",
        "pictures": "{count} picture(s)",
        "tokens": "{count} token(s)",
        "charged": "charged {amount}",
        "gone": "the client had hung up",
        "taken": "Port {port} cannot be used: {error}. Choose another one with --port.",
        "--port": "port to listen on; 0 takes any free one (default %(default)s)",
        "--site": "whose models to serve: cn or com (default %(default)s)",
        "--latency": "seconds a request takes (default %(default)s)",
        "--ipm": "pictures per minute and model; no limit if absent",
        "--rpm": "other requests per minute and model (chat, speech, ...); no limit if absent",
        "--tpm": "tokens of such requests per minute and model; no limit if absent",
        "--balance": "money to begin with (default %(default)s)",
        "--key": "the API key to let in (default %(default)s)",
        "stopped": "Stopped. {requests} request(s), {spent} spent, {balance} left.",
    },
    "zh": {
        "intro": "本机上的 SiliconFlow（{site}）。不联网，不收费。",
        "url": "接口地址",
        "key": "密钥",
        "stop": "按 Ctrl-C 停止。",
        "head": "状态  模型、图片数或 token 数、扣费、trace id",
        "pictures": "{count} 张图片",
        "tokens": "{count} 个 token",
        "charged": "扣费 {amount}",
        "gone": "客户端已断开",
        "taken": "端口 {port} 无法使用：{error}。请用 --port 换一个端口。",
        "--port": "监听端口，0 表示任选空闲端口（默认 %(default)s）",
        "--site": "提供哪个站点的模型：cn 或 com（默认 %(default)s）",
        "--latency": "每个请求耗时的秒数（默认 %(default)s）",
        "--ipm": "每个模型每分钟的图片数；不填则不限",
        "--rpm": "每个模型每分钟的其他请求数（对话、语音等）；不填则不限",
        "--tpm": "这些请求每个模型每分钟的 token 数；不填则不限",
        "--balance": "初始余额（默认 %(default)s）",
        "--key": "允许使用的 API 密钥（默认 %(default)s）",
        "stopped": "已停止。共 {requests} 个请求，花费 {spent}，余额 {balance}。",
    },
}


def add_arguments(parser: argparse.ArgumentParser, language: str = "en") -> None:
    """Add the options of the simulator command, explained in English or Chinese."""
    texts = TEXTS.get(language, TEXTS["en"])
    options: dict[str, dict[str, Any]] = {
        "--port": {"type": int, "default": DEFAULT_PORT},
        "--site": {"choices": SITES, "default": "cn"},
        "--latency": {"type": _positive, "default": 0.0},
        "--ipm": {"type": _positive},
        "--rpm": {"type": _positive},
        "--tpm": {"type": _positive},
        "--balance": {"type": _money, "default": Decimal("100.00")},
        "--key": {"default": "sk-simulator"},
    }
    for name, rules in options.items():
        parser.add_argument(name, help=texts[name], **rules)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; 1 when the port cannot be used."""
    texts = TEXTS.get(getattr(args, "language", "en"), TEXTS["en"])
    simulator = Simulator(
        site=args.site,
        port=args.port,
        key=args.key,
        latency=args.latency,
        ipm=args.ipm,
        rpm=args.rpm,
        tpm=args.tpm,
        balance=args.balance,
        on_request=lambda record: _say(describe(record, texts)),
    )
    try:
        simulator.start()
    except (OSError, OverflowError) as error:
        _say(texts["taken"].format(port=args.port, error=error), sys.stderr)
        return 1
    _introduce(simulator, texts)
    _wait_for_interrupt()
    simulator.stop()
    _say_goodbye(simulator, texts)
    return 0


def describe(record: Record, texts: dict[str, str]) -> str:
    """Write one line about a request: status, what, pictures, charge, trace id."""
    parts = [str(record.status), record.model or f"{record.method} {record.path}"]
    for name, count in (("pictures", record.pictures), ("tokens", record.tokens)):
        if count:
            parts.append(texts[name].format(count=count))
            parts.append(texts["charged"].format(amount=record.charged))
    if record.refusal:
        parts.append(" ".join(record.refusal.split()))
    if not record.delivered:
        parts.append(texts["gone"])
    return "  ".join([*parts, record.trace_id])


def _introduce(simulator: Simulator, texts: dict[str, str]) -> None:
    _say(texts["intro"].format(site=simulator.site))
    _say(f"{texts['url']}: SILICONFLOW_BASE_URL={simulator.base_url}")
    _say(f"{texts['key']}: SILICONFLOW_API_KEY={simulator.key}")
    _say(texts["stop"])
    _say(texts["head"])


def _wait_for_interrupt() -> None:
    # A wait without an end cannot be interrupted on Windows, hence the short ones.
    try:
        while True:
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        return


def _say_goodbye(simulator: Simulator, texts: dict[str, str]) -> None:
    spent = sum((charge.amount for charge in simulator.charges), Decimal(0))
    count = len(simulator.requests)
    _say(texts["stopped"].format(requests=count, spent=spent, balance=simulator.balance))


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not amount.is_finite():
        raise ValueError(text)
    return amount
