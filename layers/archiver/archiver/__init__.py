"""The export archiver's package: one job's export, from the vendor's link to the company's bucket.

Read archive.py first: it is the use case. The folders say who is spoken to: apartmentiq/ (the
vendor), aws/ (the only modules that know boto3) and transfer/ (the bytes between them).
"""

__all__ = ["VERSION"]

VERSION = "0.1.0"  # goes into each object's metadata, so that an odd object tells what wrote it
