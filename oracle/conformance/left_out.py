"""Entries of the database that refgrad does not serve, each with the reason: they are listed, never hidden."""

_SPARSE = "sparse layouts are left out"
_FORMATS = "there are no memory formats yet"

LEFT_OUT: dict[str, str] = {
    "sparse.sampled_addmm": _SPARSE,
    "sparse.mm.reduce": _SPARSE,
    "to_sparse": _SPARSE,
    "bfloat16": "NumPy has no bfloat16",
    "chalf": "NumPy has no complex half",
    "to": _FORMATS,
    "double": _FORMATS,
    "float": _FORMATS,
    "half": _FORMATS,
    "cdouble": _FORMATS,
    "cfloat": _FORMATS,
    "nn.functional.triplet_margin_with_distance_loss": "torch's samples bring modules of torch.nn along",
    "norm.nuc": "the nuclear norm needs singular values, which are not there yet",
    "normal.number_mean": "there are no layouts to name yet",
}
"""By label. An entry whose function does not exist yet needs no line here: the table says so by itself."""
