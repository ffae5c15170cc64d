//! Who asks.

/// The account in whose name something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Id of the account; never a mail address.
    pub account_id: String,
}

impl Operator {
    /// Whoever has the token of this machine.
    #[must_use]
    pub fn local() -> Self {
        Self {
            account_id: "local".to_owned(),
        }
    }
}
