"""Everything that runs the stack on one machine: an embedded AWS, a vendor stand-in, a demo.

Nothing in here is deployed, and nothing that is deployed imports it.
"""
