"""A Django project whose secrets are in the vault."""
