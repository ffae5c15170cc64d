//! Signing in to the dashboard: `POST /api/v1/signin-links`, and `/api/v1/session`.
//!
//! A link carries a code that is good for one session within minutes. The session itself is a
//! cookie that no script can read, so it is in none of these types.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Answer of `POST /api/v1/signin-links`: a link that signs one browser in, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SigninLink {
    /// The dashboard's address with the code in it.
    pub url: String,
    /// The code alone, for `POST /api/v1/session`.
    pub code: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// `POST /api/v1/session`: signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The code of a link.
    pub code: String,
}

/// `GET /api/v1/session`: who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionView {
    /// Account id in whose name requests are made.
    pub operator: String,
    /// When the session ends unless it is used before; absent for a token, which has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}
