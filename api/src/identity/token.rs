//! Tokens: the session of a user and the rights it has at most, signed so that any API process can verify it.
//!
//! JWT (RFC 7519) with HS256 and nothing else: a header that names another algorithm, or brings a key along, is rejected before anything is
//! computed. It allows no leeway: the clock that judges an end may be the one that set it.

use std::collections::{BTreeSet, HashMap};

use accounts::user::{Right, User, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hs256;
use crate::http::hex;

/// The longest time for which a token is valid; it ends earlier with its user's sessions.
pub const LIFE: TimeDelta = TimeDelta::hours(1);
/// The least bytes of a secret: as many as an HS256 digest has (RFC 7518, 3.2).
pub const MIN_SECRET: usize = 32;
/// The most bytes of a token.
const MAX_TOKEN: usize = 8 << 10;

/// The keys that sign and verify tokens.
pub struct Keys {
    newest: Key,
    by_id: HashMap<String, DecodingKey>,
}

struct Key {
    id: String,
    signing: EncodingKey,
    /// The key of [`Keys::blinded`].
    blind: [u8; 32],
}

/// A token to give out.
pub struct Issued {
    pub token: String,
    pub expires: DateTime<Utc>,
}

/// The claims of a token. The user's row tells whether the session goes on and which of the rights are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub user: UserId,
    /// The rights that the user had when it was issued.
    pub rights: BTreeSet<Right>,
    /// The number of the user's sessions when it was issued.
    pub sessions: i64,
    pub expires: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    // Required by the version before, beside which this one runs during an upgrade.
    #[serde(default)]
    name: String,
    rights: Vec<String>,
    // Tokens of the version before lack it; no session had been ended then.
    #[serde(default)]
    sessions: i64,
    iat: i64,
    exp: i64,
}

/// The setting can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("each secret has at least {MIN_SECRET} bytes")]
pub struct ShortSecret;

impl Keys {
    /// Makes the keys from secrets with commas between them: the first one signs, all of them verify.
    ///
    /// # Errors
    /// If one is shorter than [`MIN_SECRET`].
    pub fn new(secrets: &str) -> Result<Self, ShortSecret> {
        hs256::install();
        let secrets: Vec<&str> = secrets.split(',').map(str::trim).collect();
        let [newest, ..] = secrets[..] else { return Err(ShortSecret) };
        if secrets.iter().any(|secret| secret.len() < MIN_SECRET) {
            return Err(ShortSecret);
        }
        let verifying = |secret: &&str| (id_of(secret), DecodingKey::from_secret(secret.as_bytes()));
        Ok(Self {
            newest: Key {
                id: id_of(newest),
                signing: EncodingKey::from_secret(newest.as_bytes()),
                blind: Sha256::digest(format!("coatcheck, to blind: {newest}")).into(),
            },
            by_id: secrets.iter().map(verifying).collect(),
        })
    }

    /// Returns the id of each secret: first of the one that signs, then of the others. The id does not reveal the secret, and is the same
    /// in every process that has it.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let others = self.by_id.keys().filter(|id| **id != self.newest.id);
        std::iter::once(&self.newest.id).chain(others).map(String::as_str)
    }

    /// Returns a digest of a text that only holders of the secret can make: for text that is compared but must not be readable.
    pub fn blinded(&self, text: &str) -> String {
        let digest = Sha256::new().chain_update(self.newest.blind).chain_update(text).finalize();
        hex(&digest)
    }

    /// Issues a token for session number `sessions`, with the user's present rights.
    ///
    /// # Errors
    /// If the token can't be made, which is a bug.
    pub fn issue(&self, user: &User, sessions: i64) -> jsonwebtoken::errors::Result<Issued> {
        let now = Utc::now();
        // Whole seconds, as the claim has them.
        let exp = (now + LIFE).timestamp();
        let claims = Claims {
            sub: user.id.to_string(),
            name: user.username.to_string(),
            rights: user.rights.iter().map(Right::to_string).collect(),
            sessions,
            iat: now.timestamp(),
            exp,
        };
        let header = Header { kid: Some(self.newest.id.clone()), ..Header::new(Algorithm::HS256) };
        let token = encode(&header, &claims, &self.newest.signing)?;
        Ok(Issued { token, expires: DateTime::from_timestamp(exp, 0).unwrap_or(now + LIFE) })
    }

    /// Returns the claims of a token; `None` if the token is not one of ours, was altered, or is not valid now.
    pub fn verify(&self, token: &str) -> Option<Bearer> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let header = decode_header(token).ok()?;
        let ours = Header { kid: header.kid.clone(), ..Header::new(Algorithm::HS256) };
        if header != ours {
            return None;
        }
        let key = self.by_id.get(&header.kid?)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        let claims: Claims = decode(token, key, &validation).ok()?.claims;
        Some(Bearer {
            user: claims.sub.parse().ok()?,
            // A right that only a newer version knows grants nothing here.
            rights: claims.rights.iter().filter_map(|name| name.parse().ok()).collect(),
            sessions: claims.sessions,
            expires: DateTime::from_timestamp(claims.exp, 0)?,
        })
    }
}

