"""The bytes between the link and the bucket: planned, copied, verified."""
