"""Writes tiny random checkpoints of the families, and what transformers computes with them.

Run by hand: python test/golden/families/make_families.py [NAME …]
Made with torch 2.13.0 and transformers 5.18.0 (CPU, float32, eager attention and experts). For each model NAME:

NAME/                     the checkpoint as save_pretrained leaves it, in the old or (fused) the new layout
NAME.values.safetensors   ids [batch, pos], and hooks under their own name and shape (lib/hooks.ts): all but those inside
                          experts
NAME.gradients/           for GRADIENTS_OF: the gradient of `loss`, which stands with the values, by every weight, as a
                          checkpoint of the model. The inputs are all tokens but the last of each row, the labels all
                          but the first; the loss is cross-entropy and LOAD_BALANCE_WEIGHT times transformers' own
                          load-balancing loss, where the model has experts.
"""

import importlib
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent

# Odd sizes on purpose: a mixed-up axis must not fit. Names in MODELS are those of transformers' configurations.
MIXTRAL = dict(cls="Mixtral", vocab_size=37, hidden_size=20, num_hidden_layers=2, num_attention_heads=4,
               max_position_embeddings=24)
OLMOE = dict(cls="Olmoe", vocab_size=41, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=24, rms_norm_eps=1e-5, eos_token_id=None)
QWEN = dict(cls="Qwen3Moe", vocab_size=43, hidden_size=18, num_hidden_layers=2, num_attention_heads=6,
            max_position_embeddings=24)
GRANITE = dict(cls="GraniteMoe", vocab_size=47, hidden_size=22, num_hidden_layers=2, num_attention_heads=4,
               max_position_embeddings=24)
LLAMA = dict(cls="Llama", vocab_size=37, hidden_size=20, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=24)
GEMMA = dict(cls="Gemma", vocab_size=41, hidden_size=18, num_hidden_layers=2, num_attention_heads=3,
             max_position_embeddings=24, pad_token_id=None)
