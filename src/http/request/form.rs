//! Forms: types whose fields are named once, for reading a body and for the OpenAPI document.

use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::json_fields::{Fault, Faults, RawObject, is_null};

/// A schema, or the name of one.
pub(crate) type SchemaOrName = RefOr<Schema>;

/// Schemas that other schemas refer to, by name.
pub(crate) type NamedSchemas = Vec<(String, SchemaOrName)>;

/// A type that is read from a body's fields.
pub(crate) trait Form: Sized {
    /// Reads all of the fields; `None` if a required one is missing or wrong.
    fn read(fields: &mut impl Fields) -> Option<Self>;
}

/// Where a [`Form`] gets its fields: from a body ([`FieldReader`]), or from nothing, to collect their
/// schemas ([`Documenter`]).
pub(crate) trait Fields {
    /// A required field.
    fn required<T: FieldValue>(&mut self, name: &'static str) -> Option<T>;

    /// An optional field.
    fn optional<T: FieldValue>(&mut self, name: &'static str) -> Option<T>;

    /// An optional field that is false by default.
    fn flag(&mut self, name: &'static str) -> bool {
        self.optional(name).unwrap_or(false)
    }

    /// The faults found so far.
    fn faults(&mut self) -> &mut Faults;
}

/// A type that a field can have.
pub(crate) trait FieldValue: Sized {
    /// Reads a value.
    fn read(raw: &RawValue) -> Result<Self, Fault>;

    /// Whether a value other than `null` means the same where the field may be null.
    fn is_none(_: &RawValue) -> bool {
        false
    }

    /// The schema of a field with this type; schemas that it refers to are added to `named`.
    fn schema_in(named: &mut NamedSchemas) -> SchemaOrName;
}

impl FieldValue for bool {
    fn read(raw: &RawValue) -> Result<Self, Fault> {
        serde_json::from_str(raw.get()).map_err(|_| "must be true or false".into())
    }

    fn schema_in(_: &mut NamedSchemas) -> SchemaOrName {
        Self::schema()
    }
}

/// The value, or `null`.
impl<T: FieldValue> FieldValue for Option<T> {
    fn read(raw: &RawValue) -> Result<Self, Fault> {
        if is_null(raw) || T::is_none(raw) { Ok(None) } else { T::read(raw).map(Some) }
    }

    fn schema_in(named: &mut NamedSchemas) -> SchemaOrName {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        RefOr::T(OneOfBuilder::new().item(T::schema_in(named)).item(null).into())
    }
}

/// Reads the fields of a body.
pub(crate) struct FieldReader<'a, 'f> {
    pub(crate) object: RawObject<'a>,
    pub(crate) faults: &'f mut Faults,
}

impl Fields for FieldReader<'_, '_> {
    fn required<T: FieldValue>(&mut self, name: &'static str) -> Option<T> {
        self.faults.require(name, self.object.get(name), T::read)
    }

    fn optional<T: FieldValue>(&mut self, name: &'static str) -> Option<T> {
        self.faults.check(name, self.object.get(name), T::read)
    }

    fn faults(&mut self) -> &mut Faults {
        self.faults
    }
}

/// Collects the schemas of a form's fields. No field has a value, so that the form asks for every one.
pub(crate) struct Documenter {
    object: ObjectBuilder,
    /// The names of the fields.
    pub(crate) names: Vec<&'static str>,
    /// The schemas that the fields refer to.
    pub(crate) named: NamedSchemas,
    faults: Faults,
}

impl Documenter {
    /// Collects what `read` asks for.
    pub(crate) fn of<T>(read: impl FnOnce(&mut Self) -> T) -> Self {
        let (object, faults) = (ObjectBuilder::new(), Faults::of_body());
        let mut documenter = Self { object, names: Vec::new(), named: Vec::new(), faults };
        read(&mut documenter);
        documenter
    }

    /// The schema of an object with the fields.
    pub(crate) fn schema(self, description: &str, example: Value) -> ObjectBuilder {
        with_example(self.object.description(Some(description)), example)
    }

    fn add(&mut self, name: &'static str, schema: impl Into<SchemaOrName>) {
        self.names.push(name);
        self.object = std::mem::take(&mut self.object).property(name, schema);
    }
}

impl Fields for Documenter {
    fn required<T: FieldValue>(&mut self, name: &'static str) -> Option<T> {
        self.object = std::mem::take(&mut self.object).required(name);
        self.optional(name)
    }

    fn optional<T: FieldValue>(&mut self, name: &'static str) -> Option<T> {
        let schema = T::schema_in(&mut self.named);
        self.add(name, schema);
        None
    }

    fn flag(&mut self, name: &'static str) -> bool {
        self.add(name, ObjectBuilder::new().schema_type(Type::Boolean).default(Some(false.into())));
        false
    }

    fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

/// The schema of a string.
pub(crate) fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// The schema of a string, with an example.
pub(crate) fn text_like(description: &str, example: &str) -> ObjectBuilder {
    with_example(text(description), example.into())
}

#[expect(deprecated, reason = "the derived schemas have an `example`, too, and no `examples`")]
fn with_example(schema: ObjectBuilder, example: Value) -> ObjectBuilder {
    schema.example(Some(example))
}

/// A reference to a type's schema, which is added to `named`.
pub(crate) fn refer_to<T: ToSchema>(named: &mut NamedSchemas) -> SchemaOrName {
    named.push((T::name().into(), T::schema()));
    T::schemas(named);
    Ref::from_schema_name(T::name()).into()
}

/// Gives a type a schema with a name, and the schemas that it refers to; with `value`, makes it a
/// [`FieldValue`] and says how it is read.
macro_rules! documented {
    ($type:ty as $name:literal, $schema:expr $(, $named:expr)?) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> $crate::http::request::form::SchemaOrName {
                utoipa::openapi::RefOr::T($schema.into())
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            $(
                fn schemas(all: &mut $crate::http::request::form::NamedSchemas) {
                    all.extend($named);
                }
            )?
        }
    };
    (form $type:ty as $name:literal, $description:literal, $example:expr $(, $more:ident($value:expr))?) => {
        documented!(
            $type as $name,
            Documenter::of(Self::read).schema($description, $example)$(.$more($value))?,
            Documenter::of(Self::read).named
        );
    };
    (value $type:ty as $name:literal, $schema:expr, $read:expr) => {
        documented!($type as $name, $schema);

        impl $crate::http::request::form::FieldValue for $type {
            fn read(raw: &RawValue) -> Result<Self, Fault> {
                let read: fn(&RawValue) -> Result<Self, Fault> = $read;
                read(raw)
            }

            fn schema_in(
                named: &mut $crate::http::request::form::NamedSchemas,
            ) -> $crate::http::request::form::SchemaOrName {
                $crate::http::request::form::refer_to::<Self>(named)
            }
        }
    };
}
pub(crate) use documented;
