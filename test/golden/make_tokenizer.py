"""Writes tokenizer.json: what Python's `tokenizers` makes of small corpora and hard strings.

Run by hand: python test/golden/make_tokenizer.py
Made with tokenizers 0.23.3.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# lib/train/bpe.ts's SPLIT_PATTERN.
SPLIT = (
    r"'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = [
    "The expert that is asked is the expert that answers; the others rest.",
    "she's sure they'll say we've seen what you're after, isn't it? IT'S",
    "aaaa aaa aa a aaaaa\n\n\nbbbb bb\tbb   bb\r\nabab ababab ba",
    "1234 + 5678 = 6912, 10 * 10 = 100",
    "専門家は選ばれた専門家だけが答える。他の専門家は休む。",
    "für die Straße, año, œuvre, naïve café",
    "if (expert !== null) {\n    return expert.answer(token);\n}\n",
] * 2

# Pairs that are equally frequent, so that only the rule for ties decides.
TIES = ["ab cd ef gh", "zyx xyz yzx", "ba dc fe hg", "abcabc cbacba"]

HARD = [
    "",
    " ",
    "The experts answered.",
    "  two spaces, trailing  ",
    "line\nline\r\nline\n\n\tend\n",
    "don't DON'T we'll we’ll",
    "3.14159 and 1,234,567 and ½ and ١٢٣",
    "日本語の文、専門家。ｶﾅ",
    "한국어 조합",
    "مرحبا بالعالم",
    "שלום עולם",
    "👩‍👩‍👧‍👦 family, 🇯🇵 flag, 👍🏽",
    "e\u0301 and \u00e9, A\u030a and \u00c5",
    "nul \x00 bell \x07 escape \x1b[0m",
    "next line \x85 no-break \xa0 line sep \u2028 bom \ufeff zero \u200b ideographic\u3000space",
    "<|endoftext|>",
    "before<|endoftext|>after",
    "\u0130stanbul, \u017ft, \u1e9e, \u01c5",
    "\U0001d573\U0001d58a\U0001d591\U0001d591\U0001d594",
    "a" * 50 + " " * 50 + "\n" * 50,
]


def byte_level(corpus, size, specials=("<|endoftext|>",)):
    """A byte-level BPE as lib/train/bpe.ts trains it, by the package's own trainer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def metaspace(corpus, size):
    """A BPE in the form of Llama's and Mixtral's: spaces as U+2581, unknown characters as bytes, <s> before the text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=60,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    # Trained as special so that they are there; in use only the first three are control tokens.
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = spec["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def case(tokenizer, text):
    ids = tokenizer.encode(text).ids
    return {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}


def trained(corpus, size):
    spec = json.loads(byte_level(corpus, size).to_str())
    return {"corpus": corpus, "size": size, "vocab": spec["model"]["vocab"], "merges": spec["model"]["merges"]}


def golden():
    byte = byte_level(CORPUS, 400)
    byte.add_tokens([AddedToken("<|tool|>", special=False)])
    meta = metaspace(CORPUS, 500)
    return {
        "split": SPLIT,
        "trained": [trained(CORPUS, 400), trained(TIES, 300), trained(["ab"], 400)],
        "byteLevel": {"json": json.loads(byte.to_str()), "cases": [case(byte, t) for t in [*HARD, "a <|tool|> call"]]},
        "metaspace": {"json": json.loads(meta.to_str()), "cases": [case(meta, t) for t in HARD if "<|" not in t]},
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("tokenizer.json")
    path.write_text(json.dumps(golden(), ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")
