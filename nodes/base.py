"""What all node classes share: how they describe themselves to ComfyUI, and how they run."""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, ClassVar

from ..comfyui import host
from ..comfyui.host import Caller, current_caller
from ..engine.threads import in_thread
from ..siliconflow.catalogue import require_text
from ..siliconflow.errors import InvalidInput
from ..strings.text import DEFAULT, text, use_language, well_formed
from .model_choices import check_model, check_voice, offered_here, valid_settings
from .widgets import BACKGROUND, WORKFLOW, description, input_types, tooltip

Task = Callable[[Mapping[str, Any], Caller], Awaitable[Any]]
JSON = ("extra_body", "json_schema")
_HIGH, _LOW = r"\\u[dD][89abAB]\w\w", r"\\u[dD][c-fC-F]\w\w"
_ESCAPES = re.compile(rf"(\\\\|{_HIGH}{_LOW})|{_HIGH}|{_LOW}")
"""Halves of a surrogate pair as JSON may write them, and in a group what only looks like one."""
ALIASES = ("silicon flow", "硅基流动")
"""Words by which the page's search finds every node, besides its name."""
FAULTS_SEPARATOR = "\n\n"
"""Between the faults of one node in what `VALIDATE_INPUTS` answers."""
_RUNS = count(1)
"""Numbers of which each is given once."""
Values = frozenset[tuple[str, Any]]
"""The texts and numbers that a node was given, each with the name of its input."""
_ANY_SEED_RUNS: deque[tuple[str, str, Values]] = deque(maxlen=64)
"""The last runs with a seed of -1: workflow, node, and what it was given but the seed."""
MOST_LEFT_OUT = 1024
"""Nodes that are remembered to have given nothing."""
_LEFT_OUT: dict[Values, int] = {}
"""What nodes were given that gave nothing, for their results come in the background; a number each.

ComfyUI has cached that nothing: the next time its cache must not answer, and after that it may.
"""


class Node:
    """A ComfyUI node that runs one task.

    `required` and `optional` name its inputs, `outputs` its outputs. Saved workflows restore
    widgets and links by position: new ones go to the end.
    """

    task: ClassVar[str]
    required: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    outputs: ClassVar[tuple[str, ...]]

    CATEGORY: ClassVar[str]
    FUNCTION = "execute"
    DESCRIPTION: ClassVar[str]
    RETURN_TYPES: ClassVar[tuple[str, ...]]
    RETURN_NAMES: ClassVar[tuple[str, ...]]
    OUTPUT_TOOLTIPS: ClassVar[tuple[str, ...]]
    SEARCH_ALIASES: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Set ComfyUI's class attributes from `task`, `outputs` and the strings."""
        if hasattr(cls, "task"):
            cls.SEARCH_ALIASES = (*ALIASES, *cls.SEARCH_ALIASES)
            cls.DESCRIPTION = description(cls.task).in_language(DEFAULT)
            cls.RETURN_NAMES = cls.outputs
            cls.OUTPUT_TOOLTIPS = tuple(
                tooltip("output", cls.task, name).in_language(DEFAULT) for name in cls.outputs
            )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Return the inputs as ComfyUI expects them: `{"required": {name: (type, options)}}`."""
        models = offered_here(cls.task) if "model" in cls.required else []
        return input_types(cls.task, cls.required, cls.optional, models)

    async def execute(self, **inputs: Any) -> Any:
        """Run the task and return its outputs; see `tasks` for the shapes and errors."""
        caller = current_caller(type(self).__name__, first_item(inputs.pop(WORKFLOW, None)))
        host.note_call(caller)
        values = _values(inputs)
        if BACKGROUND in self.optional:
            caller = replace(caller, background=bool(inputs.pop(BACKGROUND, False)))
        _keep_in_mind(caller, values)
        sent = {name: _well_formed(name, value) for name, value in inputs.items()}
        changed = [name for name, value in sent.items() if value is not inputs[name]]
        notes = [text("run.not_well_formed", input=name) for name in changed]
        run = await in_thread(partial(_load_task, self.task))
        outputs = await run(sent, replace(caller, notes=notes))
        if host.is_blocked(outputs):
            _LEFT_OUT[values] = next(_RUNS)
            for oldest in list(_LEFT_OUT)[:-MOST_LEFT_OUT]:
                del _LEFT_OUT[oldest]
        return outputs


class LookupNode(Node):
    """A node that asks for free, and anew in each run. `refresh` made it so once."""

    OUTPUT_NODE = True

    @classmethod
    def IS_CHANGED(cls, **_inputs: Any) -> int:  # noqa: N802 - ComfyUI's name
        """Return what is never the same, so that ComfyUI's cache does not answer."""
        return next(_RUNS)


