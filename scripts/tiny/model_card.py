"""The model card of the bundled checkpoint."""

from __future__ import annotations

CARD = """\
# tiny

A stock Qwen3-VL of 9.8 million parameters (19 MB, bfloat16) that ranks up to 20 page images for a question
in one forward pass, made for demos and tests on a laptop. It matches **words, not meaning**. Do not put it
behind a text retriever without `retriever_weight`: on pages with a text layer BM25 is better.

## Data

Rendered pages: text from the documentation installed on a Debian machine (package documentation, manual
pages, docstrings of Python's standard library and packages), mixed with a list of business words, invented
names, years and amounts, in some 50 typefaces, rendered by Pillow and by MuPDF, with glyphs of 9 to 64 px,
mostly black on white. A tenth of the documents, chosen by a hash of their text, and eight typefaces are
held out for the evaluation. No text is included in the package.

## Recipe

1. A byte-level BPE tokenizer of 6,000 entries over lower-cased words.
2. The vision tower (5 layers of width 160) is trained on small crops to predict the tokens in each 32 px
   cell: cosine softmax over tokens, over cells, and a character head. Token vectors are initialised from
   letter groups, so that words not seen in training are recognised too.
3. The language model (9 layers of width 256) has hand-written weights: it counts the pages; visual tokens
   attend to the query tokens that they show; page ends collect their own page's best matches, one word per
   layer, six in all; the last token reads the best page's letter. Some sixty scale factors are trained
   listwise on pages encoded by the tower, 8 to 20 pages of 224 to 1024 px per list, keep ratios 1, 0.5, 0.25
   and 0.1; two fifths of the questions are phrased as people ask them, with mostly function words.
   The deepstack levels exist, but their output is zero.
4. One temperature for the logits calibrates the scores.

{time}
`make tiny` trains it from scratch, and `python -m scripts.tiny.evaluate` measures it.

## Figures

{figures}
## Limits

- Words, not meaning: no synonyms, translation, tables, charts or pictures. The question should use words
  of the page.
- English in Latin letters. Other scripts are encoded but cannot be read off a page.
- Text below about 11 px, handwriting, ornamental and condensed typefaces are often misread.
- Scores are relative within one call; a list of irrelevant pages still has a best one.
"""

NONE = "Not measured yet.\n"
FIGURES = """\
Recall@1 on documents that are not in the training data (95% interval, number of lists). Each list has one
page from which the question was made; up to half of the others are from the same document, and none of them
contains more than three quarters of the question's words, weighted by rarity.

{table}
"""


def text(table: str, time: str) -> str:
    """Return the card.

    Args:
        table: The measured figures as Markdown; empty if there are none.
        time: A sentence on the training time.
    """
    return CARD.format(figures=FIGURES.format(table=table) if table else NONE, time=time)
