"""Custom functions that programs call, each of which exercises a rule of `autograd.Function`.

Each of these makes the class for a module with torch's names, and stands on its own, since the script of a
finding carries the source of the one that it uses.
"""

from __future__ import annotations

from functools import cache
from inspect import isfunction

from oracle.functions import backwards, forwards

FUNCTIONS = {
    name: function
    for module in (forwards, backwards)
    for name, function in vars(module).items()
    if isfunction(function)
}


@cache
def function_of(name, module):
    """The function of that name for a module."""
    return FUNCTIONS[name](module)
