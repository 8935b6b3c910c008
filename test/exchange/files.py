"""What the reference library says to the files N.safetensors of a folder: `files.py FOLDER COUNT`. See files.mjs."""
import hashlib
import json
import os
import sys

import numpy
from safetensors import SafetensorError, deserialize


def floats(dtype, data):
    """The values as float32, every NaN as one of them; None for the types that Lowrank does not read."""
    if dtype == "BF16":
        values = (numpy.frombuffer(data, numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    elif dtype in ("F32", "F16"):
        values = numpy.frombuffer(data, {"F32": numpy.float32, "F16": numpy.float16}[dtype]).astype(numpy.float32)
    else:
        return None
    bits = values.view(numpy.uint32).copy()
    bits[numpy.isnan(values)] = 0x7FC00000
    return bits.tobytes()


def described(tensor):
    values = floats(tensor["dtype"], bytes(tensor["data"]))
    shape = ",".join(map(str, tensor["shape"]))
    return f"{tensor['dtype']} [{shape}]" + (f" {hashlib.sha256(values).hexdigest()}" if values is not None else "")


def verdict(path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        return {"tensors": {name: described(tensor) for name, tensor in sorted(deserialize(data))}}
    except SafetensorError as error:
        return {"refused": str(error)}


folder, count = sys.argv[1], int(sys.argv[2])
verdicts = [verdict(os.path.join(folder, f"{i}.safetensors")) for i in range(count)]
with open(os.path.join(folder, "theirs.json"), "w") as file:
    json.dump(verdicts, file)
