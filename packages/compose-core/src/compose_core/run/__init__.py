"""Running scenes: a checked scene in, pictures out that can be made again from themselves."""

from compose_core.run.execute import remake, run_scene
from compose_core.run.record import Record, Settings, load_record

__all__ = ["Record", "Settings", "load_record", "remake", "run_scene"]
