"""The OpenAI surface as it is spelled on the wire. Fields that nobody here names pass through untouched."""
