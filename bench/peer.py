"""Hugging Face transformers' side of the benchmark: models with experts, eager attention, float32, on the CPU.

    python bench/peer.py make FOLDER --family dbrx --d-model 256 --layers 6 --d-ff 256 --vocab 4096 --heads 8 --kv-heads 2
    python bench/peer.py serve FOLDER --threads 2

`make` writes a seeded random checkpoint. `serve` loads one, then answers each line of JSON on standard input with one
on standard output, so that a driver can interleave its own runs with these. Times are in seconds.

    {"cmd": "prefill", "ids": [[5, 17]], "capture": 3, "save": "out.safetensors"}
        -> {"seconds", "bytes"}; capture 0: nothing, 1: router logits and chosen experts, 2: and attention patterns,
           3: and the residual stream between all layers; "save" (optional) writes what was captured, and the logits,
           under the hook names of lib/hooks.ts
    {"cmd": "decode", "ids": [[5, 17]], "n": 64}
        -> {"prefill", "seconds", "ids"}; greedy: one token from the prefill, then n more, one at a time through the
           key-value cache, which "seconds" is the time of
    {"cmd": "train", "ids": [[5, 17, 3]], "rate": 0.001}
        -> {"seconds", "loss"}; one step of training (all tokens but the last predict all but the first): cross-entropy
           and transformers' load-balancing loss with the model's weight, gradients clipped to 1, AdamW
    {"cmd": "experts", "implementation": "grouped_mm"} -> {"set": whether the model has it}; how the experts' products are
        computed from here on: eager (expert by expert), grouped_mm or batched_mm. DBRX knows only eager
    {"cmd": "gemm", "size": 2048} -> {"gflops"}; the best of five products of square matrices
    {"cmd": "versions"} -> {"python", "torch", "transformers", "threads", "parameters"}
Every answer also holds "rss", the most memory that the process has taken, in bytes. A line that cannot be answered
gives {"error"}.

Needs torch and transformers 5.18 (5.0 to 5.16 cannot run DBRX).
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import (  # noqa: E402
    AutoConfig, AutoModelForCausalLM, DbrxConfig, MixtralConfig, OlmoeConfig, Qwen3MoeConfig,
)

transformers.utils.logging.disable_progress_bar()


def config_of(args):
    if args.family == "dbrx":
        return DbrxConfig(
            d_model=args.d_model, n_heads=args.heads, n_layers=args.layers, max_seq_len=args.ctx, vocab_size=args.vocab,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            attn_config=dict(kv_n_heads=args.kv_heads, clip_qkv=8.0, rope_theta=500000.0),
            ffn_config=dict(ffn_hidden_size=args.d_ff, moe_num_experts=args.experts, moe_top_k=args.top_k,
                            moe_jitter_eps=0, moe_loss_weight=0.05, moe_normalize_expert_weights=1.0),
        )
    sizes = dict(
        hidden_size=args.d_model, num_attention_heads=args.heads, num_key_value_heads=args.kv_heads,
        num_hidden_layers=args.layers, max_position_embeddings=args.ctx, vocab_size=args.vocab,
        num_experts_per_tok=args.top_k, tie_word_embeddings=False,
    )
    if args.family == "mixtral":
        return MixtralConfig(intermediate_size=args.d_ff, num_local_experts=args.experts, **sizes)
    if args.family == "olmoe":
        return OlmoeConfig(intermediate_size=args.d_ff, num_experts=args.experts, **sizes)
    return Qwen3MoeConfig(
        moe_intermediate_size=args.d_ff, intermediate_size=args.d_ff, num_experts=args.experts, norm_topk_prob=True,
        head_dim=args.d_model // args.heads, **sizes,
    )


def make(args):
    torch.manual_seed(args.seed)
    model = AutoModelForCausalLM.from_config(config_of(args))
    with torch.no_grad():  # unit variance in, unit variance out; the router sharper, so that loads are uneven
        for name, w in model.named_parameters():
            if w.dim() >= 2:
                embedding = "wte" in name or "embed_tokens" in name
                fan_in = 1 if embedding else args.d_ff if name.endswith("w2") else w.shape[-1]
                router = "router" in name or name.endswith("mlp.gate.weight")
                w.normal_(std=(2.0 if router else 1.0) / fan_in**0.5)
    model.save_pretrained(args.folder, max_shard_size="100GB")


def load(folder):
    config = AutoConfig.from_pretrained(folder)
    config.tie_last_hidden_states = False  # the last residual as it is, not after the final norm
    if config.model_type == "dbrx":
        # transformers 5 overlooks the RoPE base in attn_config, where the published configuration has it.
        config.rope_parameters = {"rope_type": "default", "rope_theta": config.attn_config.rope_theta}
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager")
    if config.model_type == "dbrx":
        for block in model.transformer.blocks:
            if config.attn_config.clip_qkv is None:  # which transformers 5.18.0 stumbles over
                block.norm_attn_norm.attn.clip_qkv = torch.inf
    return model.eval()


class Peer:
    def __init__(self, model):
        self.model = model
        self.optimizer = None
        self.chosen = []
        if model.config.model_type == "dbrx":
            for block in model.transformer.blocks:
                block.ffn.route_tokens_to_experts = self.keeping_choice(block.ffn.route_tokens_to_experts)
        else:  # routers return logits, weights and indices
            for layer in model.model.layers:
                layer.mlp.gate.register_forward_hook(lambda _module, _inputs, out: self.chosen.append(out[2]))

    def experts(self, implementation):
        if self.model.config.model_type == "dbrx":
            return {"set": implementation == "eager"}
        self.model.set_experts_implementation(implementation)
        return {"set": True}

    def keeping_choice(self, route):
        def routed(logits):
            weights, indices = route(logits)
            self.chosen.append(indices)
            return weights, indices

        return routed

    def prefill(self, ids, capture=0, save=None):
        tokens = torch.tensor(ids)
        self.chosen.clear()
        start = time.perf_counter()
        output = self.model(
            tokens, use_cache=False, output_router_logits=capture >= 1, output_attentions=capture >= 2,
            output_hidden_states=capture >= 3,
        )
        seconds = time.perf_counter() - start
        values = {"logits": output.logits}
        for l, indices in enumerate(self.chosen):
            if capture >= 1:
                values[f"blocks.{l}.mlp.hook_router_logits"] = output.router_logits[l].unflatten(0, tokens.shape)
                values[f"blocks.{l}.mlp.hook_expert_indices"] = indices.unflatten(0, tokens.shape).int()
            if capture >= 2:
                values[f"blocks.{l}.attn.hook_pattern"] = output.attentions[l]
            if capture >= 3:
                values[f"blocks.{l}.hook_resid_pre"] = output.hidden_states[l]
                values[f"blocks.{l}.hook_resid_post"] = output.hidden_states[l + 1]
        if save:
            save_file({name: value.clone().contiguous() for name, value in values.items()}, save)
        stored = {value.data_ptr(): value.nbytes for name, value in values.items() if name != "logits"}
        return {"seconds": seconds, "bytes": sum(stored.values())}

    def decode(self, ids, n=64):
        start = time.perf_counter()
        output = self.model(torch.tensor(ids), use_cache=True, logits_to_keep=1)
        token = output.logits[:, -1].argmax(-1, keepdim=True)
        prefill = time.perf_counter() - start
        made = [token]
        start = time.perf_counter()
        for _ in range(n):
            output = self.model(token, past_key_values=output.past_key_values, use_cache=True)
            token = output.logits[:, -1].argmax(-1, keepdim=True)
            made.append(token)
        seconds = time.perf_counter() - start
        self.chosen.clear()
        return {"prefill": prefill, "seconds": seconds, "ids": torch.cat(made, 1).tolist()}

    @torch.inference_mode(False)
    @torch.enable_grad()
    def train(self, ids, rate=1e-3):
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
        tokens = torch.tensor(ids)
        start = time.perf_counter()
        inputs, labels = tokens[:, :-1], tokens[:, 1:].contiguous()
        loss = self.model(inputs, labels=inputs, shift_labels=labels, output_router_logits=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        seconds = time.perf_counter() - start
        self.chosen.clear()
        return {"seconds": seconds, "loss": loss.item()}

    def gemm(self, size=2048):
        a, b = torch.randn(size, size), torch.randn(size, size)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
        return {"gflops": 2 * size**3 / best / 1e9}

    def versions(self):
        return {
            "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
            "threads": torch.get_num_threads(), "parameters": sum(w.numel() for w in self.model.parameters()),
        }


def serve(args):
    torch.set_num_threads(args.threads)
    peer = Peer(load(args.folder))
    commands = {"prefill", "decode", "train", "experts", "gemm", "versions"}
    with torch.inference_mode():
        for line in sys.stdin:
            try:
                request = json.loads(line)
                command = request.pop("cmd")
                if command not in commands:
                    raise ValueError(f"cmd must be one of {', '.join(sorted(commands))}, got {command!r}")
                answer = getattr(peer, command)(**request)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            answer["rss"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description="The Hugging Face side of moescope's benchmark.")
    modes = parser.add_subparsers(required=True)
    mode = modes.add_parser("make", help="write a seeded random checkpoint")
    mode.set_defaults(run=make)
    mode.add_argument("folder", type=Path)
    mode.add_argument("--family", choices=["dbrx", "mixtral", "olmoe", "qwen3_moe"], default="dbrx")
    sizes = {"d-model": 256, "layers": 6, "d-ff": 256, "vocab": 4096, "heads": 8, "kv-heads": 2, "experts": 16,
             "top-k": 4, "ctx": 1024, "seed": 1}
    for name, default in sizes.items():
        mode.add_argument(f"--{name}", type=int, default=default)
    mode = modes.add_parser("serve", help="load a checkpoint and answer commands")
    mode.set_defaults(run=serve)
    mode.add_argument("folder", type=Path)
    mode.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
