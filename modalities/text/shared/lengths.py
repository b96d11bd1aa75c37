"""How long the texts are that a method trains on, and so how many positions its network has."""

from typing import Any

from modalities.text.networks.text_encoder import TextEncoder


def fitted(encoder: TextEncoder, longest: int, method: str) -> dict[str, Any]:
    """The shared size with as many positions as the longest row has tokens: further ones would stay untrained.

    Raises ValueError where a row is longer than `text.encoder.positions`.
    """
    if longest > encoder.size.positions:
        raise ValueError(
            f"text.pretexts.{method}.build makes rows of {longest} tokens, text.encoder.positions is "
            f"{encoder.size.positions}; lower the length there or raise the positions"
        )
    size: dict[str, Any] = encoder.spec["size"] | {"positions": longest}
    return size
