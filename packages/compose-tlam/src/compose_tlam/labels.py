"""What a label is: its kind, its channels, its range, and what a flip or a change of size does.

A `LabelSet` is the ordered registry that a model is built for. Every value comes with an explicit
validity map, because no value says "missing" by itself: 0 is a good edge, a good curvature and,
in one common code, a good class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Literal, final, get_args

from compose_core.errors import UsageError, WeightsError

__all__ = ["PRIMITIVES", "Kind", "Label", "LabelSet", "primitives", "taskonomy"]

Kind = Literal["discrete", "continuous", "vector"]
"""Class numbers; real channels; unit vectors."""

_UNIT = 0.1
"""How far from 1 the length of a unit vector may be: 8-bit files round it by 0.01."""


@final
@dataclass(frozen=True, kw_only=True)
class Label:
    """One type of label.

    Attributes:
        name: What files, commands and checkpoints call it.
        kind: See `Kind`.
        channels: Channels of a value; 1 for discrete labels.
        low: The least value.
        high: The greatest value; for discrete labels the number of classes less 1.
        mean: Subtracted before a network sees it, for each channel or one for all.
        scale: What it is then divided by, likewise.
        negated: Channels that change their sign in a mirror, such as x of normals.
        clip: Whether values beyond the range are clipped; else they are refused.
        classes: Names of the classes, if they have names.
        meaning: Unit and convention in words, for messages.
    """

    name: str
    kind: Kind
    channels: int = 1
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    negated: tuple[int, ...] = ()
    clip: bool = False
    classes: tuple[str, ...] = ()
    meaning: str = ""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: Kind, channels, range or names do not fit together.
        """
        if self.kind not in get_args(Kind):
            expected = ", ".join(get_args(Kind))
            raise UsageError(f"the label {self.name!r} has an unknown kind", got=self.kind,
                             expected=expected)  # fmt: skip
        single = self.kind == "discrete"
        named = len(self.classes) not in (0, self.count if single else 0)
        sizes = {len(self.mean), len(self.scale)} - {1, self.channels}
        bad = self.channels < 1 or not all(self.scale) or not self.name.isidentifier()
        bad = bad or (single and self.channels != 1) or not self.low <= self.high
        if bad or named or sizes or any(not 0 <= c < self.channels for c in self.negated):
            raise UsageError(
                f"the label {self.name!r} contradicts itself",
                got=asdict(self),
                expected="a name of letters, channels >= 1 (1 for classes), low <= high, a name "
                "for each class or none, mean and scale (not 0) for each channel or one for all",
            )

    @property
    def discrete(self) -> bool:
        """Whether values are class numbers."""
        return self.kind == "discrete"

    @property
    def count(self) -> int:
        """Number of classes of a discrete label."""
        return round(self.high) + 1

    @property
    def width(self) -> int:
        """Channels that a network sees: classes as one-hot, or channels."""
        return self.count if self.discrete else self.channels

    @property
    def tolerance(self) -> float:
        """How far from 1 the length of a unit vector may be."""
        return _UNIT


@final
class LabelSet(Sequence[Label]):
    """An ordered set of labels, each with a name of its own.

    Raises:
        UsageError: It is empty, or two labels share a name.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = tuple(labels)
        names = [label.name for label in self._labels]
        if not names or len(set(names)) != len(names):
            raise UsageError(
                "labels need names of their own", got=names, expected="one label or more"
            )

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __getitem__(self, index: Any) -> Any:
        return self._labels[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSet) and self._labels == other._labels

    def __hash__(self) -> int:
        return hash(self._labels)

    def __repr__(self) -> str:
        return f"LabelSet({', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(label.name for label in self._labels)

    def named(self, name: str) -> Label:
        """The label of that name.

        Raises:
            UsageError: There is none; the message names the nearest.
        """
        for label in self._labels:
            if label.name == name:
                return label
        near = get_close_matches(name, self.names, 1)
        raise UsageError(
            f"unknown label {name!r}",
            got=repr(name),
            expected=", ".join(self.names),
            remedy=f"did you mean {near[0]!r}?" if near else None,
        )

    def only(self, *names: str) -> LabelSet:
        """Some of them, in the order of this set."""
        wanted = {self.named(name).name for name in names}
        return LabelSet([label for label in self._labels if label.name in wanted])

    def with_label(self, label: Label) -> LabelSet:
        """The same and one more at the end."""
        return LabelSet([*self._labels, label])

    def to_json(self) -> list[dict[str, Any]]:
        """As a configuration file holds it."""
        return [asdict(label) for label in self._labels]

    @classmethod
    def from_json(cls, found: Sequence[Mapping[str, Any]]) -> LabelSet:
        """Read what `to_json` wrote.

        Raises:
            WeightsError: It is no list of labels.
        """
        try:
            return cls([Label(**{k: _tuple(v) for k, v in one.items()}) for one in found])
        except (TypeError, AttributeError) as error:
            raise WeightsError("a list of labels cannot be read", got=error) from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def primitives(
    classes: Sequence[str] = (
        "sky", "ground", "wall", "sphere", "cube", "cylinder", "cone", "torus", "capsule",
    ),
) -> LabelSet:  # fmt: skip
    """The five labels of the tiny models, as `compose-worlds` and scene files give them."""
    return LabelSet(
        [
            Label(
                name="semantics",
                kind="discrete",
                high=len(classes) - 1,
                classes=tuple(classes),
                meaning="class numbers",
            ),
            Label(
                name="depth",
                kind="continuous",
                mean=(0.5,),
                scale=(0.5,),
                meaning="relative inverse depth in [0, 1], near is 1, the farthest point 0",
            ),
            Label(
                name="normals",
                kind="vector",
                channels=3,
                low=-1.0,
                negated=(0,),
                meaning="unit normals: x right, y up, z towards the camera",
            ),
            Label(
                name="curvature",
                kind="continuous",
                channels=2,
                low=-8.0,
                high=8.0,
                scale=(4.0,),
                clip=True,
                meaning="principal curvatures in 1 / metre, positive where convex",
            ),
            Label(
                name="edges",
                kind="continuous",
                scale=(0.25,),
                clip=True,
                meaning="strength of edges in [0, 1]: Sobel magnitude of the luminance",
            ),
        ]
    )


PRIMITIVES = primitives()
"""The five labels of the tiny models."""


def taskonomy() -> LabelSet:
    """The five labels of the paper, encoded as that data set encodes them.

    Classes are 1 to 17 of its files less 1; 0 there is "uncertain" and thus missing. Depth is
    `log(1 + v) / log(2^16)` of the 16-bit file; curvature is standardised by the means and
    deviations of its files; edges are texture edges clipped at 0.08 and stretched to [-1, 1].
    """
    return LabelSet(
        [
            Label(name="semantics", kind="discrete", high=16, meaning="classes 1-17 less 1"),
            Label(name="edges", kind="continuous", low=-1.0, clip=True, meaning="texture edges"),
            Label(
                name="curvature",
                kind="continuous",
                channels=2,
                low=-6.0,
                high=6.5,
                clip=True,
                meaning="standardised principal curvatures",
            ),
            Label(name="depth", kind="continuous", meaning="log(1 + v) / log 65536, v in 1/512 m"),
            Label(
                name="normals",
                kind="vector",
                channels=3,
                low=-1.0,
                negated=(0,),
                meaning="unit normals",
            ),
        ]
    )
