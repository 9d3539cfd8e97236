"""Giving items to labelers, each once."""
