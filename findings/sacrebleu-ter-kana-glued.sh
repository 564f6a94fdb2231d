#!/usr/bin/env bash
# The guess, before looking: sacreBLEU's TER with normalized and asian_support cuts Japanese so that no word is a whole
# sentence. The source says how: kanji one by one, and runs of hiragana and of katakana are split "only when
# adjacent to something else", which is: katakana before hiragana, kana beside Latin letters or digits. So
# データをUSBメモリへコピーする has about seven words (データ を USB メモリ へ コピー する), and a slip in one of them costs one
# of seven.
#
# What it does (2.6.0): the three patterns for kana have their ^ in front of the brackets, (^|^[\u3040-\u309f]), where it
# means the beginning of the text and not "anything but". They want a text that is one run of kana from its beginning
# to its end; but the step before has put a space at both ends of it, so that they never match at all. What stands
# between kanji, punctuation and spaces stays one word, whatever it is made of: a sentence without kanji is one word, and
# one wrong character in it makes TER 100, as without asian_support. Strings of user interfaces, loan words with
# particles (コーヒーを) and names of products (iPhoneを) are hit most; the signature says asian:yes all the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sacrebleu==2.6.0
cat > "$folder/look.py" <<'PY'
import sys

from sacrebleu.metrics import TER

TEXTS = ["データをUSBメモリへコピーする", "コーヒーを", "iPhoneを", "ありがとうございます", "ファイル3つをダウンロード中"]
ter, plain = TER(normalized=True, asian_support=True), TER(normalized=True)


def cut(text):
    words = ter.tokenizer(text).split()
    print(f"{text}: {words}")
    return words


print("kanji:", cut("私達学生") == list("私達学生"))
glued = [cut(text) for text in TEXTS]
reference, output = "データをUSBメモリへコピーする", "データをUSBメモリーへコピーする"
scores = [metric.corpus_score([output], [[reference]]).score for metric in (ter, plain)]
print(f"one character too many in {len(reference)}: TER {scores[0]:.1f} with asian_support, {scores[1]:.1f} without")
ter.get_signature()
if not (all(len(words) == 1 for words in glued[:4]) and scores == [100.0, 100.0]):
    sys.exit("kana are told apart now")
print("as described")
PY
"$folder/venv/bin/python" "$folder/look.py"
