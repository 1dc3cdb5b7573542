"""Where a language model is: an address, a name and a key."""

from __future__ import annotations

import math
import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from compose_core.errors import UsageError

BASE_URL, API_KEY, MODEL = "COMPOSE_LLM_BASE_URL", "COMPOSE_LLM_API_KEY", "COMPOSE_LLM_MODEL"
"""Environment variables that name the endpoint."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server that answers ``POST {base_url}/chat/completions``, and a model of it.

    Attributes:
        base_url: for example ``http://127.0.0.1:8000/v1``.
        model: name of the model, as the server knows it.
        api_key: sent as bearer token, never shown or stored; None sends none.
        timeout: seconds that one answer may take.

    Raises:
        UsageError: the URL is not one of HTTP or holds a password, or a value makes no sense.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 120.0

    def __post_init__(self) -> None:
        if not _plain(self.base_url):
            raise UsageError(
                "the address of the language model is not usable",
                # It may hold a password, so it is not shown.
                got=f"{len(self.base_url)} characters",
                expected="http://HOST/v1 or https://HOST/v1, without user, query or spaces",
                remedy=f"set {BASE_URL}, and the key in {API_KEY}",
            )
        key = self.api_key or ""
        if not key.isascii() or not key.isprintable() or " " in key:
            raise UsageError("the key of the language model has characters that no key has")
        if not self.model.strip() or not 0 < self.timeout < math.inf:
            raise UsageError(
                "the language model is not named, or its timeout makes no sense",
                got=f"model {self.model!r}, timeout {self.timeout}",
                expected="a name, and seconds above 0",
            )

    @property
    def url(self) -> str:
        """Where questions go."""
        return f"{self.base_url.rstrip('/')}/chat/completions"

    @classmethod
    def from_environment(
        cls,
        base_url: str | None = None,
        model: str | None = None,
        *,
        timeout: float = 120.0,
        environ: Mapping[str, str] = os.environ,
    ) -> Endpoint:
        """The endpoint that is given, or that the environment names; the key is always there.

        Raises:
            UsageError: nothing names an address or a model.
        """
        found = {
            BASE_URL: base_url or environ.get(BASE_URL, ""),
            MODEL: model or environ.get(MODEL, ""),
        }
        for name, flag in ((BASE_URL, "--base-url"), (MODEL, "--llm-model")):
            if not found[name]:
                raise UsageError(
                    "no language model is named",
                    got=f"neither {flag} nor {name}",
                    expected="the base URL of an endpoint, and the name of a model",
                    remedy="name both, or plan without a model: --planner offline",
                )
        key = environ.get(API_KEY) or None
        return cls(base_url=found[BASE_URL], model=found[MODEL], api_key=key, timeout=timeout)


def _plain(url: str) -> bool:
    """Whether an address is one of HTTP, with nothing in it that does not belong there."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    extra = "@" in parts.netloc or " " in url or parts.query or parts.fragment or port == 0
    written = url.isascii() and url.isprintable()
    return parts.scheme in ("http", "https") and bool(parts.hostname) and written and not extra
