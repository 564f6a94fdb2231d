import pytest

from atonce.studies.html import language_name


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("de", "German"),
        ("zh-Hans", "Chinese (Simplified)"),
        ("pt_BR", "Portuguese (Brazil)"),
        ("qqq", "qqq"),
        ("", ""),
    ],
)
def test_languages_have_english_names(tag: str, name: str) -> None:
    assert language_name(tag) == name
