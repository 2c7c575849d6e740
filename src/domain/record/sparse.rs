//! How states are written: for people without what says nothing, for memory whole.

/// Whether a field is as in a struct that nothing was learned of.
pub(super) fn says_nothing<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// Makes a struct write the fields before the semicolon always. Those after it are left out of text
/// where they are as in a struct that nothing was learned of; a form without names has to have all,
/// in the order of the struct.
macro_rules! serialize_sparsely {
    ($name:ident { $($always:ident),* ; $($sparse:ident),* }) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;

                const FIELDS: &[&str] = &[$(stringify!($always),)* $(stringify!($sparse)),*];
                // A field that is forgotten does not compile.
                let Self { $($always,)* $($sparse),* } = self;
                let is_whole = !serializer.is_human_readable();
                let mut written = serializer.serialize_struct(stringify!($name), FIELDS.len())?;
                $(written.serialize_field(stringify!($always), $always)?;)*
                $(
                    if is_whole || !$crate::domain::record::sparse::says_nothing($sparse) {
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
