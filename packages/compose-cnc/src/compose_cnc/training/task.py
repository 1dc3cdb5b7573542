"""The task that `compose_core.train` runs: denoising under triplets, the base model frozen.

Paper, section 3.4, Eq. 1, and section 4.1 (stages, dropped conditions).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

import torch
from torch import Generator, LongTensor, Tensor, nn

from compose_cnc.network import CnCNetwork
from compose_cnc.training.conditions import Dropout, without
from compose_cnc.training.forward import Forward, Stage
from compose_cnc.training.samples import Samples
from compose_core.codec import VAECodec
from compose_core.errors import UsageError
from compose_core.schedule import DiscreteVP
from compose_core.train import Task
from compose_core.train.losses import min_snr_weight, weighted_mse

__all__ = ["DisentanglementTask"]

_TARGETS = {"epsilon": "eps", "v_prediction": "velocity", "sample": "x0"}
_PARTS: dict[Stage, tuple[str, ...]] = {
    "local": ("local_fuser",),
    "global": ("global_fuser",),
    "joint": ("local_fuser", "global_fuser"),
}


class DisentanglementTask(Task):
    """What one stage of depth disentanglement training learns.

    Gradients reach the tokens through every cross-attention layer that hears them, as Eq. 1 says.
    The published code runs the UNet's encoder and middle block without gradients, so that tokens
    learn from the decoder (and, in the joint stage, the clone) alone; `frozen_encoder` does that,
    and spares its backward pass.

    Args:
        network: The frozen base with the fusers of the stage; its soft guidance is trained with.
        text_encoder: The frozen `CLIPTextModel`.
        empty: Tokens (L,) of "", for text that is left out.
        samples: See `Samples`.
        stage: See `Stage`.
        dropout: How often conditions are left out.
        codec: Encodes pictures, where the samples are not latents yet.
        snr_cap: Weigh errors by min(SNR, cap) (Hang et al. 2023, Eq. 6); None is Eq. 1.
        frozen_encoder: See above.

    Raises:
        UsageError: The stage is unknown, the network lacks a fuser that it trains, or its schedule
            has no training times.
    """

    def __init__(
        self,
        network: CnCNetwork,
        text_encoder: nn.Module,
        empty: Tensor,
        samples: Samples,
        stage: Stage,
        *,
        dropout: Dropout | None = None,
        codec: VAECodec | None = None,
        snr_cap: float | None = None,
        frozen_encoder: bool = False,
    ) -> None:
        _check(network, stage)
        self.network, self.text_encoder, self.empty = network, text_encoder, empty
        self.samples, self.codec = samples, codec
        self.stage: Stage = stage
        self.dropout = Dropout() if dropout is None else dropout
        self.snr_cap = snr_cap
        self._times = len(cast(DiscreteVP, network.schedule))
        self._frozen = [network.unet, text_encoder, *([] if codec is None else [codec.vae])]
        for module in (network, *self._frozen):
            module.requires_grad_(False).eval()
        for module in self.modules.values():
            module.requires_grad_(True)
        self.forward = Forward(network, stage, frozen_encoder)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The fusers that this stage trains."""
        return {name: getattr(self.network, name) for name in _PARTS[self.stage]}

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.samples)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """See `Samples`."""
        return self.samples.batch(indices)

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of what the base predicts, `||eps - eps_theta(z_t, t, y)||^2` (Eq. 1).

        Args:
            batch: See `Samples`.
            generator: Of the conditions left out, the captions, the times and the noise.

        Raises:
            UsageError: The batch lacks what this stage needs.
        """
        device = batch["tokens"].device
        for module in self._frozen:
            module.to(device)
        gone = self.dropout.draw(len(batch["tokens"]), generator)
        batch = without(batch, gone)
        text = self._text(batch["tokens"], gone["text"], generator)
        x0 = self._latents(batch).float()
        t = torch.randint(self._times, (len(x0),), generator=generator, device=device)
        eps = torch.randn(x0.shape, generator=generator, device=device)
        level = self.network.schedule.level(t)
        alpha, sigma = level.to_like(x0)
        kind = _TARGETS[self.network.prediction_type]
        target = {"eps": eps, "velocity": alpha * eps - sigma * x0, "x0": x0}[kind]
        weight = None
        if self.snr_cap is not None:
            weight = min_snr_weight(level.alpha, level.sigma, gamma=self.snr_cap, target=kind)
        answer = self.forward(alpha * x0 + sigma * eps, t, text, batch)
        plain = weighted_mse(answer.detach(), target)
        return weighted_mse(answer, target, weight), {"mse": float(plain)}

    @torch.no_grad()
    def _text(self, tokens: Tensor, gone: Tensor, generator: Generator) -> Tensor:
        """Embeddings (B, L, D) of tokens (B, L), or of one of M captions (B, M, L)."""
        if tokens.dim() == 3:
            draw = torch.rand(len(tokens), generator=generator, device=tokens.device)
            rows = torch.arange(len(tokens), device=tokens.device)
            tokens = tokens[rows, (draw * tokens.shape[1]).long()]
        tokens = torch.where(gone[:, None], self.empty.to(tokens), tokens)
        return cast(Any, self.text_encoder)(tokens).last_hidden_state

    @torch.no_grad()
    def _latents(self, batch: Mapping[str, Tensor]) -> Tensor:
        if "latent" in batch:
            return batch["latent"]
        if self.codec is None:
            raise UsageError(
                "pictures cannot be trained on without a codec",
                got=sorted(batch),
                expected="latents, or a task with a codec",
            )
        return self.codec.encode(batch["picture"])


def _check(network: CnCNetwork, stage: Stage) -> None:
    if stage not in get_args(Stage):
        raise UsageError("unknown stage", got=stage, expected="local, global or joint")
    missing = [name for name in _PARTS[stage] if getattr(network, name) is None]
    if missing:
        raise UsageError(
            f"the {stage} stage trains what this network has not",
            got=f"no {' and no '.join(missing)}",
            remedy="build the CnCNetwork with it",
        )
    if not isinstance(network.schedule, DiscreteVP):
        raise UsageError(
            "this schedule has no training times",
            got=type(network.schedule).__name__,
            expected="DiscreteVP, that of Stable Diffusion",
        )
