"""Registry of public data (sha256, licence, size, address) and of the sets that domains simulate."""
