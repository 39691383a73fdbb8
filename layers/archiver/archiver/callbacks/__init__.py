"""What the vendor sends to the Function URL: a hint that a job completed, behind a token."""
