//! Rows that somebody planted in the database.

#[cfg(test)]
mod rows;
