"""Writes a student of distil.py as a GGUF file.

    python3 write.py SMOLLM2.gguf STUDENT.pt OUT.gguf

The matrices and the token table in Q4_1, the norms in f32; SmolLM2's tokenizer, cut to the table's tokens.
"""
import sys
import gguf, numpy as np, torch
from smol import HEAD, HEADS, KV

TOKENIZER = ("model", "pre", "bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id", "add_bos_token", "add_space_prefix")


def interleaved(w, heads):
    """The order of llama.cpp: the two halves of a head that are turned together alternate."""
    return w.reshape(heads, 2, HEAD // 2, -1).transpose(1, 2).reshape(w.shape)


def main():
    source, student, target = sys.argv[1:4]
    fields = gguf.GGUFReader(source).fields
    value = lambda key: fields[key].contents()
    w = {k: v.detach().float() for k, v in torch.load(student).items()}
    vocabulary = w["token_embd.weight"].shape[0]
    layers = len({k.split(".")[1] for k in w if k.startswith("blk.")})
    out = gguf.GGUFWriter(target, "llama")
    out.add_name("SmolLM2 cut")
    out.add_description(f"The lowest {layers} layers and first {vocabulary} tokens of SmolLM2-135M-Instruct, healed by distillation")
    out.add_license("apache-2.0")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    out.add_block_count(layers)
    out.add_vocab_size(vocabulary)
    for key in ("context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv", "rope.dimension_count"):
        out.add_uint32(f"llama.{key}", value(f"llama.{key}"))
    for key in ("rope.freq_base", "attention.layer_norm_rms_epsilon"):
        out.add_float32(f"llama.{key}", value(f"llama.{key}"))
    tokens = value("tokenizer.ggml.tokens")[:vocabulary]
    known = set(tokens)
    out.add_tokenizer_model(value("tokenizer.ggml.model"))
    out.add_tokenizer_pre(value("tokenizer.ggml.pre"))
    out.add_token_list(tokens)
    out.add_token_types(value("tokenizer.ggml.token_type")[:vocabulary])
    out.add_token_merges([m for m in value("tokenizer.ggml.merges") if m.replace(" ", "", 1) in known])
    out.add_bos_token_id(value("tokenizer.ggml.bos_token_id"))
    out.add_eos_token_id(value("tokenizer.ggml.eos_token_id"))
    out.add_unk_token_id(value("tokenizer.ggml.unknown_token_id"))
    out.add_pad_token_id(value("tokenizer.ggml.padding_token_id"))
    out.add_add_bos_token(value("tokenizer.ggml.add_bos_token"))
    out.add_add_space_prefix(value("tokenizer.ggml.add_space_prefix"))
    out.add_chat_template(value("tokenizer.chat_template"))
    for name, v in w.items():
        if v.dim() == 1:
            out.add_tensor(name, v.numpy().astype(np.float32))
            continue
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            v = interleaved(v, HEADS if "attn_q" in name else KV)
        kind = gguf.GGMLQuantizationType.Q4_1
        out.add_tensor(name, gguf.quants.quantize(v.contiguous().numpy(), kind), raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main()
