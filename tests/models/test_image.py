import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from atonce.errors import DataError
from atonce.models.build import build_image_embedding, build_model
from atonce.models.config import (
    ClassifierConfig,
    EncoderConfig,
    FeedForwardEncoderConfig,
    ImageConfig,
    LinesConfig,
    ModelConfig,
    PatchesConfig,
    PooledConvolutionsConfig,
    RecurrentEncoderConfig,
    TransformerEncoderConfig,
    WholeImageConfig,
)
from atonce.models.image import (
    GridPositions,
    ImageEmbedding,
    LineEmbedding,
    PatchEmbedding,
    PooledConvolutions,
    WholeImageEmbedding,
    cells,
)
from atonce.models.interface import SourceEmbedding
from atonce.models.seq2seq import Seq2Seq

DIM, SHAPE = 8, (7, 10)
"""Neither side is a whole number of squares of four."""

READERS: dict[str, tuple[ImageConfig, tuple[int, int], tuple[int, int]]] = {
    "whole": (WholeImageConfig(), SHAPE, (1, 1)),
    "rows": (LinesConfig(kind="rows"), (1, 10), (7, 1)),
    "columns": (LinesConfig(kind="columns"), (7, 1), (1, 10)),
    "patches": (PatchesConfig(size=3), (3, 3), (3, 4)),
    "patches larger than the image": (PatchesConfig(size=12), (12, 12), (1, 1)),
    "convolution": (PooledConvolutionsConfig(channels=(3, 4)), (4, 4), (2, 3)),
}
"""Each with its cell and its grid for images of SHAPE."""

every_reader = pytest.mark.parametrize("name", READERS)
every_reader_of_cells = pytest.mark.parametrize("name", [name for name in READERS if name != "convolution"])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reader_of(name: str) -> ImageEmbedding:
    torch.manual_seed(0)
    return build_image_embedding(READERS[name][0], SHAPE, DIM).double().eval()


def all_real(batch: int, width: int = SHAPE[1]) -> Tensor:
    return torch.ones(batch, width, dtype=torch.bool)


@every_reader
def test_a_position_for_each_cell_of_the_grid(name: str) -> None:
    reader = reader_of(name)
    _, cell, grid = READERS[name]
    assert isinstance(reader, SourceEmbedding)
    assert (reader.cell, reader.grid) == (cell, grid)
    vectors, real = reader.read(drawn(2, *SHAPE), all_real(2))
    assert vectors.shape == (2, grid[0] * grid[1], DIM)
    assert real.shape == vectors.shape[:2]
    assert real.all()


