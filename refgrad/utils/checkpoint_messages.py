"""Longer texts of checkpoint errors."""

DEBUG_TIP = (
    "\nTip: To see where tensors were saved in both runs, either pass `debug=True` to "
    "`torch.utils.checkpoint.checkpoint(...)` or wrap the code block with "
    "`with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):`.\n"
)

DEBUG_REPORT = """ \
An error happened while unpacking tensors; dumping logs of latest computation
because you passed `debug=True` to `torch.utils.checkpoint.checkpoint()`.

Tensors saved in the original forward pass:

{forward}
Tensors saved during recomputation:

{again}
Detected non-determinism while running activation checkpointing: the two runs did not save the same tensors. Compare
the lists above to find the first operation that differs.
"""
