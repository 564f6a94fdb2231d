#!/usr/bin/env bash
# The guess, before looking: a CTranslate2 spec is given weights as arrays; `spec.optimize(quantization="int8")`
# replaces them in the spec by rounded ones. The arrays it was given are the caller's, and stay as they were, as they
# do without quantization, and with float16.
#
# What it does (4.8.5): for int8 and int16 it multiplies each matrix by its scale, in place, in the array it was given
# (`value *= scale`; the conversion to float32 before it makes no copy of what is float32). `tensor.numpy()` shares
# memory with torch, so the model that is being exported is destroyed: weights of 0.1 become weights of 100.
# Nothing fails. Whom it hurts: who exports one loaded model twice (int8 for CPUs, then float16 for GPUs: the second
# file holds another model), or compares the export with the model it was made of.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ctranslate2==4.8.5 numpy==2.2.6
cat > "$folder/look.py" <<'PY'
import sys
from pathlib import Path

import ctranslate2
import numpy as np
from ctranslate2 import specs

SIZE, DIM = 40, 32
draw = np.random.default_rng(0)
weights = {}  # the model: what a converter has loaded


def put(layer, key, *shape):
    name = (id(layer.__class__), len(order), key)
    order.append(name)
    if len(order) > len(weights):
        weights[name] = draw.normal(0, DIM**-0.5, shape).astype(np.float32)
    setattr(layer, key, list(weights.values())[len(order) - 1])


def export(folder, quantization):
    order.clear()
    spec = specs.TransformerSpec.from_config(1, 4)
    for side in (spec.encoder, spec.decoder):
        table = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        put(table, "weight", SIZE, DIM)
        for layer in side.layer:
            for attention in [layer.self_attention, *([layer.attention] if hasattr(layer, "attention") else [])]:
                sizes = (3, 1) if len(attention.linear) == 2 else (1, 2, 1)
                for linear, size in zip(attention.linear, sizes):
                    put(linear, "weight", size * DIM, DIM)
                    put(linear, "bias", size * DIM)
                put(attention.layer_norm, "gamma", DIM)
                put(attention.layer_norm, "beta", DIM)
            put(layer.ffn.linear_0, "weight", 64, DIM)
            put(layer.ffn.linear_0, "bias", 64)
            put(layer.ffn.linear_1, "weight", DIM, 64)
            put(layer.ffn.linear_1, "bias", DIM)
            put(layer.ffn.layer_norm, "gamma", DIM)
            put(layer.ffn.layer_norm, "beta", DIM)
        put(side.layer_norm, "gamma", DIM)
        put(side.layer_norm, "beta", DIM)
    put(spec.decoder.projection, "weight", SIZE, DIM)
    pieces = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(SIZE - 3))]
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))
    model = ctranslate2.Translator(str(folder), device="cpu", compute_type="float32")
    return np.array(model.score_batch([["w1", "w5", "w20"]], [["w3", "w9"]])[0].log_probs)


order = []
root = Path(sys.argv[1])
first = export(root / "float32", None)
before = {name: array.copy() for name, array in weights.items()}
print("float32:", first.round(3))
print("float16:", export(root / "float16", "float16").round(3))
kept = all(np.array_equal(before[name], array) for name, array in weights.items())
print("the model's own arrays are as they were:", kept)
rounded = export(root / "int8", "int8")
changed = [name for name, array in weights.items() if not np.array_equal(before[name], array)]
greatest = max(np.abs(weights[name]).max() for name in changed) if changed else 0.0
print("int8:   ", rounded.round(3))
print(f"of the model's own arrays, {len(changed)} of {len(weights)} are changed, with numbers up to {greatest:.0f}")
second = export(root / "again", "float16")
print("float16 again, of the same arrays:", second.round(3))
sys.exit(0 if kept and changed and np.abs(second - first).max() > 0.5 and np.abs(rounded - first).max() < 0.2 else 1)
PY
"$folder/venv/bin/python" "$folder/look.py" "$folder/models" 2>&1 | grep -v warning || { echo "no longer as described"; exit 1; }
