"""Suites of compositional generative inference: panoramas, layered scenes, details."""
