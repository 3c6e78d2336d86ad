"""Segue, the pure part: events and ticks in, state and changes out."""
