"""Runs: one record of one call, in a store that survives a crash.

In: a verb's name, inputs and settings. Out: estimates, stored with everything that reproduces them.
Read `catalogue` (which verbs exist), `execute` (the only door), `store` (what lies on disk),
`executors` (how units are computed), `report` (how a record is shown).
"""
