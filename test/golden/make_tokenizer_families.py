"""Writes tokenizer_families.json: tokenizers in the forms of the families, small ones, and what Python makes of them.

Run by hand: python test/golden/make_tokenizer_families.py
Made with tokenizers 0.23 and transformers 5.18. Each form is the pipeline of a family's published tokenizer.json
(normalizer, pre-tokenizer, model, post-processor, decoder), trained on the corpus of make_tokenizer.py; its chat template
is ours, and uses the parts of the template language that the published one uses.
"""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from make_tokenizer import CORPUS, HARD

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level_bpe(pre, specials, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=380, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    return tokenizer


def split_then_bytes(*patterns):
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_fallback_bpe(normalizer, decoder, specials, pre=None):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.Sequence(decoder)
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=420, special_tokens=[*specials, *BYTES], limit_alphabet=60, show_progress=False
        ),
    )
    # The bytes are trained as special so that they are there; in use they are no control tokens.
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = spec["added_tokens"][: len(specials)]
    return Tokenizer.from_str(json.dumps(spec))


def around(tokenizer, single, names):
    tokens = [(name, tokenizer.token_to_id(name)) for name in names]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=tokens)
    return tokenizer


def gpt2():
    return byte_level_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), ["<|endoftext|>"])


def qwen():
    pattern = ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + REST
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return byte_level_bpe(split_then_bytes(pattern), specials, normalizers.NFC())


def gpt_oss():
    words = rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{ENDINGS}?|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{ENDINGS}?"
    pattern = words + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + REST
    return byte_level_bpe(split_then_bytes(pattern), ["<|startoftext|>", "<|return|>", "<|start|>", "<|message|>", "<|end|>"])


def deepseek():
    cjk = r"[一-龥぀-ゟ゠-ヿ]+"
    rest = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + REST
    specials = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"]
    tokenizer = byte_level_bpe(split_then_bytes(r"\p{N}{1,3}", cjk, rest), specials)
    return around(tokenizer, f"{specials[0]} $A", specials[:1])


def llama():
    tokenizer = byte_fallback_bpe(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)],
        ["<unk>", "<s>", "</s>"],
    )
    return around(tokenizer, "<s> $A", ["<s>"])


def gemma():
    tokenizer = byte_fallback_bpe(
        normalizers.Replace(" ", "▁"),
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()],
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
        pre_tokenizers.Split(" ", "merged_with_previous"),
    )
    return around(tokenizer, "<bos> $A", ["<bos>"])


def mt5():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return around(tokenizer, "$A </s>", ["</s>"])


CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""

BRACKETS = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{% else %}{% set system = false %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}"
    "{% if loop.first and system != false %}{% set text = '<<' + system.strip() + '>>\\n' + message['content'] %}"
    "{% else %}{% set text = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[Q] ' + text.strip() + ' [/Q]' }}"
    "{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

TURNS = """{{ bos_token }}
{%- for message in messages %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<start_of_turn>' ~ role ~ '\\n' ~ (message.content | trim) ~ '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

COLLECTED = (
    "{% set ns = namespace(system='', first=true) %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system = ns.system + ('' if ns.first else '\\n\\n') + message['content'] %}{% set ns.first = false %}"
    "{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}"
    "{%- for message in messages %}{%- if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
    "{%- elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + eos_token }}"
    "{%- endif %}{%- endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)

CHANNELS = """{%- macro said(role, content) -%}
<|start|>{{ role }}<|message|>{{ content }}<|end|>
{%- endmacro -%}
{%- for message in messages -%}
{{ said('developer' if message.role == 'system' else message.role, message.content) }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|start|>assistant{%- endif -%}"""

FORMS = {
    "gpt2": (gpt2, None, {}),
    "qwen3moe": (qwen, CHATML, {"eos_token": "<|im_end|>"}),
    "gptoss": (gpt_oss, CHANNELS, {}),
    "deepseek": (deepseek, COLLECTED, {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}),
    "llama": (llama, BRACKETS, {"bos_token": "<s>", "eos_token": "</s>"}),
    "gemma": (gemma, TURNS, {"bos_token": "<bos>", "eos_token": "<eos>"}),
    "mt5": (mt5, None, {}),
}

CHATS = [
    [{"role": "user", "content": "Which expert is asked?"}],
    [
        {"role": "system", "content": " Answer briefly.\n"},
        {"role": "user", "content": "12 + 30?\n"},
        {"role": "assistant", "content": "42"},
        {"role": "user", "content": "専門家は？ {{ messages }} 👍🏽"},
    ],
    [{"role": "user", "content": ""}],
]


def chats(tokenizer, template, tokens):
    if template is None:
        return None
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **tokens)
    made = []
    for messages in CHATS:
        text = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        made.append({"messages": messages, "ids": fast(text, add_special_tokens=False).input_ids})
    return made


def form(make, template, tokens):
    tokenizer = make()
    texts = [text for text in HARD if "<|" not in text]
    texts += ["\ufeff's", "a \ufeff\ufeff b", "  \u0085.", "\u0085\u0085x"]  # white space to JavaScript, or to Unicode alone
    cases = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    config = {**tokens, **({} if template is None else {"chat_template": template})}
    return {"json": json.loads(tokenizer.to_str()), "config": config, "cases": cases, "chats": chats(tokenizer, template, tokens)}


if __name__ == "__main__":
    path = Path(__file__).with_name("tokenizer_families.json")
    golden = {name: form(*parts) for name, parts in FORMS.items()}
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
