"""The fault simulation: the real use case and adapters in a world that misbehaves by a seed.

Read world.py for what the world is, chaos.py for what goes wrong in it, judge.py for what must hold
all the same, and mutants.py for the proof that the judge bites. `make faults` runs it.
"""
