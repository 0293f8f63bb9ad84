"""The autoregressive loop: how prompts are laid out, tokens drawn, words searched for."""
