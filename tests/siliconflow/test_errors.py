"""Every body shape that the API answers with becomes the exception of its cause."""

import re
import subprocess
import sys

import pytest
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.siliconflow.error_parsing import (
    error_from_response,
    error_in_success,
    parse_error_body,
)
from comfyui_siliconflow.siliconflow.http.bodies import TRACE_HEADER
from comfyui_siliconflow.strings.text import (
    SiliconFlowError,
    Text,
    entries_of,
    use_language,
)
from comfyui_siliconflow.tests.waiting import LONGEST

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
        (413, "<html><body>Request Entity Too Large</body></html>", errors.UploadTooLarge),
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


def test_a_page_of_any_size_is_read_at_once() -> None:
    """What takes the square of a page's length would take hours for these."""
    program = """
from comfyui_siliconflow.siliconflow.error_parsing import parse_error_body
for part in ("<", "<script", "&lt;", "<a ", "["):
    parse_error_body(part * 1_000_000)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LONGEST)


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
    use_language("zh")
    error = error_from_response(401, {TRACE_HEADER: "t-1"}, '"Invalid token"', "vendor/model")
    assert str(error).startswith("SiliconFlow 不接受这个 API 密钥（HTTP 401）：Invalid token\n")
    assert str(error).endswith("模型：vendor/model\n追踪 ID：t-1")


def test_an_image_that_the_api_echoes_is_not_in_the_message() -> None:
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


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]
REQUEST_ERRORS = [kind for kind in KINDS if issubclass(kind, errors.RequestError)]


@pytest.mark.parametrize("words", ["Please login first", "Payment Required", "Please add credits"])
def test_no_text_of_ours_opens_comfyui_s_own_sign_in_or_top_up(words: str) -> None:
    assert len(REQUEST_ERRORS) > 15
    assert not [kind for kind in REQUEST_ERRORS if words in f"{kind.what} {kind.advice}"]


def test_every_error_says_what_happened_and_what_to_do_in_every_language() -> None:
    for kind in REQUEST_ERRORS:
        for wording in (kind.what, kind.advice):
            assert wording.in_language("en").isascii()
            assert not wording.in_language("zh").isascii()


def test_an_error_without_a_wording_inherits_it() -> None:
    assert errors.WaitTooLong.what == errors.RateLimited.what
    assert errors.WaitTooLong.advice != errors.RateLimited.advice
    assert errors.ReadTimeout.advice == errors.ServerError.advice


def test_every_wording_is_of_a_class() -> None:
    named = {key.split(".")[1] for key in entries_of("en") if re.match(r"error\.[A-Z]\w+\.", key)}
    assert named <= {kind.__name__ for kind in REQUEST_ERRORS}


def test_the_tree_at_the_top_of_the_file_is_the_tree_of_the_classes() -> None:
    lines = re.findall(r"^([│ ]*[├└]── )(\w+)", str(errors.__doc__), re.MULTILINE)
    branch = ["SiliconFlowError"]
    parents = {}
    for indent, name in lines:
        depth = len(indent) // 4
        branch[depth:] = [name]
        parents[name] = branch[depth - 1]
    raised = [kind for kind in KINDS if issubclass(kind, SiliconFlowError)]
    assert parents == {
        kind.__name__: kind.__base__.__name__
        for kind in raised
        if kind is not SiliconFlowError and kind.__base__
    }


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        ('{"message": "size is wrong"}', "Correct the value that the message names"),
        ("", "Change the prompt"),
    ],
)
def test_advice_refers_to_a_message_only_where_there_is_one(body: str, advice: str) -> None:
    assert advice in str(error_from_response(400, {}, body))


def test_an_error_of_a_free_call_says_nothing_of_charges() -> None:
    error = error_from_response(500, {}, "").for_free_call()
    assert type(error) is errors.ServerError
    assert error.charged is False
    assert "charged" not in str(error)


def test_support_is_sent_a_trace_id_only_where_there_is_one() -> None:
    traced = error_from_response(500, {TRACE_HEADER: "t-1"}, "no")
    untraced = error_from_response(500, {}, "no")
    assert "send SiliconFlow support the trace ID." in str(traced)
    assert "send SiliconFlow support the time and this whole message." in str(untraced)
    assert "trace ID" not in str(untraced.for_free_call())


def test_an_input_is_named_by_its_label_and_its_name_where_they_differ() -> None:
    error = errors.InvalidInput("prompt", Text("x"))
    assert error.text.in_language("en").split("\n")[0] == "prompt: x."
    assert error.text.in_language("zh").split("\n")[0] == "提示词（prompt）：x。"


def test_an_input_that_is_refused_here_says_that_nothing_was_sent_or_charged() -> None:
    error = errors.InvalidInput("prompt", Text("x"))
    assert error.text.in_language("en").split("\n")[1:] == [
        "Nothing was sent. You were not charged."
    ]
    assert error.text.in_language("zh").split("\n")[1:] == ["请求没有发出，也没有扣费。"]


def test_what_is_known_of_this_very_request_stands_before_the_advice_for_all() -> None:
    error = error_from_response(400, {}, '{"code": 20012, "message": "no model"}', "a/b")
    error.advise([Text("first"), Text("second")])
    error.add(Text("last"))
    lines = str(error).split("\n")
    assert lines[1:3] == ["first", "second"]
    assert lines[3].startswith("Nothing was charged. Choose another model")
    assert lines[4:] == ["Model: a/b", "last"]


@pytest.mark.parametrize(
    ("answer", "message"),
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
def test_what_is_said_in_place_of_a_result_is_distinguished(
    answer: object, message: object
) -> None:
    assert error_in_success(answer) == message
