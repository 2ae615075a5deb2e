"""All MongoDB of the usage service: one method a question or a transition."""
