"""torch's `special`: what the families of ops put there."""

from refgrad.ops import families

globals().update({name: f for family in families() for name, f in getattr(family, "SPECIAL", {}).items()})
