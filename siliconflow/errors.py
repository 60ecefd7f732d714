"""One typed exception per cause.

Every error says what happened, what to do about it, and, where a request was sent, the model
and the trace id that SiliconFlow's support asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ..strings.text import SiliconFlowError, Text

OF_TOKENS = frozenset({"TPM", "TPH", "TPD"})
"""Limits of what requests weigh, not of how many there are."""
_LIMIT = re.compile(r"\b([RTI]P[MHD])\b\s*limit", re.IGNORECASE)


class InvalidInput(SiliconFlowError):
    """A node's input cannot be sent as it stands. Nothing was sent, nothing was charged."""

    def __init__(self, name: str, reason: Text) -> None:
        """Name the input as it is labelled on the node."""
        super().__init__(Text(f"{name}: {reason.en}", f"{name}：{reason.zh}"))
        self.name = name


class PartialFailure(SiliconFlowError):
    """Some results of one run did not come; `causes` says why, one error each.

    `what` says in a few words what did not come.
    """

    def __init__(self, text: Text, causes: list[Exception], what: Text) -> None:
        """Keep the causes for whoever wants to tell them apart."""
        super().__init__(text)
        self.causes = causes
        self.what = what


@dataclass(frozen=True)
class Failure:
    """The facts about a request that failed, as far as they are known."""

    message: str | Text = ""
    """The API's own words, cleaned of pictures and markup, or ours in both languages."""
    status: int | None = None
    """HTTP status, `None` if no answer came."""
    code: int | None = None
    """SiliconFlow's own number, such as 20012."""
    model: str = ""
    trace_id: str = ""
    retry_after: float | None = None
    """Seconds that the service asked to wait."""


class RequestError(SiliconFlowError):
    """A request that was sent, or should have been, and brought no result."""

    charged: bool | None = False
    """Whether the request was paid: no, yes, or `None` where nobody can know."""
    sent_again: ClassVar[bool] = False
    """Whether the pack may send it again by itself: only what cannot have been paid."""
    repeats: ClassVar[bool] = True
    """Whether the next request of the same run would fail in the same way."""
    what: ClassVar[Text] = Text("SiliconFlow refused the request", "SiliconFlow 拒绝了这次请求")
    advice: ClassVar[Text] = Text(
        "Report it to SiliconFlow with the trace id.", "请带上 trace id 向 SiliconFlow 反馈。"
    )

    def __init__(self, failure: Failure, advice: Text | None = None) -> None:
        """Say what happened, what to do, the model and the trace id."""
        super().__init__(_story(self.what, advice or self.advice, failure))
        self.failure = failure

    def of_free_call(self) -> RequestError:
        """Give the same error without a word on charges: what was asked costs nothing."""
        found = type(self)(self.failure, None if self.charged is False else _FREE)
        found.charged = False
        return found


_FREE = Text(
    "This costs nothing: try again, and if it stays so report the trace id to SiliconFlow.",
    "此操作不收费：请重试；若一直如此，请带上 trace id 向 SiliconFlow 反馈。",
)


class BadRequest(RequestError):
    """400: a parameter is wrong; the API's message says which. Not charged."""

    advice = Text(
        "Correct what the message names and queue again; nothing was charged.",
        "请按上面的提示修改后重新运行；本次没有扣费。",
    )


class ModelNotFound(BadRequest):
    """400 with code 20012: this site has no such model."""

    what = Text("SiliconFlow does not know this model", "SiliconFlow 上没有这个模型")
    advice = Text(
        "Choose another model, or check that the key's site (.cn or .com) is the one that has"
        " it; nothing was charged.",
        "请换一个模型，或确认密钥所属站点（.cn 或 .com）提供该模型；本次没有扣费。",
    )


class InvalidKey(RequestError):
    """401: the key is wrong, deleted, or belongs to the other site."""

    what = Text("SiliconFlow does not accept the API key", "SiliconFlow 不接受这个 API 密钥")
    advice = Text(
        "Check the key in ComfyUI's Settings / SiliconFlow (or SILICONFLOW_API_KEY): keys of"
        " cloud.siliconflow.cn and cloud.siliconflow.com are not interchangeable.",
        "请检查 ComfyUI 的“设置 / SiliconFlow”中的密钥（或 SILICONFLOW_API_KEY）："
        "cloud.siliconflow.cn 与 cloud.siliconflow.com 的密钥互不通用。",
    )


