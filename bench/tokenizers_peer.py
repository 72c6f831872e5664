"""What Python's tokenizers and transformers make of texts and conversations: stdin and stdout are JSON, see tokenizers.ts."""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


def written(tokenizer, config, chats):
    named = {name: config[name] for name in TOKENS if config.get(name)}
    named = {name: token["content"] if isinstance(token, dict) else token for name, token in named.items()}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=config["chat_template"], **named)
    for messages in chats:
        try:
            text = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            yield fast(text, add_special_tokens=False).input_ids
        except Exception as error:  # the template's own refusal
            yield str(error)


asked = json.load(sys.stdin)
folder = Path(asked["folder"])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_truncation()
tokenizer.no_padding()
path = folder / "tokenizer_config.json"
config = json.loads(path.read_text()) if path.exists() else {}
ids = [encoding.ids for encoding in tokenizer.encode_batch(asked["texts"])]
texts = [tokenizer.decode(row, skip_special_tokens=False) for row in ids]
chats = list(written(tokenizer, config, asked["chats"])) if isinstance(config.get("chat_template"), str) else None
json.dump({"ids": ids, "texts": texts, "chats": chats}, sys.stdout)
