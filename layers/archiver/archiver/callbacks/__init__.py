"""The vendor's requests to the Function URL: hints that a job completed, behind a token."""
