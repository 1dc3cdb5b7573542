"""What any package needs to test its composers: the laws, tiny models, devices.

- `laws`: `check_*` functions, which raise `AssertionError` when a composer breaks a law.
- `models`: tiny networks that answer in microseconds and depend on all of their input.
- `folders`: `tiny_stable_diffusion`, a random-weight model folder in the real classes.
- `devices`: the `device` fixture (needs pytest, so import it from there).

Nothing here is needed at run time.
"""
