//! Ids: UUIDs (RFC 9562), with a type of its own for each sort.

use uuid::Uuid;

/// The text is not a UUID in its hyphenated form of 36 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID such as 0198c0de-0000-7000-8000-000000000000")]
pub struct InvalidId;

/// Parses a UUID of 36 characters; braces, URNs and bare digits are rejected.
///
/// # Errors
/// If the text is not a UUID in that form.
pub fn hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() != 36 {
        return Err(InvalidId);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId)
}

/// Defines a type of id, which the database stores as a UUID.
///
/// `v7` ids are ordered by the clock to the millisecond, and can't be guessed: all 74 other bits are random, where `Uuid::now_v7` would
/// count. `v4` ids have no order.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, v7) => {
        $crate::id!($(#[$doc])* $name, $crate::uuid::Uuid::new_v7($crate::uuid::Timestamp::now($crate::uuid::NoContext)));
    };
    ($(#[$doc:meta])* $name:ident, v4) => {
        $crate::id!($(#[$doc])* $name, $crate::uuid::Uuid::new_v4());
    };
    ($(#[$doc:meta])* $name:ident, $random:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub struct $name(pub $crate::uuid::Uuid);

        impl $name {
            /// Creates a new id.
            pub fn random() -> Self {
                Self($random)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            /// Parses the hyphenated form only, in upper or lower case.
            fn from_str(text: &str) -> Result<Self, $crate::InvalidId> {
                $crate::hyphenated(text).map(Self)
            }
        }

        impl From<$name> for $crate::types::SqlUuid {
            fn from(id: $name) -> Self {
                Self(id.0)
            }
        }

        impl From<$crate::types::SqlUuid> for $name {
            fn from(id: $crate::types::SqlUuid) -> Self {
                Self(id.0)
            }
        }
    };
}

id! {
    /// A user's id: a UUIDv7 that can't be guessed. Tasks and other rows name their owner by it.
    UserId, v7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_its_hyphenated_form_alone() {
        let id = UserId::random();

        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for garbage in
            [format!("{{{id}}}"), id.0.simple().to_string(), "z".repeat(36), format!("urn:uuid:{id}")]
        {
            assert_eq!(garbage.parse::<UserId>(), Err(InvalidId), "{garbage}");
        }
    }
}
