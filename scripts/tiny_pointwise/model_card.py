"""The model card of the pointwise checkpoint."""

from __future__ import annotations

CARD = """\
# tiny-pointwise

A stock Qwen3-VL of 7.8 million parameters (16 MB, bfloat16) that scores each page image alone: the score
says what share of the question's informative words is on the page. Made for demos and tests on a laptop.
It matches **words, not meaning**.

## Recipe

1. The vision tower, the tokenizer and the contents of the token vectors are those of the bundled `tiny`.
2. The language model (4 layers of width 256) has hand-written weights for the page-first order. Layers 1
   and 2 mark the question's text. In layer 3, the band, each of its tokens attends to the visual tokens that
   show it, or else to the first token. In layer 4 the last token averages over the question, by how
   informative each token is, and writes `yes` or `no`. Only the keys and values of layer 3 are cached of a
   page.
3. About twenty scale factors are trained on lists of 8 to 20 pages of 224 to 1024 px, by the cross-entropy
   of the right page in its list plus that of yes and no; three of ten lists have no right page.

The factors took {minutes:.0f} minutes ({lists:,} lists) on one core. `make tiny-pointwise` trains it, and
`python -m scripts.tiny_pointwise.evaluate` measures it.

## Figures

{figures}
## Limits

- Words, not meaning: no synonyms, translation, tables, charts or pictures.
- English in Latin letters; text below about 11 px, handwriting and ornamental typefaces are often misread.
- The words count, not their order: pages with the same words have similar scores.
- Only for the page-first order; with the question first it is at chance. Layer 4 is the last, so an early
  exit leaves nothing out.
- Keep all visual tokens (`keep_ratio=1`, the default): the end of the page, whose attention selects them,
  does not attend to words, so that its choice is worse than chance.
- A score is not a calibrated probability. Choose a threshold on your own data.
"""

NONE = "Not measured yet.\n"
FIGURES = """\
Lists of 20 pages of documents that are not in the training data. Each list has one page from which the
question was made; up to half of the others are from the same document, and none of them contains more than
three quarters of the question's words, weighted by rarity. Areas under the ROC curve by absolute score:
*pages* is the right page against all others of all lists, *lists* the best score of a list with its right
page against that without it. Times are of one core with all pages cached.

{table}
"""


def text(table: str, minutes: float, lists: int) -> str:
    """Return the card.

    Args:
        table: The measured figures as Markdown; empty if there are none.
        minutes: Training time.
        lists: Number of training lists.
    """
    figures = FIGURES.format(table=table) if table else NONE
    return CARD.format(figures=figures, minutes=minutes, lists=lists)
