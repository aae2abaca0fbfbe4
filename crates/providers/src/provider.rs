//! The services that have stand-ins.

use actix_web::http::StatusCode;
use clap::ValueEnum;
use serde::Serialize;
use utoipa::ToSchema;

/// An outside service
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Accepts REQUESTS requests, then none for BLOCK_SECONDS
    Free,
    /// Accepts every request
    Paid,
    /// Accepts rows of tables
    ThirdParty,
}

impl Provider {
    /// All of them, in the order of their ports.
    pub const ALL: [Self; 3] = [Self::Free, Self::Paid, Self::ThirdParty];

    /// Returns its name on the command line and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
            Self::ThirdParty => "third-party",
        }
    }

    /// Returns the setting that names its address.
    pub const fn listen_setting(self) -> &'static str {
        match self {
            Self::Free => "FREE_LISTEN",
            Self::Paid => "PAID_LISTEN",
            Self::ThirdParty => "THIRD_PARTY_LISTEN",
        }
    }

    /// Returns the status of the answer to an accepted request.
    pub const fn accepted(self) -> StatusCode {
        match self {
            Self::Free | Self::Paid => StatusCode::OK,
            Self::ThirdParty => StatusCode::CREATED,
        }
    }
}
