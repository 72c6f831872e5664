"""Writes tiny random Grok-1 checkpoints in the names of its two ports, and what the maths of xAI's JAX code gives.

Run by hand: python test/golden/families/make_grok.py
transformers has no Grok-1. `forward` is NumPy in float64 over weights in the release's layout (matrices [in, out], one
embedding for both ends); the checkpoints hold them in float32, turned to [out, in]. Files as in make_families.py.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent

MODELS = {
    # Llama's module names; a cap that bites hard, grouped queries; tied, no unembedding in the file.
    "grok": dict(seed=11, vocab=39, d=16, heads=4, kv=2, layers=2, experts=5, k=2, ff=7, ctx=24, scale=0.9, cap=2.0,
                 embed_scale=1.6, out_scale=0.6, eps=1e-5, port="grok-1"),
    # The release's names; scores up to the cap of 30, which the file leaves out; an unembedding beside the embedding.
    "grok-release": dict(seed=12, vocab=33, d=18, heads=3, kv=1, layers=2, experts=8, k=3, ff=5, ctx=24, scale=6.0,
                         cap=30.0, embed_scale=4.2, out_scale=0.577, eps=1e-5, port="grok"),
}
BATCH, POS = 2, 9
ROPE_BASE = 10000


def parameters(m):
    """Random weights by the release's names, a list for each layer."""
    rng = np.random.default_rng(m["seed"])
    head = m["d"] // m["heads"]

    def matrix(*shape, gain=1.2):
        return (rng.normal(size=shape) * gain / shape[-2] ** 0.5).astype(np.float32)

    def layer():
        experts, d, ff = m["experts"], m["d"], m["ff"]
        return {
            **{f"rms_norm{n}": scale() for n in ["", "_1", "_2", "_3"]},
            "query": matrix(d, m["heads"] * head),
            "key": matrix(d, m["kv"] * head),
            "value": matrix(d, m["kv"] * head),
            "linear": matrix(m["heads"] * head, d),
            "router": matrix(d, experts, gain=2.0),
            "moe/linear": matrix(experts, d, ff),
            "moe/linear_v": matrix(experts, d, ff),
            "moe/linear_1": matrix(experts, ff, d),
        }

    def scale():
        return rng.uniform(0.5, 1.5, m["d"]).astype(np.float32)

    embeddings = rng.normal(size=(m["vocab"], m["d"])).astype(np.float32)
    return {"embeddings": embeddings, "layers": [layer() for _ in range(m["layers"])], "rms_norm": scale()}, rng


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x):
    """jax.nn.gelu as called without arguments: the tanh approximation."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def forward(w, ids, m):
    """Every hook outside experts under its name (lib/hooks.ts)."""
    values = {}
    batch, pos = ids.shape
    head, group = m["d"] // m["heads"], m["heads"] // m["kv"]

    def keep(name, value):
        values[name] = value
        return value

    def rms_norm(x, scale, name=None):
        divisor = np.sqrt((x**2).mean(-1, keepdims=True) + m["eps"])
        out = x / divisor * scale.astype(np.float64)
        if name is not None:
            keep(f"{name}.hook_scale", divisor)
            keep(f"{name}.hook_normalized", out)
        return out

    phase = np.arange(pos)[:, None] * ROPE_BASE ** -(np.arange(0, head, 2) / head)
    phase = np.tile(phase, 2)[:, None]  # [pos, 1, head]

    def rotate(x):
        first, second = np.split(x, 2, -1)
        return x * np.cos(phase) + np.concatenate([-second, first], -1) * np.sin(phase)

    def attention(x, p, name):
        q = keep(f"{name}.hook_q", (x @ p["query"]).reshape(batch, pos, m["heads"], head))
        k = keep(f"{name}.hook_k", (x @ p["key"]).reshape(batch, pos, m["kv"], head))
        v = keep(f"{name}.hook_v", (x @ p["value"]).reshape(batch, pos, m["kv"], head))
        q, k = keep(f"{name}.hook_rot_q", rotate(q)), keep(f"{name}.hook_rot_k", rotate(k))
        grouped = q.reshape(batch, pos, m["kv"], group, head)
        logits = np.einsum("bthgd,bThd->bhgtT", grouped, k) * m["scale"]
        logits = m["cap"] * np.tanh(logits / m["cap"])
        logits = np.where(np.tri(pos, dtype=bool), logits, -np.inf)
        weights = softmax(logits)
        flat = (batch, m["heads"], pos, pos)
        keep(f"{name}.hook_attn_scores", logits.reshape(flat))
        keep(f"{name}.hook_pattern", weights.reshape(flat))
        z = np.einsum("bhgtT,bThd->bthgd", weights, v)
        keep(f"{name}.hook_z", z.reshape(batch, pos, m["heads"], head))
        return z.reshape(batch, pos, -1) @ p["linear"]

    def mixture(x, p, name):
        logits = keep(f"{name}.hook_router_logits", x @ p["router"])
        probs = keep(f"{name}.hook_router_probs", softmax(logits))
        chosen = keep(f"{name}.hook_expert_indices", np.argsort(-probs, -1, "stable")[..., : m["k"]])
        gates = keep(f"{name}.hook_expert_weights", np.take_along_axis(probs, chosen, -1))
        hidden = gelu(np.einsum("btd,edf->btef", x, p["moe/linear"])) * np.einsum("btd,edf->btef", x, p["moe/linear_v"])
        every = np.einsum("btef,efd->bted", hidden, p["moe/linear_1"])
        out = keep(f"{name}.hook_expert_out", np.take_along_axis(every, chosen[..., None], 2))
        return (gates[..., None] * out).sum(2)

    h = keep("hook_embed", w["embeddings"][ids].astype(np.float64) * m["embed_scale"])
    for l, p in enumerate(w["layers"]):
        p = {name: value.astype(np.float64) for name, value in p.items()}
        name = f"blocks.{l}"
        keep(f"{name}.hook_resid_pre", h)
        attended = attention(rms_norm(h, p["rms_norm"], f"{name}.ln1"), p, f"{name}.attn")
        h = keep(f"{name}.hook_resid_mid", h + keep(f"{name}.hook_attn_out", rms_norm(attended, p["rms_norm_1"])))
        mixed = mixture(rms_norm(h, p["rms_norm_2"], f"{name}.ln2"), p, f"{name}.mlp")
        h = keep(f"{name}.hook_resid_post", h + keep(f"{name}.hook_mlp_out", rms_norm(mixed, p["rms_norm_3"])))
    keep("logits", rms_norm(h, w["rms_norm"], "ln_final") @ w["embeddings"].T.astype(np.float64) * m["out_scale"])
    return values


def llama_names(w):
    """The port that calls its modules as Llama's."""
    tensors = {"model.embed_tokens.weight": w["embeddings"], "model.norm.scale": w["rms_norm"]}
    for l, p in enumerate(w["layers"]):
        layer = f"model.layers.{l}"
        for norm, ours in [("pre_attn", ""), ("post_attn", "_1"), ("pre_moe", "_2"), ("post_moe", "_3")]:
            tensors[f"{layer}.{norm}_norm.scale"] = p[f"rms_norm{ours}"]
        for port, ours in [("q", "query"), ("k", "key"), ("v", "value"), ("o", "linear")]:
            tensors[f"{layer}.attn.{port}_proj.weight"] = p[ours].T
        tensors[f"{layer}.moe_block.gate.weight"] = p["router"].T
        for matrix in ["linear", "linear_v", "linear_1"]:
            for e, expert in enumerate(p[f"moe/{matrix}"]):
                tensors[f"{layer}.moe_block.experts.{e}.{matrix}.weight"] = expert.T
    return tensors


