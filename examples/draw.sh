#!/usr/bin/env bash
# Draw pictures from prompts, look at what made them, and draw them again.
set -euo pipefail
out=${1:-drawings}
mkdir -p "$out"

# One prompt, one picture. The seed decides which.
janus draw "a red apple" --seed 7 -o "$out/apple.png" --force

# The picture remembers how it was made.
janus info "$out/apple.png"

# Several prompts at once, two pictures of each; the model is loaded once.
janus draw "a penguin, noto" "a sunflower, twemoji" -n 2 --seed 1 -o "$out/{prompt}-{index}.png" --force

# Prompts from a pipe, one a line.
printf 'two cats\na small dog in the center\n' | janus draw --stdin -o "$out/{prompt}.jpg" --force
ls "$out"
