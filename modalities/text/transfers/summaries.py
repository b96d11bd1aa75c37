"""Summaries: sentences near the document's mean vector, and, of models that write, what they write after fine-tuning.

Chosen with maximal marginal relevance (Carbonell and Goldstein 1998). Written by beam search, as in PEGASUS
(arXiv:1912.08777); PEGASUS is also asked without any tuning, since its pretext is to write what is missing.
ROUGE F. N documents, L tokens read, T written.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from modalities.base import Batch, Index, Pretext
from modalities.common.device import device
from modalities.text.corpus import Texts
from modalities.text.encoders import EncoderDecoder, TextEncoder
from modalities.text.shared import beam, preview
from modalities.text.shared.encoding import encoded
from modalities.text.shared.summarised import Cases, cases, interval, judged, means, picked, sets
from modalities.text.shared.targets import NONE, scored

Fit = Callable[..., object]
NEAR = 0.7  # what nearness to the document weighs against likeness to what is chosen already
ROWS = 16  # documents that are written about side by side
SHOWN = 3


class Written(Pretext):
    """Write the reference of a document."""

    encoder: EncoderDecoder

    def __init__(self, encoder: EncoderDecoder, corpus: Cases, built: Path, *, batch: int, most: int) -> None:
        super().__init__(encoder, corpus, built)
        self.repeats = -(-batch // len(corpus))
        own = encoder.vocabulary
        self.read = encoder.tokens([" ".join(each) for each in corpus.sentences])  # (N, L)
        flat, offsets = own.encode(corpus.references)
        lengths = np.minimum(np.diff(offsets), most - 1)
        self.target = np.full((len(corpus), int(lengths.max()) + 1), own.pad)  # (N, T)
        inside = np.arange(self.target.shape[1]) < lengths[:, None]
        self.target[inside] = np.concatenate(
            [flat[a : a + n] for a, n in zip(offsets, lengths, strict=False)]
        )
        self.target[np.arange(len(corpus)), lengths] = own.end

    def samples(self) -> int:
        return len(self.corpus) * self.repeats

    def batch(self, index: Index, rng: np.random.Generator) -> Batch:
        rows = index % len(self.corpus)
        return {"token": self.read[rows], "target": from_numpy(self.target[rows])}

    def forward(self, batch: Batch, player: int = 0) -> dict[str, Tensor]:
        token, target, pad = batch["token"], batch["target"], self.encoder.vocabulary.pad
        logits = self.encoder.written(self.encoder.states(token), token != pad, target)
        return scored(logits, target.masked_fill(target == pad, NONE), smoothing=0.1)


def run(
    encoder: TextEncoder,
    corpus: Texts,
    fit: Fit,
    out: Path,
    *,
    seed: int,
    sentences: int,
    limit: int,
    stem: bool,
    samples: int,
    batch: int,
    lr: float,
    most: int,
    beams: int,
    penalty: float,
    repeat: int,
    bootstrap: int,
) -> dict[str, float]:
    """ROUGE of `sentences` sentences of each of `limit` documents; "SET/" first for titles, pseudo and further sets.

    Of models that write also tuned_rouge1 and so on, after `samples` pairs of the training split (0: no tuning), and
    zero_shot_rouge1 of PEGASUS: at most `most` tokens, by `beams` beams. 95 % intervals go with the shown texts.
    """
    found: dict[str, float] = {}
    for name, each in sets(corpus, limit=limit).items():
        texts = {"": picked(each, extracted(encoder, each, sentences))}
        if isinstance(encoder, EncoderDecoder):
            options: dict[str, Any] = {
                "beams": beams,
                "most": min(most, encoder.size.positions),
                "penalty": penalty,
                "repeat": repeat,
            }
            if encoder.form == "pegasus":
                texts["zero_shot_"] = written(encoder, each, **options)
            source = corpus if name in ("", "titles", "pseudo") else corpus.tasks("summaries")[name]
            train = cases(source, "train", limit=len(source))[1]
            if samples and len(train):
                tuned = Written(copy.deepcopy(encoder), train, Path(), batch=batch, most=options["most"])
                fit(tuned, label=f"summaries {name}".strip(), samples=samples, batch=batch, lr=lr, health=32)
                texts["tuned_"] = written(tuned.encoder, each, **options)
        lines: list[preview.Line] = []
        for prefix, made in texts.items():
            measured = judged(made, each.references, stem=stem)
            slash = f"{name}/{prefix}" if name else prefix
            found |= means(measured, slash)
            low, high = interval(measured["rouge1"], times=bootstrap, seed=seed)
            said = f"{prefix or 'extracted '}rouge1 {np.mean(measured['rouge1']):.3f}, 95 %: {low:.3f} to {high:.3f}"
            lines.append([(said.replace("_", " "), "dim")])
            for text, reference in zip(made[:SHOWN], each.references[:SHOWN], strict=True):
                lines.append([(text.replace("\n", " "), "written" if prefix else ""), (reference, "asked")])
        preview.write(out / f"{name or 'summaries'}.json", lines)
    return found


def extracted(encoder: TextEncoder, each: Cases, count: int) -> list[Index]:
    """Numbers of `count` sentences of each document: near its mean vector, and unlike each other."""
    vectors = encoded(encoder, [text for sentences in each.sentences for text in sentences])
    ends = np.cumsum([len(sentences) for sentences in each.sentences])[:-1]
    return [relevant(part, count) for part in np.split(vectors, ends)]


def relevant(vectors: np.ndarray, count: int) -> Index:
    """(count,) or fewer rows, one by one the best of NEAR · cos(row, mean) - (1 - NEAR) · max cos(row, chosen ones)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    mean = vectors.mean(0)
    near = unit @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
    alike = unit @ unit.T
    chosen: list[int] = []
    while len(chosen) < min(count, len(vectors)):
        like = alike[:, chosen].max(1) if chosen else np.zeros(len(vectors))
        gain = NEAR * near - (1 - NEAR) * like
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return np.array(chosen, np.int64)


@torch.no_grad()
def written(
    encoder: EncoderDecoder, each: Cases, *, beams: int, most: int, penalty: float, repeat: int
) -> list[str]:
    """What the model writes of each document, in evaluation mode; sentences on lines of their own."""
    training = encoder.training
    encoder.to(device()).eval()
    made = []
    for k in range(0, len(each), ROWS):
        read = encoder.tokens([" ".join(text) for text in each.sentences[k : k + ROWS]]).to(device())
        real = read != encoder.vocabulary.pad
        found = beam.search(
            encoder, encoder.states(read), real, beams=beams, most=most, penalty=penalty, repeat=repeat
        )
        made += [encoder.vocabulary.decode(ids).strip() for ids in found]
    encoder.train(training)
    return made
