//! How states are written: for people without what says nothing, for memory whole.

/// Whether a field is as in a struct that nothing was learned of.
pub(super) fn says_nothing<T: Default + PartialEq>(field: &T) -> bool {
    *field == T::default()
}

/// Makes a struct write the fields before the semicolon always. Those behind it are left out of text
/// where they are as in a struct that nothing was learned of; a form without names has to have all.
macro_rules! serialize_sparsely {
    ($name:ident { $($always:ident),* ; $($sparse:ident),* }) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;

                const FIELDS: &[&str] = &[$(stringify!($always),)* $(stringify!($sparse)),*];
                let is_whole = !serializer.is_human_readable();
                let mut written = serializer.serialize_struct(stringify!($name), FIELDS.len())?;
                $(written.serialize_field(stringify!($always), &self.$always)?;)*
                $(
                    if is_whole || !$crate::domain::record::sparse::says_nothing(&self.$sparse) {
                        written.serialize_field(stringify!($sparse), &self.$sparse)?;
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