GPT2 = dict(cls="GPT2", vocab_size=43, n_embd=20, n_positions=24, bos_token_id=None, eos_token_id=None)
MODELS = {
    # Grouped queries, heads wider than d_model / n_heads; the file has a table of RoPE too, and transformers 4's words.
    "mixtral": dict(MIXTRAL, seed=1, num_key_value_heads=2, head_dim=6, intermediate_size=7, num_local_experts=5,
                    num_experts_per_tok=2, rope=1e6, old_words=True, tables=True),
    # One key-value head for all, heads narrower, GELU, tied, fused, bfloat16, three experts of six.
    "mixtral-fused": dict(MIXTRAL, seed=2, num_key_value_heads=1, head_dim=4, intermediate_size=9, num_local_experts=6,
                          num_experts_per_tok=3, rope=10000.0, hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True,
                          sliding_window=24, fused=True, dtype=torch.bfloat16),
    # A key-value head for each query head; weights left as they are.
    "olmoe": dict(OLMOE, seed=3, num_key_value_heads=4, intermediate_size=6, num_experts=8, num_experts_per_tok=3,
                  rope=10000.0, old_words=True),
    # Grouped queries, a clamp that bites, weights that sum to 1.
    "olmoe-clipped": dict(OLMOE, seed=4, num_key_value_heads=2, intermediate_size=7, num_experts=6,
                          num_experts_per_tok=2, rope=500.0, clip_qkv=0.6, norm_topk_prob=True, fused=True),
    # Heads wider than d_model / n_heads; weights that sum to 1.
    "qwen3": dict(QWEN, seed=5, num_key_value_heads=2, head_dim=8, moe_intermediate_size=5, num_experts=9,
                  num_experts_per_tok=4, rope=1e6, norm_topk_prob=True, old_words=True),
    # One key-value head, an odd number of chosen experts whose weights stay as they are, tied, exact GELU.
    "qwen3-fused": dict(QWEN, seed=6, num_key_value_heads=1, head_dim=4, moe_intermediate_size=7, num_experts=5,
                        num_experts_per_tok=3, rope=5000.0, tie_word_embeddings=True, rms_norm_eps=1e-3,
                        hidden_act="gelu", fused=True),
    # The middle block of three is dense, and wider than an expert.
    "qwen3-mixed": dict(QWEN, seed=9, num_hidden_layers=3, num_key_value_heads=3, head_dim=4, moe_intermediate_size=5,
                        num_experts=6, num_experts_per_tok=2, rope=1e6, norm_topk_prob=True, mlp_only_layers=[1],
                        intermediate_size=11),
    # Tied, four factors unlike the published ones, heads wider than d_model / n_heads.
    "granite": dict(GRANITE, seed=7, num_key_value_heads=2, head_dim=8, intermediate_size=6, num_local_experts=7,
                    num_experts_per_tok=3, rope=10000.0, tie_word_embeddings=True, embedding_multiplier=1.7,
                    attention_multiplier=0.3, residual_multiplier=0.45, logits_scaling=3, old_words=True),
    # Untied, one key-value head for each query head, all experts chosen, transformers 5's names.
    "granite-renamed": dict(GRANITE, seed=8, num_key_value_heads=4, head_dim=6, intermediate_size=5,
                            num_local_experts=4, num_experts_per_tok=4, rope=700.0, embedding_multiplier=0.8,
                            attention_multiplier=0.11, residual_multiplier=1.3, logits_scaling=0.7, fused=True),
    # Grouped queries, heads wider than d_model / n_heads; the file has a table of RoPE too, and transformers 4's words.
    "llama": dict(LLAMA, seed=11, num_key_value_heads=2, head_dim=6, intermediate_size=13, rope=10000.0, old_words=True,
                  tables=True),
    # CodeLLaMA's base, one key-value head, heads narrower, biases everywhere, exact GELU, tied, bfloat16.
    "llama-biased": dict(LLAMA, seed=12, num_key_value_heads=1, head_dim=4, intermediate_size=9, rope=1e6, hidden_act="gelu",
                         attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3,
                         dtype=torch.bfloat16),
    # A key-value head for each query head, heads wider than d_model / n_heads; "gelu", which means the approximation.
    "gemma": dict(GEMMA, seed=13, num_key_value_heads=3, head_dim=8, intermediate_size=11, rope=10000.0, old_words=True,
                  legacy_gelu=True),
    # One key-value head for all, three layers, untied, an epsilon that counts, bfloat16.
    "gemma-untied": dict(GEMMA, seed=14, num_hidden_layers=3, num_key_value_heads=1, head_dim=4, intermediate_size=7,
                         rope=500.0, tie_word_embeddings=False, rms_norm_eps=1e-2, dtype=torch.bfloat16),
    # As transformers writes it, with the prefix of the model with a head.
    "gpt2": dict(GPT2, seed=15, n_layer=2, n_head=4),
    # As published: no prefix, masks among the tensors; heads of odd width, an MLP narrower than 4 d_model, exact GELU.
    "gpt2-bare": dict(GPT2, seed=16, n_layer=3, n_head=4, n_inner=14, activation_function="gelu", layer_norm_epsilon=1e-2,
                      bare=True),
}
OWN_KEYS = {"cls", "seed", "rope", "old_words", "tables", "fused", "dtype", "legacy_gelu", "bare"}
GRADIENTS_OF = ["granite", "qwen3-fused", "gpt2"]  # tied, factors, norms of queries and keys, both gatings, biases
LOAD_BALANCE_WEIGHT = 0.05
BATCH, POS = 2, 9


