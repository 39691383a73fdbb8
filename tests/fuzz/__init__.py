"""Bad input: what the world may send us, drawn at random, against what docs/promises.md says.

`make fuzz N=50000 SEED=...` runs it. The pieces are real; only what stands behind the seam to the
world (AWS, HTTP, the clock) is not.
"""
