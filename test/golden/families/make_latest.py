"""Writes tiny gpt-oss and DeepSeek-V3 checkpoints with transformers, and what it computes with them.

Run by hand: python test/golden/families/make_latest.py
Made with torch 2.13.0 and transformers 5.18.0. Values as make_families.py keeps them. Where PyTorch leaves the order of
chosen experts open (DeepSeek-V3), they are put in falling order of what they were chosen by.
"""

import importlib
import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from make_families import report, stored

HERE = Path(__file__).parent
GPT_OSS = dict(cls="GptOss", num_local_experts=5, num_experts_per_tok=2, max_position_embeddings=24)
DEEPSEEK = dict(cls="DeepseekV3", max_position_embeddings=24, bos_token_id=None, eos_token_id=None)
MODELS = {
    # Windows shorter than the text on the first and third layer, heads wider than d_model / n_heads, YaRN whose ramp ends
    # inside the dimensions, clamps that bite.
    "gptoss": dict(GPT_OSS, seed=41, vocab_size=37, hidden_size=20, num_hidden_layers=3, num_attention_heads=6,
                   num_key_value_heads=2, head_dim=8, intermediate_size=7, sliding_window=4, rope_parameters=dict(
                       rope_type="yarn", rope_theta=900.0, factor=8.0, beta_fast=4.0, beta_slow=0.5, truncate=False,
                       original_max_position_embeddings=16)),
    # Experts as published, in MXFP4; one key-value head, windows on other layers, RoPE as it was, tied.
    "gptoss-mxfp4": dict(GPT_OSS, seed=42, vocab_size=29, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=1, head_dim=6, intermediate_size=32, sliding_window=3, rms_norm_eps=1e-3,
                         layer_types=["full_attention", "sliding_attention"], tie_word_embeddings=True,
                         rope_parameters=dict(rope_type="default", rope_theta=10000.0), mxfp4=True),
    # A first dense layer, groups of experts, YaRN that also scales scores and tables.
    "deepseek": dict(DEEPSEEK, seed=43, vocab_size=37, hidden_size=20, intermediate_size=13, moe_intermediate_size=6,
                     num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, n_shared_experts=2,
                     n_routed_experts=8, q_lora_rank=10, kv_lora_rank=8, qk_rope_head_dim=4, v_head_dim=5,
                     qk_nope_head_dim=6, n_group=4, topk_group=2, num_experts_per_tok=3, first_k_dense_replace=1,
                     rope_parameters=dict(rope_type="yarn", rope_theta=300.0, factor=4.0, beta_fast=3.0, beta_slow=0.5,
                                          mscale=0.7, mscale_all_dim=1.3, original_max_position_embeddings=12)),
    # Queries from one matrix, halves rotated, weights as they are, experts in two tensors, one group, every layer sparse.
    "deepseek-fused": dict(DEEPSEEK, seed=44, vocab_size=31, hidden_size=18, intermediate_size=9, moe_intermediate_size=7,
                           num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1,
                           n_routed_experts=6, q_lora_rank=None, kv_lora_rank=7, qk_rope_head_dim=6, v_head_dim=8,
                           qk_nope_head_dim=3, n_group=1, topk_group=1, num_experts_per_tok=4, first_k_dense_replace=0,
                           routed_scaling_factor=1.0, norm_topk_prob=False, rope_interleave=False, fused=True,
                           rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    # As published: FP8 with a factor for each square (here two across), transformers 4's words, and the layer of
    # multi-token prediction beyond the last one.
    "deepseek-fp8": dict(DEEPSEEK, seed=45, vocab_size=23, hidden_size=130, intermediate_size=10, moe_intermediate_size=5,
                         num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, n_shared_experts=1,
                         n_routed_experts=6, q_lora_rank=9, kv_lora_rank=7, qk_rope_head_dim=4, v_head_dim=4,
                         qk_nope_head_dim=5, n_group=3, topk_group=2, num_experts_per_tok=2, first_k_dense_replace=1,
                         rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, beta_fast=3.0,
                                              beta_slow=0.5, mscale=1.0, mscale_all_dim=1.0,
                                              original_max_position_embeddings=12), fp8=True),
}
OWN_KEYS = {"cls", "seed", "fused", "mxfp4", "fp8"}
BATCH, POS = 2, 9


