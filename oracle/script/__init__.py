"""A program in the making: decodes steps into statements, and follows what is live, recorded and freed."""

from oracle.script.course import end, step
from oracle.script.passes import ENDINGS
from oracle.script.script import Script

__all__ = ["ENDINGS", "Script", "end", "step"]
