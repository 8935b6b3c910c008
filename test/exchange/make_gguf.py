"""GGUF files as llama.cpp's convert_hf_to_gguf.py writes them, of models of transformers, and what is in them.

python test/exchange/make_gguf.py OUT [GPT2] [FILE.gguf ...]: the same versions write the same files. OUT is
test/golden/gguf. Each model but a BERT is read again by transformers, which must find the same tensors. GPT2 is a directory with a
model that is written in F16 and Q8_0; of a FILE the tensors that transformers reads are listed. Losses are those of TEXT.
"""
import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, GPT2Config, LlamaConfig, Qwen2Config

transformers.utils.logging.disable_progress_bar()

TYPES = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K".split()
# Bytes of the numbers in f16, in each block of a type.
HALVES = dict(Q8_0=[0], Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208])
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
             vocab_size=288, bos_token_id=0, eos_token_id=0)
LLAMA3 = dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192, rope_theta=500000.0)
GPT2 = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=288, bos_token_id=0, eos_token_id=0)
MODELS = {
    "gpt2-f16": (GPT2, Type.F16),
    "gpt2-q8_0": (GPT2, Type.Q8_0),
    "llama-q4_1": (LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=100000.0), Type.Q4_1),
    "llama3-bf16": (LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=False, rope_parameters=LLAMA3), Type.BF16),
    "bert-q8_0": (BertConfig(**SIZES, type_vocab_size=2), Type.Q8_0),
    "qwen2-q8_0": (Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=1000000.0), Type.Q8_0),
}
PRE = {"gpt2": "gpt-2", "llama": "smollm", "qwen2": "qwen2"}
IN_BLOCK = {
    "gpt2": {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
             "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"},
    "llama": {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
              "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"},
    "bert": {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
             "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
             "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"},
}
IN_BLOCK["qwen2"] = IN_BLOCK["llama"]
OUTSIDE = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
           "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
           "embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
           "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm"}
TABLES = ("wpe.weight", "position_embeddings.weight", "token_type_embeddings.weight")


def sha256(values):
    return hashlib.sha256(np.ascontiguousarray(values, np.float32).tobytes()).hexdigest()


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_types(path):
    """Two rows of random bytes in every type, with moderate scales."""
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "llama")
    expected = {}
    for name in TYPES:
        type_ = Type[name]
        if name in HALVES:
            values, size = gguf.GGML_QUANT_SIZES[type_]
            data = rng.integers(0, 256, (2, 512 // values * size), np.uint8)
            for at in HALVES[name]:
                halves = rng.normal(size=(2, 512 // values)).astype(np.float16)
                data.reshape(2, -1, size)[:, :, at:at + 2] = halves.view(np.uint8).reshape(2, -1, 2)
        else:
            data = gguf.quantize(rng.normal(size=(2, 512)).astype(np.float32), type_)
        writer.add_tensor(name, data, raw_dtype=type_)
        expected[name] = sha256(gguf.dequantize(data, type_))
    write(writer)
    return expected


def write_quantized(path):
    """Blocks of values, and what gguf.quantize makes of them; in some blocks codes lie in the middle of two."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(12, 64)).astype(np.float32) * 0.02
    values[0] = 0
    values[1] *= 1e-6
    values[2] *= 1e6
    middle = rng.integers(-7, 7, 64) + 0.5
    values[3], values[3, [0, 32]] = middle * 0.125, [-1, 1]
    values[4], values[4, [0, 32]] = (rng.integers(-126, 126, 64) + 0.5) * 2.0 ** -9, [127 * 2.0 ** -9, -127 * 2.0 ** -9]
    values[5, ::2] = -0.0
    writer = gguf.GGUFWriter(path, "llama")
    for type_ in [Type.F32, Type.F16, Type.Q8_0, Type.Q4_0]:
        writer.add_tensor(type_.name, gguf.quantize(values, type_), raw_dtype=type_)
    write(writer)


def gguf_name(key, arch):
    stem, part = key.rsplit(".", 1)
    if stem in OUTSIDE:
        return f"{OUTSIDE[stem]}.{part}"
    _, _, block, layer = stem.split(".", 3)
    return f"blk.{block}.{IN_BLOCK[arch][layer]}.{part}"


def interleaved(values, heads):
    return values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def add_config(writer, config):
    arch = config.model_type
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if arch == "gpt2":
        writer.add_feed_forward_length(4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    if arch == "bert":
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_causal_attention(False)
        writer.add_pooling_type(gguf.PoolingType.MEAN)
        return
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if arch == "llama":
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)


def small_tokenizer():
    """One control token, the letters of all bytes, and merges of them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = sorted(map(chr, plain + [256 + i for i in range(256 - len(plain))]))
    merges = [f"{a} {b}" for a in "etaoin" for b in "rsdl"] + ["er s", "Ġ t", "Ġ a", "Ġt e", "er ed"]
    tokens = ["<|endoftext|>", *letters, *(merge.replace(" ", "") for merge in merges)]
    return tokens + [f"<|spare_{i}|>" for i in range(288 - len(tokens))], merges


def add_pieces(writer, config):
    """WordPiece, without its two bytes for what does not begin a word: convert_hf_to_gguf.py, BertModel.set_vocab."""
    letters = [chr(97 + i) for i in range(26)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"\u2581{a}" for a in letters), *letters]
    tokens += [a + b for a in letters for b in letters][:288 - len(tokens)]
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("[") else 1 for token in tokens])
    for add, token in zip(("pad", "unk", "bos", "sep", "mask"), range(5)):
        getattr(writer, f"add_{add}_token_id")(token)


def add_tokenizer(writer, arch, tokens, merges, end=0):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE[arch])
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    if arch != "gpt2":
        writer.add_add_bos_token(False)
        writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")


