#!/usr/bin/env bash
# Sounds, words and pictures, from any of them to any other.
set -euo pipefail
out=${1:-senses}
mkdir -p "$out"

# Words to sound, and back to words.
janus speak "two cats" --seed 1 -m pocket-any -o "$out/cats.wav"
janus transcribe "$out/cats.wav" -m pocket-any

# A picture to words, and to sound.
janus draw "a red apple" --seed 7 -o "$out/apple.png"
janus describe "$out/apple.png" -m pocket-any
janus tokenize image "$out/apple.png" | janus generate --to audio -m pocket-any --seed 1 | janus decode -m pocket-any -o "$out/told.wav"

# A sound to a picture: what is heard is put into words, and the same cache goes on with the picture.
janus tokenize audio "$out/cats.wav" | janus generate --to image -m pocket-any --seed 2 | janus decode -o "$out/heard.png"

# The tokens of a sound, and the sound that they hold.
janus tokenize audio "$out/cats.wav" -o "$out/cats.safetensors"
janus info "$out/cats.safetensors"
janus decode "$out/cats.safetensors" -o "$out/again.flac"
ls "$out"
