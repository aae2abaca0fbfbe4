//! HS256 (RFC 7518, 3.2) for the library of tokens, which else brings along RSA and three families of elliptic curves.

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use sha2::Sha256;
use signature::{Signer, Verifier};

/// Lets tokens be signed and verified by this file, from now on.
pub fn install() {
    // An error says that it is done already.
    let _ = PROVIDER.install_default();
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.family(), key.as_bytes())?)),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Hs256::new(*algorithm, key.family(), key.try_get_as_bytes()?)?))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self> {
        // The bytes of another family's key may be public.
        if family != AlgorithmFamily::Hmac {
            return Err(Error::from(ErrorKind::InvalidKeyFormat));
        }
        if algorithm != Algorithm::HS256 {
            return Err(Error::from(ErrorKind::InvalidAlgorithm));
        }
        Hmac::new_from_slice(secret).map(Self).map_err(|_| Error::from(ErrorKind::InvalidKeyFormat))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], code: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        // In constant time.
        self.0.clone().chain_update(message).verify_slice(code).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{DecodingKey, EncodingKey};

    use super::*;

    /// RFC 7515, appendix A.1: the key, and the signature of a token.
    const SECRET: &str =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const SIGNED: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const CODE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn it_signs_as_the_rfc_does_and_nothing_else() {
        install();
        let secret = URL_SAFE_NO_PAD.decode(SECRET).unwrap();
        let (key, verifying) = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
        let verified = |code: &str, algorithm| {
            jsonwebtoken::crypto::verify(code, SIGNED.as_bytes(), &verifying, algorithm)
        };

        assert_eq!(jsonwebtoken::crypto::sign(SIGNED.as_bytes(), &key, Algorithm::HS256).unwrap(), CODE);
        assert!(verified(CODE, Algorithm::HS256).unwrap());
        assert!(!verified(&CODE.replace('d', "e"), Algorithm::HS256).unwrap());
        assert!(verified(CODE, Algorithm::HS512).is_err());
        assert!(jsonwebtoken::crypto::sign(SIGNED.as_bytes(), &key, Algorithm::HS384).is_err());
    }
}
