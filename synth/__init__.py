"""Mixing clean speech with in-car noise: scenes are drawn first, then rendered without chance."""
