"""The settings, and one builder for each function: the only rooms that know everybody."""
