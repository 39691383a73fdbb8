"""One job's export, from its message to the event that tells of it; archive.py is the use case."""