@every_reader_of_cells
def test_a_pixel_is_read_by_the_position_whose_cell_covers_it_and_no_other(name: str) -> None:
    reader, image = reader_of(name), drawn(1, *SHAPE)
    before, _ = reader.read(image, all_real(1))
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            other = image.clone()
            other[0, row, column] += 1
            after, _ = reader.read(other, all_real(1))
            moved = (after != before).any(-1)[0].nonzero().flatten().tolist()
            assert moved == [row // reader.cell[0] * reader.grid[1] + column // reader.cell[1]]


def test_pooled_convolutions_read_a_cell_and_what_the_kernels_reach_beyond_it() -> None:
    """Two convolutions of 3 × 3 reach two pixels, two more after pooling reach two cells of 2 × 2."""
    torch.manual_seed(0)
    reader = PooledConvolutions((32, 32), DIM, channels=(4, 4), kernel=3, dropout=0.0).double().eval()
    image = drawn(1, 32, 32)
    before, _ = reader.read(image, all_real(1, 32))
    other = image.clone()
    other[0, 13, 18] += 1
    after, _ = reader.read(other, all_real(1, 32))
    moved = (after != before).any(-1)[0].view(reader.grid)
    reach = 2 + 2 * 2 + 1
    covered = torch.zeros(32, 32)
    covered[13 - reach : 14 + reach, 18 - reach : 19 + reach] = 1
    assert moved[13 // 4, 18 // 4]
    assert not moved[F.max_pool2d(covered[None], 4)[0] == 0].any()


@every_reader
@pytest.mark.parametrize("width", [1, 4, 5, 9])
def test_columns_that_are_not_real_change_nothing(name: str, width: int) -> None:
    reader, image = reader_of(name), drawn(2, *SHAPE)
    mask = torch.arange(SHAPE[1]).expand(2, -1) < width
    vectors, real = reader.read(image, mask)
    written_over = torch.where(mask[:, None], image, 1e6 * drawn(2, *SHAPE, seed=1))
    again, _ = reader.read(written_over, mask)
    assert torch.equal(again[real], vectors[real])
    columns = -(-width // reader.cell[1])
    first = torch.arange(reader.grid[1]) < columns
    assert torch.equal(real.view(2, *reader.grid), first.expand(2, *reader.grid))


@pytest.mark.parametrize("width", [1, 4, 5, 9])
def test_pooled_convolutions_end_with_the_image_not_with_the_plane(width: int) -> None:
    """What is masked is not paper but nothing: not even the convolutions' bias is seen there."""
    wide = reader_of("convolution")
    narrow = PooledConvolutions((SHAPE[0], width), DIM, channels=(3, 4), kernel=3, dropout=0.0).double()
    narrow.stages.load_state_dict(wide.stages.state_dict())
    narrow.linear.load_state_dict(wide.linear.state_dict())
    rows, columns = narrow.grid
    narrow.positions.rows.data.copy_(wide.positions.rows)
    narrow.positions.columns.data.copy_(wide.positions.columns[:columns])
    image = drawn(1, *SHAPE)
    expected, _ = narrow.read(image[..., :width], all_real(1, width))
    vectors, real = wide.read(image, torch.arange(SHAPE[1])[None] < width)
    torch.testing.assert_close(vectors[real], expected[0])
    assert int(real.sum()) == rows * columns


@every_reader
def test_an_image_does_not_depend_on_its_neighbours(name: str) -> None:
    reader, images = reader_of(name), drawn(3, *SHAPE)
    mask = torch.arange(SHAPE[1]) < torch.tensor([[10], [3], [7]])
    together, _ = reader.read(images, mask)
    for row in range(3):
        alone, real = reader.read(images[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(alone[real], together[row][real[0]])


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)), cell=st.tuples(st.integers(1, 7), st.integers(1, 7))
)
def test_cells_laid_side_by_side_are_the_image_and_paper_around_it(
    size: tuple[int, int], cell: tuple[int, int]
) -> None:
    images = drawn(2, *size)
    rows, columns = grid = tuple(-(-side // part) for side, part in zip(size, cell, strict=True))
    cut = cells(images, cell, grid)
    across = [
        torch.cat([cut[:, r * columns + c].view(2, *cell) for c in range(columns)], dim=2)
        for r in range(rows)
    ]
    whole = torch.cat(across, dim=1)
    assert torch.equal(whole[:, : size[0], : size[1]], images)
    assert whole.sum() == pytest.approx(images.sum())


def test_whole_images_are_one_linear_layer_over_all_pixels() -> None:
    reader, images = WholeImageEmbedding(SHAPE, DIM).double(), drawn(2, *SHAPE)
    vectors, _ = reader.read(images, all_real(2))
    torch.testing.assert_close(vectors[:, 0], reader.linear(images.flatten(1)))


@pytest.mark.parametrize("lines", ["rows", "columns"])
def test_lines_are_read_in_order(lines: str) -> None:
    reader, images = LineEmbedding(SHAPE, DIM, lines=lines).double(), drawn(2, *SHAPE)
    vectors, _ = reader.read(images, all_real(2))
    torch.testing.assert_close(vectors, reader.linear(images if lines == "rows" else images.mT))


def test_patches_are_a_convolution_as_wide_as_its_steps() -> None:
    torch.manual_seed(0)
    reader, images = PatchEmbedding(SHAPE, DIM, size=3).double(), drawn(2, *SHAPE)
    vectors, _ = reader.read(images, all_real(2))
    kernels = reader.linear.weight.view(DIM, 1, 3, 3)
    plane = F.conv2d(F.pad(images, (0, 2, 0, 2))[:, None], kernels, reader.linear.bias, stride=3)
    torch.testing.assert_close(vectors, plane.flatten(2).mT + reader.positions())


def test_a_place_on_the_grid_is_its_row_and_its_column() -> None:
    positions = GridPositions((3, 4), DIM)
    places = positions().view(3, 4, DIM)
    for row in range(3):
        for column in range(4):
            assert torch.equal(places[row, column], positions.rows[row] + positions.columns[column])


@every_reader
@pytest.mark.parametrize("size", [(7, 9), (8, 10), (10, 7)])
def test_an_image_of_another_size_is_refused(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(DataError) as refusal:
        reader_of(name).read(drawn(1, *size), all_real(1, size[1]))
    assert f"{size[0]} × {size[1]}" in refusal.value.what
    assert "7 × 10" in refusal.value.why


IMAGES: dict[str, ImageConfig] = {
    "whole": WholeImageConfig(),
    "rows": LinesConfig(kind="rows"),
    "columns": LinesConfig(kind="columns"),
    "patches": PatchesConfig(),
    "convolution": PooledConvolutionsConfig(channels=(8, 16)),
}
ENCODERS: dict[str, EncoderConfig] = {
    "feedforward": FeedForwardEncoderConfig(layers=1, feed_forward=32),
    "feedforward without layers": FeedForwardEncoderConfig(layers=0),
    "gru": RecurrentEncoderConfig(kind="gru"),
    "transformer": TransformerEncoderConfig(layers=1, heads=2, feed_forward=32),
}


def classifier_of(image: str, encoder: str, shape: tuple[int, int], labels: int, dim: int) -> Seq2Seq:
    torch.manual_seed(0)
    config = ModelConfig(
        dim=dim, image=IMAGES[image], encoder=ENCODERS[encoder], decoder=ClassifierConfig(dropout=0.0)
    )
    return build_model(config, vocab=labels, image=shape, labels=labels)


def scores(model: Seq2Seq, images: Tensor) -> Tensor:
    mask = torch.ones(len(images), images.shape[-1], dtype=torch.bool)
    target_in = torch.zeros(len(images), 1, dtype=torch.long)
    return model.decoder.logits(model(images, mask, target_in))[:, 0]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("image", IMAGES)
def test_every_weight_of_a_classifier_learns(image: str, encoder: str) -> None:
    model = classifier_of(image, encoder, (28, 28), labels=10, dim=64)
    F.cross_entropy(scores(model, drawn(4, 28, 28).float()), torch.arange(4)).backward()
    # One position has no other to look at and no state before it: what compares and carries is not used.
    idle = ("attention.query", "attention.key", "weight_hh") if image == "whole" else ()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any() or any(part in name for part in idle), name


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("image", IMAGES)
def test_a_classifier_learns_ten_images_by_heart(image: str, encoder: str) -> None:
    model = classifier_of(image, encoder, (8, 8), labels=10, dim=16)
    images, labels = drawn(10, 8, 8).float(), torch.arange(10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = F.cross_entropy(scores(model.train(), images), labels)
        if loss < 0.2:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        assert torch.equal(scores(model.eval(), images).argmax(-1), labels)
