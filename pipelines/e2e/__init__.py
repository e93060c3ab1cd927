"""End to end: one network from audio to transcript."""
