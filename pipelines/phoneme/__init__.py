"""The classical pipeline: MFCC -> phonemes -> words."""
