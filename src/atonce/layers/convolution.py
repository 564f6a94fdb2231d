"""Convolution: the same weights over the neighbours of every place, all places at once.

Along a sequence, with gates, for text (Gehring 2017); over the plane, with pooling, for images (LeCun 1998).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atonce.layers.attention import DotAttention
from atonce.layers.dropout import dropout
from atonce.shapes import Bool, Float


class GatedConvolution(nn.Module):
    """A ⊙ σ(B), where [A B] = W x + b over `kernel` neighbours (Gehring 2017, section 3.2; Dauphin 2017).

    Neighbours are laid side by side and multiplied by one matrix. That is torch's `conv1d`, on a CPU as fast
    as it, and more than twice as fast where products are in bfloat16; and it leaves batch and time in place.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        # A and B by one product.
        self.linear = nn.Linear(kernel * dim, 2 * dim)

    def forward(self, inputs: Float[Tensor, "batch padded_len dim"]) -> Float[Tensor, "batch len dim"]:
        """One output for each full set of neighbours: `padded_len` is `len + kernel - 1`.

        Where the missing neighbours stand, and so what an output sees, is up to whoever fills them up.
        """
        length = inputs.shape[1] - self.kernel + 1
        neighbours = [inputs[:, first : first + length] for first in range(self.kernel)]
        return F.glu(self.linear(torch.cat(neighbours, dim=-1)))


class ConvolutionEncoderBlock(nn.Module):
    """Every position sees as many neighbours on its left as on its right (Gehring 2017, section 3.2)."""

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convolution = GatedConvolution(dim, kernel)
        self.dropout = dropout

    def forward(
        self, states: Float[Tensor, "batch len dim"], mask: Bool[Tensor, "batch len"]
    ) -> Float[Tensor, "batch len dim"]:
        """`mask`: True where a position is real. Beyond the sentence all is zero, padding or not."""
        reach = self.convolution.kernel // 2
        inputs = dropout(states, self.dropout, self.training).masked_fill(~mask[..., None], 0.0)
        return level_sum(states, self.convolution(F.pad(inputs, (0, 0, reach, reach))))


class ConvolutionDecoderBlock(nn.Module):
    """Every position sees itself and the nearest before it, then looks at the source.

    With h what the convolution gives, z the source's states and g the vector of the token (Gehring 2017,
    equations 1 and 2), the query is d = W h + b + g and the context c = Σ softmax(d · z) z. Unlike there
    - d is scaled by √½ and by the root of the width as in Vaswani 2017: our vectors are ten times the size of
      the paper's, and the softmax would begin where it passes no gradient on;
    - c goes through a linear layer, which finds its scale, instead of growing with the root of the length.

    The same code serves training, where all positions of the target are new at once, and generation, where
    one is new and the inputs of those that it still sees were kept.
    """

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convolution = GatedConvolution(dim, kernel)
        self.query = nn.Linear(dim, dim)
        self.attention = DotAttention()
        self.context = nn.Linear(dim, dim)
        self.dropout = dropout

    def forward(
        self,
        states: Float[Tensor, "batch new_len dim"],
        past: Float[Tensor, "batch before dim"],
        embedded: Float[Tensor, "batch new_len dim"],
        source: Float[Tensor, "sentences source_len dim"],
        source_mask: Bool[Tensor, "sentences source_len"],
    ) -> tuple[Float[Tensor, "batch new_len dim"], Float[Tensor, "batch before dim"]]:
        """The new positions' states, and the `kernel - 1` inputs that the next position will see before it.

        `past`: those that the first new position sees; zeros where nothing was. `embedded`: the tokens at the
        new positions (g). The batch may hold several beginnings of each sentence, next to each other.
        """
        # Kept behind dropout, as they were seen; in generation there is none.
        inputs = torch.cat([past, dropout(states, self.dropout, self.training)], dim=1)
        convolved = self.convolution(inputs)
        # `DotAttention` does not scale by the width, as Luong's does not.
        query = level_sum(self.query(convolved), embedded) * states.shape[-1] ** -0.5
        # Beginnings of a sentence are queries beside one another, so that its states need no copies for them.
        by_sentence = query.view(len(source), -1, query.shape[-1])
        context = self.context(self.attention(by_sentence, source, source, source_mask).view_as(query))
        return level_sum(states, level_sum(convolved, context)), inputs[:, states.shape[1] :]


def level_sum(
    one: Float[Tensor, "batch len dim"], other: Float[Tensor, "batch len dim"]
) -> Float[Tensor, "batch len dim"]:
    """Their sum times √½: where the two are unlike, it has the variance of each (Gehring 2017, section 3.5).

    So states keep their size through any number of blocks, and need no norm.
    """
    return (one + other) * math.sqrt(0.5)


class PooledStage(nn.Module):
    """Two convolutions over the plane, then only the strongest of each 2 × 2 features (LeCun 1998).

    The plane is kept with the features of a pixel next to each other in memory: on a CPU a convolution takes
    half to three quarters of the time then.
    """

    def __init__(self, features: int, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel, padding=kernel // 2) for inputs in (features, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in self.convolutions)
        self.dropout = dropout

    def forward(
        self, plane: Float[Tensor, "batch features height width"], mask: Bool[Tensor, "batch width"]
    ) -> tuple[Float[Tensor, "batch channels half_height half_width"], Bool[Tensor, "batch half_width"]]:
        """The pooled plane, rounded up to whole cells, and which of its columns are real: if one of the two
        was. `mask`: True where a column is real. Beyond the image all is zero, padding or not.
        """
        beyond = ~mask[:, None, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            # Before each convolution: the one before it, and its norm, made something of what is beyond, too.
            plane = plane.masked_fill(beyond, 0.0).contiguous(memory_format=torch.channels_last)
            # A norm for each pixel, over its features: batch norm would mix images.
            plane = norm(convolution(plane).movedim(1, -1)).movedim(-1, 1).relu()
        # 0 is the least that comes out of `relu`, so what is beyond never wins.
        pooled = F.max_pool2d(plane.masked_fill(beyond, 0.0), 2, ceil_mode=True).movedim(1, -1)
        real = F.max_pool1d(mask.to(plane.dtype), 2, ceil_mode=True).bool()
        return dropout(pooled, self.dropout, self.training).movedim(-1, 1), real
