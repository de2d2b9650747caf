//! Values as they go into statements and come out of rows. Whatever does not fit is an error, never a guess.

use std::fmt;

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::SqlError;

/// The kinds of values that a database holds.
#[derive(Clone, Copy)]
pub enum Value<'v> {
    /// No value.
    Null,
    /// A number, or 0 and 1 for a truth value.
    Integer(i64),
    /// Text.
    Text(&'v str),
    /// Bytes.
    Blob(&'v [u8]),
}

/// Names the kind only.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Integer(_) => "Integer",
            Self::Text(_) => "Text",
            Self::Blob(_) => "Blob",
        })
    }
}

/// A type that statements take as a parameter.
pub trait Param {
    /// The value as the database keeps it.
    ///
    /// # Errors
    /// The database cannot hold it.
    fn value(&self) -> Result<Value<'_>, SqlError>;
}

/// A type that is read from a column.
pub trait Column: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The column holds something else.
    fn from_value(value: Value<'_>) -> Result<Self, SqlError>;
}

macro_rules! param {
    ($($type:ty: |$value:ident| $kept:expr;)*) => {
        $(impl Param for $type {
            fn value(&self) -> Result<Value<'_>, SqlError> {
                let $value = self;
                Ok($kept)
            }
        })*
    };
}

param! {
    i64: |number| Value::Integer(*number);
    u32: |number| Value::Integer(i64::from(*number));
    // Integers of a database are signed.
    u64: |number| Value::Integer(i64::try_from(*number).map_err(|_| SqlError::unreadable())?);
    bool: |truth| Value::Integer(i64::from(*truth));
    str: |text| Value::Text(text);
    String: |text| Value::Text(text);
    [u8]: |bytes| Value::Blob(bytes);
    Vec<u8>: |bytes| Value::Blob(bytes);
}

impl<const N: usize> Param for [u8; N] {
    fn value(&self) -> Result<Value<'_>, SqlError> {
        Ok(Value::Blob(self))
    }
}

impl<P: Param> Param for Option<P> {
    fn value(&self) -> Result<Value<'_>, SqlError> {
        self.as_ref().map_or(Ok(Value::Null), Param::value)
    }
}

impl<P: Param + ?Sized> Param for &P {
    fn value(&self) -> Result<Value<'_>, SqlError> {
        P::value(self)
    }
}

macro_rules! column {
    ($($type:ty: $kept:pat => $value:expr;)*) => {
        $(impl Column for $type {
            fn from_value(value: Value<'_>) -> Result<Self, SqlError> {
                let $kept = value else { return Err(SqlError::unreadable()) };
                $value
            }
        })*
    };
}

column! {
    i64: Value::Integer(number) => Ok(number);
    u32: Value::Integer(number) => number.try_into().map_err(|_| SqlError::unreadable());
    u64: Value::Integer(number) => number.try_into().map_err(|_| SqlError::unreadable());
    bool: Value::Integer(truth @ (0 | 1)) => Ok(truth == 1);
    String: Value::Text(text) => Ok(text.to_owned());
    Vec<u8>: Value::Blob(bytes) => Ok(bytes.to_vec());
}

impl<const N: usize> Column for [u8; N] {
    fn from_value(value: Value<'_>) -> Result<Self, SqlError> {
        let Value::Blob(bytes) = value else { return Err(SqlError::unreadable()) };
        bytes.try_into().map_err(|_| SqlError::unreadable())
    }
}

impl<T: Column> Column for Option<T> {
    fn from_value(value: Value<'_>) -> Result<Self, SqlError> {
        if let Value::Null = value { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl<'v> TryFrom<ValueRef<'v>> for Value<'v> {
    type Error = SqlError;

    fn try_from(value: ValueRef<'v>) -> Result<Self, SqlError> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Integer(number)),
            ValueRef::Text(text) => str::from_utf8(text).map(Self::Text).map_err(|_| SqlError::unreadable()),
            ValueRef::Blob(bytes) => Ok(Self::Blob(bytes)),
            ValueRef::Real(_) => Err(SqlError::unreadable()),
        }
    }
}
