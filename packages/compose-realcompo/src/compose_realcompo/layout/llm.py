"""Layouts from a language model, which is told what is wrong with its answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compose_core.errors import ComposeError, UsageError
from compose_realcompo.layout import cache, template
from compose_realcompo.layout.chat import UnusableReply, ask
from compose_realcompo.layout.endpoint import Endpoint
from compose_realcompo.layout.model import Layout
from compose_realcompo.layout.offline import check_prompt
from compose_realcompo.layout.reply import Absent, parse_reply


def plan_llm(
    prompt: str,
    endpoint: Endpoint,
    *,
    canvas: tuple[int, int] = (512, 512),
    seed: int = 0,
    retries: int = 3,
    absent: Absent = "refuse",
    folder: Path | None = None,
    cached: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Layout:
    """Ask a language model where the objects of a prompt go.

    An answer that cannot be used is sent back with what is wrong with it. Good answers are kept
    as JSON files and found again by endpoint, model, template, prompt and options.

    Args:
        prompt: the whole picture in words.
        endpoint: whom to ask.
        canvas: width and height in pixels; says the proportions.
        seed: sent along with temperature 0.
        retries: how often it is asked for a usable answer, the first time included; also how
            often each question is sent to a server that is busy, fails or keeps silent.
        absent: whether a phrase that the prompt does not have is refused, or appended to it.
        folder: where answers are kept; ``layouts`` in the user's cache by default.
        cached: whether answers are kept and looked up.
        sleep: waits some seconds.

    Raises:
        UsageError: the prompt or an option makes no sense.
        ComposeError: the endpoint does not answer, or not with a layout of the prompt.
    """
    check_prompt(prompt)
    if retries < 1 or min(canvas) < 1:
        raise UsageError(
            "a number makes no sense",
            got=f"retries {retries}, canvas {canvas}",
            expected="whole numbers from 1",
        )
    folder = cache.default_folder() if folder is None else folder
    key: dict[str, Any] = {
        "base_url": endpoint.base_url.rstrip("/"),
        "model": endpoint.model,
        "template": template.VERSION,
        "prompt": prompt,
        "canvas": list(canvas),
        "seed": seed,
        "absent": absent,
    }
    if cached and (answer := cache.look_up(folder, key)) is not None:
        try:
            return parse_reply(answer, prompt, canvas, absent=absent)
        except UnusableReply:
            pass  # damaged, or read less strictly when it was kept
    answer, layout = _converse(prompt, endpoint, canvas, seed, retries, absent, sleep)
    if cached:
        cache.keep(folder, key, answer)
    return layout


def _converse(
    prompt: str,
    endpoint: Endpoint,
    canvas: tuple[int, int],
    seed: int,
    retries: int,
    absent: Absent,
    sleep: Callable[[float], None],
) -> tuple[str, Layout]:
    """The first usable answer and its layout."""
    start = template.opening(prompt, canvas)
    messages, schema = start, template.SCHEMA
    problem: UnusableReply | None = None
    for _ in range(retries):
        answer = None
        try:
            answer, accepted = ask(
                endpoint, messages, schema=schema, seed=seed, tries=retries, sleep=sleep
            )
            schema = schema if accepted else None
            return answer, parse_reply(answer, prompt, canvas, absent=absent)
        except UnusableReply as error:
            problem = error
            if answer is not None:  # only the last answer: the rest would fill the window
                messages = [
                    *start,
                    {"role": "assistant", "content": answer[:4000]},
                    {"role": "user", "content": template.correction(str(error))},
                ]
    assert problem is not None
    raise ComposeError(
        f"the language model gave no usable layout: {problem.what}",
        got=f"{problem.got}; {retries} answers of {endpoint.model!r} at {endpoint.url}",
        expected=problem.expected,
        remedy=problem.remedy or "reword the prompt, ask another model, or use --planner offline",
    )
