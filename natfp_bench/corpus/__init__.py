"""The room `corpus`."""
