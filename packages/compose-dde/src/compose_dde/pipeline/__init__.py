"""From a folder and a wish to music and pictures.

    pipe = MusicPipeline.from_pretrained("dde-music-tiny")
    music = pipe(duration=120, generator=torch.Generator().manual_seed(7))
    music.stems, music.mix, music.sample_rate

`MusicPipeline` makes long music, continues, fills in and streams; `PositionsPipeline` makes
pictures with objects at several places, `MapsPipeline` large pictures of large maps.
"""

from compose_dde.pipeline.music import Music, MusicPipeline
from compose_dde.pipeline.pictures import MapsPipeline, PositionsPipeline
from compose_dde.pipeline.walk import DDEPipeline

__all__ = ["DDEPipeline", "MapsPipeline", "Music", "MusicPipeline", "PositionsPipeline"]
