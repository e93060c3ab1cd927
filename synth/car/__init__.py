"""Procedural noise of car cabins: cars and drives that are drawn, not recorded, from the physics of their sounds.

    vehicle, drive   what is drawn: a car once, a drive for each recording; both go into the manifest
    motion           the drive as speed, gear, revolutions and load over time
    engine           engine orders along the revolutions, or a motor's whine; combustion
    road             tyres by surface, their cavity, joints, rattles
    air              wind around the car and the blower inside
    weather          rain and wipers
    events           indicator, wiper, horn and passing vehicle, each alone, to be laid over the rest
    broadband, strikes, level   how noise, impulses and levels are made
    render, recordings          one cabin's sound; a corpus of them

All levels are dB(A) at the cabin's microphone, and `level` says what they become in a file.
"""

from synth.car.recordings import generate

__all__ = ["generate"]
