"""What `gligen-tiny` learns: to put objects into boxes, with `sd-tiny` frozen.

GLIGEN (Li et al. 2023, arXiv 2301.07093): between self-attention and cross-attention of every
block of the UNet, the picture's tokens attend to tokens of grounded phrases (Eq. 8), behind a gate
that is closed at first. Layers and names are those of diffusers' UNet with
``attention_type="gated"``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Generator, LongTensor, Tensor, nn

from compose_core.errors import WeightsError
from compose_core.train import Task, TrainConfig
from compose_core.train.losses import min_snr_weight
from compose_zoo.recipes import gligen_layouts, gligen_routes, noising
from compose_zoo.recipes.denoiser import CAPTIONS, scheduler

SEED = 12
CONFIG = TrainConfig(
    steps=2500,
    batch_size=32,
    lr=1e-3,
    seed=SEED,
    warmup=100,
    hold=0.4,
    ema=0.995,
    precision="bf16",
    channels_last=True,
    checkpoint_every=250,
)
WORDLESS = 0.3
"""Share of captions replaced by "": boxes and phrases alone must suffice as well."""
UNGROUNDED, UNSAID = 0.1, 0.1
"""Share of pictures without any grounding, for guidance, and of objects left out of it."""
ROOM = (4, 30)
"""Fewest and most tokens of grounding; those without an object are null tokens. Half of all
batches have at most 8; diffusers' pipeline always gives 30."""
USUAL = 8
"""Tokens that whoever uses the layers should give, as in half of the training and in what was
measured."""
SNR_CAP = 0.05
"""Above this signal-to-noise ratio all errors of x0 weigh the same. The other recipes have 5,
by which the times at which places are decided (t > 600, SNR < 0.2) would hardly count."""
GATE = 0.5
"""Where the gates start (before tanh). The paper's start closed, which leaves everything behind
them without gradients; here the layers behind open gates put out zeros at first."""
ROUTES = 0.01
"""Weight of `gligen_routes.loss`."""


def is_new(name: str) -> bool:
    """Whether a tensor of the gated UNet is none of the plain one."""
    return name.startswith("position_net.") or ".fuser." in name


