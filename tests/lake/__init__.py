"""Random tables against the reader of the lake, judged by readers that share no code with it."""
