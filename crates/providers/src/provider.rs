//! Which services there are stand-ins for.

use actix_web::http::StatusCode;
use clap::ValueEnum;
use serde::Serialize;
use utoipa::ToSchema;

/// An outside service
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Takes REQUESTS requests, then none for BLOCK_SECONDS
    Free,
    /// Takes every request
    Paid,
    /// Takes rows of tables
    ThirdParty,
}

impl Provider {
    /// All of them, in the order of their ports.
    pub const ALL: [Self; 3] = [Self::Free, Self::Paid, Self::ThirdParty];

    /// As it is named on the command line and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Paid => "paid",
            Self::ThirdParty => "third-party",
        }
    }

    /// The setting that says where it listens.
    pub const fn listen_setting(self) -> &'static str {
        match self {
            Self::Free => "FREE_LISTEN",
            Self::Paid => "PAID_LISTEN",
            Self::ThirdParty => "THIRD_PARTY_LISTEN",
        }
    }

    /// What a request that was accepted is answered with.
    pub const fn accepted(self) -> StatusCode {
        match self {
            Self::Free | Self::Paid => StatusCode::OK,
            Self::ThirdParty => StatusCode::CREATED,
        }
    }
}
