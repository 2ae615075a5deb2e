"""The part of the native API that is about webhooks: the log of deliveries, replays, the secret, and a check."""
