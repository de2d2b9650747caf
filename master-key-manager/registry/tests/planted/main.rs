//! Rows that somebody planted in the database.

#[cfg(test)]
mod history;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rows;
