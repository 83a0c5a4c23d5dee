"""What people do beside the pipeline: the verbs of `reprise`, one module each."""
