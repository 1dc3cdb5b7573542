"""Public names of a package that are looked up on first use, so that importing it costs nothing.

A package names its modules and what each of them holds, and repeats it for type checkers under
`TYPE_CHECKING`:

    __getattr__, __dir__ = lazy.attach(__name__, _HOME)
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["attach"]


def attach(
    package: str, home: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: Its full name, of a module that is being imported.
        home: Names by the module, relative to the package, that holds them.

    Returns:
        A lookup that imports the module of a name and keeps what it found in the package, and the
        list of all names, imported or not.
    """
    module_of = {name: module for module, names in home.items() for name in names}
    own = vars(sys.modules[package])

    def look_up(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        own[name] = value
        return value

    def names() -> list[str]:
        return sorted({*own, *module_of})

    return look_up, names
