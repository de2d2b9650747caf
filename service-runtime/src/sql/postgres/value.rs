//! Values on their way to and from a server. A column or parameter of a kind that [`Value`] does not have is an error.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::{Value, error::Unfit};

type Cause = Box<dyn Error + Sync + Send>;

const TEXTS: [Type; 2] = [Type::TEXT, Type::VARCHAR];

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Cause> {
        match (*self, kind) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Integer(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::Integer(number), &Type::INT4) => i32::try_from(number).map_err(|_| Unfit)?.to_sql(kind, out),
            (Self::Integer(truth @ (0 | 1)), &Type::BOOL) => (truth == 1).to_sql(kind, out),
            (Self::Text(text), kind) if TEXTS.contains(kind) => text.to_sql(kind, out),
            (Self::Blob(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (Self::Integer(_) | Self::Text(_) | Self::Blob(_), _) => Err(Unfit.into()),
        }
    }

    /// All of them, so that what does not fit meets the error above.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'v> FromSql<'v> for Value<'v> {
    fn from_sql(kind: &Type, raw: &'v [u8]) -> Result<Self, Cause> {
        match *kind {
            Type::INT8 => i64::from_sql(kind, raw).map(Self::Integer),
            Type::INT4 => i32::from_sql(kind, raw).map(|number| Self::Integer(number.into())),
            Type::INT2 => i16::from_sql(kind, raw).map(|number| Self::Integer(number.into())),
            Type::BOOL => bool::from_sql(kind, raw).map(|truth| Self::Integer(truth.into())),
            Type::BYTEA => Ok(Self::Blob(raw)),
            Type::TEXT | Type::VARCHAR => str::from_utf8(raw).map(Self::Text).map_err(Into::into),
            _ => Err(Unfit.into()),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Cause> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
