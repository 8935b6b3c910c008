"""What the live check and the fixtures share."""
import random

import peft
import torch
import transformers
from peft import get_peft_config, get_peft_model

VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def variants(n_layer):
    """LoRA settings that PEFT users have, by name."""
    return {
        "c_attn": dict(r=4, lora_alpha=8),
        "all-linear": dict(target_modules="all-linear", r=3, lora_alpha=7, use_rslora=True),
        "patterns": dict(
            target_modules=["c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"],
            r=4,
            lora_alpha=6,
            rank_pattern={"c_attn": 8, "h.0.mlp.c_proj": 2},
            alpha_pattern={"mlp.c_fc": 3, f"h.{n_layer - 1}.attn.c_proj": 11},
        ),
        "lora-only-bias": dict(target_modules=["c_attn", "c_proj"], r=3, lora_alpha=5, bias="lora_only"),
        "some-layers": dict(
            target_modules=["c_attn", "c_fc"],
            layers_to_transform=[n_layer - 1],
            r=5,
            lora_alpha=10,
            modules_to_save=["ln_f"],
        ),
    }


def dora(n_layer):
    """DoRA's settings, by name. Added behind the other methods, whose seeds are their places in the list."""
    some = dict(target_modules=["c_attn", "c_fc"], layers_to_transform=[n_layer - 1], rank_pattern={"c_fc": 2})
    return {
        "dora": dict(target_modules="all-linear", use_dora=True, r=4, lora_alpha=8),
        "dora-some-layers": dict(some, use_dora=True, r=5, lora_alpha=3, bias="lora_only"),
    }


def llama(n_layer):
    """The same for Llama-type models, with DoRA."""
    last = n_layer - 1
    blocks = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    some = dict(target_modules=["q_proj", "k_proj", "v_proj", "down_proj"], layers_to_transform=[last])
    return {
        # PEFT's default: q_proj and v_proj.
        "default": dict(r=4, lora_alpha=8),
        "all-linear": dict(target_modules="all-linear", r=3, lora_alpha=7, use_rslora=True),
        "patterns": dict(
            target_modules=blocks,
            r=4,
            lora_alpha=6,
            rank_pattern={"q_proj": 8, "layers.0.mlp.down_proj": 2},
            alpha_pattern={"mlp.gate_proj": 3, f"layers.{last}.self_attn.o_proj": 11},
        ),
        "some-layers": dict(some, r=5, lora_alpha=10, modules_to_save=["norm"]),
        "saved": dict(target_modules=["o_proj"], r=2, lora_alpha=2, modules_to_save=["gate_proj", "up_proj"]),
        "dora": dict(target_modules=blocks, use_dora=True, r=4, lora_alpha=8, rank_pattern={"k_proj": 2}),
        "dora-some-layers": dict(some, use_dora=True, r=5, lora_alpha=3),
        "dora-default": dict(use_dora=True, r=3, lora_alpha=4, use_rslora=True),
    }


def neox(n_layer):
    """The same for GPT-NeoX."""
    last = n_layer - 1
    blocks = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
    some = dict(target_modules=["query_key_value", "dense_4h_to_h"], layers_to_transform=[last])
    return {
        # PEFT's default: query_key_value.
        "default": dict(r=4, lora_alpha=8),
        "all-linear": dict(target_modules="all-linear", r=3, lora_alpha=7, use_rslora=True),
        "patterns": dict(
            target_modules=blocks,
            r=4,
            lora_alpha=6,
            rank_pattern={"query_key_value": 8, "layers.0.mlp.dense_4h_to_h": 2},
            alpha_pattern={"dense_h_to_4h": 3, f"layers.{last}.attention.dense": 11},
        ),
        "lora-only-bias": dict(target_modules=["query_key_value", "dense"], r=3, lora_alpha=5, bias="lora_only"),
        "some-layers": dict(some, r=5, lora_alpha=10, modules_to_save=["final_layer_norm"]),
        "saved": dict(target_modules=["dense"], r=2, lora_alpha=2, modules_to_save=["query_key_value"]),
        "dora": dict(target_modules=blocks, use_dora=True, r=4, lora_alpha=8),
        "dora-some-layers": dict(some, use_dora=True, r=5, lora_alpha=3),
    }


def loras(config, task="SEQ_CLS"):
    """All LoRA settings of a model, by name: those of the token table of classifiers, those of the head of language models."""
    n_layer = config.num_hidden_layers
    if config.model_type == "gpt2":
        settings, inner, table = {**variants(n_layer), **dora(n_layer)}, ["c_attn", "c_fc"], "wte"
    elif config.model_type == "gpt_neox":
        settings, inner, table = neox(n_layer), ["query_key_value", "dense_h_to_4h"], "embed_in"
    else:
        settings, inner, table = llama(n_layer), ["v_proj", "up_proj"], "embed_tokens"
    if config.model_type == "qwen2":
        settings["lora-only-bias"] = dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], r=3, lora_alpha=5, bias="lora_only")
    # What is embed_out in files is lm_head in transformers since 5.24.
    if config.model_type == "gpt_neox" and task == "CAUSAL_LM":
        return settings
    outside = table if task == "SEQ_CLS" else "lm_head"
    return {**settings, outside: dict(target_modules=[*inner, outside], r=4, lora_alpha=6)}


def virtual(n=4):
    """Settings of methods with n virtual tokens, by name."""
    prefix = dict(peft_type="PREFIX_TUNING", num_virtual_tokens=n)
    return {
        "prompt": dict(peft_type="PROMPT_TUNING", num_virtual_tokens=n),
        "prefix": prefix,
        "prefix-projection": dict(prefix, prefix_projection=True, encoder_hidden_size=7),
    }


def room(length, settings):
    """The most tokens of a text in a context of `length`."""
    return length - settings.get("num_virtual_tokens", 0)


def adapted(base, settings, seed, task="SEQ_CLS"):
    """The model with an adapter whose B is not 0, so that it does something and every gradient is alive."""
    torch.manual_seed(seed)
    model = get_peft_model(base, get_peft_config({"peft_type": "LORA", "task_type": task, **settings}))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.requires_grad and "lora_B" in name:
                value.normal_(std=0.1)
            elif value.requires_grad and "lora_A" not in name:
                value.add_(torch.randn_like(value) * 0.05)
    return model


WORDS = "win a free prize now call me later see you at home ok thanks £1000 cash claim 😀 naïve text lunch tomorrow".split()


def messages(count, seed=1):
    """Short messages of many lengths, and labels that can be learned."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        label = i % 2
        words = [rng.choice(WORDS[:8] if label and rng.random() < 0.5 else WORDS) for _ in range(rng.randint(1, 22))]
        rows.append((" ".join(words) + rng.choice(["", "!", " .", "?? "]), label))
    return rows


class Rng:
    """src/core/rng.ts: xoshiro128**, its state filled by SplitMix32."""

    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B9) & MASK
            z = ((seed ^ (seed >> 16)) * 0x85EBCA6B) & MASK
            z = ((z ^ (z >> 13)) * 0xC2B2AE35) & MASK
            self.s.append(z ^ (z >> 16))

    def next(self):
        s = self.s
        result = (rotate((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 9) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 11)
        return result

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            limit = 2**32 - 2**32 % (i + 1)
            x = self.next()
            while x >= limit:
                x = self.next()
            j = x % (i + 1)
            items[i], items[j] = items[j], items[i]
        return items


MASK = 0xFFFFFFFF


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & MASK
