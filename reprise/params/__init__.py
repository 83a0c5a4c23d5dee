"""The settings: one module for each section of params.yaml, and `loading`, which reads them.

They are apart so that a stage depends on its own section's schema and on no other's.
"""
