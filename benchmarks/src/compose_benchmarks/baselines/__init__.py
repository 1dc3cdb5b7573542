"""Published ways to steer the base model, as methods: what new methods are measured against.

None of them knows layers. What a scene says in several depth maps is merged into one, and what it
says in several exemplars is said by one.
"""