def build(unet: UNet2DConditionModel, seed: int = 0) -> UNet2DConditionModel:
    """The UNet with fresh gated layers; only those are open to training.

    Raises:
        WeightsError: The weights of `unet` are not all of the rest.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        # Private entries would bring back the defaults, "attention_type" among them.
        config: dict[str, Any] = {k: v for k, v in unet.config.items() if not k.startswith("_")}
        config["attention_type"] = "gated"
        made = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(config))
    _load(made, unet.state_dict(), new=False)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(is_new(name))
        if name.endswith((".alpha_attn", ".alpha_dense")):
            nn.init.constant_(parameter, GATE)
        elif ".fuser.attn.to_out.0." in name or ".fuser.ff.net.2." in name:
            nn.init.zeros_(parameter)
    return made


def _load(made: UNet2DConditionModel, weights: dict[str, Tensor], *, new: bool) -> None:
    """Load all of the new tensors, or all of the others."""
    wanted = {name for name in made.state_dict() if is_new(name) == new}
    if wanted != set(weights):
        raise WeightsError(
            "the weights do not fit the gated UNet",
            got=f"{len(set(weights) - wanted)} left over, {len(wanted - set(weights))} missing",
            expected=f"its {len(wanted)} {'new' if new else 'old'} tensors",
        )
    made.load_state_dict(weights, strict=False)


def grounding(boxes: Tensor, embeddings: Tensor, there: Tensor, room: int) -> dict[str, Tensor]:
    """What diffusers' UNet takes as ``cross_attention_kwargs["gligen"]``.

    Args:
        boxes: (B, N, 4) as x0, y0, x1, y1 in [0, 1].
        embeddings: (B, N, D) of the phrases.
        there: (B, N) bool; the others become null tokens.
        room: Number of tokens, at least N; the rest are null tokens.
    """
    masks = there.to(embeddings.dtype)
    more = room - boxes.shape[1]
    return {
        "boxes": nn.functional.pad(boxes * masks[..., None], (0, 0, 0, more)),
        "positive_embeddings": nn.functional.pad(embeddings * masks[..., None], (0, 0, 0, more)),
        "masks": nn.functional.pad(masks, (0, more)),
    }


class GroundedTask(Task):
    """The denoiser's own loss; only the gated layers and the tokens' network move."""

    def __init__(
        self,
        latents: Tensor,
        tokens: Tensor,
        layouts: gligen_layouts.Layouts,
        base: StableDiffusionPipeline,
        early: float = 1.0,
    ) -> None:
        """Latents (2 N, 4, 16, 16) and tokens as `DenoiserTask`; layouts of the N plain scenes."""
        self.latents, self.tokens, self.early = latents, tokens, early
        both = (layouts, layouts.mirrored())
        self.boxes = torch.cat([side.boxes for side in both])
        self.kinds = torch.cat([side.kinds for side in both])
        self.unet = build(base.unet).eval()
        self.text = base.text_encoder.requires_grad_(False).eval()
        self.empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
        # The explicit softmax trains faster than the fused one on a CPU.
        self.unet.set_attn_processor(AttnProcessor())
        self.layers = gligen_routes.listen(self.unet)
        self.phrases = gligen_layouts.table(base.tokenizer, self.text)
        self.alphas = scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The new layers: a view of the gated UNet without the frozen rest."""
        fusers = [m for name, m in self.unet.named_modules() if name.endswith(".fuser")]
        return {"position_net": self.unet.position_net, "fusers": nn.ModuleList(fusers)}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents, tokens, boxes (B, SLOTS, 4) and kinds (B, SLOTS) of `Layouts`."""
        number = indices // CAPTIONS
        return {
            "latent": self.latents[number].float(),
            "tokens": self.tokens[indices],
            "boxes": self.boxes[number],
            "kinds": self.kinds[number],
        }

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon, min-SNR weights of `SNR_CAP`; and `gligen_routes.loss`."""
        device = batch["latent"].device
        self.unet.to(device)
        self.text.to(device)
        tokens = noising.dropped(batch["tokens"], self.empty, WORDLESS, generator)
        told = self.told(batch["boxes"], batch["kinds"], generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator, self.early)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        predicted = self.unet(
            drawn.x_t, drawn.t, words, cross_attention_kwargs={"gligen": told}
        ).sample
        alpha2 = self.alphas.to(device)[drawn.t]
        weight = min_snr_weight(alpha2.sqrt(), (1 - alpha2).sqrt(), gamma=SNR_CAP)
        value, logs = replace(drawn, weight=weight).loss(predicted)
        routes = gligen_routes.loss(self.layers, told["boxes"], told["masks"])
        return value + ROUTES * routes, {**logs, "routes": float(routes.detach())}

    def told(self, boxes: Tensor, kinds: Tensor, generator: Generator) -> dict[str, Tensor]:
        """Grounding with some objects, some pictures and any number of null tokens dropped."""
        device = kinds.device
        phrases = gligen_layouts.worded(kinds, self.phrases.to(device), generator)
        kept = torch.rand(kinds.shape, generator=generator, device=device) >= UNSAID
        heard = torch.rand(len(kinds), generator=generator, device=device) >= UNGROUNDED
        few = float(torch.rand((), generator=generator, device=device)) ** 3
        room = int(ROOM[0] + (ROOM[1] + 1 - ROOM[0]) * few)
        return grounding(boxes, phrases, (kinds >= 0) & kept & heard[:, None], room)


def export(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write what was trained, in half precision, under its names in the gated UNet."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {k: v.detach().half().contiguous() for k, v in unet.state_dict().items() if is_new(k)}
    save_file(made, folder / "gligen.safetensors")
    about = {"format": 1, "base": "sd-tiny", "attention_type": "gated", "room": USUAL}
    (folder / "gligen.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def load(folder: Path, unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with the gated layers that `export` wrote, in evaluation mode.

    Raises:
        WeightsError: They belong to another UNet.
    """
    made = build(unet)
    weights = load_file(folder / "gligen.safetensors")
    _load(made, {name: value.float() for name, value in weights.items()}, new=True)
    return made.eval()
