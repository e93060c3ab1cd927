"""The two rival recognisers: `phoneme` (MFCC -> phonemes -> words) and `e2e` (audio -> transcript)."""
