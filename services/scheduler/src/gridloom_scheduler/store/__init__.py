"""All MongoDB of the scheduler: one method a question or a transition."""
