"""The tasks of the paper as graphs: panoramas, scenes of background and object, figures."""
