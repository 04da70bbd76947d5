"""The room `attributors`."""
