"""Runs wherever they are kept: their files, names and settings."""
