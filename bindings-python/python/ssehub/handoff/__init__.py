"""The only place that knows servers' internals. Each probe fails closed: what is not found is not used."""
