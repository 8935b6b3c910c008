"""What llama.cpp itself makes of a GGUF file in F32, beside what was written here.

python test/exchange/quantize.py LIBRARIES F32.gguf SCRATCH.gguf TYPE=FILE.gguf ...: LIBRARIES is a directory with
llama.cpp's shared libraries, TYPE a number of a whole file's type. The head is Q8_0, as in ours. Prints, as JSON, the
tensors of each FILE whose type or bytes are not llama.cpp's.
"""
import ctypes
import json
import sys
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_int, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path

from gguf import GGMLQuantizationType, GGUFReader


class Params(Structure):
    """llama_model_quantize_params of llama.h."""
    _fields_ = [("nthread", c_int32), ("ftype", c_int), ("output_tensor_type", c_int), ("token_embedding_type", c_int),
                *((name, c_bool) for name in ["allow_requantize", "quantize_output_tensor", "only_copy", "pure",
                                              "keep_split", "dry_run"]),
                *((name, c_void_p) for name in ["imatrix", "kv_overrides", "tt_overrides", "prune_layers"]),
                ("max_buf_size", c_size_t)]


def load(directory):
    def open_library(name):
        return ctypes.CDLL(str(next(path for path in directory.iterdir() if path.name.startswith(f"{name}."))),
                           mode=ctypes.RTLD_GLOBAL)
    _, ggml, llama = map(open_library, ["libggml-base", "libggml", "libllama"])
    ggml.ggml_backend_load_all_from_path.argtypes = [c_char_p]
    ggml.ggml_backend_load_all_from_path(str(directory).encode())
    llama.llama_model_quantize_default_params.restype = Params
    llama.llama_model_quantize.argtypes = [c_char_p, c_char_p, POINTER(Params)]
    llama.llama_model_quantize.restype = c_uint32
    llama.llama_log_set(LOG, None)
    llama.llama_backend_init()
    return llama


LOG = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)(lambda *_: None)


def tensors(path):
    return {tensor.name: (tensor.tensor_type.name, tensor.data.tobytes()) for tensor in GGUFReader(path).tensors}


def main():
    libraries, source, scratch, *pairs = sys.argv[1:]
    llama = load(Path(libraries))
    different = {}
    for pair in pairs:
        type_, path = pair.split("=", 1)
        params = llama.llama_model_quantize_default_params()
        params.nthread, params.ftype = 1, int(type_)
        if params.ftype == 2:
            params.output_tensor_type = GGMLQuantizationType.Q8_0
        if llama.llama_model_quantize(source.encode(), scratch.encode(), byref(params)) != 0:
            sys.exit(f"llama.cpp could not quantise {source}")
        theirs, ours = tensors(scratch), tensors(path)
        different[path] = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    print(json.dumps(different))


main()
