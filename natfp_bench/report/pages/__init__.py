"""The room `report/pages`."""
