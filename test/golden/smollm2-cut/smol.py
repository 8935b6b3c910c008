"""A Llama model in a few lines of PyTorch, and SmolLM2 out of its GGUF file, with a smaller vocabulary."""
import gguf, torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, AddedToken

WIDTH, HEADS, KV, HEAD, HIDDEN, EPS, THETA, SPECIALS = 576, 9, 3, 64, 1536, 1e-5, 100_000.0, 17
SHAPES = {"attn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (KV * HEAD, WIDTH), "attn_v": (KV * HEAD, WIDTH), "attn_output": (WIDTH, WIDTH),
          "ffn_norm": (WIDTH,), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}


def tokenizer(path, vocabulary):
    """Byte-level BPE of the first `vocabulary` tokens: ids are in the order of the merges, so a prefix is a tokenizer."""
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()[:vocabulary]
    merges = fields["tokenizer.ggml.merges"].contents()
    ids = {t: i for i, t in enumerate(tokens)}
    kept = [tuple(m.split(" ")) for m in merges if m.replace(" ", "", 1) in ids]
    out = Tokenizer(models.BPE(vocab=ids, merges=kept))
    out.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    out.decoder = decoders.ByteLevel()
    out.add_special_tokens([AddedToken(t, special=True) for t in tokens[:SPECIALS]])
    return out


def halves(w, heads):
    """llama.cpp interleaves the two halves of a head that are turned together; here they stand one behind the other."""
    return w.reshape(heads, HEAD // 2, 2, -1).transpose(1, 2).reshape(w.shape)


def weights(path, vocabulary=None):
    """{name: f32 tensor} as in the file, q and k with halves in order, the token table cut to `vocabulary`."""
    out = {}
    for t in gguf.GGUFReader(path).tensors:
        w = torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy())
        if t.name.endswith(("attn_q.weight", "attn_k.weight")):
            w = halves(w, HEADS if "attn_q" in t.name else KV)
        out[t.name] = w[:vocabulary] if t.name == "token_embd.weight" else w
    return out


def rope(length, dtype):
    f = torch.outer(torch.arange(length), THETA ** (-torch.arange(0, HEAD, 2) / HEAD))
    f = torch.cat((f, f), -1)
    return f.cos().to(dtype), f.sin().to(dtype)


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def block(x, w, prefix, cos, sin):
    """x [B, T, WIDTH] through one layer, whose weights are w[prefix + name + '.weight']."""
    g = lambda name: w[f"{prefix}{name}.weight"]
    B, T, _ = x.shape
    h = F.rms_norm(x, (WIDTH,), g("attn_norm"), EPS)
    q = turn(F.linear(h, g("attn_q")).view(B, T, HEADS, HEAD).transpose(1, 2), cos, sin)
    k = turn(F.linear(h, g("attn_k")).view(B, T, KV, HEAD).transpose(1, 2), cos, sin)
    v = F.linear(h, g("attn_v")).view(B, T, KV, HEAD).transpose(1, 2)
    k, v = k.repeat_interleave(HEADS // KV, 1), v.repeat_interleave(HEADS // KV, 1)
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + F.linear(a.transpose(1, 2).reshape(B, T, WIDTH), g("attn_output"))
    h = F.rms_norm(x, (WIDTH,), g("ffn_norm"), EPS)
    return x + F.linear(F.silu(F.linear(h, g("ffn_gate"))) * F.linear(h, g("ffn_up")), g("ffn_down"))


def hidden(ids, w, layers, keep=()):
    """ids [B, T] to the residual stream after the layers (list of numbers), and those after `keep`."""
    x = w["token_embd.weight"][ids]
    cos, sin = rope(ids.shape[1], x.dtype)
    kept = {}
    for i in layers:
        x = block(x, w, f"blk.{i}.", cos, sin)
        if i in keep:
            kept[i] = x
    return (x, kept) if keep else x


def normed(x, w):
    return F.rms_norm(x, (WIDTH,), w["output_norm.weight"], EPS)


BLOCK = 32  # values that share a scale in Q4_1


def rounded(w):
    """w as Q4_1 stores it: blocks of 32 along a row, f16 scale and minimum, 4 bits."""
    b = w.reshape(-1, BLOCK)
    low, high = b.amin(1, keepdim=True), b.amax(1, keepdim=True)
    d = ((high - low) / 15).half().float()
    m = low.half().float()
    return (torch.clamp(torch.round((b - m) / torch.where(d > 0, d, 1)), 0, 15) * d + m).reshape(w.shape)


WHOLE = 49152  # tokens


def cut(path, vocabulary):
    """Of each id of the whole vocabulary its ids in the smaller one, a list."""
    whole, small = tokenizer(path, WHOLE), tokenizer(path, vocabulary)
    return [[i] if i < vocabulary else [p.id for p in small.model.tokenize(whole.id_to_token(i))] for i in range(WHOLE)]
