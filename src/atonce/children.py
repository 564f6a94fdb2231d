"""Processes of this Python that a process of this package starts, and where they look for modules.

Python by itself looks in the folder that one happens to stand in first. That may hold a run from anybody,
with a json.py in it, which must not run.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

COMMAND = (sys.executable, "-P")
"""To begin with: it takes no module from the working directory, nor from beside a script."""


def environment() -> dict[str, str]:
    """Of such a process: it finds modules where this one does, but for the working directory.

    That comes last, and only where this package was imported from it.
    """
    here = None
    with suppress(OSError):  # it may be gone
        here = os.path.realpath(os.getcwd())
    # What is no whole path is none for the other process either: it would look below its working directory.
    folders = [one for one in sys.path if os.path.isabs(one) and os.path.realpath(one) != here]
    # Last: where it is on the path already, it keeps its place.
    home = os.path.abspath(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*folders, home]))}