class Forbidden(RequestError):
    """403: the account may not do this."""

    what = Text("SiliconFlow does not allow this account to do that", "该账户没有权限执行此操作")
    advice = Text(
        "Check the balance and the real-name verification on SiliconFlow's account page; some"
        " models need them.",
        "请到 SiliconFlow 账户页面检查余额与实名认证，部分模型对此有要求。",
    )


class InsufficientBalance(Forbidden):
    """403 whose message speaks of the balance."""

    what = Text("The balance of the SiliconFlow account is used up", "SiliconFlow 账户余额不足")
    advice = Text(
        "Top up on SiliconFlow's account page, or choose a free model.",
        "请到 SiliconFlow 账户页面充值，或改用免费模型。",
    )


class ModelDisabled(Forbidden):
    """403 with code 30003: the model is switched off."""

    what = Text("This model is switched off", "该模型已停用")
    advice = Text("Choose another model.", "请换一个模型。")


class WrongAddress(RequestError):
    """404, or a redirect: there is no API behind this base URL."""

    what = Text("There is no SiliconFlow API at this address", "该地址上没有 SiliconFlow API")
    advice = Text(
        "Check SILICONFLOW_BASE_URL: it ends in /v1, such as https://api.siliconflow.cn/v1.",
        "请检查 SILICONFLOW_BASE_URL：应以 /v1 结尾，例如 https://api.siliconflow.cn/v1。",
    )


class RateLimited(RequestError):
    """429: too many requests, tokens or pictures. `limit` names which, such as IPM."""

    sent_again = True
    repeats = False
    what = Text("SiliconFlow's rate limit is reached", "已达到 SiliconFlow 的速率限制")
    advice = Text(
        "Wait a minute and queue again; nothing was charged. Limits rise with the account's level.",
        "请等一分钟后重新运行；本次没有扣费。账户等级越高，限额越高。",
    )

    def __init__(self, failure: Failure, advice: Text | None = None) -> None:
        """Read from the message which limit was hit."""
        super().__init__(failure, advice)
        found = _LIMIT.search(str(failure.message))
        self.limit = found.group(1).upper() if found else ""


class DailyLimit(RateLimited):
    """429 whose message names a limit per day: not worth waiting for."""

    sent_again = False
    repeats = True
    what = Text("SiliconFlow's limit for today is reached", "今天的 SiliconFlow 限额已用完")
    advice = Text(
        "Queue again tomorrow or choose another model; nothing was charged.",
        "请明天再运行，或换一个模型；本次没有扣费。",
    )


class ServerError(RequestError):
    """500, 502 and any other 5xx: an error of the service; it may have made the picture."""

    charged = None
    repeats = False
    what = Text("SiliconFlow had an internal error", "SiliconFlow 内部出错")
    advice = Text(
        "It may have been charged. Compare the balance before queueing again, and report the"
        " trace id if it was.",
        "本次可能已扣费。重新运行前请核对余额；若已扣费，请带上 trace id 反馈。",
    )


class Overloaded(RequestError):
    """503: the model is overloaded. Not charged."""

    sent_again = True
    repeats = False
    what = Text("The model is overloaded", "模型当前负载过高")
    advice = Text("Queue again in a minute; nothing was charged.", "请稍后重新运行；本次没有扣费。")


class GatewayTimeout(ServerError):
    """504: the gateway gave up waiting; the picture may or may not have been made."""

    what = Text("SiliconFlow's gateway gave up waiting", "SiliconFlow 网关等待超时")


class NotConnected(RequestError):
    """The connection was never made: the request was not sent and not charged."""

    sent_again = True
    what = Text("SiliconFlow could not be reached", "无法连接到 SiliconFlow")
    advice = Text(
        "Check the network, the proxy and SILICONFLOW_BASE_URL, then queue again; nothing was"
        " sent and nothing charged.",
        "请检查网络、代理与 SILICONFLOW_BASE_URL 后重新运行；请求没有发出，没有扣费。",
    )


class ConnectionLost(RequestError):
    """The connection broke after the request was sent, before the answer was whole."""

    charged = None
    repeats = False
    what = Text(
        "The connection broke before SiliconFlow's answer came",
        "连接在收到 SiliconFlow 的回复前中断",
    )
    advice = ServerError.advice


class ReadTimeout(ConnectionLost):
    """No answer came within the read timeout."""

    what = Text(
        "SiliconFlow did not answer within the read timeout",
        "SiliconFlow 未在规定时间内回复（读取超时）",
    )


