"""Writes recordings as vLLM sends them, and what they hold.

Run by hand: python test/golden/trace/make_vllm.py
Made with numpy 2.4.6. The forms are those of vLLM's documentation of `routed_experts` (0.21 and 0.31), of Dynamo's
`{data, shape, dtype, start}` and of NeMo-RL's `nrlre1:`. Beside them, vllm.json says what each file holds.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "vllm"
E, K, L = 8, 2, 3  # layer 0 is dense: vLLM leaves its rows zero
rng = np.random.default_rng(11)


def routing(tokens):
    ids = np.stack([rng.permutation(E)[:K] for _ in range(tokens * L)]).reshape(tokens, L, K)
    ids[:, 0] = 0
    return ids


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return base64.b64encode(file.getvalue()).decode()


def raw(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def tokens(n):
    return rng.integers(0, 100, n).tolist()


def held(parts, layers):
    """The trace of some sequences: (ids without the dense layer, tokens or None, first position, prompt or None)."""
    ids = [part[0] for part in parts]
    return {
        "layers": layers,
        "sequenceOffsets": np.cumsum([0] + [len(i) for i in ids]).tolist(),
        "tokenIds": [t for i, part in zip(ids, parts) for t in (part[1] or [-1] * len(i))],
        "positions": [part[2] + r for i, part in zip(ids, parts) for r in range(len(i))],
        "phases": None
        if any(part[3] is None for part in parts)
        else [int(part[2] + r >= part[3]) for i, part in zip(ids, parts) for r in range(len(i))],
        "expertIndices": np.concatenate(ids).reshape(-1).tolist(),
    }


def write(name, value):
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) + "\n"
    (HERE / name).write_text(text)


def main():
    HERE.mkdir(exist_ok=True)
    expected = {}

    # Since 0.22: base64 of a .npy file for each choice, prompt and generation together, without the last token.
    lines, parts = [], []
    for prompt_length, generated_lengths in [(5, [4]), (3, [2, 1])]:
        prompt = tokens(prompt_length)
        choices = []
        for index, length in enumerate(generated_lengths):
            generated = tokens(length)
            ids = routing(prompt_length + length - 1)
            choices.append(
                {"index": index, "text": "", "finish_reason": "length", "prompt_token_ids": prompt, "token_ids": generated,
                 "routed_experts": npy(ids.astype(np.uint8))}
            )
            parts.append((ids[:, 1:], (prompt + generated)[:-1], 0, prompt_length))
        lines.append({"id": "cmpl-1", "object": "text_completion", "model": "TitanML/tiny-mixtral", "choices": choices})
    write("base64.jsonl", "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    expected["base64.jsonl"] = held(parts, [1, 2])

    # 0.21: nested lists of the layers with experts alone; the prompt beside the choices; cached tokens are -1.
    prompt, generated = tokens(6), tokens(3)
    ids = routing(9)[:, 1:]
    cached = ids[:6].copy()
    cached[:2] = -1
    write("nested.json", {
        "model": "m", "prompt_routed_experts": cached.tolist(), "prompt_token_ids": prompt,
        "choices": [{"index": 0, "token_ids": generated, "routed_experts": ids[6:].tolist()}],
    })
    expected["nested.json"] = held([(ids[2:], (prompt + generated)[2:], 2, 6)], [0, 1])

    # Dynamo: bare bytes with shape, type and the position of the first row.
    prompt, generated = tokens(5), tokens(3)
    ids = routing(5)
    write("dynamo.json", {"model": "m", "prompt_token_ids": prompt, "choices": [{"index": 0, "token_ids": generated,
          "routed_experts": {"data": raw(ids.astype("<i2")), "shape": list(ids.shape), "dtype": "int16", "start": 2}}]})
    expected["dynamo.json"] = held([(ids[:, 1:], (prompt + generated)[2:-1], 2, 5)], [1, 2])

    # NeMo-RL: the sizes before the bytes; a row of -1 is missing, here in the middle. No token ids were asked for.
    ids = routing(6)
    sent = ids.copy()
    sent[2] = -1
    write("nemo.json", {"model": "m", "choices": [{"routed_experts": f"nrlre1:int32:6x{L}x{K}:" + raw(sent.astype("<i4"))}]})
    expected["nemo.json"] = held([(ids[:2, 1:], None, 0, None), (ids[3:, 1:], None, 3, None)], [1, 2])

    # The first form: the array of the Python class, saved with numpy.
    ids = routing(4)
    np.save(HERE / "array.npy", ids.astype(np.int32))
    np.savez_compressed(HERE / "array.npz", routed_experts=ids.astype(np.uint16))
    expected["array.npy"] = expected["array.npz"] = held([(ids[:, 1:], None, 0, None)], [1, 2])

    write("../vllm.json", expected)


main()
