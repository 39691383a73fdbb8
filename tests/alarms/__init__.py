"""Simulated days of metrics, and what each alarm of the template makes of them."""
