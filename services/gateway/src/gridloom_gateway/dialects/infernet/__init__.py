"""S2, Infernet: /infernet/api/v1 (API.md §1.3)."""
