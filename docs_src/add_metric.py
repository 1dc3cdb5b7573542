"""A metric of one's own: how colourful pictures are."""

# --8<-- [start:metric]
import torch
from torch import Tensor

from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import taken


class Colourfulness(PerSample):
    """Spread and size of opponent colours, Hasler & Suesstrunk (2003), for pictures in [0, 255].

    M = sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), with rg = R - G and
    yb = (R + G) / 2 - B.
    """

    id = "colourfulness"
    version = 1
    higher_is_better = True

    def update(self, pictures: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1]."""
        red, green, blue = ((taken(pictures) + 1) * 127.5).flatten(2).unbind(1)
        rg, yb = red - green, (red + green) / 2 - blue
        spread = (rg.var(1, correction=0) + yb.var(1, correction=0)).sqrt()
        size = (rg.mean(1) ** 2 + yb.mean(1) ** 2).sqrt()
        self.add(keys, value=spread + 0.3 * size)


# --8<-- [end:metric]

# --8<-- [start:use]
dice = torch.Generator().manual_seed(0)
pictures = torch.rand(8, 3, 16, 16, generator=dice) * 2 - 1

whole = Colourfulness()
whole.update(pictures)
result = whole.compute()
assert result.n == 8 and result.interval is not None
# --8<-- [end:use]

# --8<-- [start:test]
first, second = Colourfulness(), Colourfulness()
second.update(pictures[5:], keys=range(5, 8))
first.update(pictures[:5], keys=range(5))
first.merge(second)
assert first.compute().value == whole.compute().value

grey = Colourfulness()
grey.update(torch.zeros(2, 3, 16, 16))
assert grey.compute().value == 0
# --8<-- [end:test]
