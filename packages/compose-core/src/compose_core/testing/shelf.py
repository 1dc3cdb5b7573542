"""A collection of toy checkpoints, like an installed data package."""

from pathlib import Path

from compose_core.zoo.manifest import describe, render

_MANIFEST = """
version = 1
id = "{id}"
summary = "a checkpoint for tests"
licence = "Apache-2.0"
parameters = 12
recipe = "shelf.recipes.{module}"

[training]
data = "numbers"
seed = 1

[budget]
trained_on = "a test"
steps = 3
seconds = 0.5

[[scores]]
name = "right"
value = 1
tolerance = 0.25

{rest}
"""
_REVISION = "0123456789abcdef0123456789abcdef01234567"
_SOURCE = f'[source]\nrepo = "owner/model"\nrevision = "{_REVISION}"\n\n'
_RECIPE = """
def train(folder, device, resume, steps):
    folder.mkdir(parents=True)
    (folder / "called").write_text(f"{device} {resume} {steps}")
"""


class Shelf:
    """A data package in a temporary folder, found through its metadata."""

    def __init__(self, root: Path) -> None:
        """Create the package below ``root``, with one recipe, for ``toy-model``."""
        self.folder = root / "shelf"
        info = root / "shelf-1.dist-info"
        for path in (info, *(self.folder / n for n in ("manifests", "weights", "recipes"))):
            path.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[compose.zoo]\nshelf = shelf\n")
        (self.folder / "__init__.py").write_text("")
        (self.folder / "recipes" / "__init__.py").write_text("")
        (self.folder / "recipes" / "toy_model.py").write_text(_RECIPE)

    def fill(self, folder: Path) -> Path:
        """Write the files of the toy checkpoint into ``folder`` and return it."""
        (folder / "unet").mkdir(parents=True)
        (folder / "unet" / "config.json").write_text('{"a": 1}')
        (folder / "unet" / "model.safetensors").write_bytes(bytes(range(256)))
        (folder / "merges.txt").write_text("a b\n")
        return folder

    def add(
        self,
        name: str = "toy-model",
        *,
        packaged: bool = True,
        pinned: bool = True,
        hub: bool = False,
    ) -> Path:
        """Add a manifest with hashes or without; returns the folder with its files."""
        weights = self.fill(self.folder / ("weights" if packaged else "elsewhere") / name)
        files = render(describe(weights))
        if not pinned:
            lines = files.splitlines()
            lines = ['sha256 = ""' if line.startswith("sha256") else line for line in lines]
            files = "\n".join(lines)
        rest = (_SOURCE if hub else "") + files
        text = _MANIFEST.format(id=name, module=name.replace("-", "_"), rest=rest)
        (self.folder / "manifests" / f"{name}.toml").write_text(text)
        return weights
