"""Linear layers in eight bits, for generation: weights and inputs rounded to 255 levels, products exact.

A CPU with instructions for it multiplies four to eight times as many eight-bit numbers as float32 ones. The
weights of each output have a scale of their own, and so has each input vector (Dettmers 2022, section 2.1,
"vector-wise"): what is computed of a sentence does not depend on what is computed beside it.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from atonce.layers.linear import ActivatedLinear, nonlinearity
from atonce.shapes import Float, Int

LEVELS = 127
"""To either side of zero."""
LEAST = 1e-12
"""That the greatest of some numbers is taken to be, so that zeros have a scale too."""


class QuantizedLinear(nn.Module):
    """What linear layers, or a layer of neurons, become. It learns no more."""

    weight: Int[Tensor, "inputs outputs"]
    scale: Float[Tensor, " outputs"]
    """What a level of each output's weights is worth, by `LEVELS`."""
    bias: Float[Tensor, " outputs"]

    def __init__(
        self,
        weight: Float[Tensor, "outputs inputs"],
        bias: Float[Tensor, " outputs"] | None = None,
        activate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        weight = weight.detach()
        # No zero point: the product of the levels, times both scales, is all there is to it.
        level = weight.abs().amax(1).clamp(min=LEAST) / LEVELS
        levels = (weight / level[:, None]).round().to(torch.int8)
        # Flat in between: the product goes wrong with what `contiguous` leaves of one input's strides.
        self.register_buffer("weight", levels.T.flatten().view(levels.T.shape))
        # By `LEVELS` once more: `forward` multiplies by a row's peak, which is that many of its levels.
        self.register_buffer("scale", level / LEVELS)
        self.register_buffer("bias", torch.zeros_like(level) if bias is None else bias.detach())
        self.activate = activate

    @classmethod
    def of(cls, linear: nn.Linear) -> "QuantizedLinear":
        """The same layer, rounded."""
        activate = nonlinearity(linear.nonlinearity) if isinstance(linear, ActivatedLinear) else None
        return cls(linear.weight, linear.bias, activate)

    @classmethod
    def joined(cls, layers: "list[QuantizedLinear]") -> "QuantizedLinear":
        """Several layers that see the same inputs, as one: their outputs one after the other."""
        # Not by the constructor, which would round what is rounded.
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        for name, dim in (("weight", 1), ("scale", 0), ("bias", 0)):
            made.register_buffer(name, torch.cat([getattr(layer, name) for layer in layers], dim))
        made.activate = None
        return made

    def forward(self, inputs: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """What the layer would give, up to the rounding."""
        peak = inputs.abs().amax(-1, keepdim=True).clamp_min_(LEAST)
        levels = (inputs * (LEVELS / peak)).round_().to(torch.int8)
        # No public operation does it: `quantized.linear_dynamic` has one scale for all rows, so that
        # neighbours change a result; `onednn.qlinear_pointwise` is as fast, and takes 400 ms with signed
        # inputs.
        product = torch._int_mm(levels.flatten(0, -2), self.weight).view(*inputs.shape[:-1], -1)
        outputs = torch.addcmul(self.bias, product * peak, self.scale)
        return outputs if self.activate is None else self.activate(outputs)


def has_int8_hardware() -> bool:
    """Whether this CPU has instructions for it. Others take longer than with float32."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def quantize_linear_layers(module: nn.Module) -> None:
    """Put the rounded layer in the place of each linear layer inside `module`, but for those of one output.

    These, the scores of additive attention, are sums that cost next to nothing.
    """
    # A list first: the tree is changed while it is walked.
    for parent, name, layer in list(_linear_layers(module)):
        setattr(parent, name, QuantizedLinear.of(layer))


def _linear_layers(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in module.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Linear) and layer.out_features > 1:
                yield parent, name, layer
