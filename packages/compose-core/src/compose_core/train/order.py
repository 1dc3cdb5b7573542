"""Which sample comes when: a pure function of the seed, the epoch and the position."""

from hashlib import blake2b

import torch
from torch import Generator, LongTensor, Tensor


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed for one purpose, the same on every machine and in every version."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Order:
    """An endless stream of sample indices, each epoch a new permutation of all samples.

    Batches run across the end of an epoch, so nothing is dropped and no batch is short.
    """

    def __init__(self, size: int, seed: int) -> None:
        """Draw nothing yet; ``size`` samples per epoch."""
        self.size = size
        self.seed = seed
        self._held: dict[int, Tensor] = {}

    def at(self, start: int, count: int) -> LongTensor:
        """The indices (count,) at positions ``start``, ``start + 1``, ... of the stream."""
        parts: list[Tensor] = []
        position, stop = start, start + count
        while position < stop:
            epoch, offset = divmod(position, self.size)
            part = self._epoch(epoch)[offset : offset + stop - position]
            parts.append(part)
            position += len(part)
        return torch.cat(parts).long()  # type: ignore[return-value]

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._held:
            generator = Generator().manual_seed(derive(self.seed, "epoch", epoch))
            # Only the neighbours can be asked for next: two permutations are enough.
            self._held = {k: v for k, v in self._held.items() if k == epoch - 1}
            self._held[epoch] = torch.randperm(self.size, generator=generator)
        return self._held[epoch]
