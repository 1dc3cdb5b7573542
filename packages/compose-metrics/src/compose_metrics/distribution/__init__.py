"""Distances between sets of pictures: FID, KID, Inception Score, precision and recall."""