def build(m, folder):
    """Saves a seeded model and returns it."""
    torch.manual_seed(m["seed"])
    fields = {key: value for key, value in m.items() if key not in OWN_KEYS}
    config = getattr(transformers, m["cls"] + "Config")(**fields)
    model = getattr(transformers, m["cls"] + "ForCausalLM")._from_config(config, attn_implementation="eager",
                                                                         experts_implementation="eager")
    with torch.no_grad():
        for name, w in [*model.named_parameters(), *model.named_buffers()]:
            fan_in = w.shape[-2] if m["cls"] == "GptOss" and "experts" in name and w.dim() == 3 else w.shape[-1]
            if "e_score_correction_bias" in name:
                w.normal_(std=0.3)
            elif "bias" in name:
                w.normal_(std=0.5)
            elif "sinks" in name:
                w.normal_()
            elif "norm" in name:
                w.uniform_(0.5, 1.5)
            elif "embed" in name:
                w.normal_()
            elif w.dim() > 1:
                sharp = 4.0 if "GptOss" == m["cls"] and "gate_up" in name else 2.0 if "router" in name or "gate.weight" in name else 1.2
                w.normal_(std=sharp / fan_in**0.5)
    packed = pack_mxfp4(model) if m.get("mxfp4") else {}
    scaled = scale_fp8(model) if m.get("fp8") else {}
    model.save_pretrained(folder, save_original_format=not m.get("fused", False))
    (folder / "generation_config.json").unlink()
    if packed:
        rewrite(folder, packed, {"quant_method": "mxfp4"})
    if scaled:
        last = {f"model.layers.{m['num_hidden_layers']}.{name}": torch.ones(3)
                for name in ["eh_proj.weight", "enorm.weight", "self_attn.q_a_proj.weight", "embed_tokens.weight"]}
        quantization = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
        rewrite(folder, scaled | last, quantization)
        old_words(folder / "config.json")
    model.config.tie_last_hidden_states = False
    return model.eval()


