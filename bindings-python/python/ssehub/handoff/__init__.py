"""The only place that knows servers' internals.

Each probe fails closed: what is not found, or not exactly as expected, is not used, and the stream goes on in-loop.
"""
