//! Rows that somebody planted in the database.

#[cfg(test)]
mod records;
#[cfg(test)]
mod rows;