def build(m, folder):
    """Saves a seeded model."""
    torch.manual_seed(m["seed"])
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": m["rope"]}} if "rope" in m else {}
    config = getattr(transformers, m["cls"] + "Config")(
        **rope,
        **{key: value for key, value in m.items() if key not in OWN_KEYS},
    )
    model = class_of(m)(config)
    with torch.no_grad():
        for name, w in model.named_parameters():
            if name.endswith(".bias"):
                w.normal_(std=0.3)
            elif w.dim() == 1 and m["cls"] == "Gemma":  # kept as the gain's distance from 1
                w.uniform_(-0.5, 0.5)
            elif w.dim() == 1:
                w.uniform_(0.5, 1.5)
            elif "wpe" in name:
                w.normal_(std=0.7)
            elif "embed" in name or "wte" in name:
                w.normal_()
            elif m["cls"] == "GPT2":  # [in, out]
                w.normal_(std=1.2 / w.shape[0] ** 0.5)
            else:  # unit variance in, about unit variance out; the router sharper, so that tokens differ
                router = "gate.weight" in name or "router" in name
                w.normal_(std=(2.0 if router else 1.2) / w.shape[-1] ** 0.5)
    model.to(m.get("dtype", torch.float32)).save_pretrained(folder, save_original_format=not m.get("fused", False))
    (folder / "generation_config.json").unlink()
    if m.get("old_words"):
        rewrite(folder / "config.json")
    if m.get("tables"):
        tensors = load_file(folder / "model.safetensors")
        half = config.head_dim // 2
        table = m["rope"] ** (-torch.arange(half) / half)
        for l in range(config.num_hidden_layers):
            tensors[f"model.layers.{l}.self_attn.rotary_emb.inv_freq"] = table.clone()
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


    if m.get("legacy_gelu"):
        rewritten = json.loads((folder / "config.json").read_text()) | {"hidden_act": "gelu"}
        (folder / "config.json").write_text(json.dumps(rewritten, indent=2) + "\n")
    if m.get("bare"):
        tensors = load_file(folder / "model.safetensors")
        tensors = {key.removeprefix("transformer."): x for key, x in tensors.items()}
        for l in range(m["n_layer"]):
            tensors[f"h.{l}.attn.bias"] = torch.ones(1, 1, m["n_positions"], m["n_positions"]).tril()
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def class_of(m):
    return getattr(transformers, m["cls"] + ("LMHeadModel" if m["cls"] == "GPT2" else "ForCausalLM"))


def load(m, folder):
    """The saved model, in float32."""
    experts = {"experts_implementation": "eager"} if has_experts(m) else {}
    model = class_of(m).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **experts)
    model.config.tie_last_hidden_states = False
    return model


def has_experts(m):
    return "num_experts_per_tok" in m


def rewrite(path):
    """The configuration as transformers 4 would have written it."""
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    path.write_text(json.dumps(config, indent=2) + "\n")


def record(model, ids):
    """Runs the model and returns the hooks' values under their names."""
    values = {}
    config = model.config
    modeling = importlib.import_module(type(model).__module__)
    factor = getattr(config, "residual_multiplier", 1.0)

    def keep(name, value):
        values[name] = value.detach().clone()

    def norm(module, name):
        def after(_m, args, output):
            eps = module.eps if hasattr(module, "eps") else module.variance_epsilon
            keep(f"{name}.hook_scale", (args[0].square().mean(-1, keepdim=True) + eps).sqrt())
            keep(f"{name}.hook_normalized", output)

        module.register_forward_hook(after)

    rotated = []  # what the attention that comes next rotated: before and after

    def rope(q, k, *args, **kwargs):
        rotated[:] = [q, k, *rotate(q, k, *args, **kwargs)]
        return rotated[2:]

    def attention(module, query, key, value, mask, **kwargs):
        out, pattern = eager(module, query, key, value, mask, **kwargs)
        name = f"blocks.{module.layer_idx}.attn"
        for hook, heads in zip(["q", "k", "rot_q", "rot_k", "v"], [*rotated, value]):
            keep(f"{name}.hook_{hook}", heads.transpose(1, 2))
        scores = query @ key.repeat_interleave(module.num_key_value_groups, 1).transpose(2, 3) * kwargs["scaling"]
        keep(f"{name}.hook_attn_scores", scores.masked_fill(mask < 0, -torch.inf))
        keep(f"{name}.hook_pattern", pattern)
        keep(f"{name}.hook_z", out)
        return out, pattern

    for l, layer in enumerate(model.model.layers):
        name = f"blocks.{l}"
        layer.register_forward_pre_hook(lambda _m, args, name=name: keep(f"{name}.hook_resid_pre", args[0]))
        layer.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.hook_resid_post", output))
        norm(layer.input_layernorm, f"{name}.ln1")
        norm(layer.post_attention_layernorm, f"{name}.ln2")
        layer.post_attention_layernorm.register_forward_pre_hook(
            lambda _m, args, name=name: keep(f"{name}.hook_resid_mid", args[0])
        )
        layer.self_attn.o_proj.register_forward_hook(
            lambda _m, _args, output, name=name: keep(f"{name}.hook_attn_out", output * factor)
        )
        moe = layer.mlp if hasattr(layer, "mlp") else layer.block_sparse_moe
        moe.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.hook_mlp_out", output * factor))
        (record_moe if hasattr(moe, "experts") else record_dense)(moe, f"{name}.mlp", keep, ids.shape)
    norm(model.model.norm, "ln_final")

    eager, rotate = modeling.eager_attention_forward, modeling.apply_rotary_pos_emb
    modeling.eager_attention_forward, modeling.apply_rotary_pos_emb = attention, rope
    with torch.no_grad():
        asked = {"output_router_logits": True} if hasattr(config, "num_experts_per_tok") else {}
        output = model(ids, **asked, output_attentions=True, output_hidden_states=True)
    modeling.eager_attention_forward, modeling.apply_rotary_pos_emb = eager, rotate
    keep("hook_embed", values["blocks.0.hook_resid_pre"])
    keep("logits", output.logits)

    # What the model itself reports must be what the hooks saw.
    for l in range(config.num_hidden_layers):
        assert torch.equal(output.attentions[l], values[f"blocks.{l}.attn.hook_pattern"])
        assert torch.equal(output.hidden_states[l], values[f"blocks.{l}.hook_resid_pre"])
    routers = [values[key] for key in sorted(values) if key.endswith("router_logits")]
    for reported, seen in zip(output.router_logits if asked else [], routers, strict=True):
        assert torch.equal(reported, seen.flatten(0, 1))
    assert torch.equal(output.hidden_states[-1], values[f"blocks.{l}.hook_resid_post"])
    return values


