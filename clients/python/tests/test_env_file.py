from __future__ import annotations

import pytest

from splitvault import ConfigurationError
from splitvault._env_file import parse
from splitvault._hidden import Hidden


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=b\n", {"A": "b"}),
        ("# comment\n\n  export A = b c \r\nB=\n", {"A": "b c", "B": ""}),
        ("A='$HOME # \\n\n`x`'\n", {"A": "$HOME # \\n\n`x`"}),
        ('A="\\n\\t\\"\\\\\\$x" # comment\n', {"A": '\n\t"\\$x'}),
        ("A=p$ss#w", {"A": "p$ss#w"}),
        ("A=${B}\nB=1", {"A": "${B}", "B": "1"}),
        ("A=sv://dev/db/password#user@previous", {"A": "sv://dev/db/password#user@previous"}),
        ("", {}),
    ],
)
def test_values_stay_byte_for_byte(text: str, values: dict[str, str]) -> None:
    assert {name: value.expose() for name, value in parse(Hidden(text)).items()} == values


@pytest.mark.parametrize(
    "text",
    [
        "s3cret",
        "1A=s3cret",
        "X=1\nA='s3cret",
        'A="s3cret',
        'A="s3cret\\q"',
        "A=s3cret # c",
        "A=`s3cret`",
        "A='s3cret'x",
    ],
)
def test_error_names_the_line_and_not_the_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"line {2 if 'X=1' in text else 1} ") as refused:
        parse(Hidden(text))
    assert "s3cret" not in str(refused.value)
    assert refused.value.__context__ is None


def test_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="line 2"):
        parse(Hidden("A=1\nA=2\n"))
