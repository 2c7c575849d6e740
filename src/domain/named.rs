//! Enums whose values have names, used in settings, keys, states, responses and metrics.

/// Declares an enum with the name of each value beside it.
macro_rules! named {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$of_value:meta])* $value:ident = $text:literal,)* }
    ) => {
        $(#[$meta])*
        pub enum $name { $($(#[$of_value])* $value,)* }

        impl $name {
            /// All values, in order of declaration.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$value),*];

            /// Returns the value's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),* }
            }

            /// Returns the value with exactly this name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use named;