def record_gpt2(model, ids):
    """The same for GPT-2, whose modules have other names: positions are added, nothing is rotated."""
    values = {}
    config, modeling = model.config, importlib.import_module(type(model).__module__)
    heads, d_head = config.n_head, config.n_embd // config.n_head

    def keep(name, value):
        values[name] = value.detach().clone()

    def norm(module, name):
        def after(_m, args, output):
            keep(f"{name}.hook_scale", (args[0].var(-1, keepdim=True, unbiased=False) + module.eps).sqrt())
            keep(f"{name}.hook_normalized", output)

        module.register_forward_hook(after)

    def attention(module, query, key, value, mask, scaling=None, **kwargs):
        out, pattern = eager(module, query, key, value, mask, scaling=scaling, **kwargs)
        name = f"blocks.{module.layer_idx}.attn"
        for hook, x in zip("qkv", [query, key, value]):
            keep(f"{name}.hook_{hook}", x.transpose(1, 2))
        ahead = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()
        keep(f"{name}.hook_attn_scores", (query @ key.transpose(2, 3) / d_head**0.5).masked_fill(ahead, -torch.inf))
        keep(f"{name}.hook_pattern", pattern)
        keep(f"{name}.hook_z", out)
        return out, pattern

    body = model.transformer
    body.wte.register_forward_hook(lambda _m, _args, output: keep("hook_embed", output))
    body.wpe.register_forward_hook(lambda _m, _args, output: keep("hook_pos_embed", output.expand(*ids.shape, -1)))
    for l, block in enumerate(body.h):
        name = f"blocks.{l}"
        block.register_forward_pre_hook(lambda _m, args, name=name: keep(f"{name}.hook_resid_pre", args[0]))
        block.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.hook_resid_post", output))
        norm(block.ln_1, f"{name}.ln1")
        norm(block.ln_2, f"{name}.ln2")
        block.ln_2.register_forward_pre_hook(lambda _m, args, name=name: keep(f"{name}.hook_resid_mid", args[0]))
        block.attn.c_proj.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.hook_attn_out", output))
        block.mlp.c_fc.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.mlp.hook_pre", output))
        block.mlp.c_proj.register_forward_pre_hook(lambda _m, args, name=name: keep(f"{name}.mlp.hook_post", args[0]))
        block.mlp.register_forward_hook(lambda _m, _args, output, name=name: keep(f"{name}.hook_mlp_out", output))
    norm(body.ln_f, "ln_final")

    eager = modeling.eager_attention_forward
    modeling.eager_attention_forward = attention
    with torch.no_grad():
        output = model(ids, output_attentions=True, output_hidden_states=True)
    modeling.eager_attention_forward = eager
    keep("logits", output.logits)
    for l in range(config.n_layer):
        assert torch.equal(output.attentions[l], values[f"blocks.{l}.attn.hook_pattern"])
        assert torch.equal(output.hidden_states[l], values[f"blocks.{l}.hook_resid_pre"])
    return values


