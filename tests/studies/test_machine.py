import re

from atonce.studies.machine import machine


def test_the_machine_in_words() -> None:
    assert re.search(r"^\d+ cores, .*torch \d", machine())
