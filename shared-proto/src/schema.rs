//! Schemas in the `OpenAPI` documents for types that have a parser of their own.

#[cfg(feature = "openapi")]
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

/// Gives a type a schema under its own name, if the feature `openapi` is on.
#[macro_export]
#[doc(hidden)]
macro_rules! described {
    ($name:ident, $schema:expr) => {
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub use described;

/// A text that matches a pattern.
#[cfg(feature = "openapi")]
pub fn text(pattern: &str) -> RefOr<Schema> {
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()))
}

/// A text of 1 to `most` bytes. A schema counts characters, and a text never has more of these than bytes.
#[cfg(feature = "openapi")]
pub fn name(most: usize) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(most));
    RefOr::T(Schema::Object(text.build()))
}

/// An integer in a range.
#[cfg(feature = "openapi")]
pub fn integer(least: u64, most: u64) -> RefOr<Schema> {
    let integer = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(most));
    RefOr::T(Schema::Object(integer.build()))
}
