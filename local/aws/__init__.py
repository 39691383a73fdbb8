"""The AWS side of the local cloud: moto, the expanded template, real Lambda runtimes.

Nothing here knows ApartmentIQ or what our function does: it would run any stack as small as ours.
"""
