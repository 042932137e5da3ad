"""Properties of mixed perovskites: compositions, tables, models never worse than Vegard."""
