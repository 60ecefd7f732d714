"""The words of an answer: translations, descriptions, prompts, scenes, and plain replies."""

from __future__ import annotations

from .glossary import is_chinese, to_chinese, to_english
from .inputs import Sent
from .looks import describe, name_size
from .talk import IN_CHINESE, IN_ENGLISH, PROMPT, TRANSLATE, Talk

LIGHTS = {
    "en": ("soft morning light", "golden hour", "blue hour, long shadows", "overcast daylight"),
    "zh": ("清晨的柔光", "金色夕照", "蓝调时刻，影子很长", "阴天的散射光"),
}
STYLES = {
    "en": ("watercolour on rough paper", "35 mm film, fine grain", "flat vector poster", "oil"),
    "zh": ("粗纹纸水彩", "35 毫米胶片，细颗粒", "扁平海报", "油画"),
}
VIEWS = {
    "en": ("wide shot", "close-up", "from above", "from the side", "over the shoulder", "far away"),
    "zh": ("全景", "特写", "俯视", "侧面", "过肩镜头", "远景"),
}
MOMENTS = {
    "en": ("the beginning", "something changes", "the turning point", "the end"),
    "zh": ("开始", "变化出现", "转折", "结局"),
}
COMMA = {"en": ", ", "zh": "，"}
SPACE = {"en": " ", "zh": ""}


def translation(talk: Talk) -> str:
    """Translate between Chinese and English, and say nothing else."""
    source = talk.subject if TRANSLATE.search(talk.last) else talk.last
    wanted = talk.language
    if not (IN_ENGLISH.search(talk.orders) or IN_CHINESE.search(talk.orders)):
        wanted = "en" if is_chinese(source) else "zh"
    return to_english(source) if wanted == "en" else to_chinese(source)


def prompt(talk: Talk) -> str:
    """Write a prompt for a picture, and nothing else."""
    return COMMA[talk.language].join((_subject(talk), *_manner(talk, "prompt")))


def scenes(talk: Talk) -> list[str]:
    """Write as many scenes as were asked for, each a prompt of its own, in one style."""
    count, language = talk.scene_count, talk.language
    moments, views = MOMENTS[language], VIEWS[language]
    manner = _manner(talk, "scenes")
    return [
        COMMA[language].join(
            (
                _subject(talk),
                moments[number * len(moments) // count],
                views[number % len(views)],
                *manner,
            )
        )
        for number in range(count)
    ]


def description(talk: Talk) -> str:
    """Describe the pictures that were sent."""
    language = talk.language
    shown = [
        describe(sent.picture, language) if sent.picture else _unseen(sent, language)
        for sent in talk.pictures
    ]
    return SPACE[language].join([*shown, _facts(talk)])


def reply(talk: Talk) -> str:
    """Reply to anything else: say what arrived."""
    turn = len(talk.said)
    if talk.language == "zh":
        return f"这里是本机模拟器，不会思考，只会复述。这是您的第 {turn} 条消息。{_facts(talk)}"
    start = "This is the local simulator: it cannot think, it repeats."
    return f"{start} This is message {turn} of yours. {_facts(talk)}"


def thought(talk: Talk) -> str:
    """Say what a model that reasons would think before it answers."""
    if talk.language == "zh":
        return f"用户说：“{talk.last}”。共 {len(talk.pictures)} 张图片。我用中文回答。"
    seen = _pictures(len(talk.pictures))
    return f'The user says: "{talk.last}". I see {seen}. I will answer in English.'


def _subject(talk: Talk) -> str:
    subject = talk.subject.rstrip(".。!！")
    return to_english(subject) if talk.language == "en" else subject


def _manner(talk: Talk, what: str) -> tuple[str, str]:
    lights, styles = LIGHTS[talk.language], STYLES[talk.language]
    return talk.pick(lights, f"{what} light"), talk.pick(styles, f"{what} style")


def _unseen(sent: Sent, language: str) -> str:
    return f"链接 {sent.url} 的图片。" if language == "zh" else f"A picture at {sent.url}."


def _pictures(count: int) -> str:
    return f"{count or 'no'} picture{'' if count == 1 else 's'}"


def _facts(talk: Talk) -> str:
    """List what arrived: how many pictures, how large, and what was said.

    A prompt that is wanted holds none of what was said: it goes on to a model that would draw it.
    """
    sizes = ", ".join(name_size(sent.picture) for sent in talk.pictures)
    count, chinese = len(talk.pictures), talk.language == "zh"
    facts = []
    if count:
        facts.append(f"{count} 张图片：{sizes}" if chinese else f"{_pictures(count)}: {sizes}")
    if not PROMPT.search(talk.orders):
        facts.append(f"您说：“{talk.last}”" if chinese else f'you said: "{talk.last}"')
    return f"（{'；'.join(facts)}）" if chinese else f"({'; '.join(facts)})"
