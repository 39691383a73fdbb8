"""What comes into the stack from others, and what leaves as a build: listed, reviewed, compared.

`make build` writes the bill of materials, `make audit-lock` reviews the locks, `make
check-reproducible` builds twice. Nothing here is deployed, and nothing here asks the network: what
that cannot see stands in docs/deploying.md.
"""
