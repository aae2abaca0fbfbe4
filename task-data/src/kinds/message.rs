//! A message to a provider: the free one, which blocks after some requests, or the paid one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most tickets in one message of the queue.
pub(super) const TOGETHER: usize = 1;

/// A provider that answers messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Costs nothing, and blocks for a while after some requests.
    Free,
    /// Takes every request, for money.
    Paid,
}

impl Provider {
    /// Returns the provider's name in the API and in the outcome log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
        }
    }
}

/// The client's choice of a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The free provider; while it blocks, the paid one, if the owner may use that.
    #[default]
    Auto,
    /// Only the free provider, as soon as it takes the message.
    Free,
    /// The paid provider at once.
    Paid,
}

/// The text of a message, without the character U+0000, which databases don't store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// Why a text can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// The text is empty.
    #[error("the text is empty")]
    Empty,
    /// The text contains U+0000.
    #[error("the text contains the character U+0000")]
    Nul,
}

impl TryFrom<String> for Text {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        match text.as_str() {
            "" => Err(InvalidText::Empty),
            some if some.contains('\0') => Err(InvalidText::Nul),
            _ => Ok(Self(text)),
        }
    }
}

impl FromStr for Text {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        text.to_owned().try_into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The text to send.
    pub text: Text,
    /// The provider that is to answer it.
    pub provider: Choice,
    /// Whether the owner could use the paid provider when the message was submitted.
    pub may_pay: bool,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The provider that answered.
    pub provider: Provider,
    /// The complete reply.
    pub reply: Value,
}

/// Returns the provider for the outcome log; `-` if the result lacks it, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    result.get("provider").and_then(Value::as_str).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_has_something_in_it_and_no_nul() {
        assert_eq!(" ".parse::<Text>().map(String::from), Ok(" ".to_owned()));
        assert_eq!("".parse::<Text>(), Err(InvalidText::Empty));
        assert_eq!("a\0b".parse::<Text>(), Err(InvalidText::Nul));
        assert!(serde_json::from_value::<Text>(json!("\u{0}")).is_err());
    }

    #[test]
    fn the_outcome_log_names_the_provider() {
        let output = Output { provider: Provider::Paid, reply: json!({"text": "b a"}) };

        assert_eq!(outcome_detail(&json!(output)), Provider::Paid.name());
        assert_eq!(outcome_detail(&json!({})), "-");
    }
}