def release_names(w):
    """The port that keeps the release's names, with an unembedding of its own."""
    tensors = {"transformer.in_out_embed.weight": w["embeddings"], "transformer.rms_norm.weight": w["rms_norm"]}
    tensors["lm_head.weight"] = w["embeddings"].copy()
    for l, p in enumerate(w["layers"]):
        layer = f"transformer.decoder_layer.{l}"
        for norm in ["rms_norm", "rms_norm_1", "rms_norm_2", "rms_norm_3"]:
            tensors[f"{layer}.{norm}.weight"] = p[norm]
        for matrix in ["query", "key", "value", "linear"]:
            tensors[f"{layer}.multi_head_attention.{matrix}.weight"] = p[matrix].T
        tensors[f"{layer}.router.weight"] = p["router"].T
        for matrix in ["linear", "linear_v", "linear_1"]:
            for e, expert in enumerate(p[f"moe/{matrix}"]):
                tensors[f"{layer}.moe.{e}.{matrix}.weight"] = expert.T
    return tensors


def configuration(m):
    config = {
        "model_type": m["port"], "vocab_size": m["vocab"], "hidden_size": m["d"], "intermediate_size": m["ff"],
        "num_hidden_layers": m["layers"], "num_attention_heads": m["heads"], "num_key_value_heads": m["kv"],
        "attn_output_multiplier": m["scale"], "embedding_multiplier_scale": m["embed_scale"],
        "output_multiplier_scale": m["out_scale"], "max_position_embeddings": m["ctx"], "rms_norm_eps": m["eps"],
        "tie_word_embeddings": True, "num_experts_per_tok": m["k"], "router_aux_loss_coef": 0.001,
    }
    if m["port"] == "grok-1":
        return {**config, "max_attn_value": m["cap"], "num_experts": m["experts"]}
    return {**config, "num_local_experts": m["experts"], "hidden_act": "gelu", "attention_dropout": 0.0}


def main():
    for name, m in MODELS.items():
        w, rng = parameters(m)
        ids = rng.integers(1, m["vocab"], (BATCH, POS))  # token 0 is padding, whose keys the JAX code masks
        values = forward(w, ids, m)
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(configuration(m), indent=2) + "\n")
        tensors = llama_names(w) if m["port"] == "grok-1" else release_names(w)
        save_file({key: np.ascontiguousarray(x) for key, x in tensors.items()}, folder / "model.safetensors")
        stored = {key: np.ascontiguousarray(x, np.float32) for key, x in values.items()}
        for key in stored:
            if key.endswith("indices"):
                stored[key] = values[key].astype(np.int32)
        save_file({"ids": ids.astype(np.int32), **stored}, HERE / f"{name}.values.safetensors")
        report(name, m, values, folder)


def report(name, m, values, folder):
    """What makes the golden worth something: no choice is a near-tie, sums of weights differ, the cap bites."""
    probs = np.concatenate([x.reshape(-1, m["experts"]) for key, x in values.items() if key.endswith("router_probs")])
    gap = np.diff(np.sort(-probs, -1), axis=-1)[:, : m["k"]].min()
    sums = np.concatenate([x.sum(-1).ravel() for key, x in values.items() if key.endswith("expert_weights")])
    scores = np.abs(np.concatenate([x.ravel() for key, x in values.items() if key.endswith("attn_scores")]))
    size = [sum(f.stat().st_size for f in folder.iterdir()), folder.with_name(f"{name}.values.safetensors").stat().st_size]
    near = (scores[np.isfinite(scores)] > 0.9 * m["cap"]).mean()
    print(json.dumps(dict(model=name, gap=gap, sums=[sums.min(), sums.max()], near_cap=near, bytes=size)))


if __name__ == "__main__":
    main()
