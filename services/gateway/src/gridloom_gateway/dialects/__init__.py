"""The public APIs. Each dialect translates between one API's words and the desk's verbs, and does nothing else."""
