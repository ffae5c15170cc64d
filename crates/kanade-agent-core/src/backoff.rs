//! How long to wait before trying again.

/// Doubles from `first_ms` with each failure, at most `cap_ms`; the random share (0 to 255)
/// spreads it by up to a quarter, so that many do not come back at once.
#[must_use]
pub fn delay_ms(failures: u32, first_ms: u64, cap_ms: u64, random: u8) -> u64 {
    let doubled = first_ms
        .saturating_mul(1 << failures.saturating_sub(1).min(20))
        .min(cap_ms);
    doubled - doubled * u64::from(random) / 1024
}

#[cfg(test)]
mod tests {
    use super::delay_ms;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread_by_a_quarter() {
        assert_eq!(
            [1, 2, 3, 99].map(|n| delay_ms(n, 1000, 60_000, 0)),
            [1000, 2000, 4000, 60_000]
        );
        assert!(delay_ms(1, 1000, 60_000, 255) > 750);
    }
}
