"""torch's `linalg`: what the families of ops put there."""

from refgrad.ops import families

globals().update({f.__name__.lstrip("_"): f for family in families() for f in getattr(family, "LINALG", ())})
