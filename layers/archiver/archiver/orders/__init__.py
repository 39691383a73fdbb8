"""Ordering: what should exist, compared with what does, and what is missing ordered once."""
