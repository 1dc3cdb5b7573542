"""Importing the package is cheap."""

import subprocess
import sys


def test_importing_the_package_imports_neither_torch_nor_audio_libraries():
    code = "import sys, compose_dde; sys.exit(bool({'torch', 'torchaudio', 'soundfile'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