/// Returns the name of a secret in a token's header, which does not reveal the secret: the first 16 hex digits of its SHA-256.
fn id_of(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes())[..8])
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "an old secret which was good for long";
    const NEW: &str = "a new secret of 32 bytes or more";

    fn user() -> User {
        User {
            id: UserId::random(),
            username: "Ada".parse().unwrap(),
            rights: BTreeSet::from([Right::Paid, Right::Admin]),
        }
    }

    fn keys(secrets: &str) -> Keys {
        Keys::new(secrets).ok().unwrap()
    }

    #[test]
    fn a_token_names_the_user_that_it_was_issued_to() {
        let (keys, user) = (keys(NEW), user());

        let Issued { token, expires } = keys.issue(&user, 7).unwrap();

        let User { id, rights, .. } = user;
        assert_eq!(keys.verify(&token), Some(Bearer { user: id, rights, sessions: 7, expires }));
        assert!(expires <= Utc::now() + LIFE && expires > Utc::now() + LIFE - TimeDelta::minutes(1));
    }

    #[test]
    fn the_first_secret_signs_and_all_verify() {
        let old_token = keys(OLD).issue(&user(), 0).unwrap().token;
        let both = keys(&format!("{NEW}, {OLD}"));
        let new_token = both.issue(&user(), 0).unwrap().token;

        assert!(both.verify(&old_token).is_some());
        assert!(keys(NEW).verify(&new_token).is_some());
        assert!(keys(NEW).verify(&old_token).is_none());
        assert!(keys(OLD).verify(&new_token).is_none());
    }

    #[test]
    fn a_token_that_was_touched_anywhere_is_none() {
        let keys = keys(NEW);
        let token = keys.issue(&user(), 0).unwrap().token;

        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1;
            let touched = String::from_utf8(bytes).unwrap();
            // The last character of a signature has bits that no byte uses.
            let is_same = at == token.len() - 1;
            assert!(is_same || keys.verify(&touched).is_none(), "{at}");
        }
        for garbage in ["", ".", "..", "a.b.c", &token[1..], &format!("{token}."), &format!(" {token}")] {
            assert!(keys.verify(garbage).is_none(), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_token_is_one(text in any::<String>(), header in ".{0,40}", claims in ".{0,80}", signature: [u8; 32]) {
            let encoded = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
            let like_one = [header.as_bytes(), claims.as_bytes(), &signature].map(encoded).join(".");
            let keys = keys(NEW);
            // With the header of a real token; the rest is not one.
            let real = keys.issue(&user(), 0).unwrap().token;
            let with_header = [real.split('.').next().unwrap(), &encoded(claims.as_bytes()), &encoded(&signature)].join(".");
            for text in [text, like_one, with_header] {
                prop_assert!(keys.verify(&text).is_none());
            }
        }
    }

    #[test]
    fn what_is_blinded_is_the_same_for_who_has_the_secret_alone() {
        assert_eq!(keys(NEW).blinded("ada"), keys(&format!("{NEW},{OLD}")).blinded("ada"));
        assert_ne!(keys(NEW).blinded("ada"), keys(OLD).blinded("ada"));
        assert_ne!(keys(NEW).blinded("ada"), keys(NEW).blinded("bob"));
        let rotating = keys(&format!("{NEW},{OLD}"));
        let ids: Vec<&str> = rotating.ids().collect();
        assert_eq!(ids, [id_of(NEW), id_of(OLD)]);
    }

    #[test]
    fn each_secret_has_32_bytes() {
        for secrets in ["", ",", "short", &format!("{NEW},"), &format!("{NEW},short"), &"x".repeat(31)] {
            assert!(Keys::new(secrets).is_err(), "{secrets}");
        }
        assert!(Keys::new(&"x".repeat(32)).is_ok());
    }
}