def pack_mxfp4(model):
    """Draws the experts' matrices as MXFP4, and gives the model what they mean."""
    tensors = {}
    for l, layer in enumerate(model.model.layers):
        experts = layer.mlp.experts
        for name in ["gate_up_proj", "down_proj"]:
            w = getattr(experts, name)  # [experts, in, out]
            blocks = torch.randint(256, (w.shape[0], w.shape[2], w.shape[1] // 32, 16), dtype=torch.uint8)
            scales = torch.randint(123, 127, blocks.shape[:-1], dtype=torch.uint8)
            w.data = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32).contiguous()
            tensors[f"model.layers.{l}.mlp.experts.{name}_blocks"] = blocks
            tensors[f"model.layers.{l}.mlp.experts.{name}_scales"] = scales
    return tensors


def scale_fp8(model):
    """Rounds the matrices that the publisher rounds, and gives the model what is left."""
    tensors = {}

    def rounded(w):
        blocks = [[-(-size // 128) for size in w.shape]][0]
        scales = torch.rand(blocks) * 0.02 + 0.01
        spread = scales.repeat_interleave(128, 0).repeat_interleave(128, 1)[: w.shape[0], : w.shape[1]]
        small = (w / spread).to(torch.float8_e4m3fn)
        return small, scales, small.float() * spread

    def keep(name, w):
        small, scales, w.data = rounded(w.data)
        tensors[f"{name}.weight"], tensors[f"{name}.weight_scale_inv"] = small, scales

    for l, layer in enumerate(model.model.layers):
        for name, module in layer.named_modules():
            if isinstance(module, torch.nn.Linear):
                keep(f"model.layers.{l}.{name}", module.weight)
        if not hasattr(layer.mlp, "experts"):
            continue
        gate_up, down = layer.mlp.experts.gate_up_proj.data, layer.mlp.experts.down_proj.data
        for e in range(len(down)):
            half = gate_up.shape[1] // 2
            for name, w in [("gate_proj", gate_up[e, :half]), ("up_proj", gate_up[e, half:]), ("down_proj", down[e])]:
                small, scales, value = rounded(w)
                path = f"model.layers.{l}.mlp.experts.{e}.{name}"
                tensors[f"{path}.weight"], tensors[f"{path}.weight_scale_inv"] = small, scales
                w.copy_(value)
    return tensors


def rewrite(folder, tensors, quantization):
    """Puts tensors into the file in the place of what they stand for."""
    held = load_file(folder / "model.safetensors")
    for name in tensors:
        held.pop(name.removesuffix("_blocks"), None)
    save_file(held | tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def old_words(path):
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope.pop("rope_type"), **rope}
    path.write_text(json.dumps(config, indent=2) + "\n")


def record(model, ids):
    """Runs the model and returns the hooks' values under their names."""
    values = {}
    modeling = importlib.import_module(type(model).__module__)
    latent = type(model).__name__.startswith("Deepseek")

    def keep(name, value):
        values[name] = value.detach().clone()

    def norm(module, name):
        def after(_m, args, output):
            keep(f"{name}.hook_scale", (args[0].square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt())
            keep(f"{name}.hook_normalized", output)

        module.register_forward_hook(after)

    rotated = []  # what the attention that comes next rotated: before and after

    def rotating(original):
        def rope(q, k, *args, **kwargs):
            rotated[:] = [q, k, *original(q, k, *args, **kwargs)]
            return rotated[2:]

        return rope

    def attention(module, query, key, value, mask, **kwargs):
        out, pattern = eager(module, query, key, value, mask, **kwargs)
        name = f"blocks.{module.layer_idx}.attn"
        before = rotated[:2]
        if latent:  # only the last dimensions are rotated; the rest is the same before and after
            nope = module.qk_nope_head_dim
            before = [torch.cat([whole[..., :nope], part.expand(*whole.shape[:-1], -1)], -1)
                      for whole, part in zip([query, key], before)]
        for hook, heads in zip(["q", "k", "rot_q", "rot_k", "v"], [*before, query, key, value]):
            keep(f"{name}.hook_{hook}", heads.transpose(1, 2))
        scores = query @ key.repeat_interleave(module.num_key_value_groups, 1).transpose(2, 3) * kwargs["scaling"]
        keep(f"{name}.hook_attn_scores", scores.masked_fill(mask < 0, -torch.inf))
        keep(f"{name}.hook_pattern", pattern)
        keep(f"{name}.hook_z", out)
        return out, pattern

    def leaves(module, name):
        module.register_forward_hook(lambda _m, _args, out: keep(name, out[0] if isinstance(out, tuple) else out))

    def enters(module, name):
        module.register_forward_pre_hook(lambda _m, args: keep(name, args[0]))

    def glu(module, name):
        leaves(module.gate_proj, f"{name}.hook_pre")
        leaves(module.up_proj, f"{name}.hook_pre_linear")
        enters(module.down_proj, f"{name}.hook_post")

    for l, layer in enumerate(model.model.layers):
        name = f"blocks.{l}"
        enters(layer, f"{name}.hook_resid_pre")
        leaves(layer, f"{name}.hook_resid_post")
        norm(layer.input_layernorm, f"{name}.ln1")
        norm(layer.post_attention_layernorm, f"{name}.ln2")
        enters(layer.post_attention_layernorm, f"{name}.hook_resid_mid")
        leaves(layer.self_attn.o_proj, f"{name}.hook_attn_out")
        leaves(layer.mlp, f"{name}.hook_mlp_out")
        if latent:
            leaves(layer.self_attn.kv_a_layernorm, f"{name}.attn.hook_latent")
        if hasattr(layer.mlp, "experts"):
            record_moe(layer.mlp, f"{name}.mlp", keep, ids.shape)
        else:
            glu(layer.mlp, f"{name}.mlp")
        if hasattr(layer.mlp, "shared_experts"):
            glu(layer.mlp.shared_experts, f"{name}.mlp.shared")
            leaves(layer.mlp.shared_experts, f"{name}.mlp.shared.hook_out")
    norm(model.model.norm, "ln_final")

    eager = modeling.eager_attention_forward
    rotations = ["apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave"] if latent else ["apply_rotary_pos_emb"]
    originals = {name: getattr(modeling, name) for name in rotations}
    modeling.eager_attention_forward = attention
    for name, original in originals.items():
        setattr(modeling, name, rotating(original))
    with torch.no_grad():
        output = model(ids, output_attentions=True, output_hidden_states=True)
    modeling.eager_attention_forward = eager
    for name, original in originals.items():
        setattr(modeling, name, original)
    keep("hook_embed", values["blocks.0.hook_resid_pre"])
    keep("logits", output.logits)

    # What the model itself reports must be what the hooks saw.
    for l in range(model.config.num_hidden_layers):
        assert torch.equal(output.attentions[l], values[f"blocks.{l}.attn.hook_pattern"])
        assert torch.equal(output.hidden_states[l], values[f"blocks.{l}.hook_resid_pre"])
    return values


def record_moe(moe, name, keep, shape):
    router = moe.gate if hasattr(moe, "gate") else moe.router
    mixture = moe.experts.forward
    order = []

    def routed(_m, _args, output):
        logits, weights, indices = output
        bias = getattr(router, "e_score_correction_bias", None)
        probs = logits.softmax(-1) if bias is None else logits.sigmoid()
        order[:] = [(probs if bias is None else probs + bias).gather(1, indices).argsort(-1, descending=True)]
        keep(f"{name}.hook_router_logits", logits.unflatten(0, shape))
        keep(f"{name}.hook_router_probs", probs.unflatten(0, shape))
        keep(f"{name}.hook_expert_weights", weights.gather(1, order[0]).unflatten(0, shape))
        keep(f"{name}.hook_expert_indices", indices.gather(1, order[0]).unflatten(0, shape))

    def experts(hidden, indices, weights):
        # With one expert a token and weight 1, the mixture is that expert's output.
        one, sorted_ = torch.ones(len(hidden), 1), indices.gather(1, order[0])
        slots = [mixture(hidden, sorted_[:, s : s + 1], one) for s in range(indices.shape[1])]
        keep(f"{name}.hook_expert_out", torch.stack(slots, 1).unflatten(0, shape))
        return mixture(hidden, indices, weights)

    router.register_forward_hook(routed)
    moe.experts.forward = experts


def main():
    for name, m in MODELS.items():
        folder = HERE / name
        model = build(m, folder)
        ids = torch.randint(m["vocab_size"], (BATCH, POS))
        values = {"ids": ids, **record(model, ids)}
        save_file({key: stored(x) for key, x in values.items()}, HERE / f"{name}.values.safetensors")
        report(name, values, folder)


main()
