"""The OpenAI surface, and what inference.club adds to it: jobs that nobody waits for (seeds/004; API.md §1.5, §2.3)."""
