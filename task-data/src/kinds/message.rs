//! A message to a provider that is free while it takes requests, or to one that is paid for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who answers messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Costs nothing, and blocks after some requests for a while.
    Free,
    /// Takes every request, for money.
    Paid,
}

impl Provider {
    /// The word for it in the API and in the outcome log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
        }
    }
}

/// Who is to answer a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The free provider; while it blocks the paid one, if its sender may use that.
    #[default]
    Auto,
    /// The free provider alone, whenever it takes it.
    Free,
    /// The paid provider at once.
    Paid,
}

/// What is sent: some text, without the character NUL, which databases don't take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

/// The text is none that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has NUL in it.
    #[error("it has the character U+0000 in it")]
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

/// What was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// What is sent.
    pub text: Text,
    /// Who is to answer it.
    pub provider: Choice,
    /// Whether its sender could use the paid provider when he handed it in.
    pub may_pay: bool,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Who has answered.
    pub provider: Provider,
    /// The whole answer.
    pub reply: Value,
}

/// The provider; `-` should a result lack it, so that a line is never malformed.
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
