import base64
import io
import sys

import numpy as np
import pytest

from atonce.errors import RunError
from atonce.explain.images.ink import ink_url

Image = pytest.importorskip("PIL.Image")


def test_ink_is_as_opaque_as_the_image_and_of_one_colour() -> None:
    image = np.array([[0, 255, 7], [128, 1, 254]], dtype=np.uint8)
    head, _, data = ink_url(image, "#10a0ff").partition(",")
    assert head == "data:image/png;base64"
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    factor = picture.shape[0] // image.shape[0]
    assert picture.shape == (2 * factor, 3 * factor, 4)
    np.testing.assert_array_equal(picture[..., 3], np.kron(image, np.ones((factor, factor))))
    assert (picture[..., :3] == (0x10, 0xA0, 0xFF)).all()


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RunError, match="pillow") as raised:
        ink_url(np.zeros((2, 3), dtype=np.uint8), "#000000")
    assert raised.value.fix == "pip install 'atonce[vision]'"
