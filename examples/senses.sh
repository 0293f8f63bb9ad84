#!/usr/bin/env bash
# Sounds, words and pictures, from any of them to any other.
set -euo pipefail
out=${1:-senses}
mkdir -p "$out"

# Words to sound, and back to words.
janus speak "penguin" -o "$out/penguin.wav" --force
janus transcribe "$out/penguin.wav"

# A picture to words, and to sound.
janus draw "a red apple" --seed 7 -o "$out/apple.png" --force
janus describe "$out/apple.png"
janus tokenize image "$out/apple.png" | janus generate --to audio -m pocket-any --seed 1 | janus decode -m pocket-any -o "$out/told.wav" --force

# A sound to a picture: what is heard is put into words, and the same cache goes on with the picture.
janus tokenize audio "$out/penguin.wav" | janus generate --to image -m pocket-any --seed 2 | janus denoise | janus upsample |
    janus decode -o "$out/heard.png" --force

# The tokens of a sound, and the sound that they hold.
janus tokenize audio "$out/penguin.wav" -o "$out/penguin.safetensors" --force
janus info "$out/penguin.safetensors"
janus decode "$out/penguin.safetensors" -o "$out/again.flac" --force
ls "$out"
