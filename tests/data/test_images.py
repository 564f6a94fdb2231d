from pathlib import Path

import numpy as np
import pytest
import torch

from atonce.data.batches import collate, plan_batches
from atonce.data.images import ImageExamples, Images, ImageShape
from atonce.errors import RunError


@pytest.fixture
def images() -> Images:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 4), dtype=np.uint8)
    return Images(pixels, ("1", "22", "333", "4", "55"))


def stored(images: Images, folder: Path) -> ImageExamples:
    return ImageExamples.write(folder, images, lambda text: [5] * len(text) + [3])


def test_what_is_stored_comes_back(images: Images, tmp_path: Path) -> None:
    stored(images, tmp_path / "e")
    examples = ImageExamples.open(tmp_path / "e")
    assert len(examples) == 5
    assert np.array_equal(examples.pixels, images.pixels)
    assert examples.source_lengths.tolist() == [4] * 5
    assert examples.target_lengths.tolist() == [2, 3, 4, 2, 3]


def test_a_batch_has_images_from_0_to_1_and_padded_targets(images: Images, tmp_path: Path) -> None:
    batch = collate(stored(images, tmp_path / "e"), np.array([2, 0]))
    assert torch.equal(batch.source * 255, torch.tensor(images.pixels[[2, 0]]).float())
    assert batch.source_mask.shape == (2, 4)
    assert batch.source_mask.all()
    assert batch.target_out.tolist() == [[5, 5, 5, 3], [5, 3, 0, 0]]
    assert batch.target_in.tolist() == [[2, 5, 5, 5], [2, 5, 0, 0]]
    assert batch.target_tokens == 6


def test_columns_count_towards_the_size_of_a_batch(images: Images, tmp_path: Path) -> None:
    examples = stored(images, tmp_path / "e")
    plan = plan_batches(
        examples.source_lengths, examples.target_lengths, batch_tokens=8, seed=1, epoch=0
    )  # fmt: skip
    assert sorted(map(len, plan)) == [1, 2, 2]


@pytest.mark.parametrize("broken", ["pixels.npy", "targets/pieces.bin"])
def test_damaged_files_are_told(images: Images, tmp_path: Path, broken: str) -> None:
    stored(images, tmp_path / "e")
    (tmp_path / "e" / broken).write_bytes(b"?")
    with pytest.raises(RunError, match="damaged"):
        ImageExamples.open(tmp_path / "e")


def test_the_size_of_images_is_kept(tmp_path: Path) -> None:
    ImageShape(12, 88).save(tmp_path / "image.json")
    assert ImageShape.open(tmp_path / "image.json") == (12, 88)
    for broken in ("", "[]", '{"height": "x", "width": 1}', '{"height": 1}'):
        (tmp_path / "image.json").write_text(broken)
        with pytest.raises(RunError, match="damaged"):
            ImageShape.open(tmp_path / "image.json")
