"""Importing the package is cheap."""

import subprocess
import sys


def test_importing_the_package_imports_neither_torch_nor_audio_libraries():
    heavy = {"torch", "torchaudio", "soundfile"}
    code = f"import sys, compose_dde; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
