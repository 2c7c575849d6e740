//! Enums whose values have names: in settings, keys, states, answers and metrics.

/// Declares an enum with the name of each value beside it.
macro_rules! named {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$of_value:meta])* $value:ident = $text:literal,)* }
    ) => {
        $(#[$meta])*
        pub enum $name { $($(#[$of_value])* $value,)* }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$value),*];

            /// The value's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),* }
            }

            /// The value of exactly that name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use named;
