"""What module authors test with: strategies from types, and what later joins them. Ships with the product."""
