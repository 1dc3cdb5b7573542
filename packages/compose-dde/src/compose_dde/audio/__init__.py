"""Sound in and out: files, checks, rates, log mel.

Files are read and written by soundfile. Rates are changed and mel bands made by torchaudio where
it imports, and by plain torch where not; the two agree, and `backend` says which is used.
Nothing here imports torchaudio before it is needed.
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_dde.audio.backends import Backend, backend
    from compose_dde.audio.checks import Report, as_stems, check_sound, to_mono
    from compose_dde.audio.mel import log_mel, mel_bands
    from compose_dde.audio.reading import Sound, SoundInfo, probe, read_sound
    from compose_dde.audio.recorder import Recorder
    from compose_dde.audio.resampling import resample

_HOME = {
    "backends": ("Backend", "backend"),
    "checks": ("Report", "as_stems", "check_sound", "to_mono"),
    "mel": ("log_mel", "mel_bands"),
    "reading": ("Sound", "SoundInfo", "probe", "read_sound"),
    "recorder": ("Recorder",),
    "resampling": ("resample",),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

__all__ = [
    "Backend",
    "Recorder",
    "Report",
    "Sound",
    "SoundInfo",
    "as_stems",
    "backend",
    "check_sound",
    "log_mel",
    "mel_bands",
    "probe",
    "read_sound",
    "resample",
    "to_mono",
]
