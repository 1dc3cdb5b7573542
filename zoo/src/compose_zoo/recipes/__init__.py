"""How each checkpoint was made: ``compose zoo train ID`` calls ``train`` of the module here.

A recipe ``<id>.py`` (underscores for hyphens) has one public function,
``train(folder: Path, device: str, resume: bool, steps: int | None) -> None``.
"""
