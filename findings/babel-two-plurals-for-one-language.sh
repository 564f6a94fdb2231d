#!/usr/bin/env bash
# Babel: the plural formula that it writes into a PO file and its own CLDR rule disagree for more than
# one language in five of those it has a formula for; for all others it writes English's.
#
# Guess: Babel is built on CLDR, so `Catalog(locale="he").num_plurals` and its formula say the same as
# `Locale("he").plural_form`: as many forms for whole numbers, and the same numbers in each.
# Seen, Babel 2.18.0: of the 66 languages with a formula that Locale knows, too, 15 differ on 0 to 1,000.
# Hebrew has two forms in PO and three in CLDR, Welsh five and six, Maltese four and five; Persian, Hungarian,
# Armenian, Georgian and Turkish have one in PO and two in CLDR; Breton has six and four; in Latvian zero is a form for 0 alone in PO, and for 0, 10 to
# 20, 30, … in CLDR; Portuguese, Hindi, Bengali and Punjabi count 0 with the many in PO and with 1 in CLDR.
# A language without a formula gets "2 forms, n != 1" without a word: Scottish Gaelic (four categories for
# whole numbers) and Indonesian (one) among them.
# Whom it hurts: who moves plurals between gettext and what is keyed by CLDR's categories (Android, .xcstrings,
# ICU, ARB, Fluent, i18next) by Babel's tables: forms are lost, doubled, or said of the wrong numbers. The
# Plural-Forms header of the file at hand must be evaluated for each number instead, and what has no partner
# must be told.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet babel==2.18.0
"$place/venv/bin/python" - <<'PY'
import gettext

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.plurals import PLURALS


def partition(rule):
    """The whole numbers up to 1,000, each kind together."""
    kinds = {}
    for number in range(1001):
        kinds.setdefault(rule(number), []).append(number)
    return sorted(kinds.values())


def both(language):
    catalog = Catalog(locale=language)
    return partition(gettext.c2py(catalog.plural_expr)), partition(Locale.parse(language).plural_form)


known = []
for language in sorted(PLURALS):
    try:
        Locale.parse(language)
        known.append(language)
    except UnknownLocaleError:
        pass
differ = {}
for language in known:
    written, cldr = both(language)
    if written != cldr:
        differ[language] = (len(written), len(cldr))
print(f"{len(known)} languages with a formula; PO and CLDR differ for {len(differ)}:")
print(", ".join(f"{language} {written}/{cldr}" for language, (written, cldr) in differ.items()))
for language in ("gd", "id"):
    written, cldr = both(language)
    print(f"{language}, without a formula: {len(written)} forms in PO, {len(cldr)} in CLDR")
    differ[language] = (len(written), len(cldr))
assert len(known) == 66, len(known)
assert differ == {
    "bn": (2, 2), "br": (6, 4), "cy": (5, 6), "fa": (1, 2), "fur": (2, 2), "he": (2, 3), "hi": (2, 2), "hu": (1, 2),
    "hy": (1, 2), "ka": (1, 2), "lv": (3, 3), "mt": (4, 5), "pa": (2, 2), "pt": (2, 2), "tr": (1, 2),
    "gd": (2, 4), "id": (2, 1),
}, differ
PY
