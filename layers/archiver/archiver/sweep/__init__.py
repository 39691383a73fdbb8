"""The sweep: finds completed jobs that no callback or message named, and abandoned uploads."""
