#!/usr/bin/env bash
# Turn a folder of pictures into token shards, and back.
set -euo pipefail
out=${1:-batch}
mkdir -p "$out/pictures"
janus draw "a red apple" "a green book" "a rocket, noto" --seed 3 -q -o "$out/pictures/" --force

# One record a picture, in WebDataset shards.
janus tokenize image "$out/pictures" -o "$out/shard-%06d.tar" --force
tar tf "$out/shard-000000.tar"

# Or as a stream: count them, then decode them all.
janus tokenize image "$out/pictures" | janus info --json
janus tokenize image "$out/pictures" | janus decode -o "$out/back/" --force
ls "$out/back"
