"""Makes the pictures of docs/ from real runs."""
