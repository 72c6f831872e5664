"""Writes responses as SGLang sends them, and what they hold.

Run by hand: python test/golden/trace/make_sglang.py
Made with numpy 2.4.6. The forms are those of `meta_info` of /generate, with and without `routed_experts_dtype`, of
`sgl_ext` in each choice, and of the parts with `expert_ids_schema` in `meta_info` and `sglext`. Beside them, sglang.json
says what each file holds.
"""

import base64
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "sglang"
E, K, L = 8, 2, 3  # layer 0 is dense: SGLang leaves its rows zero
rng = np.random.default_rng(12)


def routing(tokens):
    ids = np.stack([rng.permutation(E)[:K] for _ in range(tokens * L)]).reshape(tokens, L, K)
    ids[:, 0] = 0
    return ids


def raw(ids, dtype="<i4"):
    return base64.b64encode(np.ascontiguousarray(ids.astype(dtype)).tobytes()).decode()


def held(parts):
    """The trace of some sequences: (ids, tokens or None, first position, length of the prompt)."""
    return {
        "layers": [1, 2],
        "sequenceOffsets": np.cumsum([0] + [len(ids) for ids, *_ in parts]).tolist(),
        "tokenIds": [t for ids, tokens, *_ in parts for t in (tokens or [-1] * len(ids))],
        "positions": [start + r for ids, _, start, _ in parts for r in range(len(ids))],
        "phases": [int(start + r >= prompt) for ids, _, start, prompt in parts for r in range(len(ids))],
        "expertIndices": np.concatenate([ids[:, 1:].reshape(-1) for ids, *_ in parts]).tolist(),
    }


def write(name, value):
    (HERE / name).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def schema(inputs, outputs, prompt):
    return {
        "dtype": "int32", "layout": "row_major", "id_space": "logical_global", "num_layers": L, "top_k": K,
        "moe_layer_ids": [1, 2], "input_num_rows": inputs, "input_start_position": 0, "output_num_rows": outputs,
        "output_start_position": prompt - 1,
    }


def main():
    HERE.mkdir(exist_ok=True)
    expected = {}

    # /generate, two prompts: int32 without saying so, and uint8 that says it. Only the output's tokens are sent back.
    first, second = routing(5), routing(3)
    write("generate.json", [
        {"text": "a", "output_ids": [7, 8, 9], "meta_info": {"id": "0", "prompt_tokens": 3, "completion_tokens": 3,
         "cached_tokens": 0, "routed_experts": raw(first)}},
        {"text": "b", "output_ids": [5], "meta_info": {"id": "1", "prompt_tokens": 3, "completion_tokens": 1,
         "cached_tokens": 0, "routed_experts": raw(second, "u1"), "routed_experts_dtype": "uint8"}},
    ])
    expected["generate.json"] = held([(first, [-1, -1, -1, 7, 8], 0, 3), (second, [-1, -1, -1], 0, 3)])

    # /v1/completions: in each choice.
    ids = routing(6)
    write("choices.json", {
        "id": "1", "object": "text_completion", "model": "some/moe",
        "choices": [{"index": 0, "text": "c", "sgl_ext": {"routed_experts": raw(ids, "<u2"), "routed_experts_dtype": "uint16"}}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7},
    })
    expected["choices.json"] = held([(ids, None, 0, 4)])

    # Newer: prompt and output apart, with the sizes. The output's first row is that of the prompt's last token.
    ids = routing(6)
    write("parts.json", {
        "text": "d", "output_ids": [1, 2, 3], "meta_info": {"prompt_tokens": 4, "completion_tokens": 3,
        "input_expert_ids": raw(ids[:3]), "output_expert_ids": raw(ids[3:]), "expert_ids_schema": schema(3, 3, 4)},
    })
    expected["parts.json"] = held([(ids, [-1, -1, -1, -1, 1, 2], 0, 4)])

    # Newer, OpenAI routes: beside the choices, here of the output alone and with the token ids.
    ids = routing(3)
    write("sglext.json", {
        "model": "some/moe", "choices": [{"index": 0, "text": "e"}], "usage": {"prompt_tokens": 4, "completion_tokens": 3},
        "sglext": {"output_expert_ids": raw(ids), "expert_ids_schema": schema(0, 3, 4), "input_ids": [10, 11, 12, 13],
                   "output_ids": [[14, 15, 16]]},
    })
    expected["sglext.json"] = held([(ids, [13, 14, 15], 3, 4)])

    write("../sglang.json", expected)


main()