class PromptNode(Node):
    """A node whose prompt must not be empty, and whose seed may be -1: another one each time."""

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls,
        prompt: str | None = None,
        model: str | None = None,
        custom_model: str | None = "",
        seed: int | None = None,  # noqa: ARG003 - named here, ComfyUI takes any
    ) -> bool | str:
        """Refuse an empty prompt and an unknown model when the workflow is queued."""
        return validate(cls.task, {"prompt": prompt}, model, custom_model)

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> int:  # noqa: N802 - ComfyUI's name
        """Return what is never the same for a seed of -1, so that ComfyUI's cache does not answer.

        A seed from another node is `None` here, as all that is: it is taken to be -1 if it was in
        the last run of any node with these values, for ComfyUI's cache answers one by another's.
        """
        own, seed = _values(inputs), inputs.get("seed", 0)
        unseeded = frozenset(each for each in own if each[0] != "seed")
        was_any = any(unseeded <= values for *_, values in _ANY_SEED_RUNS)
        if seed == -1 or (seed is None and was_any):
            return next(_RUNS)
        return max((number for values, number in _LEFT_OUT.items() if own <= values), default=0)


class ModelNode(Node):
    """A node that checks nothing but its model when the workflow is queued."""

    @classmethod
    def VALIDATE_INPUTS(  # noqa: N802 - ComfyUI's name
        cls, model: Any = None, custom_model: Any = ""
    ) -> bool | str:
        """Refuse an unknown model when the workflow is queued."""
        return validate(cls.task, {}, first_item(model), first_item(custom_model))


def validate(
    task: str,
    texts: Mapping[str, object],
    model: str | None = None,
    custom_model: str | None = None,
    voice: str | None = None,
) -> bool | str:
    """Return `True`, or why ComfyUI must not queue a workflow with these inputs.

    `texts` are the inputs, by name, that must not be empty. An input that another node provides
    is `None` here, and is checked when the node runs. ComfyUI itself checks none of the inputs
    that `VALIDATE_INPUTS` names, and repeats its answer under each of them (`validate_inputs` of
    its execution.py): so each fault begins with the name of its own input, by which
    `server/queueing.py` puts it there alone.
    """
    use_language(host.language(valid_settings().language))
    checks = [
        partial(require_text, str(value), name)
        for name, value in texts.items()
        if value is not None
    ]
    if model is not None and custom_model is not None:
        checks.append(partial(check_model, task, str(model), str(custom_model)))
    if voice is not None:
        checks.append(partial(check_voice, str(voice)))
    faults = [str(error) for error in map(_fault, checks) if error]
    return FAULTS_SEPARATOR.join(faults) if faults else True


def _fault(check: Callable[[], None]) -> InvalidInput | None:
    try:
        check()
    except InvalidInput as error:
        return error
    return None


def first_item(value: Any) -> Any:
    """Return the value of an input that a node with `INPUT_IS_LIST` receives as a list."""
    return value[0] if isinstance(value, list | tuple) and value else value


def _values(inputs: Mapping[str, Any]) -> Values:
    return frozenset(each for each in inputs.items() if isinstance(each[1], str | int | float))


def _keep_in_mind(caller: Caller, values: Values) -> None:
    """Keep whether the last run of this node with these values had a seed of -1."""
    unseeded = frozenset(each for each in values if each[0] != "seed")
    run = (caller.workflow_id, caller.node_id, unseeded)
    with suppress(ValueError):
        _ANY_SEED_RUNS.remove(run)
    if ("seed", -1) in values:
        _ANY_SEED_RUNS.append(run)


def _well_formed(name: str, value: Any) -> Any:
    """Return an input with its texts as `well_formed` gives them; itself, if nothing changes."""
    if isinstance(value, list):
        items = [_well_formed(name, item) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    if not isinstance(value, str):
        return value
    words = _ESCAPES.sub(lambda match: match[1] or r"\ufffd", value) if name in JSON else value
    words = well_formed(words)
    return value if words == value else words


def _load_task(task: str) -> Task:
    """Import the tasks: the network's libraries would delay the start of ComfyUI."""
    from ..tasks.registry import TASKS

    return TASKS[task]
