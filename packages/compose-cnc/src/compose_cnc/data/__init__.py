"""Triplets of pictures: making them and reading them."""

from compose_cnc.data.dataset import TripletDataset
from compose_cnc.data.make import Report, Shard, make
from compose_cnc.data.sources import Item, Source, find_source
from compose_cnc.data.triplet import Settings, Tools, Triplets, take_apart

__all__ = [
    "Item",
    "Report",
    "Settings",
    "Shard",
    "Source",
    "Tools",
    "TripletDataset",
    "Triplets",
    "find_source",
    "make",
    "take_apart",
]
