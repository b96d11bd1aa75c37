"""Word similarity and analogy: do close vectors mean close words, and is a : b :: c : d a parallelogram?

Finkelstein et al. 2002 and Hill et al. 2015 (arXiv:1408.3456) scored pairs, Mikolov et al. 2013 (arXiv:1301.3781) asked
the analogies. Only for encoders that are a table of words. V words, D numbers each, Q questions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from modalities.base import Index
from modalities.common.correlation import spearman
from modalities.text.corpus import Texts
from modalities.text.encoders import TextEncoder
from modalities.text.shared import preview

CHUNK = 512  # questions answered at once
SHOWN = 4  # questions of each group that the picture has


def run(
    encoder: TextEncoder, corpus: Texts, fit: Any, out: Path, *, seed: int, common: int
) -> dict[str, float]:
    """`NAME/spearman` of each table of scored pairs, `NAME/accuracy` of each set of analogies, and what they cover.

    Case is ignored. Pairs and questions with an unknown word are left out: `coverage` is the share of the others. The
    answer is looked for among the `common` commonest words, the three that are given excluded. What guessing scores is
    what a table of random numbers does.
    """
    if type(encoder).words is TextEncoder.words:
        return {}
    table = {word.lower(): vector for word, vector in encoder.words().items()}
    names = {word: k for k, word in enumerate(table)}
    vectors = F.normalize(torch.stack(list(table.values())).float(), dim=1)
    random = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    random = F.normalize(random, dim=1)
    found: dict[str, float] = {}
    for name, columns in corpus.tables("words").items():
        rows = known(names, columns["a"], columns["b"])
        found[f"{name}/coverage"] = len(rows[1]) / max(1, len(columns["a"]))
        if len(rows[1]) > 1:
            scores = np.array(columns["score"])[rows[1]]
            found[f"{name}/spearman"] = spearman(similar(vectors, rows[0]), scores)
            found[f"{name}/spearman.chance"] = spearman(similar(random, rows[0]), scores)
    # Words are in the order of how often they occur.
    few = {word: k for word, k in names.items() if k < common}
    lines: list[preview.Line] = []
    for name, columns in corpus.tables("analogies").items():
        rows = known(few, *(columns[part] for part in "abcd"))
        found[f"{name}/coverage"] = len(rows[1]) / max(1, len(columns["a"]))
        if len(rows[1]):
            answers = answer(vectors[:common], rows[0])
            found[f"{name}/accuracy"] = float(np.mean(answers == rows[0][:, 3]))
            guess = answer(random[:common], rows[0])
            found[f"{name}/accuracy.chance"] = float(np.mean(guess == rows[0][:, 3]))
            lines += drawn(list(few), [columns["group"][k] for k in rows[1]], rows[0], answers)
    if lines:
        preview.write(out / "analogies.json", lines)
    return found


def known(names: dict[str, int], *columns: Sequence[str]) -> tuple[Index, Index]:
    """(n, columns) numbers of words, of the rows whose words all have one; and the numbers of these rows."""
    found = np.array([[names.get(word.lower(), -1) for word in column] for column in columns], np.int64).T
    rows = np.flatnonzero((found >= 0).all(1))
    return found[rows], rows


def similar(vectors: Tensor, pairs: Index) -> np.typing.NDArray[np.float64]:
    """Cosines of (n, 2) words, whose vectors are of length one."""
    return (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(1).double().numpy()


def answer(vectors: Tensor, questions: Index) -> Index:
    """(Q,): of a, b, c, ... the word nearest to b - a + c that is none of the three. Vectors are of length one."""
    found = []
    for part in torch.from_numpy(questions[:, :3]).split(CHUNK):  # type: ignore[no-untyped-call]
        a, b, c = part.T
        score = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T  # (n, V)
        score.scatter_(1, part, -torch.inf)
        found.append(score.argmax(1))
    answers: Index = torch.cat(found).numpy()
    return answers


def drawn(words: list[str], groups: list[str], questions: Index, answers: Index) -> list[preview.Line]:
    """Of each group: its share of right answers, and its first few questions with what was answered."""
    lines: list[preview.Line] = []
    of, right = np.array(groups), answers == questions[:, 3]
    for group in dict.fromkeys(groups):
        rows = np.flatnonzero(of == group)
        lines.append([(f"{group}: {right[rows].mean():.1%} of {len(rows)}", "dim")])
        for k in rows[:SHOWN]:
            a, b, c, d = (words[word] for word in questions[k])
            line: preview.Line = [
                (f"{a} : {b} = {c} :", ""),
                (words[answers[k]], "right" if right[k] else "wrong"),
            ]
            lines.append(line if right[k] else [*line, (d, "asked")])
    return lines