class BadAnswer(RequestError):
    """A 200 that is not what the API documents."""

    charged: bool | None = None
    repeats = False
    what = Text("SiliconFlow's answer could not be read", "无法读懂 SiliconFlow 的回复")
    advice = ServerError.advice


class Unusable(BadAnswer):
    """A whole answer that the node can make nothing of. It is not kept: that would repeat it."""

    charged = True
    what = Text("What came cannot be used", "收到的内容无法使用")
    advice = Text(
        "It was charged, and is not kept. Queue again to ask anew, which is charged anew.",
        "本次已扣费，内容没有保留。重新运行会再次请求，并重新扣费。",
    )


class BrokenStream(ConnectionLost):
    """An answer that came piece by piece ended before it was whole; the message holds what came."""

    what = Text(
        "SiliconFlow's answer broke off before its end", "SiliconFlow 的回复没有传完就中断了"
    )
    advice = Text(
        "What came was probably charged. Queue again for the whole answer, which is charged anew.",
        "已收到的部分可能已扣费。重新运行可得到完整回复，会重新扣费。",
    )


class Unforeseen(RequestError):
    """Something in the pack itself went wrong while a request was under way."""

    charged = None
    what = Text("This pack made a mistake", "节点包内部出错")
    advice = Text(
        "Please report it with this text. It may have been charged: compare the balance before"
        " queueing again.",
        "请附上这段文字反馈。本次可能已扣费：重新运行前请核对余额。",
    )


class DownloadFailed(RequestError):
    """A picture that was made, and paid for, could not be fetched from its URL."""

    charged = True
    repeats = False
    what = Text("The finished picture could not be downloaded", "图片已生成，但下载失败")
    advice = Text(
        "The picture was made and charged, and its URL works for one hour: check the network and"
        " queue the same again, which only downloads it (unless reuse is off in the settings).",
        "图片已生成并扣费，其链接一小时内有效：请检查网络后重新运行相同内容，"
        "届时只会下载，不会再扣费（除非设置中关闭了 reuse）。",
    )


class ResultRefused(DownloadFailed):
    """A picture that was made, and paid for, is not taken, and will not be the next time."""

    what = Text("The finished picture cannot be taken", "图片已生成，但无法接收")
    advice = Text(
        "It was made and charged. If it is too large, raise most_picture_mib or most_megapixels"
        " in the settings and queue the same again within the hour; else report it to"
        " SiliconFlow with the trace id.",
        "图片已生成并扣费。若因过大，请在设置中调高 most_picture_mib 或 most_megapixels，"
        "并在一小时内重新运行相同内容；否则请带上 trace id 向 SiliconFlow 反馈。",
    )


class BadPicture(ResultRefused):
    """What came as a picture could not be decoded."""

    what = Text("What came as the finished picture is none", "收到的内容不是可用的图片")


class WaitTooLong(RateLimited):
    """The rate limit would have to be waited out for longer than the settings allow."""

    sent_again = False
    repeats = True
    advice = Text(
        "It would take longer than the longest wait of the settings (longest_wait). Queue again"
        " later: what is done is kept. Nothing was charged for this request.",
        "等待时间超过设置中的 longest_wait。请稍后重新运行，已完成的图片会保留；本次请求没有扣费。",
    )


class GuardStopped(SiliconFlowError):
    """The spending guard of the settings stopped a run. Nothing was sent."""


def _story(what: Text, advice: Text, failure: Failure) -> Text:
    facts = ", ".join(_facts(failure))
    head = Text(f"{what.en} ({facts})", f"{what.zh}（{facts}）") if facts else what
    message = _words(failure.message)
    model = (
        Text(f"\nModel: {failure.model}", f"\n模型：{failure.model}")
        if failure.model
        else Text("", "")
    )
    trace = f"\nTrace id: {failure.trace_id}" if failure.trace_id else ""
    return Text(
        f"{head.en}{message.en}\n{advice.en}{model.en}{trace}",
        f"{head.zh}{message.zh}\n{advice.zh}{model.zh}{trace}",
    )


def _words(message: str | Text) -> Text:
    if not message:
        return Text("", "")
    said = message if isinstance(message, Text) else Text(message, message)
    return Text(f": {said.en}", f"：{said.zh}")


def _facts(failure: Failure) -> list[str]:
    named = (("HTTP", failure.status), ("code", failure.code))
    return [f"{name} {value}" for name, value in named if value is not None]
