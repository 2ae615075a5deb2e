"""The house rules that no ready-made linter knows: pure functions over source text, each proven on a violation."""
