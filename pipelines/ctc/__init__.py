"""A network from audio to tokens, trained by CTC: characters end to end, phonemes in the pipeline."""
