"""Between the OpenAI surface's words and the core's. Pure: every decision is a table or a plain mapping."""
