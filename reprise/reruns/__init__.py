"""The pipeline again, compared with what is committed."""
