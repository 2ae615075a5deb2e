"""Responses as chats: requests become those of a chat, and what the engine says of it becomes items and events."""
