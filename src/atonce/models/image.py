"""Images as sequences: a grid is laid over the image, and each of its cells becomes a vector."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.errors import DataError
from atonce.layers.convolution import PooledStage
from atonce.shapes import Bool, Float


class ImageEmbedding(nn.Module):
    """What all ways to read an image share: the grid, and which of its cells are real.

    Position `r * columns + c` of the sequence is row r and column c of the grid and covers the pixels from
    `r * cell_height` and `c * cell_width` on: so weights of attention can be laid over the image.
    """

    def __init__(self, shape: tuple[int, int], cell: tuple[int, int]) -> None:
        super().__init__()
        self.shape = shape
        """Height and width of the images, in pixels."""
        self.cell = cell
        """Height and width of a cell, in pixels."""
        self.grid = -(-shape[0] // cell[0]), -(-shape[1] // cell[1])
        """Rows and columns of cells. The last ones may reach beyond the image, where there is paper."""

    def read(
        self, source: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch width"]
    ) -> tuple[Float[Tensor, "batch source_len dim"], Bool[Tensor, "batch source_len"]]:
        """A vector for each cell, row by row. A cell is real where one of its columns of pixels is.

        `mask`: True where a column of pixels is real; the others are read as paper. Raises DataError if the
        images are not of `shape`.
        """
        height, width = source.shape[1:]
        if (height, width) != self.shape:
            raise DataError(
                f"an image of {height} × {width} pixels cannot be read",
                why=f"the model reads images of {self.shape[0]} × {self.shape[1]} pixels",
                fix="scale or fill up the image to this size",
            )
        rows, columns = self.grid
        # The grid may reach beyond the image, where nothing is real.
        real = F.pad(mask, (0, columns * self.cell[1] - width)).unflatten(1, (columns, -1)).any(-1)
        # What stands in padding must not come through a cell that is half of it.
        paper = source.masked_fill(~mask[:, None], 0.0)
        return self(paper, mask), real[:, None].expand(-1, rows, -1).flatten(1)

    def forward(
        self, images: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch width"]
    ) -> Float[Tensor, "batch source_len dim"]:
        """The vectors, of images that are paper where `mask` is False."""
        raise NotImplementedError


class CellEmbedding(ImageEmbedding):
    """The pixels of each cell through one linear layer, the same for all cells."""

    def __init__(self, shape: tuple[int, int], dim: int, *, cell: tuple[int, int]) -> None:
        super().__init__(shape, cell)
        self.linear = nn.Linear(cell[0] * cell[1], dim)

    def forward(
        self, images: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch width"]
    ) -> Float[Tensor, "batch source_len dim"]:
        """Each cell by itself."""
        return self.linear(cells(images, self.cell, self.grid))


def cells(
    images: Float[Tensor, "batch height width"], cell: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "batch source_len pixels"]:
    """The pixels of each cell, row by row, cells and pixels; zeros beyond the image."""
    beyond = [side * count - size for side, count, size in zip(cell, grid, images.shape[1:], strict=True)]
    whole = F.pad(images, (0, beyond[1], 0, beyond[0]))
    # (batch, rows, height, columns, width): cells are read row by row, and pixels within a cell.
    cut = whole.unflatten(2, (grid[1], cell[1])).unflatten(1, (grid[0], cell[0]))
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)


class WholeImageEmbedding(CellEmbedding):
    """All pixels are one position: what a plain feed-forward net reads."""

    def __init__(self, shape: tuple[int, int], dim: int) -> None:
        super().__init__(shape, dim, cell=shape)


class LineEmbedding(CellEmbedding):
    """Each row, or each column, of pixels is a position: a recurrent net reads one after another."""

    def __init__(self, shape: tuple[int, int], dim: int, *, lines: Literal["rows", "columns"]) -> None:
        height, width = shape
        super().__init__(shape, dim, cell=(1, width) if lines == "rows" else (height, 1))


class GridPositions(nn.Module):
    """Where a cell is on the grid: a learned vector of its row plus one of its column.

    Encoders know no more than the order of a sequence, and in that order the cell below is far away.
    """

    def __init__(self, grid: tuple[int, int], dim: int) -> None:
        super().__init__()
        # Small beside the features they are added to: as in ViT's own code, which has it from BERT.
        self.rows, self.columns = (
            nn.Parameter(nn.init.normal_(torch.empty(count, dim), std=0.02)) for count in grid
        )

    def forward(self) -> Float[Tensor, "source_len dim"]:
        """The vectors of all cells, row by row."""
        return (self.rows[:, None] + self.columns).flatten(0, 1)


class PatchEmbedding(CellEmbedding):
    """Squares of pixels, each a position that knows where it stands (ViT, Dosovitskiy 2021, section 3.1).

    The paper learns a vector for each square and finds nothing better in rows and columns of their own
    (appendix D.4); those take fewer weights.
    """

    def __init__(self, shape: tuple[int, int], dim: int, *, size: int) -> None:
        super().__init__(shape, dim, cell=(size, size))
        self.positions = GridPositions(self.grid, dim)

    def forward(
        self, images: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch width"]
    ) -> Float[Tensor, "batch source_len dim"]:
        """Each square by itself, and where it is."""
        return super().forward(images, mask) + self.positions()


class PooledConvolutions(ImageEmbedding):
    """Stages of convolutions, each pooled to half; what is left of the plane is the grid (LeCun 1998).

    A position knows more than the pixels of its cell: each convolution sees beyond them by `kernel // 2`.
    """

    def __init__(
        self, shape: tuple[int, int], dim: int, *, channels: tuple[int, ...], kernel: int, dropout: float
    ) -> None:
        # Each stage halves both sides.
        super().__init__(shape, (2 ** len(channels),) * 2)
        self.stages = nn.ModuleList(
            PooledStage(before, after, kernel, dropout)
            # Grey: one channel goes in.
            for before, after in zip((1, *channels), channels, strict=False)
        )
        self.linear = nn.Linear(channels[-1], dim)
        self.positions = GridPositions(self.grid, dim)

    def forward(
        self, images: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch width"]
    ) -> Float[Tensor, "batch source_len dim"]:
        """The features of each cell, and where it is."""
        plane = images[:, None]
        for stage in self.stages:
            plane, mask = stage(plane, mask)
        return self.linear(plane.flatten(2).mT) + self.positions()
