"""The three experiments of the paper, as functions from a base model to a composed denoiser.

`music` makes long sounds, `positions` pictures under several conditions, `maps` large pictures of
large maps. Training and generation compose with the same functions.
"""
