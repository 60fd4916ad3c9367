"""Calls of custom functions (see `oracle.functions`)."""

from __future__ import annotations

from typing import Any

from oracle.catalogue.params import Param, number
from oracle.catalogue.spec import OpSpec

# name: inputs, outputs, whether outputs may be the input or views of it, whether the input is written
_FUNCTIONS: dict[str, tuple[int, int, bool, bool]] = {
    **dict.fromkeys(
        (
            *("saved_input", "saved_output", "saved_nothing", "saved_number", "kept_on_context", "modes"),
            *("all_marked", "no_gradient", "once", "with_setup", "with_tangent", "scaled"),
            *("gradient_for_a_number", "too_many", "as_a_list", "wrong_shape", "larger_shape", "other_dtype"),
            *("no_tensor", "raising_forward", "raising_backward", "no_backward", "both_named", "reentrant"),
            "marked_dirty_only",
        ),
        (1, 1, False, False),
    ),
    **dict.fromkeys(("two_inputs", "needs", "too_few"), (2, 1, False, False)),
    **dict.fromkeys(("with_mask", "with_places", "materialized", "not_materialized"), (1, 2, False, False)),
    "returned_as_is": (1, 1, True, False),
    "viewing": (1, 1, True, False),
    "returned_twice": (1, 2, False, False),
    "doubled_in_place": (1, 0, False, True),
    "written_in_secret": (1, 1, False, True),
}

_FACTOR: dict[str, Param] = {"factor": number()}
_PARAMS = {"with_setup": _FACTOR, "scaled": _FACTOR, "gradient_for_a_number": _FACTOR}


def _spec(name: str, inputs: int, outputs: int, aliases: bool, writes: bool) -> OpSpec:
    params: dict[str, Any] = _PARAMS.get(name, {})
    return OpSpec(
        name=f"custom_{name}",
        family="custom",
        style="custom",
        target=name,
        draw=None,
        inputs=(inputs, inputs),
        outputs=(outputs, outputs),
        params=params,
        gradient="unsure",
        writes=writes,
        aliases=aliases,
    )


SPECS = [_spec(name, *facts) for name, facts in _FUNCTIONS.items()]
