"""S1, GridRepublic's remote jobs: /remotejobs/v2 (API.md §1.2)."""
