"""The pages of a report: the first page, one per task and protocol, one per attributor, and one on validity."""
