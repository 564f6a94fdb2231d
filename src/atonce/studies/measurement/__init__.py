"""What `atonce measure` does, and what there is to draw of it; light, for the command line to read."""

from typing import Literal

Picture = Literal["growth", "ticks", "cones", "influence", "clock"]
