"""The coordinator of the paper: a diffusion transformer over the tokens of all parts."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, final

import torch
from torch import Tensor, nn

from compose_core.errors import ShapeError
from compose_core.schedule import Level
from compose_dde.coordinator.block import Block, modulate
from compose_dde.coordinator.config import CoordinatorConfig
from compose_dde.coordinator.interface import Coordinator, Heard
from compose_dde.coordinator.layout import Layout, lay_out
from compose_dde.coordinator.tokens import patchify, unpatchify
from compose_dde.domain import Domain
from compose_dde.lapped import lapped, unlapped
from compose_dde.precondition import Precondition

__all__ = ["Transformer"]


@final
class Transformer(Coordinator):
    """Section 3.2: tokens of all parts, at their positions in the large object, attend.

    Args:
        config: Its numbers.
        chunk: The most windows that are worked on at once where no gradients are wanted; bounds
            the memory at any length. It changes the result by rounding only.
    """

    def __init__(self, config: CoordinatorConfig, chunk: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.chunk = chunk
        self.precondition = Precondition(config.sigma_data)
        d, cells = config.width, config.patch**config.axes
        self.embed = nn.Linear((config.channels + config.maps) * cells, d)
        if config.context:
            self.embed_context = nn.Linear(config.context * config.context_patch**config.axes, d)
        self.embed_noise = nn.Sequential(
            nn.Linear(config.frequencies, d), nn.SiLU(), nn.Linear(d, d)
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 2 * d))
        self.head = nn.Linear(d, config.channels * cells)
        self._reset()

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the configuration, for a file."""
        return asdict(self.config)

    def prepare(self, domain: Domain, like: Tensor) -> Layout:
        """Positions and neighbourhoods; see `Coordinator.prepare`."""
        c = self.config
        if domain.axes != c.axes:
            raise ShapeError(
                "the coordinator was made for another kind of object",
                got=f"{domain.axes} axes",
                expected=f"{c.axes}",
            )
        context = self._context_positions(domain) if c.context else None
        return lay_out(
            domain,
            domain.positions(c.patch),
            context,
            c.width // c.heads,
            c.patch,
            c.reach,
            c.summaries,
            like.new_empty(0, dtype=self.head.weight.dtype),
        )

    def forward(self, heard: Heard, prepared: Layout) -> Tensor:
        """See `Coordinator.forward`.

        Raises:
            ShapeError: What is heard has not the channels of the configuration.
        """
        c = self.config
        x0, x_t = heard.x0, heard.x_t
        raw = c.space == "raw"
        said = self.precondition.unwrap(x0, x_t, heard.level) if raw else x0
        x = self._stream(said, heard, prepared)
        noise = self._noise(heard.level, x)
        for block in self.blocks:
            x = block(x, noise, prepared, heard.null, self.chunk)
        x = x[:, :, : prepared.tokens]
        shift, scale = self.modulation(noise).chunk(2, 1)
        tokens = self.head(modulate(self.norm(x), shift, scale))
        tokens = tokens.reshape(x0.shape[0], len(prepared.domain), -1, tokens.shape[-1])
        change = unpatchify(tokens, c.patch, x0.shape[3:]).to(x0.dtype)
        if c.lapped:
            change = unlapped(change.unflatten(-1, (-1, c.patch)))
        return self._told(change, heard)

    def _told(self, change: Tensor, heard: Heard) -> Tensor:
        """The new `x0`; exactly the old one where nothing was changed."""
        c = self.config
        if c.space == "denoised":
            return heard.x0 + change if c.residual else change
        if not c.residual:
            return self.precondition.wrap(change, heard.x_t, heard.level)
        _, out = self.precondition.skip(heard.level).to_like(change)
        return heard.x0 + out * change

    def _stream(self, said: Tensor, heard: Heard, layout: Layout) -> Tensor:
        """Tokens `(B, W, S, d)`."""
        c = self.config
        if heard.maps is not None:
            batch, parts = said.shape[:2]
            maps = heard.maps.to(said).expand(batch, parts, *heard.maps.shape[2:])
            said = torch.cat([said, maps], 2)
        if said.shape[2] != c.channels + c.maps or (heard.context is None) != (c.context == 0):
            raise ShapeError(
                "the coordinator hears something else than it was made for",
                got=f"{said.shape[2]} channels, context {_shape(heard.context)}",
                expected=f"{c.channels + c.maps} channels, {c.context} of context",
            )
        if c.lapped:
            said = lapped(said, c.patch).flatten(-2)
        x = self.embed(patchify(said.to(self.embed.weight.dtype), c.patch, c.axes))
        if c.reach is None:
            x = x.flatten(1, 2)[:, None]
        if heard.context is None:
            return x
        context = self._context(heard.context.to(x), layout.domain)
        return torch.cat([x, context.expand(x.shape[0], *context.shape[1:])], 2)

    def _noise(self, level: Level, x: Tensor) -> Tensor:
        """The embedded noise level `(B, d)`."""
        noise = self.precondition.noise(level).expand(x.shape[0])
        half = self.config.frequencies // 2
        steps = torch.arange(half, dtype=torch.float64, device=noise.device)
        # 100: a hundredth more noise turns the fastest by a quarter, the slowest hardly ever.
        by = 100 * noise[:, None] * torch.exp(-math.log(10_000) * steps / half)
        return self.embed_noise(torch.cat([by.cos(), by.sin()], 1).to(x.device, x.dtype))

    def _context(self, context: Tensor, domain: Domain) -> Tensor:
        """Tokens of the context: `(B, 1, M, d)` of the whole, or `(B, L, M, d)` under windows."""
        c = self.config
        seen = [context] if c.reach is None else [view.observe(context) for view in domain.views]
        tokens = patchify(torch.stack(seen, 1), c.context_patch, c.axes)
        return self.embed_context(tokens)

    def _context_positions(self, domain: Domain) -> Tensor:
        """Their middles, in tokens of the object: `(M, axes)`, or `(L, M, axes)`."""
        c = self.config
        whole = Domain.conditions(domain.size, 1)
        seen = whole if c.reach is None else domain
        middle = (seen.positions(c.context_patch) + 0.5) * c.context_patch / c.patch - 0.5
        return middle[0] if c.reach is None else middle

    def _reset(self) -> None:
        """Xavier for matrices; zero where nothing shall be said before training."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        # Of unit size at any width: the 0.02 of large transformers would leave narrow ones deaf to
        # the noise level for thousands of steps.
        for layer in (self.embed_noise[0], self.embed_noise[2]):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)  # type: ignore[arg-type]
        quiet = [block.modulation[1] for block in self.blocks]  # type: ignore[index]
        for layer in (*quiet, self.modulation[1], self.head):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _shape(x: Tensor | None) -> str:
    return "none" if x is None else str(tuple(x.shape))
