"""Every body shape that the API answers with becomes the exception of its cause."""

import time

import pytest
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.error_parsing import (
    TRACE_HEADER,
    error_from_response,
    error_in_success,
    parse_error_body,
)
from comfyui_siliconflow.strings.text import use_language

NO_MODEL = '{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}'
TOO_MANY = (
    '{"code":50604,"message":"Request was rejected. Details: IPM limit reached.","data":null}'
)
OVERLOADED = '{"code":50505,"message":"Model service overloaded.","data":null}'


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            400,
            '{"code":20015,"message":"The parameter is invalid.","data":null}',
            errors.BadRequest,
        ),
        (400, NO_MODEL, errors.ModelNotFound),
        (400, '{"code":"20012","message":"no such model"}', errors.ModelNotFound),
        (401, '"Invalid token"', errors.InvalidKey),
        (401, "", errors.InvalidKey),
        (403, '"Forbidden"', errors.Forbidden),
        (403, '{"code":30003,"message":"Model disabled.","data":null}', errors.ModelDisabled),
        (403, '{"code":30001,"message":"Sorry","data":null}', errors.InsufficientBalance),
        (403, '"your account balance is insufficient"', errors.InsufficientBalance),
        (404, "404 page not found", errors.WrongAddress),
        (302, "", errors.WrongAddress),
        (413, "<html><body>Request Entity Too Large</body></html>", errors.BadRequest),
        (429, TOO_MANY, errors.RateLimited),
        (429, '{"message":"Details:IPD limit reached.","data":""}', errors.DailyLimit),
        (500, "", errors.ServerError),
        (502, "<html><h1>Bad Gateway</h1></html>", errors.ServerError),
        (503, OVERLOADED, errors.Overloaded),
        (504, "upstream timed out", errors.GatewayTimeout),
        (599, "[1, 2]", errors.ServerError),
    ],
)
def test_a_status_and_its_body_become_the_exception_of_their_cause(
    status: int, body: str, kind: type[errors.RequestError]
) -> None:
    assert type(error_from_response(status, {}, body)) is kind


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (NO_MODEL, 20012, "Model does not exist. Please check it carefully."),
        ('{"error":{"message":"nested","code":1}}', None, "nested"),
        ('"Invalid token"', None, "Invalid token"),
        ("404 page not found", None, "404 page not found"),
        ("<html><style>p{}</style><p>Bad\n Gateway</p></html>", None, "Bad Gateway"),
        ("", None, ""),
        ("null", None, ""),
        ("[" * 100_000, None, "[" * 600 + "…"),
    ],
)
def test_the_api_s_own_words_are_found_in_every_body_shape(
    body: str, code: int | None, message: str
) -> None:
    assert parse_error_body(body) == (code, message)


@pytest.mark.parametrize("part", ["<", "<script", "&lt;", "<a ", "["])
def test_a_page_of_any_size_is_read_at_once(part: str) -> None:
    started = time.monotonic()
    parse_error_body(part * 1_000_000)
    assert time.monotonic() - started < 2


def test_a_message_has_status_code_words_advice_model_and_trace_id() -> None:
    error = error_from_response(400, {TRACE_HEADER: "t-123"}, NO_MODEL, "vendor/model")
    assert str(error) == (
        "SiliconFlow does not know this model (HTTP 400, code 20012):"
        " Model does not exist. Please check it carefully.\n"
        "Nothing was charged. Choose another model, or check that your key is for the site (.cn or"
        " .com) that offers this one.\n"
        "Model: vendor/model\n"
        "Trace ID: t-123"
    )
    assert error.failure == errors.Failure(
        "Model does not exist. Please check it carefully.", 400, 20012, "vendor/model", "t-123"
    )


def test_a_message_is_chinese_when_that_is_the_language_in_use() -> None:
    error = error_from_response(401, {TRACE_HEADER: "t-1"}, '"Invalid token"', "vendor/model")
    use_language("zh")
    assert str(error).startswith("SiliconFlow 不接受这个 API 密钥（HTTP 401）：Invalid token\n")
    assert "模型：vendor/model" in str(error)


def test_a_picture_that_the_api_echoes_is_not_in_the_message() -> None:
    echoed = "A" * 5000
    body = f'{{"code":20015,"message":"bad image data:image/png;base64,{echoed} sorry"}}'
    message = str(error_from_response(400, {}, body))
    assert "AAAA" not in message
    assert "bad image data:… sorry" in message


@pytest.mark.parametrize(("words", "limit"), [("TPM limit", "TPM"), ("IPM limit reached", "IPM")])
def test_a_rate_limit_says_which_one_it_is(words: str, limit: str) -> None:
    error = error_from_response(429, {"Retry-After": "7"}, f'{{"message":"Details:{words}"}}')
    assert isinstance(error, errors.RateLimited)
    assert (error.limit, error.failure.retry_after) == (limit, 7.0)


def test_a_retry_after_that_is_no_number_is_left_out() -> None:
    error = error_from_response(429, {"Retry-After": "soon"}, "")
    assert error.failure.retry_after is None


@pytest.mark.parametrize("words", ["Please login first", "Payment Required", "Please add credits"])
def test_no_text_of_ours_opens_comfy_s_own_sign_in_or_top_up(words: str) -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    requests = [kind for kind in kinds if issubclass(kind, errors.RequestError)]
    assert len(requests) > 15
    assert not [kind for kind in requests if words in f"{kind.what.en} {kind.advice.en}"]


def test_every_cause_says_what_happened_and_what_to_do_in_both_languages() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    for kind in (kind for kind in kinds if issubclass(kind, errors.RequestError)):
        for text in (kind.what, kind.advice):
            assert text.en.isascii()
            assert not text.zh.isascii()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"code": 50505, "message": "Overloaded.", "data": None}, (50505, "Overloaded.")),
        ({"message": "TPM limit reached.", "data": ""}, (None, "TPM limit reached.")),
        ({"error": {"message": "no such voice", "code": "x"}}, (None, "no such voice")),
        ({"code": 20000, "message": "Ok", "status": True}, None),
        ({"result": [], "message": "nothing yet"}, None),
        ({"text": ""}, None),
        ({"data": [{"index": 0}], "message": "OK"}, None),
        ([], None),
    ],
)
def test_what_is_said_in_place_of_a_result_is_told_apart(answer: object, told: object) -> None:
    assert error_in_success(answer) == told
