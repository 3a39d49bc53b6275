"""The model card that ships beside the weights."""

from __future__ import annotations

CARD = """\
# tiny

A stock Qwen3-VL of 9.2 million parameters (18 MB, bfloat16) that ranks up to 20 page images for a
question in one forward pass, made for demos and tests on a laptop. It matches **words, not meaning**.

## Data

Drawn pages: text from the documentation installed on a Debian machine (package documentation, manual
pages, docstrings of Python's standard library and packages), mixed with a list of business words, made-
up names, years and amounts, set in some 50 typefaces by Pillow and by MuPDF, with glyphs of 9 to 64 px,
mostly black on white. A tenth of the documents, chosen by a hash of their text, and eight typefaces were
kept for the evaluation. No text is shipped.

## Recipe

1. A byte-level BPE tokenizer of 6,000 entries over lower-cased words.
2. The vision tower (5 layers of 160) learns, on small crops, which tokens each 32 px cell shows: cosine
   softmax over tokens, over cells, and a character head. Token vectors start from letter groups, so that
   words never seen in training are read too.
3. The language model (6 layers of 256) is a circuit drawn by hand: count the pages; visual tokens attend to
   the query tokens they show; page ends collect their own page's best matches, one word a layer; the last
   token reads the best page's letter. Some forty factors on its parts are learned listwise on pages that the
   tower has read, 8 to 20 pages of 224 to 1024 px a list, keep ratios 1, 0.5, 0.25 and 0.1. The deepstack
   levels are there, but write zeros.
4. One temperature for the logits, so that scores say how often they are right.

{time}
`make tiny` makes it again, and `python -m scripts.tiny.evaluate` measures it.

## Figures

{figures}
## Limits

- Words, not meaning: no synonyms, no translation, no tables, charts or pictures. The question should use
  words of the page.
- English in Latin letters. Other scripts are encoded but cannot be read off a page.
- Text below about 11 px, handwriting, ornamental and condensed typefaces are read badly.
- Scores are relative within one call; an irrelevant list still has a best page.
"""

NONE = "Not measured yet.\n"
FIGURES = """\
Recall@1 on documents never trained on (95% interval, number of lists). Each list holds one page that the
question was made from; up to half of the others are from the same document, and none of them holds more
than three quarters of the question's words, weighted by rarity.

{table}
"""


def text(table: str, time: str) -> str:
    """The card.

    Args:
        table: Markdown of the measured figures; empty if there are none.
        time: A sentence on the time it took.
    """
    return CARD.format(figures=FIGURES.format(table=table) if table else NONE, time=time)
