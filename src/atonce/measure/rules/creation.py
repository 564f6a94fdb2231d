"""Operations that make tensors: constants, which are the same in every run, and random numbers.

Random numbers wait for the arguments of their distribution. They are no constants: nothing is closed by them.
"""

from torch import Tensor

from atonce.measure.call import Call, Effect
from atonce.measure.shadows import later, latest


def constant(call: Call) -> Effect:
    """zeros, arange, full, fill_, …: the same in every run, whatever tensor gave the shape."""
    # `fill_` may be given a tensor of one number; others have Python's, of which the tracer takes care.
    filling = call.shadow(call.args[1]) if call.name == "fill" else call.nothing(())
    shapes = [one.shape for one in call.outputs]
    return Effect(
        [filling.view(-1, *(1,) * len(shape)).expand(-1, *shape) for shape in shapes],
        joined=None,
        loses=False,
    )


def given(call: Call) -> Effect:
    """rand, randn_like, uniform_, exponential_, …: they wait for nothing, but can be anything."""
    return Effect([call.given(one.shape) for one in call.outputs], joined=None, loses=False)


def drawn(call: Call) -> Effect:
    """bernoulli, poisson, normal, binomial: each number by its own of all arguments.

    Of what is filled in place, and of bernoulli(tensor, 0.5), the tensor says nothing but the shape.
    """
    fills = call.operation._schema.is_mutable or call.operation._overloadname.startswith("p")
    by = [one for place, one in enumerate(call.args) if isinstance(one, Tensor) and (place or not fills)]
    waited = later(call.given(call.output.shape), *(call.shadow(one) for one in by))
    return Effect([waited], joined=1 if by else None)


def drawn_by_row(call: Call) -> Effect:
    """multinomial, _sample_dirichlet: by all shares of its row."""
    tensor = call.args[0]
    row = latest(call.shadow(tensor), -1, keepdim=True)
    return Effect([later(call.given(call.output.shape), row)], joined=max(1, tensor.shape[-1]))


def dropout(call: Call) -> Effect:
    """native_dropout(tensor, share, train): what is dropped is a matter of chance, no constant."""
    # Its zeros differ from run to run: taken for a mask, they would hide that everything is connected.
    shadow = call.shadow(call.args[0])
    return Effect([shadow, call.given(call.outputs[1].shape)])


def leaky(call: Call) -> Effect:
    """rrelu_with_noise(tensor, noise, …): the slopes are drawn and kept for the way back."""
    shadow = later(call.given(call.output.shape), call.shadow(call.args[0]))
    return Effect([shadow] * len(call.outputs))
