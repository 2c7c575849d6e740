//! How states are serialized: text for people leaves out empty fields, the form in memory is
//! complete.

/// Returns whether a field is as in a struct about which nothing is known.
pub(super) fn says_nothing<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// Implements serialization of a struct. The fields before the semicolon are always written. Those
/// after it are left out of text if they are as in a struct about which nothing is known. A format
/// without field names needs all of them, in the order of the struct.
macro_rules! serialize_sparsely {
    ($name:ident { $($always:ident),* ; $($sparse:ident),* }) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;

                const FIELDS: &[&str] = &[$(stringify!($always),)* $(stringify!($sparse)),*];
                // A forgotten field does not compile.
                let Self { $($always,)* $($sparse),* } = self;
                let is_complete = !serializer.is_human_readable();
                let mut written = serializer.serialize_struct(stringify!($name), FIELDS.len())?;
                $(written.serialize_field(stringify!($always), $always)?;)*
                $(
                    if is_complete || !$crate::domain::record::sparse::says_nothing($sparse) {
                        written.serialize_field(stringify!($sparse), $sparse)?;
                    } else {
                        written.skip_field(stringify!($sparse))?;
                    }
                )*
                written.end()
            }
        }
    };
}

pub(super) use serialize_sparsely;
