//! The kinds of value that requests and answers are made of, as the API document describes them.
//! What they really are, [`crate::domain`] and [`crate::clock`] decide.

use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Permission;

/// A value that is written as text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A reference to a schema that stands among the document's components.
pub fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// The same, or null.
pub fn or_null<T: ToSchema>() -> RefOr<Schema> {
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(null).item(reference::<T>()).into()
}

/// A name, as a part of a pattern.
macro_rules! name {
    () => {
        "[a-z0-9][a-z0-9._@+-]{0,63}"
    };
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $schema:expr;)+) => {$(
        $(#[doc = $doc])+
        pub enum $kind {}

        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                $schema.description(Some(concat!($($doc),+).trim())).into()
            }
        }

        impl ToSchema for $kind {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }
        }
    )+};
}

kinds! {
    /// A name of a person or a team: the same only if its characters are.
    Name = text().pattern(Some(concat!("^", name!(), "$"))).examples(["jdoe"]);
    /// A calendar day, in UTC.
    Day = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))).examples(["2026-03-10"]);
    /// A moment, as RFC 3339 writes it; in answers always in UTC.
    Moment = text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-03-10T12:00:00Z"]);
    /// A text on one line, without spaces around it.
    Line = text()
        .min_length(Some(1))
        .max_length(Some(200))
        .pattern(Some(LINE))
        .examples(["Annual review"]);
    /// What somebody may do.
    PermissionName = text().enum_values(Some(Permission::ALL.map(Permission::name)));
    /// What a machine token may do.
    TokenPermission = text().enum_values(Some(["audit", "read", "write"]));
    /// A calendar day, which is the last one, or a moment, as RFC 3339 writes it.
    End = text()
        .pattern(Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$"))
        .examples(["2026-12-31"]);
    /// Whom a grant covers: the holder, one person, the members of a team, or everybody in the org.
    GrantReach = text()
        .pattern(Some(concat!("^(own|org|(user|team):", name!(), ")$")))
        .examples(["own", "team:ops"]);
    /// A number with all the decimals that its currency has: `2000.00`.
    Amount = text().pattern(Some(r"^[0-9]+(\.[0-9]+)?$")).examples(["2000.00"]);
    /// The code of a currency (ISO 4217).
    Currency = text().pattern(Some("^[A-Z]{3}$")).examples(["USD"]);
    /// An amount as people write it: `$2000.00`, `CHF 2000.00`.
    Salary = text().examples(["$2000.00"]);
    /// Yes or no; without a value: yes.
    Flag = text().enum_values(Some(["true", "false", ""]));
    /// The row before a page, as the `Link` gives it: its user name, and what it was sorted by.
    Cursor = text().pattern(Some(concat!("^", name!(), "(:.*)?$")));
}

/// No control characters or breaks of a line, and neither first nor last a space.
const LINE: &str = concat!(
    r"^[^\s\x00-\x1f\x7f-\x9f]",
    r"([^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f])?$"
);
/// Any characters but control characters.
pub const PRINTABLE: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";
