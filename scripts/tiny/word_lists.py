"""Words that are rare in technical documentation but common in business pages and questions."""

from __future__ import annotations

import random

QUESTION_WORDS = (
    "what which who whom whose when where why how was were is are be been being do does did has have "
    "had can could will would shall should may might must the a an of in on at to from by for with and "
    "or not no than then that this these those there it its they them their he she his her we our us "
    "you your i my me as if but so into about over under between after before during per each any all "
    "some most more less many much other only also such"
).split()

BUSINESS = (
    "revenue revenues income profit profits margin margins loss losses earnings dividend dividends "
    "shareholder shareholders equity debt assets liabilities cash flow balance sheet statement fiscal "
    "quarter quarterly annual growth decline increase decrease forecast outlook guidance budget cost "
    "costs expense expenses operating capital investment investments investor acquisition merger market "
    "markets share price prices inflation interest rate rates tax taxes currency dollar dollars euro "
    "euros million billion thousand percent percentage employee employees headcount staff hiring salary "
    "workforce management board director directors chairman executive officer president committee "
    "governance compliance audit auditor risk risks strategy strategic customer customers client "
    "clients supplier suppliers vendor product products service services sales marketing campaign brand "
    "brands retail wholesale store stores region regional europe asia america africa china india "
    "germany france japan brazil canada australia london paris berlin tokyo country countries global "
    "international domestic export exports import imports trade tariff logistics shipping freight "
    "warehouse inventory manufacturing factory plant plants production capacity supply chain quality "
    "safety energy oil gas solar wind power electricity carbon emissions climate sustainability "
    "environment water waste recycling healthcare hospital patient patients medicine drug drugs vaccine "
    "clinical trial trials disease cancer treatment doctor nurse research development innovation patent "
    "patents technology software hardware cloud digital platform mobile data security privacy "
    "artificial intelligence machine learning robot robots automation engineer engineering design "
    "project projects timeline milestone budgeted deadline contract contracts agreement lease insurance "
    "premium claim claims bank banking loan loans credit mortgage fund funds pension stock stocks bond "
    "bonds portfolio asset valuation goodwill depreciation amortization ebitda subsidiary segment "
    "segments division consolidated unaudited restructuring impairment lawsuit litigation settlement "
    "regulation regulatory government ministry policy policies law legal court election school schools "
    "university student students teacher teachers education course courses exam library museum city "
    "cities town village river mountain ocean island forest farm farmer farmers agriculture crop crops "
    "wheat rice corn coffee tea sugar milk cheese meat fish fruit vegetable vegetables bread kitchen "
    "recipe restaurant hotel hotels travel tourism tourist airport airline airlines flight flights "
    "passenger passengers train trains railway bus car cars truck trucks vehicle vehicles engine "
    "battery batteries road bridge bridges building buildings house houses housing apartment rent "
    "construction steel concrete wood glass paper plastic copper gold silver iron mining mine football "
    "basketball tennis olympic team teams player players coach season league match music concert film "
    "movie theatre artist painting history century ancient war army soldier king queen empire "
    "population census birth death age family families child children women men health sport weather "
    "rain snow storm temperature earthquake flood species animal animals bird birds horse dog cat tree "
    "trees flower planet moon star stars galaxy telescope satellite rocket astronaut physics chemistry "
    "biology mathematics protein gene genes cell cells brain heart blood bone skin eye eyes january "
    "february march april may june july august september october november december monday tuesday "
    "wednesday thursday friday saturday sunday spring summer autumn winter morning evening north south "
    "east west northern southern eastern western ceo cfo kpi roi gdp usa usd eur gbp net gross total "
    "average median year years month months week weeks chapter figure table appendix summary "
    "introduction conclusion agenda overview highlights appendix slide survey respondents satisfaction "
    "feedback complaint complaints refund warranty delivery orders invoice payment payments "
    "subscription subscribers users visitors traffic conversion retention churn bonus award awards "
    "partnership partners alliance competitor competitors competition startup founder founders venture"
).split()

_TAILS = (
    "ion",
    "er",
    "ing",
    "ment",
    "al",
    "ic",
    "ist",
    "ton",
    "son",
    "ville",
    "berg",
    "ford",
    "ia",
    "ex",
    "is",
    "or",
)
_HEADS = (
    "Bar",
    "Cal",
    "Del",
    "Ever",
    "Fal",
    "Gran",
    "Hal",
    "Jen",
    "Kor",
    "Lum",
    "Mar",
    "Nor",
    "Or",
    "Pel",
    "Quin",
    "Ros",
    "Sel",
    "Tor",
    "Ul",
    "Ver",
    "Wil",
    "Xan",
    "York",
    "Zen",
    "Ash",
    "Brook",
    "Cor",
    "Dun",
    "El",
    "Fer",
)
_MIDDLES = ("", "a", "i", "o", "an", "en", "er", "is", "ol", "um", "ran", "lin", "man", "dor", "tin", "vel")


def number(rng: random.Random) -> str:
    """Return a random number as in reports: a year, an amount, a percentage, a sum of money."""
    roll = rng.random()
    if roll < 0.4:
        return str(rng.randint(1950, 2049))
    if roll < 0.55:
        return f"{rng.randint(1, 999)}.{rng.randint(0, 99)}"
    if roll < 0.7:
        return f"{rng.randint(1, 99)}%"
    if roll < 0.85:
        return f"{rng.randint(1000, 9_999_999):,}"
    return f"${rng.randint(1, 999)}"


def name(rng: random.Random) -> str:
    """Return an invented proper name, a word that no dictionary contains."""
    return rng.choice(_HEADS) + rng.choice(_MIDDLES) + rng.choice(_TAILS)
