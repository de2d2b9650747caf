//! Documents under `tests/output/` that change only on purpose.
