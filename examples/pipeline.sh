#!/usr/bin/env bash
# The same picture stage by stage, with a file at every joint.
set -euo pipefail
out=${1:-stages}
mkdir -p "$out"

# Words become ids: no neural network yet.
janus tokenize text "a red apple" -o "$out/prompt.safetensors" --force
janus info "$out/prompt.safetensors"

# The decoder draws 16 x 16 image tokens after them.
janus generate "$out/prompt.safetensors" --seed 7 -o "$out/tokens.safetensors" --force

# Tokens can be looked at as they are …
janus decode "$out/tokens.safetensors" -o "$out/raw.png" --force

# … or sharpened and enlarged first. Filters read standard input, too.
janus denoise "$out/tokens.safetensors" | janus upsample --scale 4 | janus decode -o "$out/apple.png" --force

# One process gives the same pixels.
janus draw "a red apple" --seed 7 -o "$out/again.png" --force
python3 - "$out" <<'PY' || exit 1
import sys
from PIL import Image
one, two = (Image.open(f"{sys.argv[1]}/{name}.png") for name in ("apple", "again"))
sys.exit(one.tobytes() != two.tobytes())
PY
echo "the pipe and janus draw agree" >&2
