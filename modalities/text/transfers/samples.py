"""Samples: what a model writes after the beginnings of held-out documents, and how well prompts make it classify.

Sampled with temperature, top-k and nucleus (arXiv:1904.09751) from a seeded generator. Models that read and write are
given the beginning to read. Few-shot prompts as in GPT-3 (arXiv:2005.14165); small models score at chance.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modalities.base import Index
from modalities.common.chance import commonest
from modalities.common.device import device
from modalities.text.corpus import Texts, evenly
from modalities.text.encoders import Decoder, EncoderDecoder, TextEncoder
from modalities.text.shared import preview, prompting, sampling

COPY = 8  # tokens of a run that is looked for in the training text
REPEAT = 4


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Any,
    out: Path,
    *,
    seed: int,
    prompts: int,
    given: int,
    free: list[str],
    written: int,
    temperature: float,
    top_k: int,
    nucleus: float,
    shots: list[int],
    draws: int,
    limit: int,
) -> dict[str, float]:
    """distinct-1, distinct-2, repeated-4 and copied-8 of `prompts` texts of `written` tokens after `given` ones; beside
    the last, copied-8.chance, the share that real held-out text has in common with the training text.

    Of causal models, for each labelled set: NAME/accuracy@k after k examples, means of `draws`, and
    NAME/normalised@k; on `limit` test texts. {} where an encoder does not write.
    """
    if not isinstance(encoder, (Decoder, EncoderDecoder)):
        return {}
    training = encoder.training
    encoder.to(device()).eval()
    settings = {"temperature": temperature, "top_k": top_k, "nucleus": nucleus}
    generator = torch.Generator().manual_seed(seed)
    heads = beginnings(encoder, corpus.only("test"), prompts, given)
    heads += [encoder.vocabulary.encode([text])[0] for text in free if isinstance(encoder, Decoder)]
    texts = []
    for length in sorted({len(head) for head in heads}):
        alike = [head for head in heads if len(head) == length]
        made = continued(encoder, np.stack(alike), written, generator, settings)
        texts += list(zip(alike, made, strict=True))
    if not texts:
        encoder.train(training)
        return {}  # no held-out document is long enough to begin one
    own = encoder.vocabulary
    preview.write(
        out / "samples.json",
        [[(own.decode(head), ""), (own.decode(text), "written")] for head, text in texts],
    )
    record = [{"prompt": own.decode(head), "text": own.decode(text)} for head, text in texts]
    said: dict[str, Any] = settings | {"seed": seed, "written": written, "samples": record}
    (out / "settings.txt").write_text(json.dumps(said, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    found = measured(encoder, corpus, [text for _, text in texts])
    if isinstance(encoder, Decoder):
        for name, each in corpus.tasks().items():
            found |= prompted(encoder, each, name, shots=shots, draws=draws, limit=limit, seed=seed)
    encoder.train(training)
    return found


def beginnings(encoder: TextEncoder, test: Texts, count: int, length: int) -> list[Index]:
    """The first `length` tokens of documents that have as many, evenly spread, with what opens a text."""
    own = encoder.vocabulary
    ids, offsets = own.encode(test.documents(np.arange(len(test)), 16 * length))
    long = np.flatnonzero(np.diff(offsets) >= length)
    return [ids[offsets[k] : offsets[k] + length] for k in long[evenly(len(long), count)]]


def continued(
    encoder: Decoder | EncoderDecoder,
    heads: Index,
    count: int,
    generator: torch.Generator,
    settings: dict[str, Any],
) -> list[Index]:
    """What is written after (N, P) tokens, up to its end if it ends."""
    own = encoder.vocabulary
    given = torch.from_numpy(np.pad(heads, ((0, 0), (1, 0)), constant_values=own.separator)).to(device())
    step: sampling.Step = encoder.step  # type: ignore[assignment]
    if isinstance(encoder, EncoderDecoder):
        step = reading(encoder, given[:, 1:])
        given = torch.full_like(given[:, :1], encoder.begin)
        count = min(count, encoder.size.positions - 1)
    special = torch.arange(own.specials)
    text = sampling.sampled(
        step, given, count=count, positions=encoder.size.positions, barred=special[special != own.end],
        generator=generator, **settings,
    )  # fmt: skip
    rows = text[:, given.shape[1] :].cpu().numpy()
    return [row[: int(np.argmax(row == own.end))] if (row == own.end).any() else row for row in rows]


def reading(encoder: EncoderDecoder, read: torch.Tensor) -> sampling.Step:
    """Steps of a decoder whose encoder has read these tokens, (N, P), framed as a text."""
    roles = [encoder.prefix] if encoder.prefix else []
    ends = [
        torch.full_like(read[:, :1], getattr(encoder.vocabulary, role)) for role in (*roles, encoder.suffix)
    ]
    text = torch.cat([*ends[:-1], read, ends[-1]], 1)
    with torch.no_grad():
        states = encoder.states(text)
    real = torch.ones_like(text, dtype=torch.bool)
    return lambda x, cache: encoder.step(x, cache, states, real)


def measured(encoder: TextEncoder, corpus: Texts, texts: list[Index]) -> dict[str, float]:
    own, train, test = encoder.vocabulary, corpus.only("train"), corpus.only("test")
    source, _ = own.encode(train.documents(np.arange(len(train))))
    ids, offsets = own.encode(test.documents(np.arange(len(test))))
    real = np.split(ids, offsets[1:-1])
    return {
        "distinct-1": sampling.distinct(texts, 1),
        "distinct-2": sampling.distinct(texts, 2),
        f"repeated-{REPEAT}": sampling.repeated(texts, REPEAT),
        f"copied-{COPY}": sampling.copied(texts, source, COPY),
        f"copied-{COPY}.chance": sampling.copied(real, source, COPY),
    }


def prompted(
    encoder: Decoder, labelled: Texts, name: str, *, shots: list[int], draws: int, limit: int, seed: int
) -> dict[str, float]:
    """Accuracy by prompts of k examples, for each k of `shots`."""
    known = labelled.labels >= 0
    train = labelled.take(np.flatnonzero(known & (labelled.splits == "train")))
    test = labelled.take(np.flatnonzero(known & (labelled.splits == "test")))
    test = test.take(evenly(len(test), limit))
    found: dict[str, float] = {}
    for k in shots:
        right = []
        for draw in range(draws if k else 1):
            rng = np.random.default_rng([seed, k, draw])
            given = prompting.answers(encoder, train, test, examples=k, rng=rng)
            right.append([(answer == test.labels).mean() for answer in given])
        plain, normalised = np.mean(right, 0)
        chance = commonest(test.labels)
        for kind, value in (("accuracy", plain), ("normalised", normalised)):
            found |= {f"{name}/{kind}@{k}": float(value), f"{name}/{kind}@{k}.chance": chance}
    return found
