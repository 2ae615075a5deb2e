"""What the webhook service keeps in MongoDB."""
