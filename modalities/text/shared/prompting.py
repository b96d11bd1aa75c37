"""Classification by a causal model alone: the likeliest label after examples with their labels. Nothing is trained.

Brown et al. 2020 (GPT-3, arXiv:2005.14165): also with the label's own likelihood after a bare "Answer:" taken off.
N texts, K classes, k examples.
"""

import numpy as np

from modalities.base import Index
from modalities.text.corpus import Texts
from modalities.text.encoders import Decoder
from modalities.text.shared.likelihood import continued

TEXT, ANSWER = "Text: {}\nAnswer:", " {}\n\n"
EXAMPLE_BYTES = 200  # of a text, in a prompt


def answers(
    encoder: Decoder, train: Texts, test: Texts, *, examples: int, rng: np.random.Generator
) -> tuple[Index, Index]:
    """(N,) classes of the test texts by the sum of log P(label | prompt), and by that less log P(label | "Answer:").

    The same examples for all texts. A prompt too long for the model loses its oldest examples, whole ones.
    """
    chosen = rng.choice(len(train), min(examples, len(train)), replace=False)
    shots = [
        TEXT.format(text) + ANSWER.format(train.classes[label])
        for text, label in zip(train.documents(chosen, EXAMPLE_BYTES), train.labels[chosen], strict=True)
    ]
    labels = [" " + name for name in test.classes]
    asked = [TEXT.format(text) for text in test.documents(np.arange(len(test)), EXAMPLE_BYTES)]
    longest = max(len(encoder.vocabulary.encode([label])[0]) for label in labels)
    prompts = fitting(encoder, shots, asked, encoder.size.positions - longest)
    flat = [(prompt, label) for prompt in prompts for label in labels]
    given = continued(encoder, flat)[0].reshape(len(prompts), len(labels))
    bare = continued(encoder, [("Answer:", label) for label in labels])[0]
    return given.argmax(1), (given - bare).argmax(1)


def fitting(encoder: Decoder, shots: list[str], asked: list[str], room: int) -> list[str]:
    """Each text after as many of the examples, the newest first to stay, as fit `room` tokens together."""
    _, offsets = encoder.vocabulary.encode([*shots, *asked])
    lengths = np.diff(offsets)
    # How long the last j examples are together, for j = 0 .. all of them.
    tails = np.concatenate([[0], np.cumsum(lengths[: len(shots)][::-1])])
    kept = np.searchsorted(tails, room - 1 - lengths[len(shots) :], side="right") - 1
    return ["".join(shots[len(shots) - max(0, k) :]) + text for k, text in zip(kept, asked, strict=True)]
