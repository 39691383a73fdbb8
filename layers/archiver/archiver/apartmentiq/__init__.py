"""ApartmentIQ, the vendor: its protocol (pure), its token, its links, and the client that asks."""
