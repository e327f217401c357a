"""Holding a composed config against the schema, against what its targets take, and across its fields."""
