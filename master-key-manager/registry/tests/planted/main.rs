//! Rows that somebody planted in the database, and the cost of changes.

#[cfg(test)]
mod cost;
#[cfg(test)]
mod history;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rows;
