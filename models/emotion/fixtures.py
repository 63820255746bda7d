"""Writes what the Rust tests compare with: `python fixtures.py`.

- `tests/fixtures/emotion/tokenizer_strings.jsonl`: 360 tricky strings and the ids that Python's tokenizers gives them.
- `tests/fixtures/emotion/scores.jsonl`: about 130 texts and their probabilities, of danger too, from Python's onnxruntime.
"""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer

import danger
from data import LABELS
from evaluate import Scorer, softmax
from tokenizer import read_emoji

HERE = Path(__file__).parent
TO = HERE.parents[1] / "tests/fixtures/emotion"
COUNT = 360
BASE = (
    "", " ", "   ", "\t", "\n", "\r\n", "a", "I", "?", "!!!", "...", "…", ":)", ":(", ":-D", "<3", "xD", "¯\\_(ツ)_/¯", "^_^", "o_O",
    "i'm fine.", "I'M FINE!!!", "im fine", "I’m fine…", "don't", "dont", "don’t", "can't've", "it´s", "it`s", "rock'n'roll",
    "not happy at all", "so soooooo happyyyy", "u ok?", "idk tbh lol", "wyd rn", "gr8 m8", "l8r", "2nite", "h4ppy", "w/e", "b/c",
    "state-of-the-art", "e-mail@example.com", "https://example.com/a?b=c&d=%20#e", "www.example.com", "@friend_bot", "#mood", "/start",
    "/help@my_bot arg", "C++", "C#", ".NET", "node.js", "3.14", "1,000,000", "12:30", "50%", "$5", "€5", "£5.00", "1e-9", "0x1F", "½", "x²",
    "naïve café", "NAÏVE CAFÉ", "façade", "Zürich", "Ñandú", "Łódź", "Ærø", "ŒUVRE", "straße", "STRASSE", "İstanbul", "ıI", "ﬁne", "ﬃ", "Å", "A\u030a",
    "e\u0301", "n\u0303", "a\u0300\u0301\u0302\u0303", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "привет, как дела?", "Как ты? Нормально!", "йод", "Ёлка", "γειά σου", "ΣΊΣΥΦΟΣ", "שלום", "مرحبا كيف حالك", "مُحَمَّد", "سلام\u200cعلیکم", "हैलो", "ไทยง่าย",
    "你好", "你好吗", "我很开心!", "今日は悲しい", "カタカナ", "ひらがな", "ﾊﾝｶｸ", "안녕하세요", "한국어 텍스트", "混合 mixed 文本 text", "𠀀𠀁", "㐀", "々",
    "\u200b", "a\u200bb", "\u200d", "a\u200db", "\ufeffhello", "hello\ufeff", "\u00a0", "a\u00a0b", "a\u2003b", "a\u3000b", "a\u2028b", "a\u0085b", "\u202eabc", "a\u00adb",
    "\x00", "a\x00b", "a\x01b", "\x7f", "a\x1bb", "\ufffd", "a\ufffdb", "\ue000", "a\ue000b", "\U000e0001", "a\ufe0f", "1\ufe0f\u20e3",
    "😀", "happy😊", "😊happy", "😭😭😭", "lol😂😂 no", "❤️", "❤", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🤷‍♀️", "🦖", "x🦖y", "🫠", "⌚", "©", "™", "①", "①②③", "№", "→", "x→y", "░▒▓",
    "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[unused0]", "[unused5] hi", "hi [SEP] there", "[cls]", "[ MASK ]", "<s>", "</s>", "<|endoftext|>", "##ing", "## ing", "a##b",
    "a" * 99, "a" * 100, "a" * 101, "ab" * 60, "ha" * 50, "ha" * 51, "!" * 200, "😂" * 100, "😂" * 101, "word " * 200, "don't " * 60, "你" * 200, "\u0301" * 50,
    "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis", "Donaudampfschifffahrtsgesellschaft", "aaaaaaaaaaaargh", "nooooooooooo!!!!!",
    "line one\nline two", "tab\tseparated", "  leading", "trailing  ", "many   spaces   inside", "He said: \"why?\"", "(parens) [brackets] {braces}", "a_b_c", "snake_case_word",
    "path/to/file.txt", "C:\\Windows\\System32", "<b>bold</b>", "&amp;", "'; DROP TABLE users; --", "{{template}}", "${HOME}", "`code`", "**bold**", "~~no~~", "1️⃣2️⃣",
    "\u1e9b\u0323", "ǆ", "Ǆ", "ŉ", "ſ", "K", "Ω", "ﷺ", "𝓗𝓮𝓵𝓵𝓸", "ｆｕｌｌ ｗｉｄｔｈ！", "ⓗⓔⓛⓛⓞ", "ᴴᴱᴸᴸᴼ", "H̶e̶l̶l̶o̶", "\u0e33", "\u0958", "\ud55c\uae00", "\u1112\u1161\u11ab",
)
PIECES = ("i", "am", "not", "HAPPY", "sad…", "😭", "🙂", "don’t", "naïve", "你好", "привет", "שלום", "\u200b", "\t", "\n", "lol", "!!!", "?!", ":(", "🤷🏽‍♂️",
          "\u0301", "x" * 30, "soooo", "u", "r", "42", "#tag", "@me", "…", "—", "–", "“quote”", "‘q’", "\u00a0", "한", "ﬁ", "[MASK]", "İ", "ß", "\x00", "🦖", "##ly", "don't", "u.s.a.")


def tricky_strings() -> list[str]:
    """The written ones, every emoji of the vocabulary glued to a word, and seeded mixtures up to `COUNT`."""
    rng = random.Random(3)
    strings = list(dict.fromkeys(BASE))
    strings += [f"ok{emoji} {emoji}" for emoji, _, _ in read_emoji()[::3]]
    while len(strings) < COUNT:
        glue = rng.choice((" ", " ", "", "  "))
        text = glue.join(rng.choice(PIECES) for _ in range(rng.randrange(1, rng.choice((4, 8, 20, 200)))))
        if text not in strings:
            strings.append(text)
    return strings[:COUNT]


def main() -> None:
    TO.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    write(TO / "tokenizer_strings.jsonl", [{"text": text, "ids": tokenizer.encode(text).ids} for text in tricky_strings()])
    if not (HERE / "model.onnx").exists():
        return print("no model.onnx yet: only the tokenizer's fixture was written")
    cases = [json.loads(line)["text"] for line in (HERE / "behaviour.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = cases[::4][:70] + tricky_strings()[::17] + [row.text for row in danger.rows("dev")[::10]]
    scorer = Scorer(HERE)
    rows = [{"text": text, "probabilities": named(LABELS, row), "danger": named(danger.CLASSES[1:], of_danger[1:])}
            for text, row, of_danger in zip(texts, scorer.probabilities(texts), softmax(scorer.run(texts, "danger")))]
    write(TO / "scores.jsonl", rows)


def named(names: tuple[str, ...], values) -> dict[str, float]:
    return dict(zip(names, (round(float(value), 7) for value in values)))


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8")
    print(f"{path.relative_to(HERE.parents[1])}: {len(rows)} lines")


if __name__ == "__main__":
    main()
