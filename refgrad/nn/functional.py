"""torch's `nn.functional`: what the families of ops put there."""

from refgrad.ops import families

globals().update({f.__name__: f for family in families() for f in getattr(family, "FUNCTIONAL", ())})
