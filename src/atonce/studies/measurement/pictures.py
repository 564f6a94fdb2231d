"""What there is to draw of a measurement."""

from typing import Literal

Picture = Literal["growth", "ticks", "cones", "influence", "clock"]