def record_moe(moe, name, keep, shape):
    router = moe.gate if hasattr(moe, "gate") else moe.router
    mixture = moe.experts.forward

    def routed(_m, _args, output):
        logits, weights, indices = output if output[0].is_floating_point() else reversed(output)
        keep(f"{name}.hook_router_logits", logits.unflatten(0, shape))
        keep(f"{name}.hook_router_probs", logits.softmax(-1).unflatten(0, shape))
        keep(f"{name}.hook_expert_weights", weights.unflatten(0, shape))
        keep(f"{name}.hook_expert_indices", indices.unflatten(0, shape))

    def experts(hidden, indices, weights):
        # With one expert a token and weight 1, the mixture is that expert's output.
        one = torch.ones(len(hidden), 1)
        slots = [mixture(hidden, indices[:, s : s + 1], one) for s in range(indices.shape[1])]
        keep(f"{name}.hook_expert_out", torch.stack(slots, 1).unflatten(0, shape))
        return mixture(hidden, indices, weights)

    router.register_forward_hook(routed)
    moe.experts.forward = experts


def record_dense(mlp, name, keep, _shape):
    mlp.gate_proj.register_forward_hook(lambda _m, _args, output: keep(f"{name}.hook_pre", output))
    mlp.up_proj.register_forward_hook(lambda _m, _args, output: keep(f"{name}.hook_pre_linear", output))
    mlp.down_proj.register_forward_pre_hook(lambda _m, args: keep(f"{name}.hook_post", args[0]))


def report(name, values, folder):
    """What makes the golden worth something: routing differs, and no choice is a near-tie."""
    sizes = [sum(f.stat().st_size for f in folder.iterdir()), folder.with_name(f"{name}.values.safetensors").stat().st_size]
    if not any(key.endswith("router_probs") for key in values):
        print(json.dumps(dict(model=name, bytes=sizes)))
        return
    probs = torch.cat([x.flatten(0, 1) for key, x in values.items() if key.endswith("router_probs")])
    indices = torch.cat([x.flatten(0, 1) for key, x in values.items() if key.endswith("expert_indices")])
    gaps = -probs.sort(-1, descending=True).values.diff(dim=-1)[:, : indices.shape[-1]]
    sets = {tuple(sorted(row)) for row in indices.tolist()}
    print(json.dumps(dict(model=name, gap=gaps.min().item(), sets=len(sets), bytes=sizes)))


def save_gradients(model, ids, folder):
    """Saves the gradient of the training loss as a model whose weights it is; returns the loss."""
    inputs, labels = ids[:, :-1], ids[:, 1:].contiguous()
    balance = 0.0
    if hasattr(model.config, "router_aux_loss_coef"):
        model.config.router_aux_loss_coef = model.router_aux_loss_coef = LOAD_BALANCE_WEIGHT
        output = model(inputs, labels=inputs, shift_labels=labels, output_router_logits=True)
        balance = LOAD_BALANCE_WEIGHT * output.aux_loss
    else:
        output = model(inputs, labels=inputs, shift_labels=labels)
    cross_entropy = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
    assert torch.allclose(output.loss, cross_entropy + balance)
    output.loss.backward()
    for w in model.parameters():
        w.data = w.grad
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    return output.loss.detach()


def stored(x):
    return x.float().contiguous() if x.is_floating_point() else x.to(torch.int32).contiguous()


def main():
    for name, m in MODELS.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        folder = HERE / name
        build(m, folder)
        ids = torch.randint(m["vocab_size"], (BATCH, POS))
        values = {"ids": ids, **(record_gpt2 if m["cls"] == "GPT2" else record)(load(m, folder), ids)}
        if name in GRADIENTS_OF:
            values["loss"] = save_gradients(load(m, folder), ids, HERE / f"{name}.gradients")
        save_file({key: stored(x) for key, x in values.items()}, HERE / f"{name}.values.safetensors")
        report(name, values, folder)


if __name__ == "__main__":
    main()
