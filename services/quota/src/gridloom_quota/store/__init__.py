"""All MongoDB of the quota service: one method a question or a transition."""
