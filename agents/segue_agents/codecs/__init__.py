"""Bytes to events and changes to bytes."""
