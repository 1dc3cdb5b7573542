"""Labels from data sets and from other labels."""

from compose_tlam.data.derive import back_projected, clay_edges, curvatures, texture_edges

__all__ = ["back_projected", "clay_edges", "curvatures", "texture_edges"]
