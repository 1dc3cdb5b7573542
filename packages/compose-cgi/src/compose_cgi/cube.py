"""Six faces that close to a cube: a surrounding seen from its middle, without a seam.

The canvas is `(B, C, 6, n, n)`: front, right, back, left, up, down, each as seen from inside,
the side faces upright. Views are the faces, and a square across each of the twelve edges, half of
it on either side, as if the second face were folded flat into the plane of the first. All are
crops, so that agreement has its closed form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from compose_cgi.views import Pick
from compose_core.errors import UsageError

__all__ = ["FACES", "around", "cube_views", "face"]

FACES = ("front", "right", "back", "left", "up", "down")

# Of each face: where it is, what is right of its middle, and what is above it (x right, y up,
# z to the front).
_FRAMES = torch.tensor(
    [
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, -1], [-1, 0, 0], [0, 1, 0]],
        [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    ],
    dtype=torch.float64,
)


def cube_views(n: int) -> dict[str, Pick]:
    """The six faces and the twelve edges of a cube with faces of `n x n` cells, by name.

    Every cell is seen by its face, and by the square across each edge that it is near.

    Args:
        n: Cells along an edge, even.

    Raises:
        UsageError: `n` is odd or not positive.
    """
    if n < 2 or n % 2:
        raise UsageError("half a face is whole cells", got=n, expected="an even number")
    found = {name: face(name, n) for name in FACES}
    for i, name in enumerate(FACES[:4]):
        found[f"{name}, {FACES[(i + 1) % 4]}"] = _folded(i, n, across=True)
        found[f"{name}, up"] = _folded(i, n, across=False)
        found[f"{name}, down"] = _folded(i, n, across=False, below=True)
    return found


def face(name: str, n: int) -> Pick:
    """One face as it is."""
    first = FACES.index(name) * n * n
    return Pick(torch.arange(first, first + n * n).reshape(n, n), (6, n, n))


def around(name: str, n: int, margin: int) -> Pick:
    """One face with what lies around it, `n + 2 margin` cells wide: for decoding without seams.

    The neighbours are folded flat into its plane. At the corners, where three faces meet, there is
    no plane: cells there are repeated.

    Raises:
        UsageError: The margin is negative, or reaches over the neighbours.
    """
    if not 0 <= margin <= n:
        raise UsageError("a margin ends on the next face", got=margin, expected=f"0 to {n}")
    steps = (torch.arange(-margin, n + margin, dtype=torch.float64) + 0.5) / n * 2 - 1
    rows, columns = torch.meshgrid(-steps, steps, indexing="ij")
    return Pick(_cells(_fold(FACES.index(name), columns, rows), n), (6, n, n))


def _folded(number: int, n: int, *, across: bool, below: bool = False) -> Pick:
    """A square centred on an edge of a face: its right one, else its upper or lower one."""
    steps = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    rows, columns = torch.meshgrid(-steps, steps, indexing="ij")
    shift = -1.0 if below else 1.0
    a, b = (columns + 1, rows) if across else (columns, rows + shift)
    return Pick(_cells(_fold(number, a, b), n), (6, n, n))


def _fold(number: int, a: Tensor, b: Tensor) -> Tensor:
    """Points (..., 3) on the cube that lie at a, b in the plane of a face, +-1 being its edges.

    What reaches over an edge is folded back along the depth of the face.
    """
    middle, right, up = _FRAMES[number]
    over = torch.maximum(a.abs(), b.abs()).sub(1).clamp_min(0)
    flat_a, flat_b = a.clamp(-1, 1), b.clamp(-1, 1)
    return (1 - over)[..., None] * middle + flat_a[..., None] * right + flat_b[..., None] * up


def _cells(at: Tensor, n: int) -> Tensor:
    """The numbers of the cells at points `(..., 3)` on the surface of the cube."""
    numbers = (at @ _FRAMES[:, 0].T).argmax(-1)
    frames = _FRAMES[numbers]
    a, b = ((frames[..., k, :] * at).sum(-1) for k in (1, 2))
    column = ((a + 1) / 2 * n).floor().long().clamp(0, n - 1)
    row = ((1 - b) / 2 * n).floor().long().clamp(0, n - 1)
    return numbers * n * n + row * n + column
