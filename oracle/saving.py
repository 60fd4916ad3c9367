"""Hooks for saved tensors, one pair for each mode: how they are packed, and what is unpacked.

Each function stands on its own, since the script of a finding carries the source of the one that it uses;
`torch` is either engine's module.
"""

from __future__ import annotations


def saved_identity(torch):
    """Packs saved tensors as they are."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x)


def saved_alias(torch):
    """Packs other tensors over the same memory."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach(), lambda x: x)


def saved_numpy(torch):
    """Packs copies of the numbers."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x.numpy(force=True).copy(), torch.tensor)


def saved_doubled(torch):
    """Unpacks twice what was saved."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach().clone(), lambda x: x * 2)


def saved_negated(torch):
    """Packs and unpacks the negative."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: -x.detach(), lambda x: -x)


def pack_raises(torch):
    """Saves nothing."""

    def pack(x):
        raise KeyError("pack")

    return torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x)


def pack_writes(torch):
    """Writes what it is to pack."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x.zero_(), lambda x: x)


def unpack_raises(torch):
    """Gives nothing back."""

    def unpack(x):
        raise KeyError("unpack")

    return torch.autograd.graph.saved_tensors_hooks(lambda x: x, unpack)


def unpack_number(torch):
    """Gives back what is no tensor."""
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: 1)


SAVING = {
    function.__name__: function
    for function in (
        *(saved_identity, saved_alias, saved_numpy, saved_doubled, saved_negated),
        *(pack_raises, pack_writes, unpack_raises, unpack_number),
    )
}