def rope_factors(config):
    """convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors."""
    rope = config.rope_parameters
    dim = config.hidden_size // config.num_attention_heads
    freqs = 1.0 / (rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim))
    low, high, context = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for freq in freqs:
        wavelen = 2 * torch.pi / freq
        smooth = (context / wavelen - low) / (high - low)
        middle = 1 / ((1 - smooth) / rope["factor"] + smooth)
        factors.append(1 if wavelen < context / high else rope["factor"] if wavelen > context / low else middle)
    return np.array(factors, np.float32)


def random_model(config):
    torch.manual_seed(0)
    model = AutoModel.from_config(config, add_pooling_layer=False) if config.model_type == "bert" else AutoModelForCausalLM.from_config(config)
    for value in model.state_dict().values():
        value.copy_(torch.randn_like(value) * 0.2 + (value.dim() == 1))
    return model


def write_model(path, model, type_, tokenizer):
    config = model.config
    arch = config.model_type
    writer = gguf.GGUFWriter(path, arch)
    add_config(writer, config)
    if arch == "bert":
        add_pieces(writer, config)
    else:
        add_tokenizer(writer, arch, *tokenizer)
    expected = {}
    if arch == "llama" and config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", rope_factors(config))
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = value.numpy()
        name = gguf_name(key, arch)
        is_turned = arch == "gpt2" and value.dim() == 2 and ".h." in key
        stored = np.ascontiguousarray(values.T) if is_turned else values
        heads = {".attn_q.": config.num_attention_heads, ".attn_k.": getattr(config, "num_key_value_heads", None)}
        heads = next((heads[part] for part in heads if arch == "llama" and part in name), None)
        if heads:
            stored = interleaved(stored, heads)
        # As llama.cpp: vectors, and tables of positions, in F32.
        own = Type.F32 if value.dim() == 1 or key.endswith(TABLES) else type_
        data = gguf.quantize(stored, own)
        writer.add_tensor(name, data, raw_dtype=own)
        read = gguf.dequantize(data, own).reshape(stored.shape)
        if heads:
            read = read.reshape(heads, -1, 2, *read.shape[1:]).swapaxes(1, 2).reshape(read.shape)
        expected[key] = sha256(read.T if is_turned else read)
    write(writer)
    return expected


def read(path, config=None):
    """What transformers reads. It does not read all of a GPT-2's config."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, config=config, dtype=torch.float32)
    return model, {key: sha256(value.numpy()) for key, value in model.state_dict().items()}


def write_checked(path, model, type_, tokenizer):
    expected = write_model(path, model, type_, tokenizer)
    if model.config.model_type == "bert":
        # transformers reads none from such a file.
        return model, expected
    again, found = read(path, model.config)
    wrong = [key for key in expected if found[key] != expected[key]]
    assert not wrong, f"{path.name}: transformers has other values of {wrong}"
    return again, expected


TEXT = "The committee met on Thursday to discuss the plans for a new bridge over the river."


def write_gpt2(out, directory):
    """A model in F16 and Q8_0, with the loss of TEXT behind the token that ends a text."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    merges = [line for line in (directory / "merges.txt").read_text().splitlines() if line and not line.startswith("#")]
    ids = torch.tensor([[tokenizer.eos_token_id, *tokenizer(TEXT)["input_ids"]]])
    losses, files = {}, {}
    for type_ in [Type.F16, Type.Q8_0]:
        name = f"model-{type_.name.lower()}.gguf"
        again, files[str(out / name)] = write_checked(out / name, model, type_, (tokens, merges, tokenizer.eos_token_id))
        losses[str(out / name)] = again(ids, labels=ids).loss.item()
    return losses, files


def main():
    out, *given = map(Path, sys.argv[1:])
    result = dict(versions=dict(transformers=transformers.__version__, torch=torch.__version__, numpy=np.__version__),
                  types=write_types(out / "types.gguf"), models={})
    write_quantized(out / "quantized.gguf")
    for name, (config, type_) in MODELS.items():
        _, result["models"][name] = write_checked(out / f"{name}.gguf", random_model(config), type_, small_tokenizer())
    (out / "expect.json").write_text(json.dumps(result, indent=1) + "\n")
    if given:
        losses, files = write_gpt2(out, given[0])
        files.update({str(path): read(path)[1] for path in given[1:]})
        (out / "given.json").write_text(json.dumps(dict(text=TEXT, losses=losses, files=files)))


main()
