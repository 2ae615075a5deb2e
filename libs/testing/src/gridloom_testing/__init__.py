"""Fixtures over real servers, builders and fault tools for the Gridloom tests."""
