"""How deliveries of webhooks are signed, where they may go, and how they are made."""
