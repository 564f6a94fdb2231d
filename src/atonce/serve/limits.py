"""How much the server takes on: of one request, and of all together."""

from pydantic import Field

from atonce.config import Config


class Limits(Config):
    """What a request may ask for, and how requests are put together. Past it, a clear refusal."""

    body: int = Field(default=1_000_000, ge=1_000, le=10**9)
    """Bytes of a request's body."""
    bodies: int = Field(default=32_000_000, ge=1_000, le=10**11)
    """Bytes of all bodies that are held at once; small ones and the first are taken in any case."""
    texts: int = Field(default=256, ge=1, le=10**6)
    """Texts, or images, in a request."""
    pixels: int = Field(default=16_000_000, ge=1, le=10**10)
    """Of all images in a request."""
    characters: int = Field(default=20_000, ge=1, le=10**8)
    """Characters of a text."""
    pieces: int = Field(default=16_384, ge=1, le=10**8)
    """Pieces of a text."""
    looked: int = Field(default=512, ge=1, le=10**6)
    """Pieces of a text that is looked at, and of an output that is forced: what is looked at grows with the
    product of both."""
    work: int = Field(default=500_000, ge=1, le=10**12)
    """Pieces of all texts of a request, times the outputs that are searched for each of them."""
    memory: int = Field(default=128, ge=1, le=10**7)
    """MB that a request may need for itself, by an estimate that is made before it is begun."""
    seconds: float = Field(default=30.0, gt=0, le=86_400)
    """Within which a request is answered, and within which all of it must have arrived."""
    queue: int = Field(default=2_000, ge=1, le=10**6)
    """Texts that may wait, of all requests together: of small requests, of larger ones, of the largest."""
    batch_tokens: int = Field(default=4_096, ge=1, le=10**8)
    """Source pieces, about, that are searched together."""
    wait: float = Field(default=2.0, ge=0, le=60_000)
    """Milliseconds that a text waits for others to be searched with, while nothing else is going on."""

    @property
    def texts_of_a_request(self) -> int:
        """What is more than may ever wait at once is refused, not told to come back."""
        return min(self.texts, self.queue)
